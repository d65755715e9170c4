"""The tidy table of measured times: one row per collective, size and statistic."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from fabricmodel._files import whole_file
from fabricmodel.errors import MeasurementError, at
from fabricmodel.measurements.vocabulary import canonical_collective
from fabricmodel.units import US

SCHEMA: dict[str, type[pl.Float64] | type[pl.String]] = {
    "series": pl.String,
    "system": pl.String,
    "fabric": pl.String,
    "topology_shape": pl.String,
    "nodes": pl.Float64,
    "ranks": pl.Float64,
    "ranks_per_node": pl.Float64,
    "collective": pl.String,
    "algorithm": pl.String,
    "size_bytes": pl.Float64,
    "dtype": pl.String,
    "time_us": pl.Float64,
    "min_us": pl.Float64,
    "p90_us": pl.Float64,
    "statistic": pl.String,
    "source": pl.String,
    "notes": pl.String,
}
COLUMNS = tuple(SCHEMA)
NUMBERS = tuple(name for name, kind in SCHEMA.items() if kind == pl.Float64)
SAME = (
    "series", "ranks", "ranks_per_node", "topology_shape", "collective", "algorithm",
    "size_bytes",
)  # fmt: skip
"""Columns in which the repeats of one measurement agree."""

REQUIRED = ("ranks", "collective", "size_bytes", "time_us")
TEXT_LIMIT = 120


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetAside:
    """One row of a file that was not used: where it stands, what it says, and why."""

    file: str
    line: int
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{at(self.file, self.line)}: {self.reason}: {self.text}"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Measurements:
    """Measured times of collectives, and the rows of the files that were set aside.

    ``frame`` has exactly the columns ``COLUMNS``: text is never null ("" if unknown),
    numbers are Float64 and null if unknown. Sizes are bytes of the full vector as
    nccl-tests counts them; times in the frame are microseconds, as in the CSV. The
    properties give numpy arrays in SI units, NaN where a number is unknown.

    >>> table = Measurements.from_records(
    ...     [{"ranks": 8, "collective": "allreduce", "size_bytes": 1024, "time_us": 5}]
    ... )
    >>> table
    Measurements(1 row; all_reduce; 8 ranks; 1.02 kB; nothing set aside)
    >>> table.time_s
    array([5.e-06])
    """

    frame: pl.DataFrame
    set_aside: tuple[SetAside, ...] = ()

    @staticmethod
    def from_records(
        records: Iterable[Mapping[str, Any]], set_aside: Iterable[SetAside] = ()
    ) -> Measurements:
        """Build the table from rows given as mappings with (some of) the columns.

        Raises:
          MeasurementError: for an unknown column or collective, or where ranks, size
            or time is missing, not finite or not positive.
        """
        rows = [dict(record) for record in records]
        for row in rows:
            for name in row.keys() - SCHEMA.keys():
                raise unknown_column("records", name)
            row["collective"] = canonical_collective(row.get("collective", ""))
        columns = {
            name: [row.get(name, "" if kind == pl.String else None) for row in rows]
            for name, kind in SCHEMA.items()
        }
        frame = pl.DataFrame(columns, schema=SCHEMA, strict=False)
        return Measurements(frame=_checked(frame, columns), set_aside=tuple(set_aside))

    @staticmethod
    def from_frames(
        frames: Iterable[pl.DataFrame], set_aside: Iterable[SetAside] = ()
    ) -> Measurements:
        """Join frames with (some of) the columns, under canonical names, in order.

        Raises:
          MeasurementError: where ranks, size or time is missing, not finite or not
            positive.
        """
        frame = pl.concat([_complete(frame) for frame in frames])
        return Measurements(frame=_checked(frame), set_aside=tuple(set_aside))

    def _floats(self, name: str) -> NDArray[np.float64]:
        return self.frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()

    def _words(self, name: str) -> NDArray[np.str_]:
        return np.asarray(self.frame[name].to_list(), dtype=np.str_)

    @property
    def ranks(self) -> NDArray[np.float64]:
        """Number of ranks of each row."""
        return self._floats("ranks")

    @property
    def nodes(self) -> NDArray[np.float64]:
        """Number of nodes of each row, NaN if unknown."""
        return self._floats("nodes")

    @property
    def ranks_per_node(self) -> NDArray[np.float64]:
        """Ranks on each node, NaN if unknown or uneven."""
        return self._floats("ranks_per_node")

    @property
    def size_bytes(self) -> NDArray[np.float64]:
        """Bytes of the full vector."""
        return self._floats("size_bytes")

    @property
    def time_s(self) -> NDArray[np.float64]:
        """Measured time in seconds, of the kind that ``statistic`` names."""
        return self._floats("time_us") * US

    @property
    def min_s(self) -> NDArray[np.float64]:
        """Shortest time in seconds, NaN if unknown."""
        return self._floats("min_us") * US

    @property
    def p90_s(self) -> NDArray[np.float64]:
        """Time in seconds that 90 % of the iterations kept, NaN if unknown."""
        return self._floats("p90_us") * US

    @property
    def collective(self) -> NDArray[np.str_]:
        """Canonical name of each row's collective."""
        return self._words("collective")

    @property
    def algorithm(self) -> NDArray[np.str_]:
        """Algorithm that the benchmark names, "" if it names none."""
        return self._words("algorithm")

    @property
    def series(self) -> NDArray[np.str_]:
        """Name of the series of each row; of a log, the file's name."""
        return self._words("series")

    @property
    def dtype(self) -> NDArray[np.str_]:
        """Element type as printed, "" if unknown."""
        return self._words("dtype")

    def __len__(self) -> int:
        return self.frame.height

    def __repr__(self) -> str:
        rows = f"{len(self):,} row{'' if len(self) == 1 else 's'}"
        parts = [rows]
        if len(self):
            series = [name or "(unnamed)" for name in np.unique(self.series)]
            if series != ["(unnamed)"]:
                parts.append(f"series {_few(series)}")
            parts.append(_few(list(np.unique(self.collective))))
            parts.append(f"{_span(self.ranks, lambda r: f'{r:,.0f}')} ranks")
            parts.append(_span(self.size_bytes, _readable_bytes))
        aside = f"{len(self.set_aside):,}" if self.set_aside else "nothing"
        return f"Measurements({'; '.join(parts)}; {aside} set aside)"

    def select(
        self,
        *,
        series: str | Sequence[str] | None = None,
        collective: str | Sequence[str] | None = None,
        algorithm: str | Sequence[str] | None = None,
        min_ranks: float | None = None,
        max_ranks: float | None = None,
    ) -> Measurements:
        """Keep the rows that fulfil every condition given; rank limits are inclusive.

        A text condition is one value or several; collectives may be aliases. What was
        set aside stays listed. The result may be empty.

        Raises:
          MeasurementError: for an unknown collective.

        >>> from fabricmodel.measurements import load_reference
        >>> table = load_reference("trn1_scaling_allreduce_nccom")
        >>> len(table.select(collective="allr", max_ranks=8))
        44
        """
        keep = pl.lit(True)
        if collective is not None:
            names = [canonical_collective(name) for name in _several(collective)]
            keep &= pl.col("collective").is_in(names)
        if series is not None:
            keep &= pl.col("series").is_in(_several(series))
        if algorithm is not None:
            keep &= pl.col("algorithm").is_in(_several(algorithm))
        if min_ranks is not None:
            keep &= pl.col("ranks") >= min_ranks
        if max_ranks is not None:
            keep &= pl.col("ranks") <= max_ranks
        return dataclasses.replace(self, frame=self.frame.filter(keep))

    def filter(self, mask: ArrayLike) -> Measurements:
        """Keep the rows where ``mask``, one boolean per row, is true.

        Raises:
          MeasurementError: for a mask of another length or type.
        """
        chosen = np.asarray(mask)
        if chosen.shape != (len(self),) or (len(self) and chosen.dtype != np.bool_):
            raise MeasurementError(
                "mask",
                f"{chosen.dtype} of shape {chosen.shape} for {len(self)} rows",
                "Give one boolean per row",
            )
        kept = self.frame.filter(pl.Series(chosen.tolist(), dtype=pl.Boolean))
        return dataclasses.replace(self, frame=kept)

    def concat(self, *others: Measurements) -> Measurements:
        """Append the rows of other tables, and what they set aside, in order."""
        tables = (self, *others)
        return Measurements(
            frame=pl.concat([table.frame for table in tables]),
            set_aside=tuple(row for table in tables for row in table.set_aside),
        )

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the tidy CSV, whole or not at all: a file that exists is replaced last.

        Raises:
          MeasurementError: where the file can't be written.
        """
        # polars quotes empty text, to tell it from null; the table needn't.
        plain = self.frame.with_columns(pl.col(pl.String).replace("", None))
        with whole_file(path, MeasurementError) as scratch:
            plain.write_csv(scratch)


def _complete(frame: pl.DataFrame) -> pl.DataFrame:
    """All columns of the table, in its order: "" or null where there was none."""
    known = frame.schema
    return frame.select(
        _blank(name)
        if name not in known
        else pl.col(name)
        if known[name] == kind
        else pl.col(name).cast(kind)
        for name, kind in SCHEMA.items()
    )


@functools.cache
def _blank(name: str) -> pl.Expr:
    """A column that a frame doesn't have, as long as the others."""
    kind = SCHEMA[name]
    return pl.lit("" if kind == pl.String else None, dtype=kind).alias(name)


_USABLE = tuple(
    (pl.col(name).is_finite() & (pl.col(name) > 0)).fill_null(False)
    for name in ("ranks", "size_bytes", "time_us")
)


def _checked(
    frame: pl.DataFrame, given: Mapping[str, Sequence[Any]] | None = None
) -> pl.DataFrame:
    """The frame itself; an error names the first value that is no positive number."""
    names = ("ranks", "size_bytes", "time_us")
    for name, usable in zip(names, frame.select(*_USABLE), strict=True):
        if not usable.all():
            row = (~usable).arg_true()[0]
            raise MeasurementError(
                f"records, row {row}",
                f"{name} is {(given or frame)[name][row]!r}, "
                "not a finite number above 0",
                "Correct the value or leave the row out",
            )
    return frame


def unknown_column(place: str, name: str) -> MeasurementError:
    """The error for a column that the tidy table doesn't have."""
    close = difflib.get_close_matches(name, COLUMNS, n=1)
    return MeasurementError(
        place,
        f"column {name!r} is unknown",
        f"Rename it{f', to {close[0]}?' if close else ''} or remove it; "
        f"the columns are {', '.join(COLUMNS)}",
    )


class NoUsableRow(MeasurementError):
    """A file that yields no row at all; ``set_aside`` lists what it refused."""

    set_aside: tuple[SetAside, ...] = ()


def no_usable_row(path: str, set_aside: Sequence[SetAside]) -> NoUsableRow:
    """The error for a file that yields no row at all; it names the first reasons."""
    if not set_aside:
        what, remedy = "no row of results", "Give the log of a run that printed results"
    else:
        first = "; ".join(f"line {row.line}: {row.reason}" for row in set_aside[:3])
        what = f"no usable row, {len(set_aside)} refused ({first})"
        remedy = "Repair those lines or give the log of a run that succeeded"
    error = NoUsableRow(at(path), what, remedy)
    error.set_aside = tuple(set_aside)
    return error


def whole_table(
    path: str, frames: Iterable[pl.DataFrame | None], set_aside: Iterable[SetAside]
) -> Measurements:
    """What a log gives: the frames of its runs, and what was refused, by line.

    Raises:
      NoUsableRow: where no frame has a row.
    """
    refused = sorted(set_aside, key=lambda row: row.line)
    found = [frame for frame in frames if frame is not None and len(frame)]
    if not found:
        raise no_usable_row(path, refused)
    return Measurements.from_frames(found, refused)


def _several(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _span(values: NDArray[np.float64], show: Any) -> str:
    low, high = show(values.min()), show(values.max())
    return low if low == high else f"{low} to {high}"


def _readable_bytes(size: float) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.3g} B"

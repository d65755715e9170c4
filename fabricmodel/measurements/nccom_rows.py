"""Rows of nccom-test, as text or JSON print them: what is usable, and what ran.

The printed bandwidths are GiB/s in some versions and GB/s in others, so no time comes
from them; their ratio is the bus factor in either unit and tells how many ranks ran.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
from collections.abc import Sequence

import polars as pl

from fabricmodel.errors import MeasurementError, at
from fabricmodel.measurements.evidence import (
    Given,
    Ratio,
    check_given,
    settle_ranks,
    split_nodes,
)
from fabricmodel.measurements.logtext import (
    aside,
    half_unit,
    half_units,
    numbers,
    printed_number,
)
from fabricmodel.measurements.nccom_command import Command
from fabricmodel.measurements.table import SetAside
from fabricmodel.measurements.vocabulary import DTYPE_BYTES

_FAILED = re.compile(
    r"Failure running neuron-bench|\b[1-9][0-9]* errors? found - test failed"
)
_OFFERED = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv")
_TIMES = ("time:avg(us)", "time(us)", "time:p50(us)")  # the average where there is one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """The rows under one header, and the command that stands above it, if one does.

    Attributes:
      command: None where no command, or several different ones, stand above.
      names: of the columns.
      rows: line, text, and a token for each of the names, "" where there is none.
    """

    command: Command | None
    names: tuple[str, ...]
    rows: list[tuple[int, str, Sequence[str]]]


def shows_failure(text: str) -> bool:
    """Whether the tool reports a failure of its own."""
    return bool(_FAILED.search(text))


def check_succeeded(text: str, path: str) -> None:
    """Complain of the first failure that the tool reports.

    Raises:
      MeasurementError: with its line.
    """
    if failure := _FAILED.search(text):
        line = text.count("\n", 0, failure.start())
        said = " ".join(text.split("\n")[line].split())[:100]
        raise MeasurementError(
            at(path, line + 1),
            f"the test failed: {said}",
            "Run it again, or cut this run out of the log",
        )


def tidy_table(
    table: Table,
    path: str,
    given: Given,
    refused: list[SetAside],
) -> pl.DataFrame | None:
    """Turn a table into rows of the tidy one, one for each size; None without any.

    Rows that can't be used go to ``refused``.

    Raises:
      MeasurementError: where ranks or collective stay unknown, or contradict.
    """
    if not table.rows:
        return None
    good = _usable(table, path, refused)
    if good.is_empty():
        return None
    place, command = at(path, good["line"][0]), table.command or Command()
    if command.foreign:
        reason = f"its collective, {command.foreign}, is not among the table's"
        for line, text in good.select("line", "text").iter_rows():
            refused.append(aside(path, line, text, reason))
        return None
    ratio = Ratio.of(good)
    known = given.ranks or command.ranks
    kind = _settle_collective(place, command.collective, given.collective, ratio, known)
    count = settle_ranks(
        place, kind, given=given.ranks, stated=command.ranks, counted=None, ratio=ratio
    )
    hosts, per_node = split_nodes(place, count, command.nodes, given.nodes)
    name = pathlib.PurePath(path)
    time = _time_column(table.names)
    return good.select(
        "size_bytes",
        "dtype",
        "time_us",
        "algorithm",
        series=pl.lit(name.stem),
        nodes=pl.lit(hosts, dtype=pl.Float64),
        ranks=pl.lit(float(count)),
        ranks_per_node=pl.lit(per_node, dtype=pl.Float64),
        collective=pl.lit(kind),
        min_us=numbers("min"),
        p90_us=numbers("p90"),
        statistic=pl.lit("average" if time == "time:avg(us)" else time),
        source=pl.lit(f"nccom-test log {name.name}"),
    )


def _usable(table: Table, path: str, refused: list[SetAside]) -> pl.DataFrame:
    """The rows that can be used; whole columns at once, what looks odd in words."""
    columns = {
        "size": _column(table.names, "size(B)"),
        "dtype": _column(table.names, "type"),
        "time": _column(table.names, _time_column(table.names)),
        "algbw": _column(table.names, "algbw", prefix=True),
        "busbw": _column(table.names, "busbw", prefix=True),
        "min": _column(table.names, "time:min(us)"),
        "p90": _column(table.names, "time:p90(us)"),
        "algorithm": _column(table.names, "algorithm"),
    }
    frame = pl.DataFrame(
        {
            "line": [line for line, _, _ in table.rows],
            "text": [text for _, text, _ in table.rows],
            **{
                name: [""] * len(table.rows)
                if at_ is None
                else [tokens[at_] for _, _, tokens in table.rows]
                for name, at_ in columns.items()
            },
        }
    )
    frame = frame.with_columns(size_bytes=numbers("size"), time_us=numbers("time"))
    frame = frame.with_columns(fine=_fine().fill_null(False)).with_row_index()
    bad = []
    for row in frame.filter(~pl.col("fine")).iter_rows(named=True):
        if reason := check_row(row):
            refused.append(aside(path, row["line"], row["text"], reason))
            bad.append(row["index"])
    return frame.filter(~pl.col("index").is_in(bad))


@functools.cache
def _fine() -> pl.Expr:
    """Rows that ``check_row`` would surely pass."""
    size, printed = pl.col("size_bytes"), numbers("algbw")
    expected = size / pl.col("time_us") / 1e3
    return (
        (size > 0)
        & (size == size.round())
        & pl.col("dtype").is_in(list(DTYPE_BYTES))
        & (pl.col("time_us") > 0)
        & (numbers("busbw").is_not_null() | (pl.col("busbw") == ""))
        & (printed >= 0.5 * expected - half_units("algbw"))
        & (printed <= 2.0 * expected + half_units("algbw"))
    )


def check_row(row: dict[str, str]) -> str | None:
    """Say why a row can't be used, or None if it can.

    Args:
      row: size, dtype, time, algbw, busbw as printed; "" for a column that is missing.
    """
    size = printed_number(row["size"])
    if size is None or size != int(size):
        return f"size {row['size']!r} is not a whole number"
    if size == 0:
        return "size 0, nothing moved"
    if row["dtype"] not in DTYPE_BYTES:
        return f"type {row['dtype']!r} is unknown"
    time = printed_number(row["time"])
    if not time:
        return f"time {row['time']!r} is not a positive number"
    for name in ("algbw", "busbw"):
        if row[name] and printed_number(row[name]) is None:
            return f"{name} {row[name]!r} is not a number"
    if not row["algbw"]:
        return None
    # Only a coarse check: GiB/s or GB/s, and of the mean while the time is a median.
    printed, expected = printed_number(row["algbw"]) or 0.0, size / time / 1e3
    slack = half_unit(row["algbw"]) + expected * 2.0 * half_unit(row["time"]) / time
    if not 0.5 * expected - slack <= printed <= 2.0 * expected + slack:
        return f"algbw {row['algbw']} is far from size / time = {expected:.2f} GB/s"
    return None


def _column(names: Sequence[str], name: str, prefix: bool = False) -> int | None:
    """Where a column stands: by its name, or by what stands before its unit."""
    found = (
        index
        for index, own in enumerate(names)
        if own == name or (prefix and own.startswith(f"{name}("))
    )
    return next(found, None)


def _time_column(names: Sequence[str]) -> str:
    known = [name for name in _TIMES if name in names]
    return (known + [name for name in names if name.startswith("time")] + [""])[0]


def _settle_collective(
    place: str,
    named: str | None,
    given: str | None,
    ratio: Ratio,
    ranks: int | None,
) -> str:
    """The canonical collective: of the command line, the argument or the bandwidths."""
    kind = check_given(place, named, given)
    fitting = [name for name in _OFFERED if ratio.allows(name, ranks)]
    if kind is None and len(fitting) == 1:
        kind = fitting[0]
    if kind is None:
        raise MeasurementError(
            place,
            "nccom-test doesn't print which collective ran; "
            f"the bandwidths fit {' or '.join(fitting) or 'none'}",
            "Give collective=NAME (--collective NAME)",
        )
    if not ratio.allows(kind, None):
        raise MeasurementError(
            place,
            f"busbw / algbw is {ratio.low:.3f} to {ratio.high:.3f}, impossible for "
            f"{kind}",
            "Correct collective, or give the log of one run",
        )
    return kind

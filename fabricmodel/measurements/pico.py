"""Reader for the CSV of PICO, the benchmark of MPI, NCCL and one's own algorithms.

A summary has one row a size: buffer_size (bytes of one rank's buffer, the full vector),
collective_type, algo_name, nodes or nnodes, tasks_per_node (or ranks), datatype, and
statistics of the slowest rank. A file of iterations has a column ``highest``, the
slowest rank's time of each, and ranks beside it; its size, collective and algorithm
stand in the file's name (``all_reduce_1048576_ring_ompi_int32.csv``, count before
algorithm), its ranks are its columns.

Times are nanoseconds unless the column's name ends in _us, _ms or _s. A shortest time
below 50 ns is taken for another unit, and refused rather than guessed.
"""

from __future__ import annotations

import csv
import io
import pathlib
import re
from collections.abc import Sequence

import numpy as np
import polars as pl

from fabricmodel.errors import MeasurementError, at
from fabricmodel.measurements.evidence import NOTHING, Given, check_given, split_nodes
from fabricmodel.measurements.logtext import aside, numbers
from fabricmodel.measurements.table import (
    Measurements,
    SetAside,
    no_usable_row,
    whole_table,
)
from fabricmodel.measurements.vocabulary import DTYPE_BYTES, find_collective

NAME = "PICO CSV"
_SIZES = ("buffer_size", "buffer_size_bytes", "size_bytes", "message_size")
_KINDS = ("collective_type", "collective")
_ALGORITHMS = ("algo_name", "algorithm_name", "algorithm", "algo")
_NODES = ("nnodes", "nodes", "n_nodes")
_LOCAL = ("tasks_per_node", "tpn", "ranks_per_node")
_RANKS = ("ranks", "n_ranks", "comm_sz", "num_ranks")
_TYPES = ("datatype", "dtype", "data_type")
_UNITS_US = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}
_SHORTEST_US = 0.05
_NAME = re.compile(
    rf"(?:(?P<kind>[a-z_]*?)_)?(?P<count>[0-9]{{1,15}})_(?P<algo>[\w-]+?)"
    rf"_(?P<dtype>{'|'.join(sorted(DTYPE_BYTES, key=len, reverse=True))})$",
    re.IGNORECASE,
)
_WARM_UP = 0.2  # PICO's own summaries drop the first fifth of the iterations


def matches(text: str) -> bool:
    """Whether the first line is the header of a summary or of a file of iterations.

    >>> matches("buffer_size,collective_type,algo_name,median")
    True
    >>> matches("highest,rank0,rank1")
    True
    """
    names = _header(text)
    if names[:1] == ["highest"]:
        return True
    return bool(set(names) & set(_SIZES[:2])) and bool(
        set(names) & {*_KINDS, *_ALGORITHMS}
    )


def read(
    text: str,
    path: str,
    given: Given = NOTHING,
) -> Measurements:
    """Read a summary, or a file of iterations as one row.

    Args:
      text: the CSV.
      path: its name; that of a file of iterations says what it measured.
      given: ranks, nodes and collective, where no column says them.

    Raises:
      MeasurementError: for a row of another length, columns that are missing, a unit
        that can't be right, ranks that stay unknown, or no usable row.

    >>> head = "buffer_size,collective_type,algo_name,nnodes,tasks_per_node,median"
    >>> read(head + "\\n1024,ALLREDUCE,ring_ompi,4,4,35200", "x.csv")
    Measurements(1 row; series x; all_reduce; 16 ranks; 1.02 kB; nothing set aside)
    """
    if _header(text)[:1] == ["highest"]:
        return _iterations(text, path, given)
    return _summary(text, path, given)


def _header(text: str) -> list[str]:
    first = text.lstrip()[:4096].split("\n", 1)[0]
    return [name.strip().strip('"').lower() for name in first.split(",")]


def _rows(text: str, path: str) -> tuple[list[tuple[int, str, list[str]]], list[str]]:
    """Rows with their line, of the header's length; the header itself."""
    reader = csv.reader(io.StringIO(text))
    header: list[str] = []
    rows = []
    try:
        for row in reader:
            if not any(field.strip() for field in row):
                continue
            if not header:
                header = [name.strip().lower() for name in row]
                continue
            rows.append((reader.line_num, ",".join(row), [x.strip() for x in row]))
    except csv.Error as error:
        raise MeasurementError(
            at(path, reader.line_num), f"broken CSV ({error})", "Repair that line"
        ) from error
    if len(set(header)) < len(header):
        raise MeasurementError(at(path, 1), "a column comes twice", "Keep one of them")
    return rows, header


def _summary(
    text: str,
    path: str,
    given: Given,
) -> Measurements:
    rows, header = _rows(text, path)
    refused: list[SetAside] = []
    whole = []
    for line, shown, row in rows:
        if len(row) == len(header):
            whole.append((line, shown, *row))
        else:
            reason = f"{len(row)} fields under {len(header)} columns"
            refused.append(aside(path, line, shown, reason))
    if not whole:
        raise no_usable_row(path, refused)
    names = ["line", "text", *(f"_{name}" for name in header)]
    frame = pl.DataFrame(dict(zip(names, zip(*whole, strict=True), strict=True)))

    def column(options: Sequence[str]) -> pl.Expr:
        found = next((name for name in options if name in header), None)
        return pl.lit("") if found is None else pl.col(f"_{found}")

    time, scale = _time_column(header, path)
    frame = frame.select(
        "line",
        "text",
        size=column(_SIZES),
        kind=column(_KINDS),
        algorithm=column(_ALGORITHMS),
        nodes=column(_NODES),
        local=column(_LOCAL),
        ranks=column(_RANKS),
        dtype=column(_TYPES),
        time=pl.col(f"_{time}"),
        low=column(_named(header, "min")),
        p90=column(_named(header, "percentile_90", "p90")),
    )
    frame = frame.with_columns(
        size_bytes=numbers("size"),
        nodes=pl.coalesce(numbers("nodes"), pl.lit(given.nodes, dtype=pl.Float64)),
        ranks_per_node=numbers("local"),
        ranks=numbers("ranks"),
        time_us=numbers("time") * scale,
        min_us=numbers("low") * scale,
        p90_us=numbers("p90") * scale,
    )
    product = pl.col("nodes") * pl.col("ranks_per_node")
    known = pl.coalesce(pl.col("ranks"), product, pl.lit(given.ranks, dtype=pl.Float64))
    kinds = {word: _kind(word) for word in frame["kind"].unique()}
    frame = frame.with_columns(
        ranks=known,
        torn=(pl.col("ranks") != product).fill_null(False),
        collective=pl.col("kind").replace_strict(kinds, return_dtype=pl.String),
    )
    named = frame["collective"].drop_nulls().unique().to_list()
    if given.collective is not None:
        for name in named or [None]:
            check_given(at(path), name, given.collective)
        frame = frame.with_columns(
            collective=pl.col("collective").fill_null(
                check_given(at(path), None, given.collective)
            )
        )
    claims = {
        name: pl.lit(value, dtype=pl.Float64)
        for name, value in (("ranks", given.ranks), ("nodes", given.nodes))
    }
    reasons = {
        "its collective is not among the table's": pl.col("collective").is_null(),
        "size is not a positive number": _no_more_than_0("size_bytes"),
        "time is not a positive number": _no_more_than_0("time_us"),
        "the time is not between the shortest and the 90th percentile": (
            (pl.col("time_us") < pl.col("min_us"))
            | (
                pl.lit(time.startswith("median"))
                & (pl.col("time_us") > pl.col("p90_us"))
            )
        ),
        "neither columns nor caller say how many ranks: give ranks=N (--ranks N)": (
            _no_more_than_0("ranks")
        ),
        "its ranks are not its nodes times its tasks per node": pl.col("torn"),
        f"the argument ranks says {given.ranks}": pl.col("ranks") != claims["ranks"],
        f"the argument nodes says {given.nodes}": pl.col("nodes") != claims["nodes"],
    }
    said = pl.coalesce(
        pl.when(where.fill_null(False)).then(pl.lit(reason))
        for reason, where in reasons.items()
    )
    frame = frame.with_columns(reason=said)
    for line, shown, reason in (
        frame.filter(pl.col("reason").is_not_null())
        .select("line", "text", "reason")
        .iter_rows()
    ):
        refused.append(aside(path, line, shown, reason))
    good = frame.filter(pl.col("reason").is_null())
    if len(good):
        _check_unit(float(np.min(good["time_us"].to_numpy())), time, path)
    file = pathlib.PurePath(path)
    good = good.select(
        "nodes",
        "ranks",
        "ranks_per_node",
        "collective",
        "algorithm",
        "size_bytes",
        "dtype",
        "time_us",
        "min_us",
        "p90_us",
        series=pl.lit(file.stem),
        statistic=pl.lit(f"{time} of the slowest rank"),
        source=pl.lit(f"PICO summary {file.name}"),
    )
    return whole_table(path, [good], refused)


def _iterations(
    text: str,
    path: str,
    given: Given,
) -> Measurements:
    """One row: the median of the slowest rank's times, the first fifth dropped."""
    file = pathlib.PurePath(path)
    rows, header = _rows(text, path)
    named = _NAME.match(file.stem)
    if named is None:
        raise MeasurementError(
            at(path),
            "a file of iterations whose name doesn't say what was measured",
            "Name it COLLECTIVE_COUNT_ALGORITHM_DTYPE.csv, or give PICO's summary",
        )
    kind = check_given(at(path), _kind(named["kind"] or ""), given.collective)
    columns = sum(name.startswith("rank") for name in header)
    count = given.ranks or columns
    if (
        kind is None
        or count < 1
        or (columns and given.ranks and columns != given.ranks)
    ):
        what = "which collective" if kind is None else "how many ranks"
        raise MeasurementError(
            at(path), f"not clear {what} ran", "Give collective= and ranks= of this run"
        )
    refused: list[SetAside] = []
    times = []
    for line, shown, row in rows:
        value = pl.DataFrame({"t": [row[0]]}).select(numbers("t")).item()
        if len(row) != len(header) or not value:
            refused.append(aside(path, line, shown, "not a whole row of times"))
        else:
            times.append(value * _UNITS_US["ns"])
    if not times:
        raise no_usable_row(path, refused)
    kept = np.array(times[int(len(times) * _WARM_UP) :])
    _check_unit(float(kept.min()), "highest", path)
    hosts, per_node = split_nodes(at(path), count, None, given.nodes)
    size = float(named["count"]) * DTYPE_BYTES[named["dtype"].lower()]
    record = {
        "series": file.stem,
        "nodes": hosts,
        "ranks": float(count),
        "ranks_per_node": per_node,
        "collective": kind,
        "algorithm": named["algo"],
        "size_bytes": size,
        "dtype": named["dtype"],
        "time_us": float(np.median(kept)),
        "min_us": float(kept.min()),
        "p90_us": float(np.quantile(kept, 0.9)),
        "statistic": "median of the slowest rank, first fifth dropped",
        "source": f"PICO iterations {file.name}",
    }
    return Measurements.from_records([record], refused)


def _time_column(header: Sequence[str], path: str) -> tuple[str, float]:
    """The column to use, the median before the mean, and its unit in microseconds."""
    for start in ("median", "mean", "avg"):
        for name in _named(header, start):
            return name, _UNITS_US.get(name.rpartition("_")[2], _UNITS_US["ns"])
    raise MeasurementError(
        at(path, 1), "no column median or mean", "Give PICO's summary with statistics"
    )


def _named(header: Sequence[str], *starts: str) -> tuple[str, ...]:
    """Columns with one of these names, with or without a unit behind."""
    wanted = {
        f"{s}{unit}" for s in starts for unit in ("", *(f"_{u}" for u in _UNITS_US))
    }
    return tuple(name for name in header if name in wanted)


def _kind(word: str) -> str | None:
    return find_collective(word) if word else None


def _no_more_than_0(column: str) -> pl.Expr:
    """Where a column holds no number, or none above 0."""
    return ~(pl.col(column) > 0).fill_null(False)


def _check_unit(shortest_us: float, column: str, path: str) -> None:
    if shortest_us < _SHORTEST_US:
        raise MeasurementError(
            at(path),
            f"{column} read as its unit gives {shortest_us * 1e3:.3g} ns, "
            "too short for a collective",
            "Name the column with its unit, such as median_us",
        )

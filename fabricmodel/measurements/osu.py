"""Reader for the text of the OSU micro-benchmarks (OMB 5 to 7), plain and ``-f``.

OMB counts the bytes of one call: what each rank gives to all_gather, gather, scatter
and, for each partner, all_to_all; so there the full vector is size times ranks. For
all_reduce, reduce, reduce_scatter and broadcast it is the vector. ``osu_latency``
is a send and receive between two ranks, one way.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections import Counter
from collections.abc import Iterator

import polars as pl

from fabricmodel.errors import at
from fabricmodel.measurements.evidence import (
    NOTHING,
    Given,
    Ratio,
    check_given,
    settle_ranks,
    split_nodes,
)
from fabricmodel.measurements.logtext import NUMBER, aside, clean_lines, numbers
from fabricmodel.measurements.table import Measurements, SetAside, whole_table
from fabricmodel.measurements.vocabulary import find_collective

NAME = "OSU micro-benchmarks text"
_TITLE = re.compile(
    r"#\s*OSU\s+(?:(?:MPI\S*|\S*CCL|UPC\S*|OpenSHMEM)\s+)?(?P<test>[\w -]*?)\s*"
    r"(?P<kind>Latency|Bandwidth|Bi-Directional Bandwidth|Bandwidth / Message Rate)"
    r"\s+Test(?:\s+v(?P<version>[\w.]+))?",
    re.IGNORECASE,
)
_HEADER = re.compile(r"#\s*((?:Message\s)?Size\b.*)$")
_TYPE = re.compile(r"#\s*Datatype:\s*MPI_(\w+)")
_COMMAND = re.compile(r"\bosu_\w+")
_RANKS = re.compile(r"\s(?:-np?|--np?|--ntasks)(?:\s+|=)([1-9][0-9]{0,8})\b")
_NODES = re.compile(r"\s(?:-N|--nodes)(?:\s+|=)([1-9][0-9]{0,8})\b")
_ROW = re.compile(rf"[0-9]+(?:\s+(?:{NUMBER}|Pass|Fail|-|N/A))+", re.ASCII)
_MEANT = re.compile(r"[0-9]+\s+\S*[0-9]", re.ASCII)
_AVERAGES = ("avg latency(us)", "latency (us)", "latency(us)", "pure comm.(us)")
_BLOCKS = ("all_gather", "all_to_all", "gather", "scatter")  # size is of one block


@dataclasses.dataclass(kw_only=True)
class Table:
    """One table: its title, columns and rows; filled while lines go by."""

    test: str | None = None
    version: str = ""
    latency: bool = True
    header: list[str] | None = None
    dtype: str = ""
    ranks: set[int] = dataclasses.field(default_factory=set)
    nodes: set[int] = dataclasses.field(default_factory=set)
    rows: list[tuple[int, str, list[str]]] = dataclasses.field(default_factory=list)


def matches(text: str) -> bool:
    """Whether the text holds a title of the OSU micro-benchmarks.

    >>> matches("# OSU MPI Allreduce Latency Test v7.4")
    True
    """
    return bool(_TITLE.search(text))


def read(
    text: str,
    path: str,
    given: Given = NOTHING,
) -> Measurements:
    """Read every latency table of a log; one row per size.

    Args:
      text: the log. Launcher prefixes and lines of other programs do no harm.
      path: its name, for messages and for the columns ``series`` and ``source``.
      given: ranks, which OMB doesn't print, though a launcher's command line may;
        nodes; the collective where the title is missing.

    Raises:
      MeasurementError: where ranks or collective stay unknown or contradict the
        arguments, or no row is usable.

    >>> log = "# OSU MPI Allgather Latency Test v7.4\\n# Size   Avg Latency(us)\\n"
    >>> read(log + "1024   35.20", "run.log", Given(ranks=16))
    Measurements(1 row; series run; all_gather; 16 ranks; 16.4 kB; nothing set aside)
    """
    refused: list[SetAside] = []
    frames = [
        _tidy(table, path, given, refused) for table in _tables(text, path, refused)
    ]
    return whole_table(path, frames, refused)


def _tables(text: str, path: str, refused: list[SetAside]) -> Iterator[Table]:
    """Cut a log at its titles; what should have been a row goes to ``refused``."""
    table = Table()
    for number, line in clean_lines(text):
        if not line:
            continue
        if table.header and line[0].isdigit():
            tokens = line.split()
            if len(tokens) == len(table.header) and _ROW.fullmatch(line):
                table.rows.append((number, line, tokens))
                continue
        title = _TITLE.search(line) if "OSU" in line else None
        command = "osu_" in line and _COMMAND.search(line)
        if (title or command) and (table.test or table.rows):
            yield table
            table = Table()
        if title:
            table.test = title["test"].strip() or "send_recv"
            table.latency = title["kind"].lower() == "latency"
            table.version = title["version"] or ""
            continue
        if command:
            table.ranks.update(map(int, _RANKS.findall(line)))
            table.nodes.update(map(int, _NODES.findall(line)))
        elif "#" in line and (header := _HEADER.search(line)):
            if table.rows:  # a second table under one title
                yield table
                table = dataclasses.replace(table, rows=[])
            table.header = re.split(r"\s{2,}|\t+", header[1].strip())
        elif "#" in line and (dtype := _TYPE.search(line)):
            table.dtype = dtype[1].lower()
        elif line.split(None, 1)[0].isdigit() and (
            table.header or (table.test and _MEANT.match(line))
        ):
            width = f"the {len(table.header)}" if table.header else "the"
            reason = f"not {width} columns of a whole row"
            refused.append(aside(path, number, line, reason))
        elif _hides_row(line, table):
            refused.append(aside(path, number, line, "a row fused with other text"))
    yield table


def _hides_row(line: str, table: Table) -> bool:
    """Whether other text stands around what may be a row: two numbers side by side."""
    if not table.header or line[0] == "#" or "CCL INFO" in line:
        return False
    tail = line.split()[-len(table.header) :]
    return len(tail) == len(table.header) and all(
        re.fullmatch(NUMBER, token) for token in tail
    )


def _tidy(
    table: Table,
    path: str,
    given: Given,
    refused: list[SetAside],
) -> pl.DataFrame | None:
    if not table.rows or table.header is None:
        return None
    lines = [(line, text) for line, text, _ in table.rows]
    name = (table.test or "").lower().replace("non-blocking", "").strip()
    kind = find_collective(name.replace(" ", "")) if name else None
    column = _time_column(table.header)
    reason = None
    if not table.latency or column is None:
        reason = "not a latency: bandwidth tests keep many messages in flight"
    elif name and kind is None:
        reason = f"its collective, {name}, is not among the table's"
    if reason:
        refused += [aside(path, line, text, reason) for line, text in lines]
        return None
    good = _usable(table, str(column), path, refused)
    if good.is_empty():
        return None
    place = at(path, good["line"][0])
    kind = check_given(place, kind, given.collective)
    if kind is None:
        reason = "no title says which collective this is"
        refused += [aside(path, line, text, reason) for line, text in lines]
        return None
    stated = 2 if kind == "send_recv" else _only(table.ranks)
    count = settle_ranks(
        place,
        kind,
        given=given.ranks,
        stated=stated,
        counted=None,
        ratio=Ratio(low=0.0, high=float("inf")),
    )
    hosts, per_node = split_nodes(place, count, _only(table.nodes), given.nodes)
    size = pl.col("bytes") * (count if kind in _BLOCKS else 1)
    file = pathlib.PurePath(path)
    return good.select(
        "time_us",
        "min_us",
        "p90_us",
        size_bytes=size,
        series=pl.lit(file.stem),
        nodes=pl.lit(hosts, dtype=pl.Float64),
        ranks=pl.lit(float(count)),
        ranks_per_node=pl.lit(per_node, dtype=pl.Float64),
        collective=pl.lit(kind),
        dtype=pl.lit(table.dtype),
        statistic=pl.lit("average over ranks" if kind != "send_recv" else "one way"),
        source=pl.lit(f"OSU micro-benchmarks log {file.name}"),
        notes=pl.lit(f"OMB {table.version}" if table.version else ""),
    )


def _usable(
    table: Table, time: str, path: str, refused: list[SetAside]
) -> pl.DataFrame:
    """The rows that can be used; the others are refused with their reason.

    OMB prints two decimals always, so a number with fewer was cut off.
    """
    header = [name.lower() for name in table.header or []]
    tokens = list(zip(*(row for _, _, row in table.rows), strict=True))

    def column(*starts: str) -> list[str] | None:
        for index, name in enumerate(header):
            if name.startswith(starts):
                return list(tokens[index])
        return None

    blank = [""] * len(table.rows)
    frame = pl.DataFrame(
        {
            "line": [line for line, _, _ in table.rows],
            "text": [text for _, text, _ in table.rows],
            "bytes": list(tokens[0]),
            "time": list(tokens[header.index(time)]),
            "min": column("min lat") or blank,
            "max": column("max lat") or blank,
            "p90": column("p90") or blank,
            "check": column("validation") or blank,
        }
    )
    frame = frame.with_columns(
        bytes=numbers("bytes"),
        time_us=numbers("time"),
        min_us=numbers("min"),
        max_us=numbers("max"),
        p90_us=numbers("p90"),
        digits=pl.col("time").str.extract(r"\.([0-9]*)$").str.len_bytes().fill_null(0),
    )
    usual = Counter(frame["digits"].to_list()).most_common(1)[0][0]
    value = pl.col("time_us")
    reasons = {
        "validation failed": pl.col("check") == "Fail",
        "size 0, nothing moved": pl.col("bytes") == 0,
        "the size is not a whole number": ~(
            (pl.col("bytes") == pl.col("bytes").round()) & (pl.col("bytes") < 2**63)
        ).fill_null(False),
        "the time is not a positive number": value.is_null() | (value <= 0),
        f"not the {usual} decimals of the other rows": pl.col("digits") != usual,
        "the average is not between shortest and longest": (
            (value < pl.col("min_us")) | (value > pl.col("max_us"))
        ),
    }
    said = pl.coalesce(
        pl.when(where.fill_null(False)).then(pl.lit(reason))
        for reason, where in reasons.items()
    )
    frame = frame.with_columns(reason=said)
    for line, text, reason in (
        frame.filter(pl.col("reason").is_not_null())
        .select("line", "text", "reason")
        .iter_rows()
    ):
        refused.append(aside(path, line, text, reason))
    return frame.filter(pl.col("reason").is_null())


def _time_column(header: list[str]) -> str | None:
    """The column of the average time, in lower case; None without one."""
    names = [name.lower() for name in header]
    return next((name for name in _AVERAGES if name in names), None)


def _only(values: set[int]) -> int | None:
    return next(iter(values)) if len(values) == 1 else None

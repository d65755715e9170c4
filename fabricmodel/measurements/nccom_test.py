"""Reader for AWS nccom-test, its text of all versions and its JSON report.

The printed bandwidths are GiB/s in some versions and GB/s in others, so no time comes
from them; their ratio is the bus factor in either unit and tells how many ranks ran.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

from fabricmodel.errors import MeasurementError, at
from fabricmodel.measurements.logtext import (
    Ratio,
    aside,
    half_unit,
    printed_number,
    settle_ranks,
    split_nodes,
)
from fabricmodel.measurements.nccom_command import Command
from fabricmodel.measurements.nccom_tables import (
    FAILED_ROW,
    HEADER,
    JSON_KEY,
    Row,
    Table,
    parse_json,
    parse_text,
)
from fabricmodel.measurements.table import Measurements, SetAside, no_usable_row
from fabricmodel.measurements.vocabulary import DTYPE_BYTES, canonical_collective

NAME = "nccom-test text or JSON report"
_OFFERED = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv")


def matches(text: str) -> bool:
    """Whether the text holds a table, a report or a command of nccom-test.

    >>> matches("$ nccom-test -r 32 allr")
    True
    """
    return bool(
        HEADER.search(text)
        or JSON_KEY in text
        or (text.lstrip().startswith("{") and '"results"' in text)
        or "nccom-test" in text
        or FAILED_ROW.search(text)
    )


def read(
    text: str,
    path: str,
    ranks: int | None = None,
    nodes: int | None = None,
    collective: str | None = None,
) -> Measurements:
    """Read every table of a log, or a JSON report; one row per size.

    Args:
      text: the log or the report.
      path: its name, for messages and for the columns ``series`` and ``source``.
      ranks: number of ranks, where neither a command line nor the bandwidths show it.
      nodes: number of nodes, where no command line shows it.
      collective: which collective ran; the output alone shows it for all_reduce only.

    Raises:
      MeasurementError: for a failed test, a truncated report, a collective or a number
        of ranks that stays unknown or contradicts the arguments, or no usable row.

    >>> header = "size(B) count(elems) type time:avg(us) algbw(GB/s) busbw(GB/s)"
    >>> read(header + "\\n33554432 8388608 fp32 2754.15 12.18 22.84", "run.log")
    Measurements(1 row; series run; all_reduce; 16 ranks; 33.6 MB; nothing set aside)
    """
    refused: list[SetAside] = []
    is_json = text.lstrip().startswith(("{", "["))
    parse = parse_json if is_json else parse_text
    records: list[dict[str, Any]] = []
    for table in parse(text, path, refused):
        records += _records(table, path, ranks, nodes, collective, refused)
    refused.sort(key=lambda row: row.line)
    if not records:
        raise no_usable_row(path, refused)
    return Measurements.from_records(records, refused)


def _check_row(row: Row) -> str | None:
    """Say why a row can't be used, or None if it can."""
    tokens = row.tokens
    size = printed_number(tokens.get("size(B)", ""))
    if size is None or size != int(size):
        return f"size {tokens.get('size(B)')!r} is not a whole number"
    if size == 0:
        return "size 0, nothing moved"
    if tokens.get("type", "") not in DTYPE_BYTES:
        return f"type {tokens.get('type')!r} is unknown"
    shown = tokens.get(row.time_column, "")
    time = printed_number(shown)
    if not time:
        return f"time {shown!r} is not a positive number"
    for name in ("algbw", "busbw"):
        if (token := row.bandwidth(name)) and printed_number(token) is None:
            return f"{name} {token!r} is not a number"
    if not (algbw := row.bandwidth("algbw")):
        return None
    # Only a coarse check: GiB/s or GB/s, and of the mean while the time is a median.
    printed, expected = printed_number(algbw) or 0.0, size / time / 1e3
    slack = half_unit(algbw) + expected * 2.0 * half_unit(shown) / time
    if not 0.5 * expected - slack <= printed <= 2.0 * expected + slack:
        return f"algbw {algbw} is far from size / time = {expected:.2f} GB/s"
    return None


def _records(
    table: Table,
    path: str,
    ranks: int | None,
    nodes: int | None,
    collective: str | None,
    refused: list[SetAside],
) -> Iterator[dict[str, Any]]:
    good: list[Row] = []
    for row in table.rows:
        if (reason := _check_row(row)) is None:
            good.append(row)
        else:
            refused.append(aside(path, row.line, row.text, reason))
    if not good:
        return
    place, command = at(path, good[0].line), table.command or Command()
    if command.foreign:
        for row in good:
            reason = f"its collective, {command.foreign}, is not among the table's"
            refused.append(aside(path, row.line, row.text, reason))
        return
    ratio = Ratio.of((row.bandwidth("algbw"), row.bandwidth("busbw")) for row in good)
    known = ranks or command.ranks
    kind = _settle_collective(place, command.collective, collective, ratio, known)
    count = settle_ranks(
        place, kind, given=ranks, stated=command.ranks, counted=None, ratio=ratio
    )
    hosts, per_node = split_nodes(place, count, command.nodes, nodes)
    for row in good:
        tokens, column = row.tokens, row.time_column
        yield {
            "series": pathlib.PurePath(path).stem,
            "nodes": hosts,
            "ranks": float(count),
            "ranks_per_node": per_node,
            "collective": kind,
            "algorithm": tokens.get("algorithm", ""),
            "size_bytes": printed_number(tokens["size(B)"]),
            "dtype": tokens["type"],
            "time_us": printed_number(tokens[column]),
            "min_us": printed_number(tokens.get("time:min(us)", "")),
            "p90_us": printed_number(tokens.get("time:p90(us)", "")),
            "statistic": "average" if column == "time:avg(us)" else column,
            "source": f"nccom-test log {pathlib.PurePath(path).name}",
        }


def _settle_collective(
    place: str,
    named: str | None,
    given: str | None,
    ratio: Ratio,
    ranks: int | None,
) -> str:
    """The canonical collective: of the command line, the argument or the bandwidths."""
    wanted = None if given is None else canonical_collective(given)
    if named and wanted and named != wanted:
        raise MeasurementError(
            place,
            f"the log is of {named}, the argument collective says {wanted}",
            "Leave collective out, or select() afterwards",
        )
    fitting = [name for name in _OFFERED if ratio.allows(name, ranks)]
    kind = wanted or named or (fitting[0] if len(fitting) == 1 else None)
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

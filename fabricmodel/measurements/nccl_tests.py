"""Reader for the text that nccl-tests and rccl-tests print, all versions since 2.0."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from fabricmodel.errors import MeasurementError, at
from fabricmodel.measurements.logtext import (
    Ratio,
    aside,
    clean_lines,
    settle_ranks,
    split_nodes,
)
from fabricmodel.measurements.nccl_rows import HEADER, Row, check_half, parse_row
from fabricmodel.measurements.nccl_runs import (
    SETUP,
    TITLE,
    Run,
    read_devices,
    split_runs,
)
from fabricmodel.measurements.table import Measurements, SetAside, no_usable_row
from fabricmodel.measurements.vocabulary import (
    COLLECTIVES,
    SHARDED,
    canonical_collective,
    find_collective,
)

T = TypeVar("T")
NAME = "nccl-tests or rccl-tests text"
_ROOTED = ("broadcast", "reduce", "gather", "scatter")
_REDUCING = ("all_reduce", "reduce_scatter", "reduce", "send_recv")  # print an op


def matches(text: str) -> bool:
    """Whether the text holds a table, a heading or a row of nccl-tests.

    >>> matches("# nThread 1 nGpus 1 minBytes 8")
    True
    """
    return any(
        HEADER.search(line)
        or SETUP.search(line)
        or TITLE.search(line)
        or isinstance(parse_row(0, line, None), Row)
        for _, line in clean_lines(text)
    )


def read(
    text: str,
    path: str,
    ranks: int | None = None,
    nodes: int | None = None,
    collective: str | None = None,
) -> Measurements:
    """Read every run in a log; two rows per line, out-of-place and in-place.

    Args:
      text: the log. Launcher prefixes and lines of other programs do no harm.
      path: its name, for messages and for the columns ``series`` and ``source``.
      ranks: number of ranks, where the log has neither device lines nor another sign.
      nodes: number of nodes; beats the number of host names in the device lines.
      collective: which collective ran, where the log doesn't name it.

    Raises:
      MeasurementError: where a run's ranks or collective stay unknown or contradict
        the arguments, or no row is usable.

    >>> row = "1048576 262144 float sum 485.3 2.16 4.05 5e-07 486.3 2.16 4.04 5e-07"
    >>> read(row, "run.log", ranks=16)
    Measurements(2 rows; series run; all_reduce; 16 ranks; 1.05 MB; nothing set aside)
    """
    refused: list[SetAside] = []
    runs = list(split_runs(text, path, refused))
    mentioned = {name for run in runs for name in run.binaries}
    records: list[dict[str, Any]] = []
    for run in runs:
        records += _records(run, path, ranks, nodes, collective, mentioned, refused)
    refused.sort(key=lambda row: row.line)
    if not records:
        raise no_usable_row(path, refused)
    return Measurements.from_records(records, refused)


def _records(
    run: Run,
    path: str,
    ranks: int | None,
    nodes: int | None,
    collective: str | None,
    mentioned: set[str],
    refused: list[SetAside],
) -> Iterator[dict[str, Any]]:
    good, wrong = [], False
    for row in run.rows:
        for half in row.halves:
            reason = check_half(row, half, run.header, run.failed)
            if reason is None:
                good.append((row, half))
            else:
                wrong |= reason.startswith("wrong")
                reason = f"{half.statistic}: {reason}"
                refused.append(aside(path, row.line, row.text, reason))
    if run.failed and run.footer and not wrong:
        reason = "a row above is wrong, and none shows it"
        refused.append(aside(path, *run.footer, reason))
    if not good:
        return
    place = at(path, good[0][0].line)
    stated, hosts, even, system = read_devices(run)
    if stated is None and len(run.joined) == 1:
        stated = min(run.joined)
    shards = _usual(row.shards for row, _ in good)
    ratio = Ratio.of((half.algbw, half.busbw) for _, half in good)
    known = int(shards) if shards > 1 else stated or ranks
    rows = [row for row, _ in good]
    # With a wrong number of ranks nothing fits; settle_ranks says what is wrong then.
    fitting = _fitting(run, rows, shards > 1, ratio, known)
    fitting = fitting or _fitting(run, rows, shards > 1, ratio, None)
    kind = _settle_collective(place, run, collective, fitting, mentioned)
    if kind is None:  # a benchmark of something else, such as hypercube_perf
        for row in {row.line: row for row, _ in good}.values():
            reason = "its collective is not among those of the table"
            refused.append(aside(path, row.line, row.text, reason))
        return
    counted = int(shards) if kind in SHARDED and shards > 1 else None
    size = settle_ranks(
        place, kind, given=ranks, stated=stated, counted=counted, ratio=ratio
    )
    count, per_node = split_nodes(place, size, hosts, nodes)
    for row, half in good:
        if row.shards not in (1.0, float(size)):
            reason = f"{half.statistic}: size and count disagree"
            refused.append(aside(path, row.line, row.text, reason))
            continue
        yield {
            "series": pathlib.PurePath(path).stem,
            "system": system,
            "nodes": count,
            "ranks": float(size),
            "ranks_per_node": per_node if even or nodes else None,
            "collective": kind,
            "size_bytes": row.size,
            "dtype": row.dtype,
            "time_us": float(half.time),
            "statistic": half.statistic,
            "source": f"nccl-tests log {pathlib.PurePath(path).name}",
            "notes": run.library,
        }


def _usual(values: Iterable[T]) -> T:
    """The most frequent value, so that one damaged row doesn't speak for all."""
    return collections.Counter(values).most_common(1)[0][0]


def _fitting(
    run: Run, rows: Sequence[Row], sharded: bool, ratio: Ratio, ranks: int | None
) -> list[str]:
    """Collectives that print such rows: by counts, operation, root and bandwidths."""
    header = run.header or []
    root = _usual(row.root for row in rows)
    rooted = root is not None and root >= 0
    unrooted = root == -1 or (bool(header) and "root" not in header)
    reducing = _usual(row.op for row in rows) not in (None, "none")
    plain = not reducing  # every version prints the operation of a reduction
    return [
        name
        for name in COLLECTIVES
        if (not sharded or name in SHARDED)
        and (sharded or name not in SHARDED or ranks == 1)
        and not (rooted and name not in _ROOTED)
        and not (unrooted and name in _ROOTED)
        and not (reducing and name not in _REDUCING)
        and not (plain and name in _REDUCING and name != "send_recv")
        and ratio.allows(name, ranks)
    ]


def _settle_collective(
    place: str,
    run: Run,
    given: str | None,
    fitting: list[str],
    mentioned: set[str],
) -> str | None:
    """The canonical collective of a run; None if the log names one that has none."""
    wanted = None if given is None else canonical_collective(given)
    spoken = run.binaries or (mentioned if len(mentioned) == 1 else set())
    names = {run.title} if run.title else spoken
    found = {find_collective(name) for name in names}
    if len(found) > 1:
        found &= set(fitting)
    named = found.pop() if len(found) == 1 else None
    if names and len(names) == 1 and named is None:
        return None
    if not run.title and named not in fitting:
        named = None  # a command above a run may be a build's or another's
    if named and wanted and named != wanted:
        raise MeasurementError(
            place,
            f"the log is of {named}, the argument collective says {wanted}",
            "Leave collective out, or select() afterwards",
        )
    kind = wanted or named
    if kind is None and len(fitting) == 1:
        return fitting[0]
    shown = " or ".join(fitting) or "no known collective"
    if kind is None:
        raise MeasurementError(
            place,
            f"the log doesn't name its collective; the rows fit {shown}",
            "Give collective=NAME (--collective NAME)",
        )
    if kind not in fitting:
        raise MeasurementError(
            place,
            f"these are not the rows of {kind}: they fit {shown}",
            "Correct collective or ranks, or give the log of one run",
        )
    return kind

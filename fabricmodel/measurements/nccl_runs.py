"""Runs of nccl-tests, as text or JSON print them: what ran, and where."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import polars as pl

from fabricmodel.errors import MeasurementError, at
from fabricmodel.measurements.evidence import (
    Given,
    Ratio,
    check_given,
    mentioned_collective,
    settle_ranks,
    split_nodes,
)
from fabricmodel.measurements.logtext import aside, printed_number
from fabricmodel.measurements.nccl_rows import UNCHECKED, Row, usable_halves
from fabricmodel.measurements.table import SetAside
from fabricmodel.measurements.vocabulary import (
    COLLECTIVES,
    SHARDED,
    find_collective,
)

_ROOTED = ("broadcast", "reduce", "gather", "scatter")
_REDUCING = ("all_reduce", "reduce_scatter", "reduce", "send_recv")  # print an op


@dataclasses.dataclass(kw_only=True)
class Run:
    """What a log says of one run of one benchmark; filled while lines go by.

    ``devices``: by global rank, the group, the host and the device's name. ``counts``:
    whether the last column counts wrong elements, None where no heading says so.
    """

    title: str | None = None
    binaries: set[str] = dataclasses.field(default_factory=set)
    devices: dict[int, tuple[int, str, str]] = dataclasses.field(default_factory=dict)
    joined: set[int] = dataclasses.field(default_factory=set)
    library: str = ""
    header: list[str] | None = None
    counts: bool | None = None
    rows: list[Row] = dataclasses.field(default_factory=list)
    begun: bool = False
    footer: tuple[int, str] | None = None
    failed: bool = False


def tidy_rows(
    run: Run,
    path: str,
    given: Given,
    mentioned: set[str],
    words: Callable[[], str],
    refused: list[SetAside],
) -> pl.DataFrame | None:
    """Turn a run into rows of the tidy table, two for each line; None without any.

    Args:
      run: what its part of the log says.
      path: the log's name.
      given: by the caller.
      mentioned: the benchmarks that the whole log calls.
      words: the log's text, for the case that nothing else names the collective.
      refused: gets the halves that can't be used.

    Raises:
      MeasurementError: where ranks or collective stay unknown, or contradict.
    """
    if not run.rows:
        return None
    halves = usable_halves(run.rows, run.counts, run.failed, run.footer, path, refused)
    if halves.is_empty():
        return None
    place = at(path, halves["line"][0])
    stated, hosts, even, system = read_devices(run)
    if stated is None and len(run.joined) == 1:
        stated = min(run.joined)
    shards = _usual(halves["shards"])
    ratio = Ratio.of(halves)
    known = int(shards) if shards > 1 else stated or given.ranks
    # With a wrong number of ranks nothing fits; settle_ranks says what is wrong then.
    fitting = _fitting(run, halves, shards > 1, ratio, known)
    fitting = fitting or _fitting(run, halves, shards > 1, ratio, None)
    kind, note = _settle_collective(
        place, run, given.collective, fitting, mentioned, path, words
    )
    if kind is None:  # a benchmark of something else, such as hypercube_perf
        reason = "its collective is not among those of the table"
        for line, text in halves.select("line", "text").unique("line").iter_rows():
            refused.append(aside(path, line, text, reason))
        return None
    counted = int(shards) if kind in SHARDED and shards > 1 else None
    ranks = settle_ranks(
        place, kind, given=given.ranks, stated=stated, counted=counted, ratio=ratio
    )
    nodes, per_node = split_nodes(place, ranks, hosts, given.nodes)
    agrees = pl.col("shards").is_in([1.0, float(ranks)])
    odd = halves.filter(~agrees)
    for line, text, statistic in odd.select("line", "text", "statistic").iter_rows():
        reason = f"{statistic}: size and count disagree"
        refused.append(aside(path, line, text, reason))
    name = pathlib.PurePath(path)
    return halves.filter(agrees).select(
        "size_bytes",
        "dtype",
        "time_us",
        "statistic",
        series=pl.lit(name.stem),
        system=pl.lit(system),
        nodes=pl.lit(nodes, dtype=pl.Float64),
        ranks=pl.lit(float(ranks)),
        ranks_per_node=pl.lit(
            per_node if even or given.nodes else None, dtype=pl.Float64
        ),
        collective=pl.lit(kind),
        source=pl.lit(f"nccl-tests log {name.name}"),
        notes=pl.lit("; ".join(part for part in (run.library, note) if part)),
    )


def read_devices(run: Run) -> tuple[int | None, int | None, bool, str]:
    """Ranks, nodes, whether nodes are alike, and the device, from the device lines.

    Ranks are global, so a gap means that lines are missing and the rest says nothing.
    A run split into groups is several small ones at once; each has its own ranks.
    """
    if not run.devices or max(run.devices) + 1 != len(run.devices):
        return None, None, False, ""
    groups = collections.Counter(group for group, _, _ in run.devices.values())
    first, size = min(groups.items())
    if set(groups.values()) != {size}:
        return None, None, False, ""
    members = [device for device in run.devices.values() if device[0] == first]
    hosts = collections.Counter(host for _, host, _ in members)
    names = {name.strip() for _, _, name in members}
    system = names.pop() if len(names) == 1 else ""
    return size, len(hosts), len(set(hosts.values())) == 1, system


def _usual(values: pl.Series):
    """The most frequent value, so that one damaged row doesn't speak for all."""
    return collections.Counter(values.to_list()).most_common(1)[0][0]


def _fitting(
    run: Run, halves: pl.DataFrame, sharded: bool, ratio: Ratio, ranks: int | None
) -> list[str]:
    """Collectives that print such rows: by counts, operation, root and bandwidths."""
    root = _usual(halves["root"])
    rooted = root is not None and not root.startswith("-")
    unrooted = root == "-1" or (run.header is not None and "root" not in run.header)
    reducing = _usual(halves["op"]) not in (None, "none")
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


def _narrowed(run: Run, fitting: Sequence[str]) -> Sequence[str]:
    """Tell all_to_all from its likes, where the in-place results can."""
    checked = _checks_in_place(run)
    if checked is None or "all_to_all" not in fitting:
        return fitting
    others = [name for name in fitting if name != "all_to_all"]
    return others if checked else ["all_to_all"]


def _checks_in_place(run: Run) -> bool | None:
    """Whether in-place results are checked as the others are; None if that stays open.

    alltoall_perf alone excuses its in-place results: since 2.12 it prints N/A there,
    before that a deviation of 1e+00 which the last line doesn't mind.
    """
    pairs = {(row.wrong_0, row.wrong_1) for row in run.rows if row.size != "0"}
    first = [printed_number(out) for out, _ in pairs]
    if run.failed or None in first or any(first):
        return None
    second = [printed_number(inside) for _, inside in pairs]
    if run.counts is not False and all(value is None for value in second):
        return False if all(inside == UNCHECKED for _, inside in pairs) else None
    if run.counts and 0.0 in second:
        return True
    deviating = all("e" in inside and value for (_, inside), value in zip(
        pairs, second, strict=True))  # fmt: skip
    return False if deviating and not run.counts else None


def _settle_collective(
    place: str,
    run: Run,
    given: str | None,
    fitting: Sequence[str],
    mentioned: set[str],
    path: str,
    words: Callable[[], str],
) -> tuple[str | None, str]:
    """The collective of a run and a remark; None if the log names one that has none."""
    spoken = run.binaries or (mentioned if len(mentioned) == 1 else set())
    names = {run.title} if run.title else spoken
    found = {find_collective(name) for name in names}
    if len(found) > 1:
        found &= set(fitting)
    named = found.pop() if len(found) == 1 else None
    if names and len(names) == 1 and named is None:
        return None, ""
    if not run.title and named not in fitting:
        named = None  # a command above a run may be a build's or another's
    kind, note = check_given(place, named, given), ""
    if kind is None:
        fitting = _narrowed(run, fitting)
    if kind is None and len(fitting) == 1:
        return fitting[0], ""
    if kind is None and fitting:
        kind, note = mentioned_collective(words, path, fitting)
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
    return kind, note

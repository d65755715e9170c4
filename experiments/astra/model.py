"""What an ASTRA-sim 2.0 analytical backend should answer, as counts x prices.

A backend runs one collective dimension by dimension, as ``hierarchical.stage_sizes``
composes it, with a named algorithm on each. A message costs ``hops x latency + bytes /
bandwidth``, and an endpoint delay precedes every send and ends every phase. Read in
the sources of astra-sim (518bd51) and astra-network-analytical (599a047).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from fabricmodel import Fabric, Level, collective_bound
from fabricmodel.algorithms.counts import Counts, Dim, total
from fabricmodel.algorithms.hierarchical import stage_sizes
from fabricmodel.algorithms.registry import algorithms

GB = 2.0**30  # of a bandwidth in its network files
LOCAL_GB = 1e9  # of the memory bandwidth in its system files
NS = 1e-9
COLLECTIVES = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")
HOPS = {"Ring": 1.0, "FullyConnected": 1.0, "Switch": 2.0}

# The registry's name for an algorithm of a system file, by collective.
NAMES = {
    "ring": dict.fromkeys(COLLECTIVES, "ring"),
    "halvingDoubling": {
        "all_reduce": "halving_doubling",
        "all_gather": "recursive_doubling",
        "reduce_scatter": "recursive_halving",
    },
    "direct": {
        "all_reduce": "two_shot",
        "all_gather": "direct",
        "reduce_scatter": "direct",
        "all_to_all": "direct",
    },
}


class NotModelled(Exception):
    """A row outside what is compared; the text says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """One row: a collective on a product of rings, switches and cliques.

    Attributes:
      kinds, sides, algorithms, latency_s, bandwidth_Bps: of each dimension, the first
        one innermost.
      collective: one of ``COLLECTIVES``.
      size_bytes: of the full vector.
      aware: whether the backend lets messages wait for one another.
      endpoint_s: before every send and after every phase.
      memory_Bps: of the local reduction.
      baseline: whether an all_reduce runs whole on every dimension in turn.
      splits: chunks that the collective is cut into.
    """

    kinds: tuple[str, ...]
    sides: tuple[int, ...]
    algorithms: tuple[str, ...]
    latency_s: tuple[float, ...]
    bandwidth_Bps: tuple[float, ...]
    collective: str
    size_bytes: float
    aware: bool
    endpoint_s: float
    memory_Bps: float
    baseline: bool
    splits: int

    @property
    def npus(self) -> int:
        """Ranks."""
        return math.prod(self.sides)


def question(row: Mapping[str, Any]) -> Question:
    """Read a row of the reference in the conventions of ASTRA-sim.

    Sizes are those of a trace node: for all_gather the shard of one rank. A size that
    leaves a rank less than a byte is raised to one.
    """
    sides = tuple(int(n) for n in str(row["dims"]).split("x"))
    depth, npus = len(sides), math.prod(sides)
    splits = int(row["splits"])
    size = float(row["size_bytes"])
    if row["collective"] == "all_gather":
        size *= npus
    else:
        size = max(size, float(npus * splits))
    return Question(
        kinds=tuple(str(row["topology"]).split("_")),
        sides=sides,
        algorithms=tuple(str(row["algorithm_per_dim"]).split("_")),
        latency_s=tuple(x * NS for x in _each(row["latency_ns"], depth)),
        bandwidth_Bps=tuple(x * GB for x in _each(row["bandwidth_GBps"], depth)),
        collective=str(row["collective"]),
        size_bytes=size,
        aware="congestion_aware" in str(row["backend"]),
        endpoint_s=float(row["endpoint_delay_ns"]) * NS,
        memory_Bps=float(row["local_mem_bw_GBps"]) * LOCAL_GB,
        baseline=row["collective_optimization"] == "baseline",
        splits=splits,
    )


def _each(value: Any, depth: int) -> list[float]:
    """One figure for all dimensions, or one for each: ``500.0/500.0/5000.0``."""
    parts = [float(x) for x in str(value).split("/")]
    return parts * depth if len(parts) == 1 else parts


def predict(asked: Question) -> tuple[float, float]:
    """Seconds of the finish, and the messages that depend on one another.

    Raises:
      NotModelled: for what is no ring, halving-doubling or switch collective.
    """
    if asked.splits != 1:
        raise NotModelled("several splits: chunks overlap in a scheduler of its own")
    if not len(asked.kinds) == len(asked.sides) == len(asked.algorithms):
        raise NotModelled("dimensions, kinds and algorithms differ in number")
    seconds = messages = 0.0
    for at, collective, size in _stages(asked):
        if asked.sides[at] == 1:
            continue
        counts = _counted(asked, at, collective, size)
        seconds += _priced(asked, at, counts) + asked.endpoint_s
        (level,) = counts.levels
        messages += float(level.rounds)
        if asked.aware and asked.kinds[at] == "Switch":
            messages += float(level.messages)  # they queue for the link to the switch
    return seconds, messages


def _stages(asked: Question) -> list[tuple[int, str, float]]:
    """What each dimension does: (dimension, collective, bytes of its full vector)."""
    depth, size = len(asked.sides), asked.size_bytes
    everywhere = range(depth)
    if asked.collective == "all_reduce" and asked.baseline:
        return [(at, "all_reduce", size) for at in everywhere]
    domains = [[Dim(kind="switch", members=float(n))] for n in asked.sides]
    sizes = [float(x) for x in stage_sizes(asked.collective, domains, size)]
    if asked.collective != "all_reduce":
        return [(at, asked.collective, sizes[at]) for at in everywhere]
    inner = [(at, sizes[at]) for at in everywhere[:-1]]
    return [
        *((at, "reduce_scatter", part) for at, part in inner),
        (depth - 1, "all_reduce", sizes[-1]),
        *((at, "all_gather", part) for at, part in reversed(inner)),
    ]


def _counted(asked: Question, at: int, collective: str, size: float) -> Counts:
    """Count one dimension; where nothing waits, each pair of ranks has its own link."""
    kind, name = asked.kinds[at], asked.algorithms[at]
    if name not in NAMES or collective not in NAMES[name]:
        raise NotModelled(f"{name} has no {collective}")
    if kind not in HOPS:
        raise NotModelled(f"topology {kind}")
    if kind == "Ring" and name == "direct" and asked.aware:
        raise NotModelled("direct on a ring: messages queue for links in an order")
    if kind == "Ring" and name == "halvingDoubling":
        raise NotModelled("halving-doubling on a ring")
    free = name == "direct" and (kind == "FullyConnected" or not asked.aware)
    dim = Dim(
        kind="clique" if free else "switch",
        members=float(asked.sides[at]),
        capacity=float(asked.sides[at]),
    )
    named = algorithms("flat", collective)[NAMES[name][collective]]
    return total(named.count([dim], size))


def _priced(asked: Question, at: int, counts: Counts) -> float:
    """Counts x prices of one dimension, in seconds.

    A message goes to the switch whole before it goes on, where messages wait: each
    round pays its bytes twice, and a round of n - 1 messages those of the last one.
    """
    (level,) = counts.levels
    kind, n = asked.kinds[at], asked.sides[at]
    hops = HOPS[kind]
    if kind == "Ring" and asked.algorithms[at] == "direct":
        hops = float(n // 2)  # the longest of the shorter ways round
    round_s = hops * asked.latency_s[at] + asked.endpoint_s
    byte_s = 1.0 / asked.bandwidth_Bps[at]
    if asked.aware and kind == "Switch":
        byte_s *= n / (n - 1.0) if asked.algorithms[at] == "direct" else 2.0
    return float(
        level.rounds * round_s
        + level.bytes * byte_s
        + counts.reduced_bytes * 3.0 / asked.memory_Bps
    )


def bound(asked: Question) -> float:
    """Seconds that no schedule over the links of the topology can beat.

    All links of all dimensions, in both directions, and one message's latency.
    """
    levels = []
    for at, n in enumerate(asked.sides):
        kind = {"Ring": "ring", "Switch": "switch"}.get(asked.kinds[at], "clique")
        levels.append(
            Level(
                name=f"dimension {at}",
                kind=kind,
                family="torus" if kind == "ring" else "flat",
                members=float(n),
                capacity=float(n),
                round_s=HOPS[asked.kinds[at]] * asked.latency_s[at],
                byte_s=1.0 / asked.bandwidth_Bps[at],
            )
        )
    fabric = Fabric(name="links", levels=tuple(levels))
    return float(collective_bound(fabric, asked.collective, asked.size_bytes))

"""Run collectives over plain sockets on a rig, as rows of a rig's table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from experiments.rigs.events import Prices, critical_path
from experiments.rigs.graph import Graph, Link, graph
from experiments.rigs.network import MTU_BYTES, Network, Wire, network, soon
from experiments.rigs.schedules import schedule
from experiments.rigs.steps import Program
from fabricmodel.units import KiB

RIG = "netns_tun_pyrelay"
SIZES = (1 * KiB, 16 * KiB, 64 * KiB, 256 * KiB)
SMALLEST = 8.0
WARM_UPS = 1

_COLUMN_NAMES = {
    "all_reduce": ("allreduce", "per_rank_buffer"),
    "all_gather": ("allgather", "total_output_per_rank"),
    "reduce_scatter": ("reducescatter", "total_input_per_rank"),
    "all_to_all": ("alltoall", "total_input_per_rank"),
    "send_recv": ("permute", "per_rank_message"),
    "ping_pong": ("pingpong", "message_round_trip_time"),
    "broadcast": ("broadcast", "per_rank_buffer"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run on one topology.

    Attributes:
      topology: its name.
      wires: what each link is set to.
      collectives: (collective, algorithm, size in bytes).
      notes: of its rows.
    """

    topology: str
    wires: Mapping[Link, Wire]
    collectives: tuple[tuple[str, str, float], ...]
    notes: str = ""

    @property
    def graph(self) -> Graph:
        """Its hosts and links."""
        return graph(self.topology)


def plan(
    topology: str, wire: Wire, odd: Wire | None = None, sizes: Sequence[float] = SIZES
) -> Plan:
    """Plan the collectives that suit a topology, every link alike but the odd ones."""
    wiring = graph(topology)
    names = list(_SUITED[wiring.kind])
    chosen = [(c, a, s) for c, a in names for s in sizes]
    chosen.append(("ping_pong", "neighbour", SMALLEST))
    notes = ""
    if wiring.odd and odd is not None:
        first = wiring.odd[0]
        who = f"{first[0]}-{first[1]}" if len(wiring.odd) == 1 else "between"
        notes = (
            f"links others delay {wire.delay_s * 1e6:g}us; "
            f"links others at {wire.rate_Bps:g} B/s; "
            f"link {who} delay {odd.delay_s * 1e6:g}us; "
            f"link {who} at {odd.rate_Bps:g} B/s;"
        )
        if wiring.kind == "ring":  # so that times alone can name the link
            pairs = [f"pair{a}-{b}" for a, b in wiring.edges]
            chosen += [("ping_pong", p, s) for p in pairs for s in (SMALLEST, 64 * KiB)]
    else:
        odd = None
    wires = {e: odd if odd and e in wiring.odd else wire for e in wiring.edges}
    return Plan(topology=topology, wires=wires, collectives=tuple(chosen), notes=notes)


_RING = (
    ("all_reduce", "ring"),
    ("all_gather", "ring"),
    ("reduce_scatter", "ring"),
    ("send_recv", "shift+1"),
)
_SUITED = {
    "ring": _RING,
    "torus": (
        ("all_reduce", "torus_dim_ordered"),
        ("all_reduce", "torus_two_way"),
        ("all_to_all", "flood"),
    ),
    "twolevel": (
        ("all_reduce", "torus_dim_ordered"),
        ("all_reduce", "recursive_doubling"),
        ("send_recv", "shift+1"),
    ),
    "star": (("all_reduce", "ring"), ("send_recv", "shift+1")),
    "line": (("all_reduce", "ring"), ("broadcast", "chain_seg16k")),
    "full": (("all_reduce", "ring"), ("all_to_all", "flood")),
}


def run(
    planned: Plan,
    repeats: int = 3,
    iterations: int = 2,
    step: Callable[[], None] = lambda: None,
) -> Iterator[dict[str, Any]]:
    """Build a topology, run its collectives, take it down; a row for each repeat.

    Args:
      planned: the topology and its collectives.
      repeats: of every collective, spread over the whole time.
      iterations: of each repeat, of which the median counts.
      step: called after each collective, to show progress.
    """
    wiring = planned.graph
    programs = {each: _whole(each, wiring) for each in planned.collectives}
    with network(wiring, planned.wires) as net:
        net.connect(_pairs(programs.values()))
        for repeat in range(repeats):
            for each, program in programs.items():
                times = _timed(net, program, planned, iterations)
                step()
                yield _row(planned, each, repeat, times)


def count(planned: Plan, repeats: int = 3) -> int:
    """Collectives that ``run`` goes through."""
    return len(planned.collectives) * repeats


def _whole(each: tuple[str, str, float], wiring: Graph) -> Program:
    collective, algorithm, size_bytes = each
    made = schedule(collective, algorithm, wiring.hosts)
    assert made is not None, each
    return made(wiring.sides, size_bytes)


def _pairs(programs: Any) -> set[Link]:
    """Ranks that exchange messages, in both orders."""
    found = set()
    for program in programs:
        for rank, steps in enumerate(program):
            for step in steps:
                found |= {(rank, to) for to, _ in step.sends}
    return found | {(b, a) for a, b in found}


def _timed(
    net: Network, program: Program, planned: Plan, iterations: int
) -> list[float]:
    """Seconds of each iteration: from the agreed start to the last rank's end."""
    dearest = max(planned.wires.values(), key=lambda wire: wire.delay_s)
    slowest = min(planned.wires.values(), key=lambda wire: wire.goodput_Bps)
    guess = Prices(
        overhead_s=5e-4, delay_s=dearest.delay_s, byte_s=1.0 / slowest.goodput_Bps
    )
    # Only paces the iterations, so that one has ended when the next begins.
    expected = float(critical_path(program, planned.graph, guess) @ guess.vector())
    spacing = 1.2 * expected + 0.015
    first = soon()
    starts = [first + k * spacing for k in range(WARM_UPS + iterations)]
    ran = [rank for rank, steps in enumerate(program) if steps]
    told = net.order(
        {
            rank: {"do": "run", "steps": _integers(program[rank]), "starts": starts}
            for rank in ran
        }
    )
    ends = np.array([[end for _, end in told[rank]] for rank in ran])
    return (ends.max(axis=0) - np.array(starts))[WARM_UPS:].tolist()


def _integers(steps: Sequence[Any]) -> list[list[list[list[int]]]]:
    """Whole bytes, at least one, alike on both sides."""
    return [
        [
            [[peer, max(round(size), 1)] for peer, size in side]
            for side in (step.sends, step.receives)
        ]
        for step in steps
    ]


def _row(
    planned: Plan, each: tuple[str, str, float], repeat: int, times: list[float]
) -> dict[str, Any]:
    collective, algorithm, size_bytes = each
    name, convention = _COLUMN_NAMES[collective]
    wires = planned.wires.values()
    rate = min(wire.rate_Bps for wire in wires)
    return {
        "rig": RIG,
        "topology": planned.topology,
        "hosts": planned.graph.hosts,
        "ranks": planned.graph.hosts,
        "collective": name,
        "algorithm": algorithm,
        "size_bytes": round(size_bytes),
        "size_convention": convention,
        "dtype": "float32",
        "repeat": repeat,
        "iterations": len(times),
        "median_us": median(times) * 1e6,
        "min_us": min(times) * 1e6,
        "p90_us": float(np.quantile(times, 0.9)) * 1e6,
        "known_delay_us": max(wire.delay_s for wire in wires) * 1e6,
        "known_rate_Bps": rate,
        "notes": f"mtu={MTU_BYTES};mode=relay;{planned.notes}",
    }

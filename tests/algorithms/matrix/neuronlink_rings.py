"""NeuronLink's rings over Hamiltonian cycles of chips: Ring and KangaRing."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import oracle
from oracle.cycles import hamiltonian_decomposition

from matrix.groups import Group, by_chip, depth, network
from matrix.record import Seen, seen


def rings(group: Group) -> list[list[oracle.Rank]]:
    """Both ways round two disjoint cycles of chips, or one; a line is folded."""
    graph = oracle.torus(group.sides, group.wrap).graph.to_undirected()
    used = [n for n in group.sides if n > 1]
    shut = [n for n, w in zip(group.sides, group.wrap, strict=True) if n > 2 and w]
    if len(graph) < 3:
        return [sorted(graph)]
    if len(shut) == 2 == len(used):
        cycles = hamiltonian_decomposition(group.sides, group.wrap)
    elif len(shut) > 2:
        plane = hamiltonian_decomposition(group.sides, group.wrap)
        cycles = plane[:2]
    elif len(used) == 1:
        line = sorted(graph)
        cycles = [line if shut else oracle.folded_line(line)]
    else:
        many = 2 if len(shut) > 1 else 1
        cycles = oracle.edge_disjoint_cycles(graph, many) or []
    return cycles + [cycle[::-1] for cycle in cycles]


def _over_rings(
    collective: str,
    group: Group,
    schedules: Sequence[oracle.Rounds],
    passes: int,
    way: float,
) -> Seen:
    """Blocks (ring, rank) over several rings at once: a stream of so many rounds.

    ``way`` are the links beyond the first on the longest way of a block. Between chips;
    inside one the bytes are accesses of its memory, which have counts of their own.
    """
    alone = group.size == group.ranks
    net, many = network(group), len(schedules)
    held = {r: [(part, r) for part in range(many)] for r in net.ranks}
    rounds = oracle.together(*schedules)
    found, block = [], 1 / many / group.size
    if collective != "all_gather":
        state = oracle.partial(net.ranks, [b for own in held.values() for b in own])
        found.append(oracle.run(net, oracle.dual(rounds), state, block))
        oracle.check_reduced(state, net.ranks, held)
    if collective != "reduce_scatter":
        state = oracle.own(net.ranks, held)
        found.append(oracle.run(net, rounds, state, block))
        oracle.check_gathered(state, net.ranks, held)
    idle = [0.0] * len(group.sides)
    return functools.reduce(
        Seen.__add__,
        [
            Seen(
                rounds=[float(passes), *idle],
                hops=[way, *idle],
                bytes=[
                    size if alone or at else 0.0
                    for at, size in enumerate(
                        seen(tally, depth(group), stream=True).bytes
                    )
                ],
                reduced=tally.reduced,
                whole_rounds=True,
            )
            for tally in found
        ],
    )


def _longest_way(group: Group, cycle: Sequence[oracle.Rank]) -> float:
    """Links beyond the first of all steps round a cycle of chips but the shortest."""
    outside = oracle.torus(group.sides, group.wrap)
    steps = zip(cycle, [*cycle[1:], cycle[0]], strict=True)
    extra = [len(outside.route(a, b)[0][1]) - 1 for a, b in steps if a != b]
    return float(sum(extra) - min(extra, default=0))


def ring(collective: str, group: Group) -> Seen | None:
    """Through every rank; each of the rings carries its part of the vector."""
    inside, cycles = by_chip(group), rings(group)
    schedules = [
        oracle.ring(
            [rank for chip in cycle for rank in inside[chip]],
            {r: [(part, r)] for r in network(group).ranks},
        )
        for part, cycle in enumerate(cycles)
    ]
    way = max(_longest_way(group, cycle) for cycle in cycles)
    return _over_rings(collective, group, schedules, group.size - 1, way)


def kangaring(collective: str, group: Group) -> Seen | None:
    """Primaries pass on the blocks of pairs, and hand them to their secondaries.

    The last pair's blocks go no further: (N - 2)/N, not (N - 1)/N. On every second
    ring the ranks of a pair change roles; a single ring of chips runs twice.
    """
    if group.ranks % 2 or group.size == group.ranks:
        return None
    inside, cycles, schedules = by_chip(group), rings(group), []
    cycles = cycles * 2 if len(cycles) == 1 else cycles
    for part, cycle in enumerate(cycles):
        pairs = [
            ranks[i : i + 2] if part % 2 == 0 else ranks[i : i + 2][::-1]
            for chip in cycle
            for ranks in [inside[chip]]
            for i in range(0, group.ranks, 2)
        ]
        primaries = [primary for primary, _ in pairs]
        both = {p: [(part, p), (part, s)] for p, s in pairs}
        along = oracle.ring(primaries, both)
        # What came in the round before, or was there, goes to the secondary.
        copies = [
            [
                oracle.Message(p, s, [(part, p)] if t == 0 else both[primaries[i - t]])
                for i, (p, s) in enumerate(pairs)
            ]
            for t in range(len(pairs))
        ]
        start = [[oracle.Message(s, p, [(part, s)]) for p, s in pairs]]
        schedules.append(start + oracle.together(along, copies))
    way = max(_longest_way(group, cycle) for cycle in cycles)
    return _over_rings(collective, group, schedules, group.size // 2 - 1, way)

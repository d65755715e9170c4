"""NeuronLink's rings against their execution on Hamiltonian cycles of chips."""

import functools
from collections.abc import Sequence

import oracle
import pytest
from neuronlink_groups import (
    GROUPS,
    SIZE,
    Group,
    chip_groups,
    every_group,
    expected,
    group_name,
    library,
    near,
    network_of,
    per_level,
)


@functools.cache
def directed_cycles(group: Group) -> list[list[oracle.Rank]]:
    """Return rings of chips, both ways round as many disjoint cycles as there are.

    Four rings at most. Where the chips have no cycle, a ring goes up a line and back,
    and there is one of them.
    """
    graph = oracle.torus(group.sides, group.wrap).graph.to_undirected()
    if len(graph) < 3:
        return [list(graph)]
    for many in (2, 1):
        cycles = oracle.edge_disjoint_cycles(graph, many)
        if cycles is not None:
            assert len({frozenset(e) for c in cycles for e in _around(c)}) == (
                many * len(graph)
            )
            assert all(graph.has_edge(*e) for c in cycles for e in _around(c))
            return cycles + [cycle[::-1] for cycle in cycles]
    assert len(group.sides) - group.sides.count(1) == 1
    return [sorted(graph), sorted(graph)[::-1]]


def _around(cycle: Sequence[oracle.Rank]) -> list[tuple[oracle.Rank, oracle.Rank]]:
    return [(a, cycle[(i + 1) % len(cycle)]) for i, a in enumerate(cycle)]


def compare_rings(group: Group, name: str, tally: oracle.Tally, rounds: int) -> None:
    """Compare the rounds of a pass, and what it streams over the links of a side.

    Inside a chip the memory is the limit, which has counts of its own, so only a group
    of one chip is compared there.
    """
    alone = group.size == group.ranks
    share = 1.0 - 1.0 / group.size
    for collective in ("all_gather", "reduce_scatter", "all_reduce"):
        passes = 2 if collective == "all_reduce" else 1
        ours = library(collective, name, group)
        assert float(ours.valid) == 1.0
        levels = per_level(ours)
        assert levels[:, 0].sum() == passes * rounds
        # A side that no ring runs along carries nothing.
        theirs = expected(group, tally, streams=True)[:, 1]
        first = 0 if alone else 1
        assert levels[first:, 1] == near(passes * theirs[first:])
        adds = 0.0 if collective == "all_gather" else share
        assert float(ours.reduced_bytes) / SIZE == near(adds)


def check_ring(group: Group) -> None:
    network = network_of(group)
    inside = chip_groups(network)
    rings = directed_cycles(group)
    held = {r: [(part, r) for part in range(len(rings))] for r in network.ranks}
    rounds = oracle.together(
        *(
            oracle.ring(
                [rank for chip in cycle for rank in inside[chip]],
                {r: [(part, r)] for r in network.ranks},
            )
            for part, cycle in enumerate(rings)
        )
    )
    block = 1 / len(rings) / group.size
    state = oracle.own(network.ranks, held)
    tally = oracle.run(network, rounds, state, block)
    oracle.check_gathered(state, network.ranks, held)
    state = oracle.partial(network.ranks, [b for own in held.values() for b in own])
    oracle.run(network, oracle.dual(rounds), state, block)
    oracle.check_reduced(state, network.ranks, held)
    compare_rings(group, "ring", tally, len(rounds))


@every_group
def test_ring(group):
    """Through every rank; each of the rings carries its part of the vector."""
    if group.sides == (4, 4):
        assert len(directed_cycles(group)) == 4
    check_ring(group)


@pytest.mark.parametrize(
    "group",
    [
        Group(4, (2, 1)),
        Group(4, (3, 1)),
        Group(4, (4,), (4,)),
        Group(2, (12,), (12,)),
        Group(4, (4, 2), (4, 2)),
    ],
    ids=["two chips", "line of three", "ring of four", "ring of twelve", "4x2 whole"],
)
def test_ring_where_there_are_fewer_rings(group):
    """One link has one ring through it; a ring of chips has two, one each way."""
    check_ring(group)


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(group, id=group_name(group))
        for group in GROUPS
        if group.sides != (1, 1)
    ],
)
def test_kangaring(group):
    """Primaries pass on the blocks of pairs, and hand them to their secondaries.

    The last pair's blocks go no further: (N - 2)/N, not (N - 1)/N.
    """
    check_kangaring(group)


def check_kangaring(group: Group, *, links: bool = True) -> None:
    network = network_of(group)
    inside = chip_groups(network)
    rings = directed_cycles(group)
    blocks = {r: [(part, r) for part in range(len(rings))] for r in network.ranks}
    schedules = []
    for part, cycle in enumerate(rings):
        pairs = [
            ranks[i : i + 2] if part % 2 == 0 else ranks[i : i + 2][::-1]  # roles turn
            for chip in cycle
            for ranks in [inside[chip]]
            for i in range(0, group.ranks, 2)
        ]
        primaries = [primary for primary, _ in pairs]
        both: dict = {p: [(part, p), (part, s)] for p, s in pairs}
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
    rounds = oracle.together(*schedules)
    passes = len(rounds) - 2  # a primary reads from its secondary and writes to it
    block = 1 / len(rings) / group.size
    state = oracle.own(network.ranks, blocks)
    tally = oracle.run(network, rounds, state, block)
    oracle.check_gathered(state, network.ranks, blocks)
    state = oracle.partial(network.ranks, [b for own in blocks.values() for b in own])
    scattered = oracle.run(network, oracle.dual(rounds), state, block)
    oracle.check_reduced(state, network.ranks, blocks)
    if links:
        compare_rings(group, "kangaring", tally, passes)
    ours = library("all_gather", "kangaring", group)
    assert per_level(ours)[:, 0].sum() == passes
    ours = library("reduce_scatter", "kangaring", group)
    if len(rings) % 4 == 0:  # the roles are shared out evenly
        assert float(ours.reduced_bytes) / SIZE == near(scattered.reduced)


@every_group
def test_kangaring_rounds(group):
    """Half of the ranks make half of the rounds; one chip alone has no such ring."""
    if group.sides == (1, 1):
        assert float(library("all_gather", "kangaring", group).valid) == 0.0
        return
    assert per_level(library("all_gather", "kangaring", group))[:, 0].sum() == (
        group.size / 2 - 1
    )
    check_kangaring(group, links=False)


@every_group
def test_kangaring_touches_memory_less(group):
    """Three accesses for two ranks instead of four; four instead of six to reduce."""
    for collective, ratio in ("all_gather", 3 / 4), ("reduce_scatter", 4 / 6):
        kangaring = library(collective, "kangaring", group).memory_bytes
        ring = library(collective, "ring", group).memory_bytes
        assert float(kangaring) / float(ring) == near(ratio)

"""NeuronLink algorithms against their execution on chips of a 4x4 torus."""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from fabricmodel.algorithms.counts import Counts, Dim, total
from fabricmodel.algorithms.registry import algorithms

SIZE = 2.0**20


class Group(NamedTuple):
    """Ranks of every chip of a part of a torus."""

    ranks: int
    sides: tuple[int, ...]
    whole: tuple[int, ...] = (4, 4)

    @property
    def size(self) -> int:
        return self.ranks * int(np.prod(self.sides))

    @property
    def wrap(self) -> list[bool]:
        return [n == c for n, c in zip(self.sides, self.whole, strict=True)]


GROUPS = [
    Group(r, sides)
    for r in (2, 4)
    for sides in [(4, 4), (1, 1), (4, 1), (1, 4), (4, 2), (2, 4), (2, 2)]
]


def _name(group: Group) -> str:
    return "x".join(map(str, group.sides)) + f"r{group.ranks}"


every_group = pytest.mark.parametrize("group", GROUPS, ids=_name)


@functools.cache
def library(collective: str, name: str, group: Group) -> Counts:
    dims = [Dim(kind="clique", members=group.ranks, capacity=group.ranks)]
    dims += [
        Dim(kind="ring", members=jnp.asarray(float(n)), capacity=jnp.asarray(float(c)))
        for n, c in zip(group.sides, group.whole, strict=True)
    ]
    return total(algorithms("neuronlink", collective)[name].count(dims, SIZE))


def per_level(counts: Counts) -> np.ndarray:
    """Return rounds and bytes of every dimension."""
    return np.array(
        [(float(x.rounds), float(x.bytes) / SIZE) for x in counts.levels], float
    )


def expected(group: Group, *tallies: oracle.Tally, streams: bool = False) -> np.ndarray:
    return np.array(
        [
            (
                sum(t.rounds[dim] for t in tallies),
                sum((t.stream if streams else t.bytes).get(dim, 0.0) for t in tallies),
            )
            for dim in range(1 + len(group.sides))
        ]
    )


def near(values):
    return pytest.approx(values, rel=1e-6, abs=1e-9)


def network_of(group: Group) -> oracle.Network:
    return oracle.chips(group.ranks, group.sides, group.wrap)


def chip_groups(network: oracle.Network) -> dict[oracle.Rank, list[oracle.Rank]]:
    """Return the ranks of every chip."""
    inside: dict[oracle.Rank, list[oracle.Rank]] = {}
    for rank in network.ranks:
        inside.setdefault(rank[0], []).append(rank)
    return inside


def same_index(network: oracle.Network) -> list[list[oracle.Rank]]:
    """Return the groups of one rank a chip."""
    return [list(ranks) for ranks in zip(*chip_groups(network).values(), strict=True)]


def two_stages(
    network: oracle.Network, between: Sequence[oracle.Rounds]
) -> tuple[oracle.Rounds, oracle.Rounds]:
    """Gather between chips by rank, then let the ranks of a chip read one another."""
    first = oracle.together(*between)
    held = {rank: ranks for ranks in same_index(network) for rank in ranks}
    inside = chip_groups(network).values()
    return first, oracle.together(*(oracle.direct(ranks, held) for ranks in inside))


def check_both_ways(
    group: Group,
    network: oracle.Network,
    stages: Sequence[oracle.Rounds],
    name: str,
    *,
    rotating: bool = False,
) -> None:
    """Gather in stages, reduce and scatter in their duals, and compare the counts.

    Where the groups rotate over the axes, the links of all sides are busy in a stage
    and the slowest sets its pace: rounds and bytes are compared in their sum.
    """
    one = {r: [r] for r in network.ranks}
    state = oracle.own(network.ranks, one)
    gathered = [oracle.run(network, s, state, 1 / group.size) for s in stages]
    oracle.check_gathered(state, network.ranks, one)
    state = oracle.partial(network.ranks, network.ranks)
    scattered = [
        oracle.run(network, oracle.dual(s), state, 1 / group.size)
        for s in reversed(stages)
    ]
    oracle.check_reduced(state, network.ranks, one)
    for stage in stages:
        oracle.run(network, stage, state, 1 / group.size)
    whole = dict.fromkeys(network.ranks, network.ranks)
    oracle.check_reduced(state, network.ranks, whole)
    adds = sum(tally.reduced for tally in scattered)
    for collective, tallies, reduced in (
        ("all_gather", gathered, 0.0),
        ("reduce_scatter", scattered, adds),
        ("all_reduce", scattered + gathered, adds),
    ):
        ours = library(collective, name, group)
        assert float(ours.valid) == 1.0
        levels, wanted = per_level(ours), expected(group, *tallies)
        if rotating:
            levels = np.array([levels[0], levels[1:].sum(axis=0)])
            slowest = [max([t.bytes[d] for d in t.bytes if d] + [0.0]) for t in tallies]
            crossing = sum(
                1 for t in tallies if any(t.rounds[d] for d in t.rounds if d)
            )
            wanted = np.array([wanted[0], (crossing, sum(slowest))])
        assert levels == near(wanted), collective
        assert float(ours.reduced_bytes) / SIZE == near(reduced), collective


@every_group
def test_mesh(group):
    """A chip sends its blocks to every other once; its ranks share what arrived."""
    network = network_of(group)
    one = {r: [r] for r in network.ranks}
    between = [oracle.direct(ranks, one) for ranks in same_index(network)]
    check_both_ways(group, network, two_stages(network, between), "mesh")


def gray(position: int) -> int:
    """Number the corners of a cube so that ring neighbours differ in one bit."""
    return position ^ (position >> 1)


def hypercube(
    network: oracle.Network, sides: Sequence[int]
) -> tuple[list[oracle.Rounds], int]:
    """Double along the axes, each group from an axis on; also the links of a step."""
    bits = [n.bit_length() - 1 for n in sides]
    schedules, longest = [], 0
    axes = sum(bits)
    for index, ranks in enumerate(same_index(network)):
        corner = {}
        for rank in ranks:
            at, low = 0, 0
            for position, many in zip(rank[0], bits, strict=True):
                at |= gray(position) << low
                low += many
            corner[at] = rank
        line = [corner[i] for i in range(len(ranks))]
        order = [(index + k) % axes for k in range(axes)]
        rounds = oracle.doubling(line, {r: [r] for r in ranks}, order)
        for message in itertools.chain(*rounds):
            paths = network.route(message.source, message.target)
            longest = max(longest, *(len(links) for _, links in paths))
        schedules.append(rounds)
    return schedules, longest


@every_group
def test_rdh(group):
    """A ring of four is a 2-cube: every step is one hop, and each rank has an axis."""
    network = network_of(group)
    between, longest = hypercube(network, group.sides)
    assert longest <= 1
    first, inside = two_stages(network, between)
    stages = [[messages] for messages in first] + [inside]
    check_both_ways(group, network, stages, "rdh", rotating=True)


@pytest.mark.parametrize(
    "group",
    [Group(4, (8,), (8,)), Group(4, (4,), (8,))],
    ids=["ring of eight", "line of four"],
)
def test_rdh_where_a_side_is_no_cube(group):
    """Either the algorithm is refused, or its steps of several hops are counted."""
    ours = library("all_gather", "rdh", group)
    if float(ours.valid) == 0.0:
        return
    network = network_of(group)
    between, longest = hypercube(network, group.sides)
    assert longest > 1
    first, inside = two_stages(network, between)
    stages = [[messages] for messages in first] + [inside]
    check_both_ways(group, network, stages, "rdh", rotating=True)


@every_group
def test_mesh_all_to_all(group):
    """A rank sends a chip the blocks of its ranks; they fetch them from one another."""
    network = network_of(group)
    held = {a: [(a, b) for b in network.ranks] for a in network.ranks}
    inside = chip_groups(network)
    first, second = [], []
    for ranks in same_index(network):
        for a, b in itertools.permutations(ranks, 2):
            first.append(oracle.Message(a, b, [(a, c) for c in inside[b[0]]]))
        for via in ranks:
            second += [
                oracle.Message(via, c, [(a, c) for a in ranks])
                for c in inside[via[0]]
                if c != via
            ]
    state = oracle.own(network.ranks, held)
    rounds = [messages for messages in (first, second) if messages]
    tally = oracle.run(network, rounds, state, 1 / group.size)
    for i, a in enumerate(network.ranks):
        assert all(state[b][a, b] == 1 << i for b in network.ranks)
    ours = library("all_to_all", "mesh", group)
    assert per_level(ours) == near(expected(group, tally))


@every_group
def test_single_step_mesh(group):
    """Every rank sends its whole vector to every other, in one step."""
    network = network_of(group)
    pairs = itertools.permutations(network.ranks, 2)
    rounds = [[oracle.Message(a, b, [0], add=True) for a, b in pairs]]
    state = oracle.partial(network.ranks, [0])
    tally = oracle.run(network, rounds, state, 1.0)
    oracle.check_reduced(state, network.ranks, dict.fromkeys(network.ranks, (0,)))
    ours = library("all_reduce", "single_step_mesh", group)
    assert float(ours.reduced_bytes) / SIZE == near(tally.reduced)
    assert per_level(ours) == near(expected(group, tally))


# Rings


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
    [pytest.param(group, id=_name(group)) for group in GROUPS if group.sides != (1, 1)],
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

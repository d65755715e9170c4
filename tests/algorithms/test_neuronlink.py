"""NeuronLink algorithms against their execution on chips of a torus."""

import itertools
from collections.abc import Sequence

import oracle
import pytest
from neuronlink_groups import (
    SIZE,
    Group,
    check_both_ways,
    chip_groups,
    every_group,
    expected,
    library,
    near,
    network_of,
    per_level,
    same_index,
    two_stages,
)


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


@pytest.mark.parametrize(("name", "ranks"), [("mesh", 2), ("rdh", 4)])
def test_ultraserver(name, ranks):
    """64 chips: six axes, of which those of the ranks are at work in a step."""
    group = Group(ranks, (4, 4, 4), (4, 4, 4))
    network = network_of(group)
    one = {r: [r] for r in network.ranks}
    if name == "mesh":
        between = [oracle.direct(ranks, one) for ranks in same_index(network)]
        stages = list(two_stages(network, between))
    else:
        between, longest = hypercube(network, group.sides)
        assert longest == 1
        first, inside = two_stages(network, between)
        stages = [[messages] for messages in first] + [inside]
    check_both_ways(group, network, stages, name, rotating=name == "rdh")


@every_group
def test_scatter(group):
    """From the root to everyone: no schedule gets the data out of its chip faster."""
    network = network_of(group)
    root, *others = network.ranks
    state: oracle.State = {r: {} for r in network.ranks}
    state[root] = {r: 1 for r in network.ranks}
    messages = [oracle.Message(root, r, [r]) for r in others]
    tally = oracle.run(network, [messages], state, 1 / group.size)
    assert all(r in state[r] for r in network.ranks)
    ours = per_level(library("scatter", "routed", group))
    assert ours[0, 1] == near(tally.bytes.get(0, 0.0))
    for side in range(1, len(ours)):  # over the links there are, at best
        assert ours[side, 1] <= tally.bytes.get(side, 0.0) + ours[1:, 1].max() + 1e-9
    chips = group.size / group.ranks
    links = sum(2 if n > 2 else n - 1 for n in group.sides)
    assert ours[1:, 1].max() >= (chips - 1) / chips / max(links, 1) - 1e-9

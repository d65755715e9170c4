"""In-network reduction against its execution: switches that hold, add and copy."""

import itertools

import numpy as np
import oracle
import pytest

from fabricmodel import Fabric, Level, collective_bound, collective_time
from fabricmodel.algorithms.counts import Dim, Phases
from fabricmodel.algorithms.innetwork import sharp_all_reduce
from fabricmodel.algorithms.registry import SPANNING, algorithms

SIZE = 2.0**20
RANKS = range(1, 25)


def near(value):
    return pytest.approx(np.asarray(value), rel=1e-6, abs=1e-9)


def counted(phases: Phases) -> list[tuple[float, float, float]]:
    """Rounds, hops and bytes (of a vector of one byte) of each dimension."""
    (counts,) = phases
    assert float(counts.valid) == 1.0
    return [(float(x.rounds), float(x.hops), float(x.bytes)) for x in counts.levels]


def star(n: int) -> tuple[oracle.Network, list[dict]]:
    """One switch above all the ranks."""
    return oracle.switch_tree(n, max(n, 2))


def empty(stages: list[dict], blocks: range) -> oracle.State:
    """Switches hold nothing yet."""
    above = {switch for stage in stages for switch in stage.values()}
    return {switch: dict.fromkeys(blocks, 0) for switch in above}


def run_nvls(n: int, collective: str) -> oracle.Tally:
    """A load that reduces: every rank's part i, added up, to rank i. A store: back."""
    network, (above,) = star(n)
    ranks, hub = network.ranks, above[0]
    load = [
        [oracle.Message(r, hub, range(n), add=True) for r in ranks],
        [oracle.Message(hub, r, [r]) for r in ranks],
    ]
    store = [
        [oracle.Message(r, hub, [r]) for r in ranks],
        [oracle.Message(hub, r, range(n)) for r in ranks],
    ]
    steps = {"all_reduce": load + store, "reduce_scatter": load, "all_gather": store}
    held = {r: [r] for r in ranks}
    gathers = collective == "all_gather"
    state = oracle.own(ranks, held) if gathers else oracle.partial(ranks, range(n))
    state |= empty([above], range(n))
    tally = oracle.run(network, steps[collective], state, 1 / n)
    if gathers:
        oracle.check_gathered(state, ranks, held)
    else:
        everything = dict.fromkeys(ranks, range(n))
        whole = everything if collective == "all_reduce" else held
        oracle.check_reduced(state, ranks, whole)
    return tally


@pytest.mark.parametrize("n", RANKS)
@pytest.mark.parametrize("collective", ["all_reduce", "reduce_scatter", "all_gather"])
def test_nvls(collective, n):
    """Up to the switch and down again is one round; parts stream one after another."""
    tally = run_nvls(n, collective)
    dims = [Dim(kind="switch", members=float(n))]
    ours = counted(algorithms("flat", collective)["nvls"].count(dims, 1.0))
    if n == 1:
        assert ours == [(0.0, 0.0, 0.0)]
        return
    assert ours == near([(tally.all_rounds / 2, 0.0, tally.stream[0])])
    assert tally.reduced == 0.0


@pytest.mark.parametrize("radix", [2, 3, 5])
@pytest.mark.parametrize("n", [2, 3, 4, 8, 9, 17, 24])
@pytest.mark.parametrize("collective", ["all_reduce", "reduce", "broadcast"])
def test_sharp(collective, n, radix):
    """Up the tree, stage by stage, and down: the links beyond those of one switch."""
    network, stages = oracle.switch_tree(n, radix)
    ranks, blocks = network.ranks, range(1)
    copies = collective == "broadcast"
    up = [
        [oracle.Message(a, b, blocks, add=True) for a, b in stage.items()]
        for stage in stages
    ]
    if copies:
        path = [0]
        for stage in stages:
            path.append(stage[path[-1]])
        up = [[oracle.Message(a, b, blocks)] for a, b in itertools.pairwise(path)]
    down = [
        [oracle.Message(b, a, blocks) for a, b in stage.items()]
        for stage in reversed(stages)
    ]
    state = empty(stages, blocks)
    if copies:
        state |= {r: {} for r in ranks} | {0: {0: 1}}
    else:
        state |= oracle.partial(ranks, blocks)
    tally = oracle.run(network, up + down, state, 1.0)
    if copies:
        assert all(state[r] == {0: 1} for r in ranks)
    else:
        oracle.check_reduced(state, ranks, dict.fromkeys(ranks, blocks))
    depth = len(stages)
    dims = [Dim(kind="switch", members=float(n))]
    count = algorithms("flat", collective)["sharp"].count
    assert counted(count(dims, 1.0)) == near([(1.0, 0.0, tally.stream[0])])
    links = tally.rounds[0]
    (ours,) = counted(sharp_all_reduce(dims, 1.0, depth=float(depth)))
    assert ours == near((1.0, links - 2.0, tally.stream[0]))
    assert tally.reduced == 0.0


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5, 6, 8, 11])
def test_nvls_tree(nodes, ranks):
    """Load and add in every node, two trees for every index, store in every node."""
    network = oracle.nodes_of_switches(nodes, ranks)
    members = network.ranks
    parts = [(i, half) for i in range(ranks) for half in (0, 1)]
    load = [
        [oracle.Message(r, (r[0], "hub"), parts, add=True) for r in members],
        [oracle.Message((x, "hub"), (x, i), [(i, 0), (i, 1)]) for x, i in members],
    ]
    store = [
        [oracle.Message((x, i), (x, "hub"), [(i, 0), (i, 1)]) for x, i in members],
        [oracle.Message((r[0], "hub"), r, parts) for r in members],
    ]
    down = [
        [
            [
                oracle.Message((m.source, i), (m.target, i), [(i, half)])
                for m in messages
                for i in range(ranks)
            ]
            for messages in tree
        ]
        for half, tree in enumerate(oracle.double_tree_down(nodes))
    ]
    trees = oracle.together(*map(oracle.dual, down)) + oracle.together(*down)
    state = oracle.partial(members, parts)
    state |= {(x, "hub"): dict.fromkeys(parts, 0) for x in range(nodes)}
    rounds = load + trees + store
    tally = oracle.run(network, rounds, state, 0.5 / ranks)
    oracle.check_reduced(state, members, dict.fromkeys(members, parts))

    dims = [
        Dim(kind="switch", members=float(ranks)),
        Dim(kind="switch", members=float(nodes)),
    ]
    (counts,) = SPANNING["all_reduce"]["nvls_tree"].count(dims, 1.0)
    inside, outside = counts.levels
    if ranks > 1:
        assert float(inside.rounds) == 2.0
        assert float(inside.bytes) == near(tally.stream[0])
    else:
        assert float(inside.rounds) == float(inside.bytes) == 0.0
    assert len(trees) == float(outside.rounds) == 2 * (nodes - 1).bit_length()
    assert float(outside.bytes) == near(tally.stream.get(1, 0.0))
    assert float(counts.reduced_bytes) == near(tally.reduced)


def test_there_is_no_switch_in_a_clique():
    dims = [Dim(kind="clique", members=8.0)]
    (counts,) = algorithms("flat", "all_reduce")["nvls"].count(dims, 1.0)
    assert float(counts.valid) == 0.0


def test_a_fabric_names_it_and_goes_below_the_bound_of_the_others():
    """At large sizes almost half of the ring's time, and above the bound it has."""
    level = Level(
        name="node", kind="switch", members=8.0, capacity=8.0, round_s=1e-6, byte_s=1e-9
    )
    plain = Fabric(name="plain", levels=(level,))
    switched = Fabric(name="nvls", levels=(level,), strategies=("staged", "nvls"))
    size = 2.0**32
    slow = float(collective_time(plain, "all_reduce", size))
    fast = float(collective_time(switched, "all_reduce", size))
    assert fast == pytest.approx(9 / 8 * size * 1e-9, rel=1e-3)
    bound = float(collective_bound(plain, "all_reduce", size))
    assert fast < bound <= slow * (1 + 1e-9)  # the ring meets it, rounding aside
    assert float(collective_bound(switched, "all_reduce", size)) < fast

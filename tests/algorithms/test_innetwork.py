"""In-network reduction against its execution: switches that hold, add and copy."""

import itertools

import numpy as np
import oracle
import pytest

from fabricmodel import Fabric, Level, collective_bound, collective_time
from fabricmodel.algorithms.counts import Dim, Phases
from fabricmodel.algorithms.innetwork import sharp_all_reduce
from fabricmodel.algorithms.registry import algorithms

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


@pytest.mark.parametrize("radix", [2, 3, 5])
@pytest.mark.parametrize("n", range(2, 25))
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

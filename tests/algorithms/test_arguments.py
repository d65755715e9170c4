"""What the registry leaves at its default: radix, segments, distance, depth, incast."""

import itertools
import math

import oracle
import oracle.more_schedules as more
import pytest
from matrix import differences, shifted
from matrix.record import seen
from matrix.shapes import dims as sides_of

from fabricmodel.algorithms import exchange, trees
from fabricmodel.algorithms.counts import Dim
from fabricmodel.algorithms.registry import algorithms
from fabricmodel.algorithms.torus_rings import shift

RANKS = range(2, 25)
SEGMENTS = (1, 2, 3, 5, 8)


def switch(n: int) -> list[Dim]:
    return [Dim(kind="switch", members=float(n))]


@pytest.mark.parametrize("radix", [2, 3, 5, 8])
def test_any_radix(radix):
    for n in RANKS:
        ranks = range(n)
        held = {r: [(r, d) for d in ranks] for r in ranks}
        state = oracle.own(ranks, held)
        rounds = more.bruck_exchange_radix(n, radix)
        tally = oracle.run(oracle.switch(n), rounds, state, 1 / n)
        assert all(state[r][s, r] == 1 << s for r in ranks for s in ranks)
        ours = exchange.bruck_all_to_all(switch(n), 1.0, radix)
        assert not differences(ours, seen(tally, 1))

        one = {r: [r] for r in ranks}
        state = oracle.own(ranks, one)
        rounds = more.bruck_radix(n, radix)
        tally = oracle.run(oracle.switch(n), rounds, state, 1 / n)
        oracle.check_gathered(state, ranks, one)
        ours = exchange.bruck_all_gather(switch(n), 1.0, radix)
        assert not differences(ours, seen(tally, 1))


@pytest.mark.parametrize("many", SEGMENTS)
def test_segments(many):
    """Chains start a segment a round; the root of a binomial tree when it is free."""
    for n in RANKS:
        chain = [[oracle.Message(r, r + 1, [0])] for r in range(n - 1)]
        tree = oracle.binomial(n, lambda _: [0])
        for rounds, count in (
            (more.segmented(chain, many, 1), trees.chain_broadcast),
            (more.segmented(tree, many, len(tree)), trees.binomial_broadcast),
        ):
            state: oracle.State = {r: {} for r in range(n)}
            state[0] = dict.fromkeys(range(many), 1)
            tally = oracle.run(oracle.switch(n), rounds, state, 1 / many)
            assert all(state[r] == state[0] for r in range(n))
            assert not differences(count(switch(n), 1.0, 1 / many), seen(tally, 1))


@pytest.mark.parametrize("many", SEGMENTS)
def test_double_tree_in_segments(many):
    """Up and down both trees, a segment of each after another."""
    for n in RANKS:
        down = oracle.double_tree_down(n)
        both = oracle.together(*map(oracle.dual, down)) + oracle.together(*down)
        rounds: oracle.Rounds = []
        for segment in range(many):
            moved = [
                [m._replace(blocks=[(b, segment) for b in m.blocks]) for m in messages]
                for messages in both
            ]
            rounds = oracle.together(rounds, [[]] * segment + moved)
        blocks = [(half, segment) for half in (0, 1) for segment in range(many)]
        network = oracle.switch(n)
        state = oracle.partial(network.ranks, blocks)
        tally = oracle.run(network, rounds, state, 0.5 / many)
        oracle.check_reduced(state, network.ranks, dict.fromkeys(network.ranks, blocks))
        ours = trees.double_tree_all_reduce(switch(n), 1.0, 1 / many)
        assert not differences(ours, seen(tally, 1))


def test_a_rank_alone_has_no_trees():
    (ours,) = trees.double_tree_all_reduce(switch(1), 1.0, 0.25)
    assert float(ours.levels[0].rounds) == float(ours.levels[0].bytes) == 0.0


def test_segments_of_many_ranks_fill_the_stream():
    """At a hundred thousand ranks and segments, 2 S and what fills the trees."""
    (ours,) = trees.double_tree_all_reduce(switch(100_000), 1.0, 1e-5)
    assert 2.0 < float(ours.levels[0].bytes) < 2.0 + 34 / 1e5


@pytest.mark.parametrize("wrap", [True, False], ids=["rings", "lines"])
@pytest.mark.parametrize("sides", [(4,), (5,), (8,), (3, 4), (4, 4), (3, 4, 5)])
def test_shift(sides, wrap):
    """Everyone sends so far along each side; counted link by link."""
    shape = (sides, (wrap,) * len(sides))
    for far in itertools.product(*(range(n) for n in sides)):
        ours = shift(sides_of(shape), 1.0, [float(d) for d in far])
        assert not differences(ours, shifted(shape, far)), far


def test_incast_by_hand():
    """1 + 0.1 x 7^0.5 times the bytes of eight ranks, and nothing else."""
    plain = algorithms("flat", "all_to_all")["direct"].count
    (ours,) = exchange.with_incast(plain, 0.1, 0.5)(switch(8), 1.0)
    (bare,) = plain(switch(8), 1.0)
    factor = 1 + 0.1 * math.sqrt(7)
    assert float(ours.levels[0].bytes) == pytest.approx(7 / 8 * factor)
    assert float(ours.levels[0].rounds) == float(bare.levels[0].rounds)

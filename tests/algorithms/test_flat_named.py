"""Algorithms that run by name on a switch or clique, against their execution."""

import math

import oracle
import oracle.more_schedules as more
import pytest
from test_flat import counted, expected, near, one_each, run_broadcast, run_reduce

from fabricmodel.algorithms import exchange, trees
from fabricmodel.algorithms.counts import Dim
from fabricmodel.algorithms.registry import algorithms

RANKS = range(1, 25)
SEGMENTS = (1, 2, 3, 5)


def gather(network: oracle.Network, rounds: oracle.Rounds) -> oracle.Tally:
    held = one_each(len(network.ranks))
    state = oracle.own(network.ranks, held)
    tally = oracle.run(network, rounds, state, 1 / len(held))
    oracle.check_gathered(state, network.ranks, held)
    return tally


def scatter(network: oracle.Network, rounds: oracle.Rounds) -> oracle.Tally:
    held = one_each(len(network.ranks))
    state = oracle.partial(network.ranks, range(len(held)))
    tally = oracle.run(network, rounds, state, 1 / len(held))
    oracle.check_reduced(state, network.ranks, held)
    return tally


GATHERS = {
    "two_way_ring": more.two_way_ring,
    "pat": more.pat,
    "bruck_4": lambda n: more.bruck_radix(n, 4),
}


@pytest.mark.parametrize("n", RANKS)
@pytest.mark.parametrize("name", GATHERS)
def test_gathers_and_their_duals(name, n):
    rounds = GATHERS[name](n)
    network = oracle.switch(n)
    there, back = gather(network, rounds), scatter(network, oracle.dual(rounds))
    assert counted("switch", "all_gather", name, n) == near(expected(there))
    assert counted("switch", "reduce_scatter", name, n) == near(expected(back))
    if name == "two_way_ring":
        both = counted("switch", "all_reduce", name, n)
        for key in ("rounds", "messages", "bytes"):
            assert both[key] == near(expected(there)[key] + expected(back)[key])


@pytest.mark.parametrize("n", RANKS)
def test_two_way_ring_on_a_clique(n):
    """Two neighbours, two links."""
    tally = gather(oracle.clique(n), more.two_way_ring(n))
    assert counted("clique", "all_gather", "two_way_ring", n) == near(expected(tally))


@pytest.mark.parametrize("n", range(2, 25))
def test_neighbour_exchange(n):
    ours = counted("switch", "all_gather", "neighbour_exchange", n)
    if n % 2:
        assert ours["valid"] == 0.0
        return
    tally = gather(oracle.switch(n), more.neighbour_exchange(n))
    assert ours == near(expected(tally))


@pytest.mark.parametrize("n", RANKS)
def test_folded_halving(n):
    tally = scatter(oracle.switch(n), more.folded_halving(n))
    ours = counted("switch", "reduce_scatter", "folded_halving", n)
    assert ours == near(expected(tally))


@pytest.mark.parametrize("kind", ["switch", "clique"])
@pytest.mark.parametrize("n", [2, 3, 5, 7, 11, 13, 24])
def test_ring_channels(kind, n):
    """Two rings of strides 1 and -1, which share no link of a clique from three on."""
    network = {"switch": oracle.switch, "clique": oracle.clique}[kind](n)
    orders = [list(range(n)), list(range(n))[::-1]]
    if kind == "clique":
        orders = orders[: n - 1]
    held: dict = {r: [(c, r) for c in range(len(orders))] for r in range(n)}
    state = oracle.own(network.ranks, held)
    tally = oracle.run(network, more.rings(orders, held), state, 1 / n / len(orders))
    oracle.check_gathered(state, network.ranks, held)
    ours = counted(kind, "all_gather", "ring_channels", n)
    wanted = expected(tally) | {"messages": (n - 1) * (len(orders) - 1)}
    assert ours == near(wanted)
    back = counted(kind, "reduce_scatter", "ring_channels", n)
    assert back["bytes"] == near(tally.bytes[0])
    both = counted(kind, "all_reduce", "ring_channels", n)
    assert both["bytes"] == near(2 * tally.bytes[0])


def exchanged(n: int, rounds: oracle.Rounds) -> oracle.Tally:
    network = oracle.switch(n)
    held = {r: [(r, d) for d in range(n)] for r in range(n)}
    state = oracle.own(network.ranks, held)
    tally = oracle.run(network, rounds, state, 1 / n)
    for rank in range(n):
        assert all(state[rank][s, rank] == 1 << s for s in range(n))
    return tally


EXCHANGES = {
    "ring": more.relay_exchange,
    "pairwise": more.pairwise_exchange,
    "bruck": lambda n: more.bruck_exchange_radix(n, 2),
    "bruck_4": lambda n: more.bruck_exchange_radix(n, 4),
}


@pytest.mark.parametrize("n", RANKS)
@pytest.mark.parametrize("name", EXCHANGES)
def test_exchanges(name, n):
    tally = exchanged(n, EXCHANGES[name](n))
    assert counted("switch", "all_to_all", name, n) == near(expected(tally))


@pytest.mark.parametrize("radix", [2, 3, 5, 8])
def test_any_radix(radix):
    for n in RANKS:
        dims = [Dim(kind="switch", members=float(n))]
        (ours,) = exchange.bruck_all_to_all(dims, 1.0, radix)
        tally = exchanged(n, more.bruck_exchange_radix(n, radix))
        assert float(ours.levels[0].rounds) == tally.all_rounds
        assert float(ours.levels[0].bytes) == near(tally.bytes.get(0, 0.0))
        (ours,) = exchange.bruck_all_gather(dims, 1.0, radix)
        tally = gather(oracle.switch(n), more.bruck_radix(n, radix))
        assert float(ours.levels[0].rounds) == tally.all_rounds
        assert float(ours.levels[0].bytes) == near(tally.bytes.get(0, 0.0))


@pytest.mark.parametrize("n", RANKS)
def test_knomial(n):
    tree = more.knomial(n, 4)
    down, up = run_broadcast(n, tree), run_reduce(n, oracle.dual(tree))
    assert counted("switch", "broadcast", "knomial", n) == near(expected(down))
    assert counted("switch", "reduce", "knomial", n) == near(expected(up))


@pytest.mark.parametrize("n", RANKS)
def test_linear(n):
    fan = [[oracle.Message(0, r, [0]) for r in range(1, n)]] if n > 1 else []
    down, up = run_broadcast(n, fan), run_reduce(n, oracle.dual(fan))
    assert counted("switch", "broadcast", "linear", n) == near(expected(down))
    wanted = expected(up) | {"messages": max(n - 2, 0)}  # taken in by one
    assert counted("switch", "reduce", "linear", n) == near(wanted)


@pytest.mark.parametrize("n", RANKS)
def test_binary_tree(n):
    """A stream: an inner rank sends two copies; small trees have no such rank."""
    tree = oracle.tree_rounds(oracle.binary_tree(n), [0])
    down = run_broadcast(n, tree)
    ours = counted("switch", "broadcast", "binary_tree", n)
    assert len(tree) == ours["rounds"] == (n - 1).bit_length()
    assert ours["bytes"] == near(down.stream.get(0, 0.0))
    up = run_reduce(n, oracle.dual(tree))
    back = counted("switch", "reduce", "binary_tree", n)
    assert back["reduced"] == up.reduced
    assert back["bytes"] == near(up.stream.get(0, 0.0))


@pytest.mark.parametrize("many", SEGMENTS)
@pytest.mark.parametrize("n", range(2, 25))
def test_segments(n, many):
    """Chains start a segment a round; the root of a binomial tree when it is free."""
    dims = [Dim(kind="switch", members=float(n))]
    chain = [[oracle.Message(r, r + 1, [0])] for r in range(n - 1)]
    rounds = more.segmented(chain, many, 1)
    tally = run_broadcast(n, rounds, many)
    (ours,) = trees.chain_broadcast(dims, 1.0, 1 / many)
    assert float(ours.levels[0].rounds) == tally.all_rounds
    assert float(ours.levels[0].bytes) == near(tally.bytes[0])

    tree = oracle.binomial(n, lambda _: [0])
    rounds = more.segmented(tree, many, len(tree))
    tally = run_broadcast(n, rounds, many)
    (ours,) = trees.binomial_broadcast(dims, 1.0, 1 / many)
    assert float(ours.levels[0].rounds) == tally.all_rounds
    assert float(ours.levels[0].bytes) == near(tally.bytes[0])


@pytest.mark.parametrize("many", SEGMENTS)
@pytest.mark.parametrize("n", range(2, 25))
def test_double_tree_in_segments(n, many):
    """Up and down both trees, a segment of each after another.

    Rounds and reduction exactly; the bytes are the stream and no more than what fills
    a full tree, of which the busiest rank of a smaller one is spared some.
    """
    down = oracle.double_tree_down(n)
    rounds: oracle.Rounds = []
    both = oracle.together(*map(oracle.dual, down)) + oracle.together(*down)
    for segment in range(many):
        moved = [
            [
                oracle.Message(
                    m.source, m.target, [(b, segment) for b in m.blocks], m.add
                )
                for m in messages
            ]
            for messages in both
        ]
        rounds = oracle.together(rounds, [[]] * segment + moved)
    blocks = [(half, segment) for half in (0, 1) for segment in range(many)]
    network = oracle.switch(n)
    state = oracle.partial(network.ranks, blocks)
    tally = oracle.run(network, rounds, state, 0.5 / many)
    oracle.check_reduced(state, network.ranks, dict.fromkeys(network.ranks, blocks))
    dims = [Dim(kind="switch", members=float(n))]
    (ours,) = trees.double_tree_all_reduce(dims, 1.0, 1 / many)
    assert tally.all_rounds == float(ours.levels[0].rounds)
    assert tally.stream[0] == near(min(2.0, n / 2.0))
    assert tally.reduced == near(float(ours.reduced_bytes))
    assert tally.bytes[0] <= float(ours.levels[0].bytes) + 1e-9


def test_incast_by_hand():
    """1 + 0.1 x 7^0.5 times the bytes of eight ranks, and nothing else."""
    dims = [Dim(kind="switch", members=8.0)]
    plain = algorithms("flat", "all_to_all")["direct"].count
    (ours,) = exchange.with_incast(plain, 0.1, 0.5)(dims, 1.0)
    (bare,) = plain(dims, 1.0)
    factor = 1 + 0.1 * math.sqrt(7)
    assert float(ours.levels[0].bytes) == near(7 / 8 * factor)
    assert float(ours.levels[0].rounds) == float(bare.levels[0].rounds)

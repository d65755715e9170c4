"""Flat algorithms against their execution on a switch and on a clique."""

import functools
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from fabricmodel.algorithms.counts import Dim, total
from fabricmodel.algorithms.registry import algorithms

SIZE = 2.0**20
RANKS = range(1, 25)
POWERS = (1, 2, 4, 8, 16)


@functools.cache
def library(kind: str, collective: str, name: str) -> dict[str, np.ndarray]:
    """Return the counts for every number of ranks, bytes in units of the size."""
    n = jnp.arange(1.0, len(RANKS) + 1.0)
    dims = [Dim(kind=kind, members=n, capacity=n)]
    counts = total(algorithms("flat", collective)[name].count(dims, SIZE))
    (level,) = counts.levels
    return {
        field: np.broadcast_to(np.asarray(value, float), n.shape)
        for field, value in {
            "rounds": level.rounds,
            "hops": level.hops,
            "messages": level.messages,
            "bytes": level.bytes / SIZE,
            "reduced": counts.reduced_bytes / SIZE,
            "valid": counts.valid,
        }.items()
    }


def counted(kind: str, collective: str, name: str, n: int) -> dict[str, float]:
    table = library(kind, collective, name)
    return {field: float(values[n - 1]) for field, values in table.items()}


def expected(tally: oracle.Tally, *, streams: bool = False) -> dict[str, float]:
    carried = tally.stream if streams else tally.bytes
    return {
        "rounds": tally.all_rounds,
        "hops": tally.hops[0],
        "messages": tally.messages,
        "bytes": carried.get(0, 0.0),
        "reduced": tally.reduced,
        "valid": 1.0,
    }


def one_each(n: int) -> dict[oracle.Rank, list[oracle.Block]]:
    return {r: [r] for r in range(n)}


def near(counts: dict[str, float] | float):
    return pytest.approx(counts, rel=1e-6, abs=1e-9)


# all_gather and reduce_scatter


def gathering(name: str, n: int) -> oracle.Rounds:
    group, held = list(range(n)), one_each(n)
    if name in ("recursive_doubling", "recursive_halving"):
        return oracle.doubling(group, held, range(n.bit_length() - 1))
    schedules: dict[str, Callable[[Sequence, oracle.Held], oracle.Rounds]] = {
        "ring": oracle.ring,
        "bruck": oracle.bruck,
        "direct": oracle.direct,
    }
    return schedules[name](group, held)


def run_all_gather(network: oracle.Network, name: str) -> oracle.Tally:
    n = len(network.ranks)
    state = oracle.own(network.ranks, one_each(n))
    tally = oracle.run(network, gathering(name, n), state, 1 / n)
    oracle.check_gathered(state, network.ranks, one_each(n))
    return tally


def run_reduce_scatter(network: oracle.Network, name: str) -> oracle.Tally:
    n = len(network.ranks)
    state = oracle.partial(network.ranks, range(n))
    tally = oracle.run(network, oracle.dual(gathering(name, n)), state, 1 / n)
    oracle.check_reduced(state, network.ranks, one_each(n))
    return tally


@pytest.mark.parametrize("n", RANKS)
@pytest.mark.parametrize("name", ["ring", "bruck", "direct"])
def test_all_gather(name, n):
    tally = run_all_gather(oracle.switch(n), name)
    assert counted("switch", "all_gather", name, n) == near(expected(tally))


@pytest.mark.parametrize("n", RANKS)
@pytest.mark.parametrize("name", ["ring", "bruck", "direct"])
def test_reduce_scatter(name, n):
    tally = run_reduce_scatter(oracle.switch(n), name)
    assert counted("switch", "reduce_scatter", name, n) == near(expected(tally))


@pytest.mark.parametrize("n", RANKS)
def test_doubling_needs_a_power_of_two(n):
    gather = counted("switch", "all_gather", "recursive_doubling", n)
    scatter = counted("switch", "reduce_scatter", "recursive_halving", n)
    if n not in POWERS:
        assert gather["valid"] == scatter["valid"] == 0.0
        return
    network = oracle.switch(n)
    assert gather == near(expected(run_all_gather(network, "recursive_doubling")))
    assert scatter == near(expected(run_reduce_scatter(network, "recursive_halving")))


# all_reduce


def all_reduce_schedule(name: str, n: int) -> tuple[oracle.Rounds, int]:
    """Return the rounds, and how many blocks the vector is cut into."""
    power = 1 << n.bit_length() - 1
    axes = range(n.bit_length() - 1)
    if name == "recursive_doubling":

        def exchange(kept):
            rounds = oracle.doubling(kept, {r: [0] for r in kept}, axes)
            return [
                [oracle.Message(m.source, m.target, [0], add=True) for m in messages]
                for messages in rounds
            ]

        return oracle.folded(n, exchange, [0]), 1
    if name == "halving_doubling":

        def halve_double(kept):
            held = {r: [i] for i, r in enumerate(kept)}
            rounds = oracle.doubling(kept, held, axes)
            return oracle.dual(rounds) + rounds

        return oracle.folded(n, halve_double, range(power)), power
    if name == "one_shot":
        pairs = [(a, b) for a in range(n) for b in range(n) if a != b]
        # A rank keeps its own contribution apart: it sends what it had at the start.
        rounds = [[oracle.Message(a, b, [0], add=True) for a, b in pairs]]
        return (rounds if pairs else []), 1
    gather = gathering({"ring": "ring", "two_shot": "direct"}[name], n)
    return oracle.dual(gather) + gather, n


def run_all_reduce(network: oracle.Network, name: str) -> oracle.Tally:
    n = len(network.ranks)
    rounds, blocks = all_reduce_schedule(name, n)
    state = oracle.partial(network.ranks, range(blocks))
    tally = oracle.run(network, rounds, state, 1 / blocks)
    oracle.check_reduced(
        state, network.ranks, dict.fromkeys(network.ranks, range(blocks))
    )
    return tally


@pytest.mark.parametrize("n", RANKS)
@pytest.mark.parametrize(
    "name", ["ring", "recursive_doubling", "halving_doubling", "one_shot", "two_shot"]
)
def test_all_reduce(name, n):
    tally = run_all_reduce(oracle.switch(n), name)
    assert counted("switch", "all_reduce", name, n) == near(expected(tally))


@pytest.mark.parametrize("n", RANKS)
def test_double_tree_all_reduce(n):
    """Two trees, half of the vector each; a rank is an inner node of one at most."""
    down = oracle.double_tree_down(n)
    inner = [{m.source for messages in tree for m in messages} for tree in down]
    # Besides the root, which has one child, no rank has children in both trees.
    roots = {0, 1 % n if n % 2 else n - 1}
    assert inner[0] & inner[1] <= roots
    rounds = oracle.together(*map(oracle.dual, down)) + oracle.together(*down)
    network = oracle.switch(n)
    state = oracle.partial(network.ranks, range(2))
    tally = oracle.run(network, rounds, state, 0.5)
    oracle.check_reduced(state, network.ranks, dict.fromkeys(network.ranks, (0, 1)))

    ours = counted("switch", "all_reduce", "double_tree", n)
    assert ours["valid"] == 1.0
    assert ours["rounds"] == tally.all_rounds == 2 * (n - 1).bit_length()
    assert ours["bytes"] == pytest.approx(tally.sent) == tally.received
    assert ours["reduced"] == pytest.approx(tally.reduced)


# all_to_all


def run_all_to_all(network: oracle.Network, rounds: oracle.Rounds) -> oracle.Tally:
    n = len(network.ranks)
    held = {r: [(r, d) for d in range(n)] for r in range(n)}
    state = oracle.own(network.ranks, held)
    tally = oracle.run(network, rounds, state, 1 / n)
    for rank in range(n):
        assert all(state[rank][s, rank] == 1 << s for s in range(n))
    return tally


@pytest.mark.parametrize("n", RANKS)
def test_direct_all_to_all(n):
    network = oracle.switch(n)
    tally = run_all_to_all(network, oracle.direct_exchange(network.ranks))
    assert counted("switch", "all_to_all", "direct", n) == near(expected(tally))


# With a root


def run_broadcast(n: int, rounds: oracle.Rounds, blocks: int = 1) -> oracle.Tally:
    network = oracle.switch(n)
    state: oracle.State = {r: {} for r in range(n)}
    state[0] = dict.fromkeys(range(blocks), 1)
    tally = oracle.run(network, rounds, state, 1 / blocks)
    assert all(state[r] == state[0] and len(state[r]) == blocks for r in range(n))
    return tally


def run_reduce(n: int, rounds: oracle.Rounds, blocks: int = 1) -> oracle.Tally:
    network = oracle.switch(n)
    state = oracle.partial(network.ranks, range(blocks))
    tally = oracle.run(network, rounds, state, 1 / blocks)
    assert state[0] == dict.fromkeys(range(blocks), (1 << n) - 1)
    return tally


def chain(n: int) -> oracle.Rounds:
    return [[oracle.Message(r, r + 1, [0])] for r in range(n - 1)]


@pytest.mark.parametrize("n", RANKS)
def test_binomial(n):
    """The busiest rank is the root, in every round: its bytes add up."""
    tree = oracle.binomial(n, lambda _: [0])
    broadcast, reduce = run_broadcast(n, tree), run_reduce(n, oracle.dual(tree))
    assert counted("switch", "broadcast", "binomial", n) == near(expected(broadcast))
    assert counted("switch", "reduce", "binomial", n) == near(expected(reduce))


@pytest.mark.parametrize("n", RANKS)
def test_chain(n):
    """A stream: segments follow one another, and a link carries the vector once."""
    broadcast, reduce = run_broadcast(n, chain(n)), run_reduce(n, oracle.dual(chain(n)))
    ours = counted("switch", "broadcast", "chain", n)
    assert ours == near(expected(broadcast, streams=True))
    ours = counted("switch", "reduce", "chain", n)
    assert ours == near(expected(reduce, streams=True))


@pytest.mark.parametrize("n", RANKS)
def test_scatter_and_ring(n):
    """Scatter, then gather round a ring (van de Geijn); backwards for a reduce."""
    tree = oracle.binomial(n, list)
    rounds = tree + gathering("ring", n)
    ours = counted("switch", "broadcast", "scatter_all_gather", n)
    assert ours == near(expected(run_broadcast(n, rounds, n)))
    ours = counted("switch", "reduce", "reduce_scatter_gather", n)
    gather = [
        [oracle.Message(m.target, m.source, m.blocks) for m in messages]
        for messages in reversed(tree)
    ]
    rounds = oracle.dual(gathering("ring", n)) + gather
    assert ours == near(expected(run_reduce(n, rounds, n)))


@pytest.mark.parametrize("n", RANKS)
@pytest.mark.parametrize("name", ["binomial", "direct"])
@pytest.mark.parametrize("collective", ["scatter", "gather"])
def test_scatter_and_gather(collective, name, n):
    network = oracle.switch(n)
    if name == "binomial":
        rounds = oracle.binomial(n, list)
    else:
        rounds = [[oracle.Message(0, r, [r]) for r in range(1, n)]]
    if collective == "scatter":
        state = {r: {} for r in range(n)}
        state[0] = {b: 1 << b for b in range(n)}
    else:
        state = {r: {r: 1 << r} for r in range(n)}
        rounds = [
            [oracle.Message(m.target, m.source, m.blocks) for m in messages]
            for messages in reversed(rounds)
        ]
    tally = oracle.run(network, rounds, state, 1 / n)
    want = range(n) if collective == "scatter" else [0]
    assert all(state[r][r] == 1 << r for r in want)
    assert collective == "scatter" or len(state[0]) == n
    ours = counted("switch", collective, name, n)
    wanted = expected(tally)
    if collective == "gather":  # posted by n - 1 ranks, taken in by one
        wanted["messages"] = ours["messages"]
    assert ours == near(wanted)


# Clique


@pytest.mark.parametrize("n", RANKS)
def test_direct_on_a_clique_uses_all_links_at_once(n):
    network = oracle.clique(n)
    exchange = run_all_to_all(network, oracle.direct_exchange(network.ranks))
    for collective, name, tally in [
        ("all_gather", "direct", run_all_gather(network, "direct")),
        ("reduce_scatter", "direct", run_reduce_scatter(network, "direct")),
        ("all_to_all", "direct", exchange),
        ("all_reduce", "one_shot", run_all_reduce(network, "one_shot")),
        ("all_reduce", "two_shot", run_all_reduce(network, "two_shot")),
    ]:
        assert counted("clique", collective, name, n) == near(expected(tally)), name


@pytest.mark.parametrize("n", RANKS)
def test_one_partner_at_a_time_uses_one_link_of_a_clique(n):
    """Doubling meets another rank in every round, and only in that round."""
    network = oracle.clique(n)
    for collective, name, tally in [
        ("all_gather", "bruck", run_all_gather(network, "bruck")),
        ("reduce_scatter", "bruck", run_reduce_scatter(network, "bruck")),
        (
            "all_reduce",
            "recursive_doubling",
            run_all_reduce(network, "recursive_doubling"),
        ),
        (
            "all_reduce",
            "halving_doubling",
            run_all_reduce(network, "halving_doubling"),
        ),
    ]:
        assert counted("clique", collective, name, n) == near(expected(tally)), name


@pytest.mark.parametrize("n", RANKS)
def test_rings_on_a_clique_share_the_vector(n):
    """The links make n - 1 edge-disjoint directed rings; 1/(n - 1) goes round each.

    For a prime n the rings are the strides; for the others but 4 and 6 they exist
    (Tillson 1980), and no schedule can load the links less.
    """
    bound = 1 / n if n > 1 else 0.0
    if n in (2, 3, 5, 7, 11, 13, 17, 19, 23):
        network = oracle.clique(n)
        held = {r: [(r, k) for k in range(1, n)] for r in range(n)}
        rounds = oracle.together(
            *(
                oracle.ring([i * k % n for i in range(n)], {r: [(r, k)] for r in held})
                for k in range(1, n)
            )
        )
        state = oracle.own(network.ranks, held)
        tally = oracle.run(network, rounds, state, 1 / n / (n - 1))
        oracle.check_gathered(state, network.ranks, held)
        assert tally.bytes[0] == pytest.approx(bound)
    for collective in ("all_gather", "reduce_scatter", "all_reduce"):
        passes = 2 if collective == "all_reduce" else 1
        ours = counted("clique", collective, "ring", n)
        assert ours["bytes"] == pytest.approx(passes * bound)
        assert ours["rounds"] == passes * (n - 1)

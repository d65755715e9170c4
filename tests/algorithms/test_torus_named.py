"""Swing, Bine, recursive doubling and rings by name, against their execution."""

import functools
import itertools

import numpy as np
import oracle
import oracle.torus_schedules as steps
import pytest

from fabricmodel.algorithms.counts import Dim, total
from fabricmodel.algorithms.registry import algorithms
from fabricmodel.algorithms.torus_rings import shift

Sides = tuple[int, ...]
POWERS: list[Sides] = [
    (2,), (4,), (8,), (16,), (1, 8), (2, 2), (2, 4), (4, 2), (4, 4), (4, 8), (8, 8),
    (2, 2, 2), (2, 4, 4), (4, 4, 4),
]  # fmt: skip
ANY: list[Sides] = [
    (3,), (5,), (3, 4), (5, 5), (4, 2), (2, 3), (1, 5), (4, 4, 4), (3, 4, 5),
]  # fmt: skip
PARTNERS = {"swing": steps.swing_partner, "torus_doubling": steps.doubling_partner}
SUFFIX = {"one": "_1port", "sides": "_sides", "all": ""}


def near(values):
    return pytest.approx(np.asarray(values), rel=1e-9, abs=1e-12)


def dims_of(sides: Sides, wrap: bool = True) -> list[Dim]:
    return [
        Dim(kind="ring", members=float(n), capacity=float(n + (not wrap)))
        for n in sides
    ]


def counted(collective: str, name: str, dims: list[Dim]) -> tuple[np.ndarray, float]:
    """Rounds, hops and bytes of the sides, and the bytes reduced."""
    phases = algorithms("torus", collective)[name].count(dims, 1.0)
    counts = total(phases)
    assert float(counts.valid) == 1.0
    rows = [[float(x.rounds), float(x.hops), float(x.bytes)] for x in counts.levels]
    return np.array(rows), float(counts.reduced_bytes)


def levels_of(depth: int, *tallies: oracle.Tally) -> np.ndarray:
    rows = [
        [[t.rounds[d], t.hops[d], t.bytes.get(d, 0.0)] for d in range(depth)]
        for t in tallies
    ]
    return np.array(rows).sum(axis=0)


def parts_of(sides: Sides, ports: str) -> list[tuple[int, int]]:
    """Start and sense of every sub-collective."""
    real = [side for side, n in enumerate(sides) if n > 1]
    if ports == "one":
        return [(0, 1)]
    if ports == "sides":
        return [(side, 1) for side in real]
    return [(s, sense) for s in real for sense in ((1, -1) if sides[s] > 2 else (1,))]


def partners_of(name: str, sides: Sides, start: int, sense: int) -> list:
    bits = [n.bit_length() - 1 for n in sides]
    return [
        PARTNERS[name](sides, side, step, sense)
        for side, step in steps.turns(bits, start)
    ]


@functools.cache
def run_exchange(
    name: str, sides: Sides, wrap: bool, ports: str
) -> tuple[oracle.Tally, oracle.Tally]:
    """Reduce and scatter, then gather."""
    network = oracle.torus(sides, [wrap] * len(sides))
    ranks, parts = network.ranks, parts_of(sides, ports)
    rounds = oracle.together(
        *(
            steps.exchange_all(ranks, partners_of(name, sides, *part), i)
            for i, part in enumerate(parts)
        )
    )
    block = 1 / len(ranks) / len(parts)
    held = {r: [(i, r) for i in range(len(parts))] for r in ranks}
    state = oracle.own(ranks, held)
    gathered = oracle.run(network, rounds, state, block)
    oracle.check_gathered(state, ranks, held)
    state = oracle.partial(ranks, [b for own in held.values() for b in own])
    scattered = oracle.run(network, oracle.dual(rounds), state, block)
    oracle.check_reduced(state, ranks, held)
    return scattered, gathered


def unmixed(sides: Sides, ports: str) -> bool:
    """Every step keeps the mirrored copies of one start on a side.

    Where sides differ, copies that started elsewhere may share a side in a step, and
    what is counted is the sum of the busiest links of each, an upper bound.
    """
    real = {n for n in sides if n > 1}
    return ports == "one" or len(real) <= 1


@pytest.mark.parametrize("ports", SUFFIX)
@pytest.mark.parametrize("sides", POWERS, ids=str)
@pytest.mark.parametrize("name", ["swing", "bine", "torus_doubling"])
def test_exchange(name, sides, ports):
    executed = "swing" if name == "bine" else name
    scattered, gathered = run_exchange(executed, sides, True, ports)
    check(name, sides, ports, scattered, gathered, True)


@pytest.mark.parametrize("sides", [(4,), (8,), (4, 4)], ids=str)
def test_doubling_without_wraparound(sides):
    scattered, gathered = run_exchange("torus_doubling", sides, False, "one")
    check("torus_doubling", sides, "one", scattered, gathered, False)
    for name in ("swing", "bine"):
        (counts,) = algorithms("torus", "all_gather")[name].count(
            dims_of(sides, False), 1.0
        )
        assert float(counts.valid) == 0.0


def check(name, sides, ports, scattered, gathered, wrap):
    n, depth, full = int(np.prod(sides)), len(sides), name + SUFFIX[ports]
    for collective, tallies in (
        ("all_gather", [gathered]),
        ("reduce_scatter", [scattered]),
        ("all_reduce", [scattered, gathered]),
    ):
        ours, reduced = counted(collective, full, dims_of(sides, wrap))
        theirs = levels_of(depth, *tallies)
        if unmixed(sides, ports):
            assert ours == near(theirs), collective
        else:
            assert ours[:, :2] == near(theirs[:, :2]), collective
            assert np.all(ours[:, 2] >= theirs[:, 2] - 1e-12)
            assert np.all(ours[:, 2] <= theirs[:, 2] * 1.5 + 1e-12)
        adds = 0.0 if collective == "all_gather" else (n - 1) / n
        assert reduced == near(adds)
    assert scattered.reduced == near((n - 1) / n)


@pytest.mark.parametrize("ports", SUFFIX)
@pytest.mark.parametrize("sides", POWERS, ids=str)
@pytest.mark.parametrize("name", ["swing", "bine", "torus_doubling"])
def test_latency_optimal(name, sides, ports):
    """Whole vectors: log2 N steps, each of which adds one."""
    network = oracle.torus(sides, [True] * len(sides))
    parts = parts_of(sides, ports)
    executed = "swing" if name == "bine" else name
    rounds = oracle.together(
        *(
            steps.exchange_sums(network.ranks, partners_of(executed, sides, *part), i)
            for i, part in enumerate(parts)
        )
    )
    blocks = [(i, 0) for i in range(len(parts))]
    state = oracle.partial(network.ranks, blocks)
    tally = oracle.run(network, rounds, state, 1 / len(parts))
    oracle.check_reduced(state, network.ranks, dict.fromkeys(network.ranks, blocks))
    ours, reduced = counted(
        "all_reduce", f"{name}_latency{SUFFIX[ports]}", dims_of(sides)
    )
    theirs = levels_of(len(sides), tally)
    if unmixed(sides, ports):
        assert ours == near(theirs)
    else:
        assert ours[:, :2] == near(theirs[:, :2])
        assert np.all(ours[:, 2] >= theirs[:, 2] - 1e-12)
    assert reduced == near(tally.reduced)


@pytest.mark.parametrize("parts_only", [False, True], ids=["broadcast", "scatter"])
@pytest.mark.parametrize("ports", SUFFIX)
@pytest.mark.parametrize("sides", POWERS, ids=str)
def test_bine_tree(sides, ports, parts_only):
    """From any root; a link never carries two messages of one tree in a step."""
    network = oracle.torus(sides, [True] * len(sides))
    ranks, parts = network.ranks, parts_of(sides, ports)
    block = 1 / len(parts) / (len(ranks) if parts_only else 1)
    collective = "scatter" if parts_only else "broadcast"
    ours, _ = counted(collective, "bine" + SUFFIX[ports], dims_of(sides))
    for root in (ranks[0], ranks[-1]):
        rounds = oracle.together(
            *(
                steps.tree_down(
                    root,
                    partners_of("swing", sides, *part),
                    i,
                    parts_only=parts_only,
                )
                for i, part in enumerate(parts)
            )
        )
        state: oracle.State = {r: {} for r in ranks}
        names = ranks if parts_only else [0]
        state[root] = {(i, x): 1 for i in range(len(parts)) for x in names}
        tally = oracle.run(network, rounds, state, block)
        for rank in ranks:
            wanted = rank if parts_only else 0
            assert all((i, wanted) in state[rank] for i in range(len(parts)))
        theirs = levels_of(len(sides), tally)
        assert ours[:, :2] == near(theirs[:, :2])
        if ports == "one":
            assert ours[:, 2] == near(theirs[:, 2])
        else:
            assert np.all(ours[:, 2] >= theirs[:, 2] - 1e-12)


def test_published_congestion():
    """Bytes over the ports' optimum on 8x8 and 16x16 (Swing, NSDI'24), and on 8^3."""
    for sides, ratio in [((8, 8), 1.095), ((16, 16), 1.141), ((8, 8, 8), 1.027)]:
        ours, _ = counted("all_reduce", "swing", dims_of(sides))
        n = np.prod(sides)
        optimum = 2 * (n - 1) / n / (2 * len(sides))
        assert ours[0, 2] / optimum == pytest.approx(ratio, abs=5e-4)


@pytest.mark.parametrize("sides", [(3,), (6, 4), (12,)])
def test_other_sides_are_refused(sides):
    for name in ("swing", "bine_1port", "torus_doubling_sides"):
        (counts,) = algorithms("torus", "all_gather")[name].count(dims_of(sides), 1.0)
        assert float(counts.valid) == 0.0


# Rings


@pytest.mark.parametrize("wrap", [True, False], ids=["rings", "lines"])
@pytest.mark.parametrize("sides", ANY, ids=str)
def test_bucket_on_one_port(sides, wrap):
    network = oracle.torus(sides, [wrap or n < 3 for n in sides])
    real = [side for side, n in enumerate(sides) if n > 1]
    phases, start = oracle.bucket_phases(network, [(real, 1)])
    state = oracle.own(network.ranks, start)
    tallies = [oracle.run(network, p, state, 1 / len(network.ranks)) for p in phases]
    oracle.check_gathered(state, network.ranks, start)
    theirs = levels_of(len(sides), *tallies)
    for collective, passes in (
        ("all_gather", 1),
        ("reduce_scatter", 1),
        ("all_reduce", 2),
    ):
        ours, reduced = counted(collective, "bucket_1port", dims_of(sides, wrap))
        assert ours[:, [0, 2]] == near(passes * theirs[:, [0, 2]])
        n = len(network.ranks)
        assert reduced == near(0.0 if collective == "all_gather" else (n - 1) / n)


@pytest.mark.parametrize("sides", [s for s in ANY if len(s) > 1], ids=str)
def test_free_running_bucket(sides):
    """All that the parts bring to a side, whenever it comes; sides closed."""
    network = oracle.torus(sides, [n > 2 for n in sides])
    real = [side for side, n in enumerate(sides) if n > 1]
    orders = [
        (real[i:] + real[:i], sense)
        for i, side in enumerate(real)
        for sense in ((1, -1) if sides[side] > 2 else (1,))
    ]
    phases, start = oracle.bucket_phases(network, orders)
    state = oracle.own(network.ranks, start)
    block = 1 / len(network.ranks) / len(orders)
    together = oracle.run(network, list(itertools.chain(*phases)), state, block)
    oracle.check_gathered(state, network.ranks, start)
    ours, _ = counted("all_gather", "free_bucket", dims_of(sides))
    stream = [together.stream.get(side, 0.0) for side in range(len(sides))]
    if 2 not in sides:  # the two senses of a side of two share its link
        assert ours[:, 2] == near(stream)
    else:
        assert np.all(ours[:, 2] >= np.array(stream) - 1e-12)
    assert ours[:, 0] == near([n - 1 for n in sides])


@pytest.mark.parametrize("sides", [(3, 3), (3, 4), (4, 4), (5,), (4,)], ids=str)
def test_hamiltonian(sides):
    """As many edge-disjoint cycles as sides, found by search; both ways round each."""
    network = oracle.torus(sides, [True] * len(sides))
    graph = network.graph.to_undirected()
    cycles = oracle.edge_disjoint_cycles(graph, len(sides))
    assert cycles is not None
    orders = cycles + [cycle[::-1] for cycle in cycles]
    held = {r: [(c, r) for c in range(len(orders))] for r in network.ranks}
    rounds = oracle.together(
        *(
            oracle.ring(order, {r: [(c, r)] for r in network.ranks})
            for c, order in enumerate(orders)
        )
    )
    state = oracle.own(network.ranks, held)
    n = len(network.ranks)
    tally = oracle.run(network, rounds, state, 1 / n / len(orders))
    oracle.check_gathered(state, network.ranks, held)
    ours, _ = counted("all_gather", "hamiltonian", dims_of(sides))
    assert ours[:, 0].sum() == tally.all_rounds == n - 1
    assert ours[:, 2] == near([tally.stream[side] for side in range(len(sides))])
    both, reduced = counted("all_reduce", "hamiltonian", dims_of(sides))
    assert both[:, 2] == near(2 * ours[:, 2]) and reduced == near((n - 1) / n)


def test_no_hamiltonian_cycles_without_closed_sides():
    for dims in (dims_of((4, 4), False), dims_of((4, 2))):
        (counts,) = algorithms("torus", "all_gather")["hamiltonian"].count(dims, 1.0)
        assert float(counts.valid) == 0.0


@pytest.mark.parametrize("wrap", [True, False], ids=["rings", "lines"])
@pytest.mark.parametrize("sides", [(4,), (5,), (8,), (3, 4), (4, 4)], ids=str)
def test_shift(sides, wrap):
    """Everyone sends so far along each side; counted link by link."""
    network = oracle.torus(sides, [wrap] * len(sides))
    for far in itertools.product(*(range(n) for n in sides)):
        messages = []
        for rank in network.ranks:
            moved = [(x + d) % n for x, d, n in zip(rank, far, sides, strict=True)]
            if tuple(moved) != rank:
                messages.append(oracle.Message(rank, tuple(moved), [rank]))
        state = oracle.own(network.ranks, {r: [r] for r in network.ranks})
        tally = oracle.run(network, [messages] if messages else [], state, 1.0)
        (counts,) = shift(dims_of(sides, wrap), 1.0, [float(d) for d in far])
        loads = [float(level.bytes) for level in counts.levels]
        assert loads == near([tally.bytes.get(d, 0.0) for d in range(len(sides))])
        rounds = [float(level.rounds) for level in counts.levels]
        assert rounds == near([tally.rounds[d] for d in range(len(sides))])
        if len(sides) == 1:
            assert float(counts.levels[0].hops) == near(tally.hops[0])

"""Torus algorithms against their execution on tori and on parts of tori."""

import functools
import itertools
from collections.abc import Sequence

import jax.numpy as jnp
import networkx as nx
import numpy as np
import oracle
import pytest

from fabricmodel.algorithms.counts import Dim, Phases, total
from fabricmodel.algorithms.registry import algorithms

SIZE = 2.0**20
Shape = tuple[tuple[int, ...], tuple[bool, ...]]  # sides; which are whole rings


def _shapes(sides: Sequence[int]) -> list[Shape]:
    """Return a shape with every choice of rings and lines that makes a difference."""
    choices = [(True, False) if n > 2 else (n == 2,) for n in sides]
    return [(tuple(sides), wrap) for wrap in itertools.product(*choices)]


PLANES = [
    shape
    for sides in itertools.product(range(1, 6), repeat=2)
    for shape in _shapes(sides)
]
SPACES = [
    shape
    for sides in [(4, 4, 4), (3, 4, 5), (2, 2, 2), (3, 1, 4), (1, 5, 1)]
    for shape in _shapes(sides)
]


def _name(shape: Shape) -> str:
    return "x".join(
        f"{n}{'' if wrap or n < 3 else '-'}" for n, wrap in zip(*shape, strict=True)
    )


every_shape = pytest.mark.parametrize("shape", PLANES + SPACES, ids=_name)


def dims_of(shapes: Sequence[Shape]) -> list[Dim]:
    """Return the dimensions of many shapes at once: a line is part of a ring."""
    sides = np.array([sides for sides, _ in shapes], np.float32).T
    wraps = np.array([wraps for _, wraps in shapes]).T
    return [
        Dim(kind="ring", members=jnp.asarray(n), capacity=jnp.asarray(n + ~wrap))
        for n, wrap in zip(sides, wraps, strict=True)
    ]


Level = tuple[float, float, float]  # rounds, hops, bytes in units of the size


@functools.cache
def library(collective: str, name: str, depth: int) -> list[list[np.ndarray]]:
    """Return rounds, hops, bytes per phase and dimension, for all shapes of a depth."""
    shapes = PLANES if depth == 2 else SPACES
    phases: Phases = algorithms("torus", collective)[name].count(dims_of(shapes), SIZE)
    return [
        [
            np.stack(
                [
                    np.broadcast_to(np.asarray(x, float), len(shapes))
                    for x in (level.rounds, level.hops, level.bytes / SIZE)
                ]
            )
            for level in phase.levels
        ]
        for phase in (*phases, total(phases))
    ]


@functools.cache
def reduced(collective: str, name: str, depth: int) -> np.ndarray:
    shapes = PLANES if depth == 2 else SPACES
    counts = total(algorithms("torus", collective)[name].count(dims_of(shapes), SIZE))
    assert np.all(np.asarray(counts.valid) == 1.0)
    return np.broadcast_to(np.asarray(counts.reduced_bytes) / SIZE, len(shapes))


def counted(collective: str, name: str, shape: Shape) -> list[list[Level]]:
    """Return the levels of the phases that do something, and of their sum."""
    depth = len(shape[0])
    index = (PLANES if depth == 2 else SPACES).index(shape)
    phases = [
        [tuple(level[:, index].tolist()) for level in levels]
        for levels in library(collective, name, depth)
    ]
    return [p for p in phases[:-1] if any(sum(x) > 0 for x in p)] + phases[-1:]


def levels_of(tally: oracle.Tally, depth: int) -> list[Level]:
    return [
        (tally.rounds[dim], tally.hops[dim], tally.bytes.get(dim, 0.0))
        for dim in range(depth)
    ]


def near(levels: np.ndarray):
    return pytest.approx(levels, rel=1e-6, abs=1e-9)


def loads(levels: Sequence[Level]) -> np.ndarray:
    """Drop the hops: how a line closes its ring is the algorithm's own affair."""
    return np.array(levels)[:, [0, 2]]


def bucket_orders(shape: Shape, *, multiport: bool) -> list[tuple[list[int], int]]:
    """Return the order in which every part gathers along the dimensions, and its sense.

    One dimension at a time has a part for each direction of its rings. With all ports
    in use there is a part for every port, which starts in the port's dimension and goes
    on in cyclic order. A ring of two has one port, and a side of one is no dimension.
    """
    real = [dim for dim, n in enumerate(shape[0]) if n > 1]
    if not multiport or not real:
        return [(real, 1), (real, -1)]
    return [
        (real[i:] + real[:i], step)
        for i, dim in enumerate(real)
        for step in ((1, -1) if shape[0][dim] > 2 else (1,))
    ]


@functools.cache
def run_bucket(
    shape: Shape, multiport: bool
) -> tuple[list[oracle.Tally], list[oracle.Tally]]:
    """Reduce and scatter, then gather; return the tallies of both, phase by phase."""
    network = oracle.torus(*shape)
    orders = bucket_orders(shape, multiport=multiport)
    phases, start = oracle.bucket_phases(network, orders)
    block = 1 / len(network.ranks) / len(orders)

    state = oracle.own(network.ranks, start)
    gathered = [oracle.run(network, phase, state, block) for phase in phases]
    oracle.check_gathered(state, network.ranks, start)

    blocks = [b for held in start.values() for b in held]
    state = oracle.partial(network.ranks, blocks)
    scattered = [
        oracle.run(network, oracle.dual(phase), state, block)
        for phase in reversed(phases)
    ]
    oracle.check_reduced(state, network.ranks, start)
    for phase in phases:
        oracle.run(network, phase, state, block)
    oracle.check_reduced(state, network.ranks, dict.fromkeys(network.ranks, blocks))
    return gathered, scattered


def _bucket(shape: Shape, multiport: bool):
    name = "multiport" if multiport else "one_dimension"
    return pytest.param(shape, multiport, id=f"{name}-{_name(shape)}")


@pytest.mark.parametrize(
    ("shape", "multiport"),
    [_bucket(shape, ports) for shape in PLANES + SPACES for ports in (False, True)],
)
def test_bucket(shape, multiport):
    """Lock step: in every phase the slowest part sets the pace of a dimension."""
    gathered, scattered = run_bucket(shape, multiport)
    depth = len(shape[0])
    name = "multiport_bucket" if multiport else "bucket"
    for collective, tallies in (
        ("all_gather", gathered),
        ("reduce_scatter", scattered),
        ("all_reduce", scattered + gathered),
    ):
        *ours, whole = counted(collective, name, shape)
        theirs = [loads(levels_of(tally, depth)) for tally in tallies]
        summed = sum(theirs, np.zeros((depth, 2)))
        assert loads(whole) == near(summed), collective
        if multiport:
            assert len(ours) == len(theirs)
            for phase, tally in zip(ours, theirs, strict=True):
                assert loads(phase) == near(tally), collective
        index = (PLANES if depth == 2 else SPACES).index(shape)
        adds = sum(tally.reduced for tally in tallies)
        assert reduced(collective, name, depth)[index] == pytest.approx(adds)


@functools.cache
def run_routed(shape: Shape) -> oracle.Tally:
    """Send everyone's block to everyone at once: the load is that of an all_to_all."""
    network = oracle.torus(*shape)
    ranks = network.ranks
    held = {r: [(r, s) for s in ranks] for r in ranks}
    state = oracle.own(ranks, held)
    exchange = oracle.run(network, oracle.direct_exchange(ranks), state, 1 / len(ranks))
    for i, source in enumerate(ranks):
        assert all(state[rank][source, rank] == 1 << i for rank in ranks)
    one = {r: [r] for r in ranks}
    state = oracle.own(ranks, one)
    gather = oracle.run(network, oracle.direct(ranks, one), state, 1 / len(ranks))
    oracle.check_gathered(state, ranks, one)
    assert gather.bytes == exchange.bytes
    return gather


def test_routes_are_minimal():
    """Every route is a walk over links that are there, and no walk is shorter."""
    for shape in [*PLANES[::7], ((3, 4, 5), (True, False, True))]:
        network = oracle.torus(*shape)
        shortest = dict(nx.all_pairs_shortest_path_length(network.graph))
        for a, b in itertools.permutations(network.ranks, 2):
            routes = network.route(a, b)
            assert sum(part for part, _ in routes) == pytest.approx(1.0)
            for _, links in routes:
                assert len(links) == shortest[a][b]
                assert links[0][0] == a and links[-1][1] == b
                assert all(x[1] == y[0] for x, y in itertools.pairwise(links))
                assert all(network.graph.has_edge(*link) for link in links)


@every_shape
@pytest.mark.parametrize(
    ("collective", "steps"),
    [("all_to_all", 1), ("all_gather", 1), ("reduce_scatter", 1), ("all_reduce", 2)],
)
def test_routed(collective, steps, shape):
    """One round as long as the longest way; the load is counted link by link."""
    tally = run_routed(shape)
    depth, ranks = len(shape[0]), int(np.prod(shape[0]))
    *_, whole = counted(collective, "routed", shape)
    longest = nx.diameter(oracle.torus(*shape).graph) if ranks > 1 else 0
    theirs = [
        (tally.rounds[dim], (longest - 1) * tally.rounds[dim], tally.bytes.get(dim, 0))
        for dim in range(depth)
    ]
    assert np.array(whole) == near(steps * np.array(theirs))
    index = (PLANES if depth == 2 else SPACES).index(shape)
    adds = (ranks - 1) / ranks if collective in ("reduce_scatter", "all_reduce") else 0
    assert reduced(collective, "routed", depth)[index] == pytest.approx(adds)


# With a root


@every_shape
def test_tree(shape):
    """Every dimension in turn, from the root: the diameter, and a link carries S."""
    network = oracle.torus(*shape)
    depth = len(shape[0])
    root = network.ranks[0]
    rounds: oracle.Rounds = []
    reached = [root]
    for dim, n in enumerate(shape[0]):
        whole = shape[1][dim] and n > 2
        ups, downs = (n // 2, (n - 1) // 2) if whole else (n - 1, 0)
        for t in range(ups):
            rounds.append(
                [
                    oracle.Message(_at(r, dim, step * t % n), there, [0])
                    for r in reached
                    for step, many in ((1, ups), (-1, downs))
                    if t < many
                    for there in [_at(r, dim, step * (t + 1) % n)]
                ]
            )
        reached = [_at(r, dim, i) for r in reached for i in range(n)]
    state: oracle.State = {r: {} for r in network.ranks}
    state[root] = {0: 1}
    tally = oracle.run(network, rounds, state, 1.0)
    assert all(state[r] == {0: 1} for r in network.ranks)
    theirs = [(tally.rounds[d], tally.stream.get(d, 0.0)) for d in range(depth)]
    for collective in ("broadcast", "reduce"):
        assert loads(counted(collective, "tree", shape)[-1]) == near(np.array(theirs))

    state = oracle.partial(network.ranks, [0])
    oracle.run(network, oracle.dual(rounds), state, 1.0)
    assert state[root][0] == (1 << len(network.ranks)) - 1


def _at(rank: oracle.Rank, dim: int, there: int) -> tuple[int, ...]:
    return (*rank[:dim], there, *rank[dim + 1 :])


@pytest.mark.parametrize(
    "shape",
    [pytest.param(shape, id=_name(shape)) for shape in PLANES if shape[0][0] == 1],
)
def test_scatter_from_the_best_root(shape):
    """Along one dimension: no root gets the data out faster than counted.

    No root of an even line has both of its links half busy.
    """
    network = oracle.torus(*shape)
    loads_of_roots = []
    for root in network.ranks:
        state: oracle.State = {r: {} for r in network.ranks}
        state[root] = {r: 1 << i for i, r in enumerate(network.ranks)}
        messages = [oracle.Message(root, r, [r]) for r in network.ranks if r != root]
        tally = oracle.run(network, [messages], state, 1 / len(network.ranks))
        assert all(state[r][r] == 1 << i for i, r in enumerate(network.ranks))
        loads_of_roots.append(tally.bytes.get(1, 0.0))
    ours = counted("scatter", "routed", shape)[-1][1][2]
    assert ours == pytest.approx(min(loads_of_roots), rel=1e-6)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_tree_reduce_adds_every_child(n):
    """In n/2 rounds the root of a ring has two arms, and adds both up: 2 S."""
    shape = (1, n), (False, True)
    network = oracle.torus(*shape)
    ups, downs = n // 2, (n - 1) // 2
    rounds = oracle.together(
        [[oracle.Message((0, i + 1), (0, i), [0], add=True)] for i in range(ups)][::-1],
        [
            [oracle.Message((0, -i - 1 + n), (0, -i % n), [0], add=True)]
            for i in range(downs)
        ][::-1],
    )
    state = oracle.partial(network.ranks, [0])
    tally = oracle.run(network, rounds, state, 1.0)
    assert state[0, 0][0] == (1 << n) - 1
    assert counted("reduce", "tree", shape)[-1][1][0] == tally.all_rounds
    ours = reduced("reduce", "tree", 2)[PLANES.index(shape)]
    assert ours == pytest.approx(tally.reduced)

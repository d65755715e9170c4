"""Beyond the sums of the matrix: every phase by itself, routes, published figures."""

import itertools

import networkx as nx
import numpy as np
import oracle
import pytest
from matrix import differences
from matrix.groups import INSTANCE, by_chip
from matrix.groups import dims as chips_of
from matrix.record import seen
from matrix.shapes import PLANES, SPACES, closed, dims, network
from matrix.torus import bucket_orders

from fabricmodel.algorithms.counts import Dim, Phases, total
from fabricmodel.algorithms.registry import SPANNING, algorithms


def busy(phases: Phases) -> Phases:
    """Those that do something."""
    return tuple(p for p in phases if any(float(x.rounds) for x in p.levels))


@pytest.mark.parametrize("shape", [*PLANES, *SPACES], ids=str)
def test_every_phase_of_a_bucket(shape):
    """Lock step: in every phase the slowest part sets the pace of a dimension."""
    net, orders = network(shape), bucket_orders("multiport_bucket", shape)
    if len(net.ranks) == 1:
        return
    phases, held = oracle.bucket_phases(net, orders, shape[1])
    state = oracle.own(net.ranks, held)
    block = 1 / len(net.ranks) / len(orders)
    ours = busy(algorithms("torus", "all_gather")["multiport_bucket"].count(
        dims(shape), 1.0))  # fmt: skip
    assert len(ours) == len(phases)
    for phase, rounds in zip(ours, phases, strict=True):
        tally = oracle.run(net, rounds, state, block)
        assert not differences((phase,), seen(tally, len(shape[0])))


@pytest.mark.parametrize("group", INSTANCE, ids=str)
def test_every_step_of_rdh(group):
    """As many rounds as axes, each of one round on the sides in use, and one inside."""
    ours = busy(algorithms("neuronlink", "all_gather")["rdh"].count(
        chips_of(group), 1.0))  # fmt: skip
    axes = sum(n.bit_length() - 1 for n in group.sides)
    assert len(ours) == axes + 1
    for k, step in enumerate(ours[:-1]):
        used = [x for x in step.levels if float(x.rounds)]
        assert used and all(float(x.rounds) == 1.0 for x in used)
        assert max(float(x.bytes) for x in used) >= 2**k / group.size


def test_routes_are_minimal():
    """Every route is a walk over links that are there, and no walk is shorter."""
    for shape in [*PLANES[::7], ((3, 4, 5), (True, False, True))]:
        net = oracle.torus(*shape)
        shortest = dict(nx.all_pairs_shortest_path_length(net.graph))
        for a, b in itertools.permutations(net.ranks, 2):
            routes = net.route(a, b)
            assert sum(part for part, _ in routes) == pytest.approx(1.0)
            for _, links in routes:
                assert len(links) == shortest[a][b]
                assert links[0][0] == a and links[-1][1] == b
                assert all(x[1] == y[0] for x, y in itertools.pairwise(links))
                assert all(net.graph.has_edge(*link) for link in links)


@pytest.mark.parametrize("sides", [(3, 3), (4, 4), (5, 5), (4, 4, 4), (3, 4, 5)])
def test_cycles_share_no_link(sides):
    cycles = oracle.hamiltonian_decomposition(sides, (True,) * len(sides))
    edges = [
        frozenset(pair)
        for cycle in cycles
        for pair in zip(cycle, [*cycle[1:], cycle[0]], strict=True)
    ]
    graph = network((sides, (True,) * len(sides))).graph
    assert len(cycles) == len(sides)
    assert len(set(edges)) == len(edges) == graph.number_of_edges() // 2
    assert all(graph.has_edge(*edge) for edge in edges)


def test_published_congestion():
    """Bytes over the ports' optimum on 8x8 and 16x16 (Swing, NSDI'24), and on 8^3."""
    for sides, ratio in [((8, 8), 1.095), ((16, 16), 1.141), ((8, 8, 8), 1.027)]:
        phases = algorithms("torus", "all_reduce")["swing"].count(
            dims(closed(*sides)), 1.0
        )
        n = np.prod(sides)
        optimum = 2 * (n - 1) / n / (2 * len(sides))
        ours = float(total(phases).levels[0].bytes)
        assert ours / optimum == pytest.approx(ratio, abs=5e-4)


def test_channels_of_memory():
    """Three accesses for two ranks instead of four; four instead of six to reduce."""
    for group in INSTANCE:
        if len(by_chip(group)) == 1:
            continue
        for collective, ratio in ("all_gather", 3 / 4), ("reduce_scatter", 4 / 6):
            named = algorithms("neuronlink", collective)
            kangaring, ring = (
                total(named[name].count(chips_of(group), 1.0)).memory_bytes
                for name in ("kangaring", "ring")
            )
            assert float(kangaring) / float(ring) == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("collective", "spanning", "flat"),
    [
        ("all_reduce", "flat_ring", "ring"),
        ("all_gather", "flat_ring", "ring"),
        ("reduce_scatter", "flat_ring", "ring"),
        ("broadcast", "flat_ring", "chain"),
        ("reduce", "flat_ring", "chain"),
        ("all_reduce", "flat_tree", "double_tree"),
        ("all_to_all", "flat_direct", "direct"),
    ],
)
def test_one_level_alone(collective, spanning, flat):
    """On a single level each is the algorithm of a switch, which the matrix holds."""
    for n in range(2, 25):
        switch = [Dim(kind="switch", members=float(n), capacity=float(n))]
        ours = total(SPANNING[collective][spanning].count(switch, 1.0))
        theirs = total(algorithms("flat", collective)[flat].count(switch, 1.0))
        assert float(ours.reduced_bytes) == pytest.approx(float(theirs.reduced_bytes))
        for field in ("rounds", "hops", "bytes"):
            mine, other = (getattr(x.levels[0], field) for x in (ours, theirs))
            assert float(mine) == pytest.approx(float(other)), (n, field)

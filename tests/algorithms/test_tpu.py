"""Slices of TPU pods: sides that wrap, and twisted tori against a walk of the graph."""

import dataclasses
import itertools

import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

import fabricmodel as fm
from fabricmodel.algorithms.counts import Dim, diameter, exchange_load
from fabricmodel.algorithms.registry import algorithms
from fabricmodel.algorithms.tpu import can_twist, slice_dims, twisted, wraps_of
from fabricmodel.placement import place
from fabricmodel.timing.table import topology


@pytest.mark.parametrize(
    ("generation", "sides", "wraps"),
    [
        ("v4", (4, 4, 4), [True] * 3),
        ("v4", (8, 4, 12), [True] * 3),
        ("v5p", (2, 4, 4), [False] * 3),
        ("v5e", (16, 16), [True, True]),
        ("v6e", (8, 16), [False, True]),
        ("v6e", (4, 8), [False, False]),
    ],
)
def test_wraps(generation, sides, wraps):
    assert wraps_of(generation, sides) == wraps
    kinds = [dim.kind for dim in slice_dims(generation, sides)]
    assert kinds == ["ring" if wrap else "line" for wrap in wraps]


def test_unknown_generation():
    with pytest.raises(ValueError, match="v99"):
        wraps_of("v99", (4, 4))


def graph_of(sides, *, twist=True):
    """Join neighbours; a step over the edge of a short side shifts the long ones."""
    short, long = min(sides), max(sides)
    graph = nx.Graph()
    for place_ in itertools.product(*(range(n) for n in sides)):
        for at, n in enumerate(sides):
            there = list(place_)
            there[at] += 1
            if twist and there[at] == n and n == short:
                for other, m in enumerate(sides):
                    if m == long:
                        there[other] = (there[other] + short) % long
            there[at] %= n
            graph.add_edge(place_, tuple(there))
    return graph


SHAPES = [(4, 8), (8, 4), (8, 16), (4, 4, 8), (4, 8, 4), (4, 8, 8), (8, 4, 8)]


def rings(sides):
    return [Dim(kind="ring", members=float(n), capacity=float(n)) for n in sides]


def bucket_bytes(sides):
    """Bytes of an all_gather by buckets on a twisted torus, in units of S/(2D).

    Walked on the graph: where a row of the next side doesn't close among those with the
    same block, its parts share the links of the row both ways.
    """
    graph, zero = graph_of(sides), (0,) * len(sides)
    seen, known, total = {zero}, 1, 0.0

    def step(place_, at):
        there = list(place_)
        there[at] += 1
        if there[at] < sides[at]:
            return tuple(there)
        short = min(sides)
        if sides[at] == short:
            for other, m in enumerate(sides):
                if m > short:
                    there[other] = (there[other] + short) % m
        there[at] = 0
        return tuple(there)

    volumes = []
    for at in range(len(sides)):  # the first side, then those that are left
        row, place_ = [zero], step(zero, at)
        assert graph.has_edge(zero, place_)
        while place_ not in seen:
            row.append(place_)
            place_ = step(place_, at)
        ways = 1.0 if place_ == zero else 2.0
        volumes.append((known, len(row), ways))
        reached = set()
        for member in seen:
            for _ in row:
                reached.add(member)
                member = step(member, at)
        seen, known = reached, known * len(row)
    assert known == graph.number_of_nodes() == len(seen)
    for known_before, n, ways in volumes:
        total += ways * (n - 1) / n / known_before
    return total


@pytest.mark.parametrize(
    ("sides", "most"), [((4, 4, 8), 1.109), ((4, 8, 8), 1.008), ((8, 8, 16), 1.0605)]
)
def test_a_bucket_needs_no_more_than_on_the_plain_torus(sides, most):
    (plain,) = algorithms("torus", "all_gather")["free_bucket"].count(rings(sides), 1.0)
    least = 1 - 1 / np.prod(sides)
    ours = bucket_bytes(sides)
    assert least <= ours == pytest.approx(most, abs=1e-3)
    assert ours <= 2 * len(sides) * max(float(x.bytes) for x in plain.levels)


@pytest.mark.parametrize("twist", [True, False])
@pytest.mark.parametrize("sides", SHAPES)
def test_all_to_all_link_by_link(sides, twist):
    """Every pair over all of its shortest ways, evenly: the load of every link."""
    graph = graph_of(sides, twist=twist)
    assert all(degree == 2 * len(sides) for _, degree in graph.degree)
    # Of unordered pairs over a link is of ordered ones over each of its directions.
    loads = nx.edge_betweenness_centrality(graph, normalized=False)
    load = np.array(list(loads.values())) / graph.number_of_nodes()
    dims = twisted(rings(sides)) if twist else rings(sides)
    ours = [float(exchange_load(dim)) for dim in dims]
    assert max(ours) == pytest.approx(load.max(), rel=1e-12)
    if twist:  # all of its links are alike
        assert ours == pytest.approx([load.min()] * len(sides), rel=1e-12)
    reach = sum(float(diameter(dim)) for dim in dims)
    assert reach == max(nx.single_source_shortest_path_length(
        graph, (0,) * len(sides)).values())  # fmt: skip
    # Half of the chips send half of their bytes over any cut in the middle.
    half = nx.algorithms.community.kernighan_lin_bisection(graph, seed=0)
    links = nx.cut_size(graph, *half)
    assert load.max() >= graph.number_of_nodes() / 4 / links


@pytest.mark.parametrize("sides", [(12, 12, 24), (16, 32, 32), (20, 40)])
def test_larger_ones_by_the_distances_from_one_chip(sides):
    """Every chip looks alike: the ways from one of them, over the links of a chip."""
    graph = graph_of(sides)
    walked = nx.single_source_shortest_path_length(graph, (0,) * len(sides))
    load = sum(walked.values()) / graph.number_of_nodes() / (2 * len(sides))
    dims = twisted(rings(sides))
    assert [float(exchange_load(dim)) for dim in dims] == pytest.approx(
        [load] * len(sides), rel=1e-6
    )
    assert sum(float(diameter(dim)) for dim in dims) == max(walked.values())


@pytest.mark.parametrize(
    "sides", [(4, 4, 4), (4, 8, 12), (6, 12), (2, 2, 4), (4, 4, 16), (4, 8, 16), (8,)]
)
def test_others_stay_plain(sides):
    assert not (len(sides) > 1 and can_twist(sides))
    for plain, dim in zip(rings(sides), twisted(rings(sides)), strict=True):
        assert float(exchange_load(dim)) == float(exchange_load(plain))
        assert float(diameter(dim)) == float(diameter(plain))


def test_an_open_side_is_not_twisted():
    dims = [Dim(kind="ring", members=n, capacity=n + 1.0) for n in (4.0, 8.0)]
    assert all(float(dim.twisted_load) == 0.0 for dim in twisted(dims))


def test_one_program_serves_twisted_and_plain_sides():
    members = [jnp.array([4.0, 4.0]), jnp.array([4.0, 4.0]), jnp.array([8.0, 4.0])]
    dims = twisted([Dim(kind="ring", members=n, capacity=n) for n in members])
    (count,) = algorithms("torus", "all_to_all")["routed"].count(dims, 1.0)
    assert np.asarray(count.levels[2].bytes) == pytest.approx([0.5729166, 0.5])
    assert np.asarray(count.levels[0].hops) == pytest.approx([5.0, 5.0])


@pytest.mark.parametrize(("chips", "gain"), [(128, 1.745), (256, 1.391)])
def test_a_twisted_slice_of_the_catalogue(chips, gain):
    """Above its own bound; all_reduce, by rings, is that of the plain slice."""
    fabric = fm.load_fabric("tpu-v4-pod", chips=chips)
    assert can_twist([int(level.members) for level in fabric.levels])
    levels = [dataclasses.replace(level, twist=False) for level in fabric.levels]
    plain = dataclasses.replace(fabric, levels=tuple(levels))
    size = 2.0**33
    of = {
        kind: [float(fm.collective_time(f, kind, size)) for f in (fabric, plain)]
        for kind in ("all_to_all", "all_reduce")
    }
    assert of["all_to_all"][1] / of["all_to_all"][0] == pytest.approx(gain, rel=0.02)
    bound = float(fm.collective_bound(fabric, "all_to_all", size))
    assert bound <= of["all_to_all"][0] <= 1.02 * bound
    assert of["all_reduce"][0] == pytest.approx(of["all_reduce"][1], rel=1e-4)


@pytest.mark.parametrize(("sides", "load"), [("4x8x8", 0.71875), ("4x4x16", 2.0)])
def test_a_job_says_its_sides(sides, load):
    placed = place(fm.load_fabric("tpu-v4-multislice"), 256, sides=sides)
    assert placed.levels[-1].members == 1.0
    torus = topology(placed.levels)[:3]
    assert max(float(exchange_load(dim)) for dim in torus) == load

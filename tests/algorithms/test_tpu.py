"""Slices of TPU pods: sides that wrap, and twisted tori against a walk of the graph."""

import itertools

import networkx as nx
import numpy as np
import pytest

from fabricmodel.algorithms.counts import exchange_load
from fabricmodel.algorithms.tpu import (
    can_twist,
    slice_dims,
    twisted_distances,
    twisted_exchange_load,
    wraps_of,
)


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


def twisted(sides):
    """Join neighbours; a step over the edge of a short side shifts the long ones."""
    short, long = min(sides), max(sides)
    graph = nx.Graph()
    for place in itertools.product(*(range(n) for n in sides)):
        for at, n in enumerate(sides):
            there = list(place)
            there[at] += 1
            if there[at] == n and n == short:
                for other, m in enumerate(sides):
                    if m == long:
                        there[other] = (there[other] + short) % long
            there[at] %= n
            graph.add_edge(place, tuple(there))
    return graph


@pytest.mark.parametrize("sides", [(4, 8), (8, 4), (4, 4, 8), (4, 8, 8), (6, 12)])
def test_twisted_distances(sides):
    graph = twisted(sides)
    assert all(degree == 2 * len(sides) for _, degree in graph.degree)
    walked = nx.single_source_shortest_path_length(graph, (0,) * len(sides))
    ours = twisted_distances(sides)
    assert all(ours[place] == far for place, far in walked.items())
    # The load by counting: all shortest ways over all directed links.
    load = sum(walked.values()) / graph.number_of_nodes() / (2 * len(sides))
    assert twisted_exchange_load(sides) == pytest.approx(load)


@pytest.mark.parametrize("sides", [(4, 8), (4, 4, 8), (4, 8, 8)])
def test_a_twist_helps_all_to_all(sides):
    """By a third or more on the busiest link, which is on the long side untwisted."""
    plain = max(float(exchange_load(dim)) for dim in slice_dims("v4", sides))
    assert can_twist(sides)
    assert plain / twisted_exchange_load(sides) > 1.3
    assert np.all(twisted_distances(sides) >= 0)

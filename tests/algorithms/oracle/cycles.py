"""Hamiltonian cycles of a torus that share no link and use all of them."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Sequence

import networkx as nx

from oracle.networks import Rank, torus

Edge = frozenset


@functools.cache
def hamiltonian_decomposition(
    sides: tuple[int, ...], wrap: tuple[bool, ...]
) -> list[list[Rank]]:
    """Split a torus of closed sides into as many Hamiltonian cycles.

    Every side begins as a colour, whose edges make many short cycles. A square of two
    edges of one colour and two of another swaps them, which joins cycles or cuts them;
    swaps that leave no more cycles than there were are kept, till each colour has one.
    """
    graph = torus(sides, wrap).graph.to_undirected()
    real = [dim for dim, n in enumerate(sides) if n > 1]
    colour = {Edge((a, b)): d for a, b, d in graph.edges(data="dim")}
    squares = _squares(sides, real)
    rng, many = random.Random(0), sum(_cycles(colour, graph, dim) for dim in real)
    while many > len(real):
        a, b, c, d = rng.choice(squares)
        first, second = (Edge((a, b)), Edge((c, d))), (Edge((b, c)), Edge((d, a)))
        one, other = colour[first[0]], colour[second[0]]
        if colour[first[1]] != one or colour[second[1]] != other or one == other:
            continue
        before = _cycles(colour, graph, one) + _cycles(colour, graph, other)
        _paint(colour, first, other)
        _paint(colour, second, one)
        after = _cycles(colour, graph, one) + _cycles(colour, graph, other)
        if after > before and rng.random() > 0.02:
            _paint(colour, first, one)
            _paint(colour, second, other)
        else:
            many += after - before
    return [_walk(_of(colour, graph, dim)) for dim in real]


def _squares(sides: Sequence[int], real: Sequence[int]) -> list[tuple[Rank, ...]]:
    """The four corners of every square, in order."""

    def moved(place: Rank, dim: int) -> Rank:
        return (*place[:dim], (place[dim] + 1) % sides[dim], *place[dim + 1 :])

    return [
        (p, moved(p, i), moved(moved(p, i), j), moved(p, j))
        for p in itertools.product(*(range(n) for n in sides))
        for i, j in itertools.combinations(real, 2)
    ]


def _paint(colour: dict, edges: Sequence[Edge], dim: int) -> None:
    colour.update(dict.fromkeys(edges, dim))


def _of(colour: dict, graph: nx.Graph, dim: int) -> nx.Graph:
    one = nx.Graph()
    one.add_nodes_from(graph)
    one.add_edges_from(tuple(edge) for edge, c in colour.items() if c == dim)
    return one


def _cycles(colour: dict, graph: nx.Graph, dim: int) -> int:
    return nx.number_connected_components(_of(colour, graph, dim))


def _walk(cycle: nx.Graph) -> list[Rank]:
    """The places of a cycle in their order."""
    start = next(iter(cycle))
    way, here, before = [start], next(iter(cycle[start])), start
    while here != start:
        way.append(here)
        here, before = next(x for x in cycle[here] if x != before), here
    return way

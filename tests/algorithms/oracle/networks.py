"""Topologies: links labelled with their dimension, and the routes over them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx

Rank = Any  # any name that can be hashed
Path = tuple[float, list[tuple[Rank, Rank]]]  # its part of the message, its links


@dataclass(frozen=True)
class Network:
    """Links labelled with their dimension, and the routes of a message over them."""

    graph: nx.DiGraph
    ranks: list[Rank]
    route: Callable[[Rank, Rank], list[Path]]


def switch(n: int) -> Network:
    """Join every rank to a crossbar by one link each way."""
    graph = nx.DiGraph()
    for rank in range(n):
        graph.add_edge(rank, "hub", dim=0)
        graph.add_edge("hub", rank, dim=0, hop=0)  # the crossbar costs no hop
    return Network(
        graph, list(range(n)), lambda a, b: [(1.0, [(a, "hub"), ("hub", b)])]
    )


def switch_tree(n: int, radix: int) -> tuple[Network, list[dict[Rank, Rank]]]:
    """Put ranks below a tree of switches, ``radix`` below each.

    Returns:
      The network, of neighbours only, and for each stage from the ranks up the switch
      above every member.
    """
    graph = nx.DiGraph()
    stages: list[dict[Rank, Rank]] = []
    members: list[Rank] = list(range(n))
    while len(members) > 1 or not stages:
        depth = len(stages)
        above = {m: ("switch", depth, i // radix) for i, m in enumerate(members)}
        for member, parent in above.items():
            graph.add_edge(member, parent, dim=0)
            graph.add_edge(parent, member, dim=0)
        stages.append(above)
        members = list(dict.fromkeys(above.values()))
    return Network(graph, list(range(n)), lambda a, b: [(1.0, [(a, b)])]), stages


def nodes_of_switches(nodes: int, ranks: int) -> Network:
    """Join the ranks of a node by a switch (dimension 0), and each to a network (1).

    A rank is (node, index); the switch of a node is (node, "hub").
    """
    net = nodes_of_adapters(nodes, ranks, ranks)

    def route(source: Rank, target: Rank) -> list[Path]:
        if source[0] == target[0]:
            return net.route(source, target)
        there, k = (target[0], "adapter", source[1]), source[1]
        return [(1.0, [((source[0], "adapter", k), "net"), ("net", there)])]

    return Network(net.graph, net.ranks, route)


def nodes_of_adapters(nodes: int, ranks: int, adapters: int) -> Network:
    """Join the ranks of a node by a switch (dimension 0), its adapters to a net (1).

    A rank is (node, index), the switch of a node (node, "hub"), an adapter (node,
    "adapter", index). Routes are those inside a node.
    """
    graph = nx.DiGraph()
    for node in range(nodes):
        ports = [((node, i), (node, "hub"), 0) for i in range(ranks)]
        ports += [((node, "adapter", k), "net", 1) for k in range(adapters)]
        for port, crossbar, dim in ports:
            graph.add_edge(port, crossbar, dim=dim)
            graph.add_edge(crossbar, port, dim=dim, hop=0)

    def route(source: Rank, target: Rank) -> list[Path]:
        hub = (source[0], "hub")
        if hub in (source, target):
            return [(1.0, [(source, target)])]
        return [(1.0, [(source, hub), (hub, target)])]

    members = [(node, i) for node in range(nodes) for i in range(ranks)]
    return Network(graph, members, route)


def clique(n: int) -> Network:
    """Join every pair of ranks by a link each way."""
    graph = nx.complete_graph(n, nx.DiGraph)
    for link in graph.edges:
        graph.edges[link]["dim"] = 0
    return Network(graph, list(range(n)), lambda a, b: [(1.0, [(a, b)])])


def torus(sides: Sequence[int], wrap: Sequence[bool]) -> Network:
    """Join neighbours along every dimension; the product of rings and lines.

    A message goes one dimension after the other, the short way; where both ways are
    as short, half of it goes each way.
    """
    graph = nx.DiGraph()
    places = list(itertools.product(*(range(n) for n in sides)))
    graph.add_nodes_from(places)
    for place in places:
        for dim, n in enumerate(sides):
            for step in (1, -1):
                there = place[dim] + step
                if wrap[dim]:
                    there %= n
                if 0 <= there < n and there != place[dim]:
                    graph.add_edge(place, _moved(place, dim, there), dim=dim)

    def route(source: Rank, target: Rank) -> list[Path]:
        return torus_route(sides, wrap, source, target, range(len(sides)))

    return Network(graph, list(places), route)


def torus_route(
    sides: Sequence[int],
    wrap: Sequence[bool],
    source: Rank,
    target: Rank,
    order: Sequence[int],
) -> list[Path]:
    """Return a minimal route, one dimension after the other in an order; ties part."""
    paths: list[Path] = [(1.0, [])]
    here = source
    for dim in order:
        legs, n = [], sides[dim]
        for step, length in _ways(source[dim], target[dim], n, wrap[dim]):
            stops = [
                _moved(here, dim, (source[dim] + step * i) % n)
                for i in range(length + 1)
            ]
            legs.append(list(itertools.pairwise(stops)))
        here = _moved(here, dim, target[dim])
        paths = [
            (part / len(legs), links + leg) for part, links in paths for leg in legs
        ]
    return paths


def _moved(place: tuple[int, ...], dim: int, there: int) -> tuple[int, ...]:
    return (*place[:dim], there, *place[dim + 1 :])


def _ways(start: int, end: int, n: int, wrap: bool) -> list[tuple[int, int]]:
    """Return the shortest ways along one dimension: (direction, links)."""
    if not wrap or n < 3:
        return [(1 if end > start else -1, abs(end - start))]
    up, down = (end - start) % n, (start - end) % n
    return [
        (step, length)
        for step, length in ((1, up), (-1, down))
        if length == min(up, down)
    ][: 1 if up == 0 else 2]


def chips(ranks: int, sides: Sequence[int], wrap: Sequence[bool]) -> Network:
    """Put ranks on every chip of a torus.

    A rank reaches the memory of its chip through a port of its own (dimension 0), and
    the ranks of a chip share its links (dimensions 1 and up). A rank is (chip, index).
    """
    outside = torus(sides, wrap)
    graph = nx.DiGraph()
    for a, b, data in outside.graph.edges(data=True):
        graph.add_edge(a, b, dim=data["dim"] + 1)
    for chip in outside.ranks:
        for i in range(ranks):
            graph.add_edge((chip, i), (chip, "memory"), dim=0)
            graph.add_edge((chip, "memory"), (chip, i), dim=0, hop=0)

    def route(source: Rank, target: Rank) -> list[Path]:
        memory = (source[0], "memory")
        if source == memory:  # a rank reads from the memory of its chip
            return [(1.0, [(source, target)])]
        if source[0] == target[0]:
            return [(1.0, [(source, memory), (memory, target)])]
        return outside.route(source[0], target[0])

    return Network(
        graph, [(chip, i) for chip in outside.ranks for i in range(ranks)], route
    )

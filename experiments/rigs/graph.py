"""The graph of a shaped fabric, by name, and the shortest routes through it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re
from collections import deque
from collections.abc import Iterable, Iterator

from fabricmodel.errors import FabricError

Link = tuple[int, int]
"""One direction of a link: from node, to node."""


def lines(sides: tuple[int, ...], at: int) -> Iterator[list[int]]:
    """Ranks of every line along a side of a torus, in row-major order.

    >>> list(lines((2, 2), 0))
    [[0, 2], [1, 3]]
    """
    stride = math.prod(sides[at + 1 :])
    for start in range(math.prod(sides)):
        if start // stride % sides[at] == 0:
            yield [start + step * stride for step in range(sides[at])]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Graph:
    """Hosts, routers and the links between them.

    Attributes:
      name: as in the tables: ``ring4``, ``torus2x4``, ``star8``, ``line4``, ``full4``,
        ``twolevel2x4``, or a ring with one odd link, ``ring4_slowlink1-2``.
      sides: of the torus or of the two levels; one number otherwise.
      hosts: nodes 0 to hosts - 1 run ranks, further ones only route.
      edges: pairs of nodes, each a link in both directions.
      odd: the edges that are slower or longer than the others: the one that the name
        of a ring gives, the links between the units of two levels, or none.
    """

    name: str
    sides: tuple[int, ...]
    hosts: int
    edges: tuple[Link, ...]
    odd: tuple[Link, ...] = ()

    @property
    def kind(self) -> str:
        """The name without its numbers: ``ring``, ``torus``, …"""
        return re.sub(r"\d.*", "", self.name)

    @functools.cache  # noqa: B019 (graphs are few and small)
    def routes(self) -> dict[Link, tuple[Link, ...]]:
        """Directed links from each host to each other, along shortest paths.

        Where two are equally short, a node prefers its higher-numbered neighbours,
        the lowest of them first, then its lower-numbered ones.
        """
        after = {node: self.next_hops(node) for node in self.near()}
        paths: dict[Link, tuple[Link, ...]] = {}
        for start in range(self.hosts):
            for end in range(self.hosts):
                path, at = [], start
                while at != end:
                    path.append((at, after[at][end]))
                    at = after[at][end]
                if path:
                    paths[start, end] = tuple(path)
        return paths

    def next_hops(self, node: int) -> dict[int, int]:
        """Neighbour that a node hands packets on to, for each host but itself."""
        near = self.near()
        found = {}
        for end in range(self.hosts):
            far = {end: 0}
            queue = deque([end])
            while queue:
                here = queue.popleft()
                for other in near[here]:
                    if other not in far:
                        far[other] = far[here] + 1
                        queue.append(other)
            if node != end:
                found[end] = next(x for x in near[node] if far[x] == far[node] - 1)
        return found

    def near(self) -> dict[int, list[int]]:
        """Neighbours of each node, in the order in which routes prefer them."""
        both = [*self.edges, *((b, a) for a, b in self.edges)]
        return {
            node: sorted((b for a, b in both if a == node), key=lambda b: (b < node, b))
            for node in sorted({node for edge in self.edges for node in edge})
        }


@functools.cache
def graph(name: str) -> Graph:
    """Build a graph from its name.

    Raises:
      FabricError: for a name that is none, or an odd link that the ring lacks.

    >>> graph("ring3").edges
    ((0, 1), (1, 2), (0, 2))
    >>> graph("star4").routes()[0, 3]
    ((0, 4), (4, 3))
    >>> graph("ring4_slowlink1-2").odd
    ((1, 2),)
    """
    pattern = (
        r"(ring|line|star|full|torus|twolevel)(\d+(?:x\d+)*)(?:_(\w+link)(\d+)-(\d+))?"
    )
    found = re.fullmatch(pattern, name)
    if not found:
        remedy = "Use ring4, line4, star4, full4, torus2x4 or ring4_slowlink1-2"
        raise FabricError("topology", f"{name!r} is none of the rig's", remedy)
    kind, numbers, _, a, b = found.groups()
    sides = tuple(int(part) for part in numbers.split("x"))
    if (len(sides) == 2) is not (kind in ("torus", "twolevel")) or min(sides) < 2:
        what = f"{name!r} has the wrong number of sides, or one below 2"
        raise FabricError("topology", what, "Write ring4 or torus2x4")
    hosts = math.prod(sides)
    edges = tuple(dict.fromkeys(_EDGES[kind](sides)))
    odd: tuple[Link, ...] = ()
    if a is not None:
        odd = ((min(int(a), int(b)), max(int(a), int(b))),)
        if odd[0] not in edges:
            raise FabricError("topology", f"{name!r} has no link {a}-{b}", "Name one")
    if kind == "twolevel":
        odd = tuple(e for members in lines(sides, 0) for e in _ring(members))
    return Graph(name=name, sides=sides, hosts=hosts, edges=edges, odd=odd)


def _ring(members: Iterable[int]) -> list[Link]:
    """Close the members to a ring; two of them have one link."""
    nodes = list(members)
    pairs = zip(nodes, nodes[1:] + nodes[:1], strict=True)
    return [(min(a, b), max(a, b)) for a, b in pairs if a != b]


def _torus(sides: tuple[int, ...]) -> list[Link]:
    """Ring along every side, ranks in row-major order."""
    return [
        edge
        for at in range(len(sides))
        for members in lines(sides, at)
        for edge in _ring(members)
    ]


_EDGES = {
    "ring": lambda sides: _ring(range(sides[0])),
    "line": lambda sides: [(i, i + 1) for i in range(sides[0] - 1)],
    "star": lambda sides: [(i, sides[0]) for i in range(sides[0])],
    "full": lambda sides: list(itertools.combinations(range(sides[0]), 2)),
    "torus": _torus,
    "twolevel": _torus,
}

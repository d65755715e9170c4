"""Groups of ranks on the chips of a torus: parts of an instance, and an UltraServer."""

from __future__ import annotations

import functools
from typing import NamedTuple

import oracle

from fabricmodel.algorithms.counts import Dim


class Group(NamedTuple):
    """Ranks of every chip of a part of a torus; ``whole`` are the sides there are."""

    ranks: int
    sides: tuple[int, ...]
    whole: tuple[int, ...] = (4, 4)

    @property
    def size(self) -> int:
        size = self.ranks
        for n in self.sides:
            size *= n
        return size

    @property
    def wrap(self) -> tuple[bool, ...]:
        return tuple(n == c for n, c in zip(self.sides, self.whole, strict=True))


PARTS = [(4, 4), (1, 1), (4, 1), (1, 4), (4, 2), (2, 4), (2, 2), (2, 1)]
INSTANCE = [Group(r, sides) for r in (2, 4) for sides in PARTS]
OTHERS = [
    Group(4, (3, 1)),
    Group(4, (4,), (4,)),
    Group(2, (12,), (12,)),
    Group(4, (8,), (8,)),
    Group(4, (4,), (8,)),
    Group(4, (4, 2), (4, 2)),
    Group(1, (4, 4, 4), (4, 4, 4)),
    Group(2, (4, 4, 4), (4, 4, 4)),
    Group(2, (4, 4, 2), (4, 4, 4)),
]
ULTRASERVER = [Group(4, (4, 4, 4), (4, 4, 4))]


def dims(group: Group) -> list[Dim]:
    chip = Dim(kind="clique", members=float(group.ranks), capacity=float(group.ranks))
    return [chip] + [
        Dim(kind="ring", members=float(n), capacity=float(c))
        for n, c in zip(group.sides, group.whole, strict=True)
    ]


@functools.cache
def network(group: Group) -> oracle.Network:
    return oracle.chips(group.ranks, group.sides, group.wrap)


def depth(group: Group) -> int:
    return 1 + len(group.sides)


def by_chip(group: Group) -> dict[oracle.Rank, list[oracle.Rank]]:
    inside: dict[oracle.Rank, list[oracle.Rank]] = {}
    for rank in network(group).ranks:
        inside.setdefault(rank[0], []).append(rank)
    return inside


def same_index(group: Group) -> list[list[oracle.Rank]]:
    """The groups of one rank a chip."""
    return [list(ranks) for ranks in zip(*by_chip(group).values(), strict=True)]

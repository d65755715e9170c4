"""Where a job's ranks go: innermost levels first, each level whole before the next."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric, Level

LARGEST_PADDING = 0.02
"""A job may end in a part-filled unit, priced as a whole one, within this share."""

_SEARCH = 100_000  # numbers tried on either side for one that can be placed


class _Misfit(Exception):
    """Ranks that can't be placed, and why."""


def place(
    fabric: Fabric,
    ranks: float,
    *,
    ranks_per_node: float | None = None,
    sides: str = "",
) -> Fabric:
    """Give each level the members that a job of ``ranks`` uses.

    Levels are filled innermost first. What remains goes to the levels that grow: the
    outermost, or the sides of a torus as near to a cube as the number allows. Levels
    that grow up to a limit (a slice of a pod, a group of a dragonfly) take all of a
    job that fits; a larger one is spread evenly over the fewest of them. A large
    job may end in a part-filled unit (100,000 ranks in units of 256): it is priced as
    a whole one as long as that adds no more than 2 %.

    Args:
      fabric: whose capacities are the limits.
      ranks: a whole number of at least 1.
      ranks_per_node: ranks on the levels inside a node, where the job does not fill
        its nodes.
      sides: of the torus that the first growing levels make (``4x4x2``), where it is
        not the one nearest to a cube.

    Raises:
      FabricError: if the ranks do not divide into the levels, or exceed them; then it
        names the level that is full.

    >>> node = Level(name="node", kind="switch", capacity=8.0, in_node=True)
    >>> net = Level(name="net", kind="switch", grows=True)
    >>> fabric = Fabric(name="cluster", levels=(node, net))
    >>> [level.members for level in place(fabric, 64).levels]
    [8.0, 8.0]
    >>> [level.members for level in place(fabric, 6, ranks_per_node=2).levels]
    [2.0, 3.0]
    """
    whole = _whole(ranks, "ranks")
    inner = [level for level in fabric.levels if level.in_node]
    outer = [level for level in fabric.levels if not level.in_node]
    if ranks_per_node is not None and math.isfinite(ranks_per_node) and inner and outer:
        local = min(_whole(ranks_per_node, "ranks_per_node"), whole)
        if whole % local:
            raise FabricError(
                "ranks",
                f"{whole} ranks do not divide into nodes of {local}",
                f"Ask for a multiple of {local}",
            )
        members = _fill(fabric, inner, local, local, sides)
        members += _fill(fabric, outer, whole // local, whole, sides)
    else:
        members = _fill(fabric, list(fabric.levels), whole, whole, sides)
    pairs = list(zip(fabric.levels, members, strict=True))
    levels = tuple(
        dataclasses.replace(
            level, members=float(count), capacity=float(_room(level, count, pairs))
        )
        for level, count in pairs
    )
    return dataclasses.replace(fabric, levels=levels)


def room(fabric: Fabric) -> float:
    """Ranks that a fabric holds, infinite where its outermost level has no limit.

    >>> node = Level(name="node", kind="switch", capacity=8.0)
    >>> room(Fabric(name="node", levels=(node,)))
    8.0
    """
    endless = any(level.grows and not _limit(level) for level in fabric.levels)
    return math.inf if endless else float(_held(fabric.levels))


def _whole(number: float, name: str) -> int:
    if not (math.isfinite(number) and number >= 1 and float(number).is_integer()):
        raise FabricError(name, f"{number} is no whole number of ranks", "Give 1, 2, …")
    return int(number)


def _capacity(level: Level) -> int:
    return int(float(level.capacity))


def _limit(level: Level) -> int:
    """Most members of a growing level; 0 for no limit."""
    return max(level.sides) if level.sides else int(float(level.limit))


def _room(level: Level, count: int, pairs: Sequence[tuple[Level, int]]) -> int:
    """How many members there are where a job has ``count``: a ring of them closes.

    A side that does not wrap is part of a longer ring.
    """
    if not level.grows:
        return _capacity(level)
    if level.kind == "ring":
        torus = [n for side, n in pairs if side.domain == level.domain and side.cube]
        together = torus if level.cube else [count]
        closes = not level.wrap or all(n % level.wrap == 0 for n in together)
        return count if closes else count + 1
    return max(count, _limit(level), _capacity(level))


def _fill(
    fabric: Fabric, levels: list[Level], rest: int, ranks: int, sides: str
) -> list[int]:
    """Place the rest of a job on some of the levels, or say why not."""
    try:
        return _members(levels, rest, sides)
    except _Misfit as misfit:
        what = f"{ranks} ranks {misfit.args[0].format(fabric=fabric.name)}"
        remedy = misfit.args[1] if len(misfit.args) > 1 else _nearest(levels, rest)
        raise FabricError("ranks", what, remedy) from None


def _members(levels: list[Level], rest: int, sides: str = "") -> list[int]:
    members: list[int] = []
    groups = list(_groups(levels))
    pads = any(level.grows for level in levels)
    ends = all(_limit(level) for level in levels if level.grows)
    if ends and rest > _held(levels):
        raise _full(levels, groups[-1])
    for at, group in enumerate(groups):
        level = group[0]
        if not level.grows:
            count, rest = _fixed(level, rest, pads)
            members.append(count)
            continue
        last = not any(other[0].grows for other in groups[at + 1 :])
        if sides:
            found = _sides(sides, rest, group, exact=last)
            sides = ""
        elif all(_limit(each) for each in group):
            found = _slice(group, rest)
        else:
            found = balanced(rest, len(group))
        members += found
        rest = -(-rest // math.prod(found))
    return members


def _groups(levels: Sequence[Level]) -> Iterator[list[Level]]:
    """Growing neighbours of one domain share a job; others take it one by one."""
    numbered = enumerate(levels)
    for _, group in groupby(
        numbered, key=lambda x: (x[1].domain or x[1].name) if x[1].grows else x[0]
    ):
        yield [level for _, level in group]


def _fixed(level: Level, rest: int, pads: bool) -> tuple[int, int]:
    """Members of a level of a given size, and the units that remain outside it."""
    limit = _capacity(level)
    if rest <= limit:
        return rest, 1
    if rest % limit == 0 or (pads and (-rest % limit) / rest <= LARGEST_PADDING):
        return limit, -(-rest // limit)
    raise _Misfit(
        f"do not divide into {{fabric}}: {rest} are left for level {level.name!r} "
        f"of {limit}"
    )


def _slice(group: list[Level], rest: int) -> list[int]:
    """Sides of the slices that a job is spread over, the fewest there can be.

    The sides that exist whose product is the least that holds an equal part of it; of
    several, the nearest to a cube.
    """
    products, shapes = _shapes(
        tuple(level.sides or tuple(range(1, _limit(level) + 1)) for level in group)
    )
    fewest = -(-rest // int(products[-1]))
    padding = LARGEST_PADDING if fewest > 1 else 0.0
    for parts in range(fewest, max(4 * fewest, 2) if fewest > 1 else 2):
        at = int(np.searchsorted(products, -(-rest // parts)))
        if at < len(products) and parts * products[at] <= rest * (1 + padding):
            return shapes[at].tolist()
    names = " x ".join(repr(level.name) for level in group)
    raise _Misfit(f"make no shape of {{fabric}}: {rest} are left for level {names}")


def _full(levels: Sequence[Level], group: Sequence[Level]) -> _Misfit:
    """Say which level is full, and what the fabric holds."""
    names = " x ".join(repr(level.name) for level in group)
    counts = " x ".join(str(_limit(level) or _capacity(level)) for level in group)
    return _Misfit(
        f"exceed {{fabric}}, which holds {_held(levels)}",
        f"Ask for at most {_held(levels)} (level {names} is full at {counts}), or name "
        "a cluster of them",
    )


def _held(levels: Sequence[Level]) -> int:
    """Ranks that levels of a limit hold together."""
    return math.prod(_limit(level) or _capacity(level) for level in levels)


@functools.lru_cache(maxsize=64)
def _shapes(options: tuple[tuple[int, ...], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Every product of sides, in order, and for each the sides nearest to a cube."""
    grid = np.stack(np.meshgrid(*options, indexing="ij"), -1)
    grid = grid.reshape(-1, len(options))
    order = np.lexsort((*grid.T[::-1], grid.sum(axis=1), grid.prod(axis=1)))
    grid = grid[order]
    products, first = np.unique(grid.prod(axis=1), return_index=True)
    return products, grid[first]


def _sides(sides: str, number: int, group: list[Level], *, exact: bool) -> list[int]:
    """Read ``4x4x2``; sides that the fabric has beyond them are 1."""
    words = sides.lower().split("x")
    parts = len(group)
    if not all(word.isdigit() for word in words) or len(words) > parts:
        raise FabricError("sides", f"{sides!r}", f"Give {parts} numbers, as 4x4x2")
    found = [int(word) for word in words] + [1] * (parts - len(words))
    product = math.prod(found)
    if product < 1 or (number != product if exact else number % product):
        raise FabricError(
            "sides", f"{sides} is not {number}", "Give sides that multiply to the ranks"
        )
    for level, side in zip(group, found, strict=True):
        if side > (_limit(level) or side) or side not in (level.sides or (side,)):
            what = f"{sides}: level {level.name!r} has no side of {side}"
            some = ", ".join(map(str, level.sides)) or f"1 to {_limit(level)}"
            raise FabricError("sides", what, f"Use {some}")
    return found


def _nearest(levels: list[Level], rest: int) -> str:
    """Name the nearest numbers that can be placed, on either side."""
    below = range(rest - 1, max(rest - _SEARCH, 0), -1)
    above = range(rest + 1, min(2 * rest + _held(levels) + 2, rest + _SEARCH))
    found = [next((n for n in tried if _divides(levels, n)), None)
             for tried in (below, above)]  # fmt: skip
    return "Ask for " + " or ".join(str(n) for n in found if n is not None)


def _divides(levels: list[Level], rest: int) -> bool:
    """Whether whole levels hold this number, without any padding."""
    try:
        return math.prod(_members(levels, rest)) == rest
    except _Misfit:
        return False


def balanced(number: int, parts: int) -> list[int]:
    """Split a number into factors as near to each other as they get, largest last.

    >>> balanced(64, 3), balanced(100, 3), balanced(7, 2)
    ([4, 4, 4], [4, 5, 5], [1, 7])
    """
    if parts == 1:
        return [number]
    root = round(number ** (1.0 / parts))
    for side in range(root + 1, 0, -1):
        if number % side == 0 and side**parts <= number:
            return [side, *balanced(number // side, parts - 1)]
    return [1, *balanced(number, parts - 1)]

"""Where a job's ranks go: innermost levels first, each level whole before the next."""

from __future__ import annotations

import dataclasses
import math

from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric, Level

LARGEST_PADDING = 0.02
"""A job may end in a part-filled unit, priced as a whole one, within this share."""


def place(
    fabric: Fabric,
    ranks: float,
    *,
    ranks_per_node: float | None = None,
    sides: str = "",
) -> Fabric:
    """Give each level the members that a job of ``ranks`` uses.

    Levels are filled innermost first. What remains goes to the levels that grow: the
    outermost, or the sides of a torus as near to a cube as the number allows. A large
    job may end in a part-filled unit (100,000 ranks in units of 256): it is priced as
    a whole one as long as that adds no more than 2 %.

    Args:
      fabric: whose capacities are the limits.
      ranks: a whole number of at least 1.
      ranks_per_node: ranks on the levels inside a node, where the job does not fill
        its nodes.
      sides: of the torus that the growing levels make (``4x4x2``), where it is not
        the one nearest to a cube.

    Raises:
      FabricError: if the ranks do not divide into the levels, or exceed them.

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
    levels = tuple(
        dataclasses.replace(
            level,
            members=float(count),
            capacity=float(max(count, _capacity(level)))
            if level.grows
            else level.capacity,
        )
        for level, count in zip(fabric.levels, members, strict=True)
    )
    return dataclasses.replace(fabric, levels=levels)


def _whole(number: float, name: str) -> int:
    if not (math.isfinite(number) and number >= 1 and float(number).is_integer()):
        raise FabricError(name, f"{number} is no whole number of ranks", "Give 1, 2, …")
    return int(number)


def _capacity(level: Level) -> int:
    return int(float(level.capacity))


def _fill(
    fabric: Fabric, levels: list[Level], rest: int, ranks: int, sides: str
) -> list[int]:
    members: list[int] = []
    growing = [level for level in levels if level.grows]
    for level in levels:
        if level.grows:
            continue
        limit = _capacity(level)
        if rest <= limit:
            members.append(rest)
            rest = 1
        elif rest % limit == 0:
            members.append(limit)
            rest //= limit
        elif growing and (-rest % limit) / rest <= LARGEST_PADDING:
            members.append(limit)
            rest = -(-rest // limit)
        else:
            raise FabricError(
                "ranks",
                f"{ranks} ranks do not divide into {fabric.name}: {rest} are left for "
                f"level {level.name!r} of {limit}",
                _nearest(levels, ranks),
            )
    if growing and sides:
        members += _sides(sides, rest, len(growing))
    elif growing:
        members += balanced(rest, len(growing))
    elif rest > 1:
        held = math.prod(_capacity(level) for level in levels)
        raise FabricError(
            "ranks",
            f"{ranks} ranks exceed {fabric.name}, which holds {held}",
            f"Ask for at most {held}, or name a cluster of them",
        )
    return members


def _sides(sides: str, number: int, parts: int) -> list[int]:
    """Read ``4x4x2``; sides that the fabric has beyond them are 1."""
    words = sides.lower().split("x")
    if not all(word.isdigit() for word in words) or len(words) > parts:
        raise FabricError("sides", f"{sides!r}", f"Give {parts} numbers, as 4x4x2")
    found = [int(word) for word in words]
    if math.prod(found) != number:
        raise FabricError(
            "sides", f"{sides} is not {number}", "Give sides that multiply to the ranks"
        )
    return found + [1] * (parts - len(found))


def _nearest(levels: list[Level], ranks: int) -> str:
    """Name the nearest numbers that divide, on either side."""
    below = next((n for n in range(ranks - 1, 0, -1) if _divides(levels, n)), None)
    held = math.prod(_capacity(level) for level in levels)
    grows = any(level.grows for level in levels)
    end = ranks + held + 1 if grows else held + 1
    above = next((n for n in range(ranks + 1, end) if _divides(levels, n)), None)
    return "Ask for " + " or ".join(str(n) for n in (below, above) if n is not None)


def _divides(levels: list[Level], rest: int) -> bool:
    """Whether whole levels hold this number, without any padding."""
    for level in levels:
        limit = _capacity(level)
        if level.grows:
            return True
        if rest > limit and rest % limit:
            return False
        rest = 1 if rest <= limit else rest // limit
    return rest == 1


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

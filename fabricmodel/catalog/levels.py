"""One level of a file of fabrics: its keys, checked, and the links out of a unit."""

from __future__ import annotations

import math
from typing import Any

from fabricmodel.algorithms.registry import ALGORITHMS
from fabricmodel.catalog.figures import known, need, one_of, positive, text, whole, yes
from fabricmodel.errors import FabricError
from fabricmodel.fabric import Level

_KEYS = {
    "name", "kind", "size", "family", "domain", "link", "in_node", "grows",
    "uplinks", "radix", "limit", "sides", "wrap", "cube", "twist", "rails",
    "oversubscription",
}  # fmt: skip


def read_level(
    raw: dict[str, Any], prices: dict[str, float], inside: list[Level], where: str
) -> Level:
    """Read one level of a file.

    Args:
      raw: as it stands in the file.
      prices: of its link, by the fields of ``Level``.
      inside: the levels inside it.
      where: file, fabric and level, for the error.

    Raises:
      FabricError: naming the key, the value and the remedy.
    """
    known(raw, _KEYS, where)
    kind = one_of(
        need(raw, "kind", where),
        ("ring", "line", "clique", "switch"),
        where,
        name="kind",
    )
    family = raw.get("family", "torus" if kind in ("ring", "line") else "flat")
    one_of(family, ALGORITHMS, where, name="family")
    size = whole(raw, "size", where, least=1)
    limit = whole(raw, "limit", where, least=0)
    sides = raw.get("sides", [])
    if not isinstance(sides, list) or not all(type(x) is int and x > 0 for x in sides):
        raise FabricError(where, f"sides = {sides!r}", "Give whole numbers, [1, 2, 4]")
    grows = yes(raw, "grows", where)
    if (limit or sides) and not grows:
        raise FabricError(where, "has a limit and does not grow", "Add grows = true")
    crowd = prices.pop("crowd_byte_s", 0.0) * prices.get("byte_s", 0.0)
    return Level(
        name=text(raw, "name", where),
        kind=kind,
        family=family,
        domain=text(raw, "domain", where, ""),
        link=raw["link"],
        in_node=yes(raw, "in_node", where),
        grows=grows,
        sides=tuple(sorted(sides)),
        wrap=int(whole(raw, "wrap", where, least=0)),
        cube=yes(raw, "cube", where),
        twist=yes(raw, "twist", where),
        members=size,
        capacity=size,
        limit=float(max(sides)) if sides else limit,
        uplinks=_uplinks(raw, inside, where),
        radix=whole(raw, "radix", where, least=0),
        rails=float(yes(raw, "rails", where)),
        crowd_byte_s=crowd,
        **prices,
    )


def _uplinks(raw: dict[str, Any], inside: list[Level], where: str) -> float:
    """Links out of a unit, as stated or as the oversubscription leaves of those in."""
    if "oversubscription" not in raw:
        return whole(raw, "uplinks", where, least=0)
    if "uplinks" in raw or not inside:
        raise FabricError(
            where,
            "has oversubscription",
            "Give either it or uplinks, on an outer level",
        )
    share = positive(raw["oversubscription"], f"{where}, oversubscription")
    below = inside[-1]
    rooms = [float(level.limit) or float(level.capacity) for level in inside]
    links = rooms[-1] * float(below.uplinks) if below.uplinks else math.prod(rooms)
    return links / share

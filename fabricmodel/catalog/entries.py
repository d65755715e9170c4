"""What a file of fabrics says: the schema, checked and put into SI.

One TOML file for any number of fabrics:

- ``[sources]``: short names for citations, text or ``{ cite, confidence }``.
- ``[links.NAME]``: a class of link, with ``round_us``, ``hop_us``, ``message_us``,
  ``jitter_us``, ``bandwidth_GBps`` (one link, 1e9 bytes; one direction, unless the
  figure says ``direction = "both"``) and ``crowd`` (the share by which a byte gets
  dearer with each doubling of the level).
- ``[engines.NAME]``: ``launch_us``, ``reduce_GBps``, ``memory_round_us``,
  ``memory_GBps``.
- ``[factors]``: how much dearer than its counts an algorithm is, by
  ``"DOMAIN.ALGORITHM.latency"`` or ``.transfer``, wherever the domain occurs.
- ``[fabrics.NAME]``: ``title``, ``engine``, ``chip``, ``ranks_per_chip``, ``source``,
  ``strategies`` and ``levels``, innermost first; or ``extends``, another fabric whose
  levels come first.

Every figure is ``{ value, range = [low, high], source, confidence, note }``, the range
a 90 % belief, from which the fit takes the width of its prior.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fabricmodel.algorithms.registry import ALGORITHMS, COLLECTIVES, known_names
from fabricmodel.catalog.figures import (
    Figure,
    citation,
    figure,
    known,
    need,
    parse_toml,
    whole,
)
from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric, Factors, Level

_LINK = {
    "round_us": "round_s",
    "hop_us": "hop_s",
    "message_us": "message_s",
    "jitter_us": "jitter_s",
    "bandwidth_GBps": "byte_s",
    "crowd": "crowd_byte_s",
}
_ENGINE = {
    "launch_us": "launch_s",
    "reduce_GBps": "reduce_byte_s",
    "memory_round_us": "memory_round_s",
    "memory_GBps": "memory_byte_s",
}
_LEVEL_KEYS = {
    "name", "kind", "size", "family", "domain", "link", "in_node", "grows",
    "uplinks", "radix",
}  # fmt: skip
_FABRIC_KEYS = {
    "title", "engine", "chip", "ranks_per_chip", "source", "strategies", "levels",
    "extends", "systems",
}  # fmt: skip
_STRATEGIES = {"staged"} | known_names()
_FILE_KEYS = {"sources", "links", "engines", "factors", "fabrics"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A catalogue entry: the fabric, and what it is called and made of.

    Attributes:
      fabric: of one unit of each level that grows.
      title: one line for people.
      ranks_per_chip: ranks that a chip runs by default.
      figures: where each price comes from, by its name; bandwidths as bandwidths.
      source: where its shape comes from.
      chip: its name in the catalogue of chips, or nothing.
      systems: what logs call the machine.
    """

    fabric: Fabric
    title: str
    ranks_per_chip: int
    figures: Mapping[str, Figure]
    source: str = ""
    chip: str = ""
    systems: tuple[str, ...] = ()

    @property
    def sources(self) -> dict[str, str]:
        """Citation of each price, by its name."""
        return {name: each.source for name, each in self.figures.items()}


def read_entries(text: str, place_name: str) -> dict[str, Entry]:
    """Read every fabric of one file, already loaded as text.

    Raises:
      FabricError: naming the file, the table, the key, the value and the remedy.
    """
    data = parse_toml(text, place_name)
    fabrics = data.get("fabrics", {})
    if not fabrics:
        raise FabricError(
            place_name, "has no [fabrics.NAME]", "Add one; see the catalogue's files"
        )
    known(data, _FILE_KEYS, place_name)
    return {name: _entry(name, data, place_name) for name in fabrics}


def _entry(name: str, data: dict[str, Any], place_name: str) -> Entry:
    where = f"{place_name}, [fabrics.{name}]"
    merged, raw_levels = _inherit(name, data, where)
    engine_name = str(need(merged, "engine", where))
    strategies = tuple(merged.get("strategies", ["staged"]))
    if not strategies or not set(strategies) <= _STRATEGIES:
        names = ", ".join(sorted(_STRATEGIES))
        raise FabricError(where, f"strategies = {strategies}", f"Use some of {names}")
    if not raw_levels or not all(isinstance(raw, dict) for raw in raw_levels):
        raise FabricError(where, "lacks levels", "Add levels = [{ name, kind, … }]")
    figures: dict[str, Figure] = {}
    cited = data.get("sources", {})

    def prices(kind: str, table: str, fields: Mapping[str, str]) -> dict[str, float]:
        """Read one table of figures, by the fields of ``Level`` or ``Fabric``."""
        at = f"{place_name}, [{kind}.{table}]"
        raw = need(data.get(kind, {}), table, f"{place_name}, [{kind}]")
        known(raw, fields, at)
        found = {}
        for key, field in fields.items():
            if key in raw:
                into = f"{table}.{field}" if kind == "links" else field
                each = figure(raw[key], key, at, cited, name=into, needs_range=True)
                figures[into] = each
                found[field] = 1.0 / each.value if each.unit == "B/s" else each.value
        return found

    levels = []
    for raw in raw_levels:
        at = f"{where}, level {raw.get('name', '?')!r}"
        link = prices("links", need(raw, "link", at), _LINK)
        levels.append(_level(raw, link, at))
    engine = prices("engines", engine_name, _ENGINE)
    launch = engine.pop("launch_s", 0.0)
    domains = {level.domain or level.name for level in levels}
    factors = {}
    for key, raw in data.get("factors", {}).items():
        at = f"{place_name}, [factors]"
        if key.split(".")[0] in domains:
            each = figure(raw, key, at, cited, name=key, needs_range=True)
            figures[key], factors[key] = each, each.value
    fabric = Fabric(
        name=name,
        strategies=strategies,
        levels=tuple(levels),
        launch_s=dict.fromkeys(COLLECTIVES, launch),
        factors=Factors(names=tuple(factors), values=tuple(factors.values())),
        spread={name: each.spread for name, each in figures.items()},
        **engine,
    )
    return Entry(
        fabric=fabric,
        title=need(merged, "title", where),
        ranks_per_chip=int(whole(merged, "ranks_per_chip", where, least=1)),
        figures=figures,
        source=citation(merged.get("source", ""), where, cited)[0],
        chip=str(merged.get("chip", "")),
        systems=tuple(data["fabrics"][name].get("systems", ())),
    )


def _inherit(name: str, data: dict[str, Any], where: str) -> tuple[dict, list]:
    """Follow ``extends``: own keys come first, the other fabric's levels inside."""
    known(data["fabrics"][name], _FABRIC_KEYS, where)
    merged, levels, seen, at = {}, [], set(), name
    while True:
        table = data["fabrics"][at]
        seen.add(at)
        merged, levels = {**table, **merged}, list(table.get("levels", [])) + levels
        if "extends" not in table:
            return merged, levels
        at = table["extends"]
        if at in seen or at not in data["fabrics"]:
            raise FabricError(where, f"extends {at!r}", "Name a fabric of this file")


def _level(raw: dict[str, Any], prices: dict[str, float], where: str) -> Level:
    known(raw, _LEVEL_KEYS, where)
    kind = need(raw, "kind", where)
    if kind not in ("ring", "line", "clique", "switch"):
        raise FabricError(where, f"kind {kind!r}", "Use ring, line, clique or switch")
    family = raw.get("family", "torus" if kind in ("ring", "line") else "flat")
    if family not in ALGORITHMS:
        raise FabricError(
            where, f"family {family!r}", f"Use one of {', '.join(ALGORITHMS)}"
        )
    size = whole(raw, "size", where, least=1)
    crowd = prices.pop("crowd_byte_s", 0.0) * prices.get("byte_s", 0.0)
    return Level(
        name=need(raw, "name", where),
        kind=kind,
        family=family,
        domain=raw.get("domain", ""),
        link=raw["link"],
        in_node=bool(raw.get("in_node", False)),
        grows=bool(raw.get("grows", False)),
        members=size,
        capacity=size,
        uplinks=whole(raw, "uplinks", where, least=0),
        radix=whole(raw, "radix", where, least=0),
        crowd_byte_s=crowd,
        **prices,
    )

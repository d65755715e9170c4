"""What a file of fabrics says: the schema, checked and put into SI.

One TOML file for any number of fabrics:

- ``[sources]``: short names for citations, text or ``{ cite, confidence }``.
- ``[links.NAME]``: a class of link, with ``round_us``, ``hop_us``, ``message_us``,
  ``jitter_us``, ``bandwidth_GBps`` (one link, 1e9 bytes; one direction, unless the
  figure says ``direction = "both"``) and ``crowd`` (the share by which a byte gets
  dearer with each doubling of the level).
- ``[engines.NAME]``: the library: ``launch_us``, ``reduce_GBps``, ``copy_GBps``,
  ``memory_round_us``, ``memory_GBps``; ``algorithms`` that it has inside a domain,
  where those are not the automatic ones, as ``all_gather.ring``; ``protocols``; and as
  ``[engines.NAME.factors]`` those of its fabrics.
- ``[factors]``: how much dearer than its counts an algorithm is, by
  ``"DOMAIN.ALGORITHM.latency"``, ``.transfer`` or ``.choice``, wherever the domain
  occurs, and by ``"protocol.PROTOCOL.latency"`` and so on for its protocols; the same
  as ``[fabrics.NAME.factors]`` for one fabric and those that extend it. A fabric's own
  go before its engine's, and those before the file's.
- ``[fabrics.NAME]``: ``title``, ``engine``, ``chip``, ``ranks_per_chip``, ``source``,
  ``note``, ``strategies``, ``protocols``, ``switches`` (the sizes at which its library
  is known to change: ``{ domain, collective, below, above, size_MB = FIGURE }``),
  ``cluster`` (the fabric that many of this one make) and ``levels``, innermost first;
  or ``extends``, another fabric whose levels come first: of the file, or of the
  catalogue.
- a level: ``name``, ``kind``, ``size``, ``link``, and as they apply ``family``,
  ``domain``, ``in_node``, ``grows``, ``limit``, ``sides``, ``wrap``, ``cube``,
  ``radix``, ``rails``, ``uplinks`` (see ``Level``) or ``oversubscription``: links into
  a unit of it over links out.

Every figure is ``{ value, range = [low, high], source, confidence, note }``, the range
a 90 % belief, from which the fit takes the width of its prior.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from fabricmodel.algorithms.registry import (
    ALGORITHMS,
    COLLECTIVES,
    algorithms,
    known_names,
)
from fabricmodel.catalog.figures import (
    Figure,
    citation,
    figure,
    known,
    need,
    one_of,
    parse_toml,
    positive,
    whole,
)
from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric, Factors, KnownSwitch, Level

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
    "copy_GBps": "copy_byte_s",
    "memory_round_us": "memory_round_s",
    "memory_GBps": "memory_byte_s",
}
_LEVEL_KEYS = {
    "name", "kind", "size", "family", "domain", "link", "in_node", "grows",
    "uplinks", "radix", "limit", "sides", "wrap", "cube", "rails", "oversubscription",
}  # fmt: skip
_LIBRARY_KEYS = ("algorithms", "protocols", "factors")
_FABRIC_KEYS = {
    "title", "engine", "chip", "ranks_per_chip", "source", "strategies", "protocols",
    "switches", "levels", "extends", "systems", "note", "cluster", "factors",
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
      note: what else to know about it.
      chip: its name in the catalogue of chips, or nothing.
      cluster: the fabric that a larger job of such units runs on, or nothing.
      systems: what logs call the machine.
    """

    fabric: Fabric
    title: str
    ranks_per_chip: int
    figures: Mapping[str, Figure]
    source: str = ""
    note: str = ""
    chip: str = ""
    cluster: str = ""
    systems: tuple[str, ...] = ()

    @property
    def sources(self) -> dict[str, str]:
        """Citation of each price, by its name."""
        return {name: each.source for name, each in self.figures.items()}


def read_entries(
    text: str, place_name: str, library: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Entry]:
    """Read every fabric of one file, already loaded as text.

    Args:
      text: of the file.
      place_name: what errors call it.
      library: parsed files whose fabrics it may extend; their links, engines and
        citations come with those, behind its own.

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
    bases = {table.get("extends") for table in fabrics.values()} - set(fabrics)
    for other in library:
        if bases & set(other["fabrics"]):
            data = {
                kind: {**other.get(kind, {}), **data.get(kind, {})}
                for kind in _FILE_KEYS
            }
    return {name: _entry(name, data, place_name) for name in fabrics}


def _entry(name: str, data: dict[str, Any], place_name: str) -> Entry:
    where = f"{place_name}, [fabrics.{name}]"
    merged, raw_levels = _inherit(name, data, where)
    engine_name = str(need(merged, "engine", where))
    strategies = tuple(merged.get("strategies", ["staged"]))
    if not raw_levels or not all(isinstance(raw, dict) for raw in raw_levels):
        raise FabricError(where, "lacks levels", "Add levels = [{ name, kind, … }]")
    figures: dict[str, Figure] = {}
    cited = data.get("sources", {})

    def prices(kind: str, table: str, fields: Mapping[str, str]) -> dict[str, float]:
        """Read one table of figures, by the fields of ``Level`` or ``Fabric``."""
        at = f"{place_name}, [{kind}.{table}]"
        raw = need(data.get(kind, {}), table, f"{place_name}, [{kind}]")
        known(raw, {*fields, *(_LIBRARY_KEYS if kind == "engines" else ())}, at)
        found = {}
        for key, field in fields.items():
            if key in raw:
                into = f"{table}.{field}" if kind == "links" else field
                each = figure(raw[key], key, at, cited, name=into, needs_range=True)
                figures[into] = each
                found[field] = 1.0 / each.value if each.unit == "B/s" else each.value
        return found

    levels: list[Level] = []
    for raw in raw_levels:
        at = f"{where}, level {raw.get('name', '?')!r}"
        link = prices("links", need(raw, "link", at), _LINK)
        levels.append(_level(raw, link, levels, at))
    engine = prices("engines", engine_name, _ENGINE)
    library = data["engines"][engine_name]
    protocols = tuple(
        str(word) for word in merged.get("protocols", library.get("protocols", [""]))
    )
    names = tuple(str(word) for word in library.get("algorithms", []))
    for word in names:
        collective, _, algorithm = word.partition(".")
        if collective not in COLLECTIVES or algorithm not in known_names():
            raise FabricError(
                f"{place_name}, [engines.{engine_name}]",
                f"algorithms has {word!r}",
                "Give COLLECTIVE.ALGORITHM, as all_gather.ring",
            )
    domains = {level.domain or level.name for level in levels}
    for word in strategies or ("",):
        domain, _, algorithm = str(word).rpartition(".")
        if algorithm not in _STRATEGIES or domain not in domains | {""}:
            names = ", ".join(sorted(_STRATEGIES))
            what = f"strategies = {list(strategies)}"
            raise FabricError(where, what, f"Use some of {names}, or DOMAIN.ALGORITHM")
    launch = engine.pop("launch_s", 0.0)
    factors = {}
    stated = {**data.get("factors", {}), **library.get("factors", {})}
    for key, raw in {**stated, **merged["factors"]}.items():
        at = f"{place_name}, [factors]"
        owner, called = key.split(".")[:2]
        fits = called in protocols if owner == "protocol" else owner in domains
        if fits or key in merged["factors"]:
            each = figure(raw, key, at, cited, name=key, needs_range=True)
            figures[key], factors[key] = each, each.value
    fabric = Fabric(
        name=name,
        strategies=strategies,
        algorithms=names,
        protocols=protocols,
        switches=_switches(merged.get("switches", []), levels, figures, cited, where),
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
        note=str(merged.get("note", "")),
        chip=str(merged.get("chip", "")),
        cluster=str(data["fabrics"][name].get("cluster", "")),
        systems=tuple(data["fabrics"][name].get("systems", ())),
    )


def _switches(
    raw: list[dict[str, Any]],
    levels: list[Level],
    figures: dict[str, Figure],
    cited: Mapping[str, Any],
    where: str,
) -> tuple[KnownSwitch, ...]:
    """Read where a library is documented to change its algorithm."""
    families = {level.domain or level.name: level.family for level in levels}
    found = []
    for each in raw:
        at = f"{where}, switches"
        known(each, {"domain", "collective", "below", "above", "size_MB"}, at)
        names = {
            key: str(need(each, key, at))
            for key in ("domain", "collective", "below", "above")
        }
        collective = one_of(names["collective"], COLLECTIVES, at, name="collective")
        domain = one_of(names["domain"], families, at, name="domain")
        choice = algorithms(families[domain], collective)
        for side in ("below", "above"):
            one_of(names[side], choice, at, name=side)
        called = "{domain}.{collective}.{below}-{above}".format(**names)
        size = figure(
            need(each, "size_MB", at),
            "size_MB",
            at,
            cited,
            name=called,
            needs_range=True,
        )
        figures[called] = size
        found.append(KnownSwitch(**names, size_bytes=size.value, spread=size.spread))
    return tuple(found)


def _inherit(name: str, data: dict[str, Any], where: str) -> tuple[dict, list]:
    """Follow ``extends``: own keys come first, the other fabric's levels inside."""
    known(data["fabrics"][name], _FABRIC_KEYS, where)
    merged, levels, factors, seen, at = {}, [], {}, set(), name
    while True:
        table = data["fabrics"][at]
        seen.add(at)
        merged, levels = {**table, **merged}, list(table.get("levels", [])) + levels
        factors = {**table.get("factors", {}), **factors}
        if "extends" not in table:
            return {**merged, "factors": factors}, levels
        at = table["extends"]
        if at in seen or at not in data["fabrics"]:
            raise FabricError(
                where,
                f"extends {at!r}",
                "Name a fabric of this file or of the catalogue",
            )


def _level(
    raw: dict[str, Any], prices: dict[str, float], inside: list[Level], where: str
) -> Level:
    known(raw, _LEVEL_KEYS, where)
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
    if (limit or sides) and not raw.get("grows"):
        raise FabricError(where, "has a limit and does not grow", "Add grows = true")
    crowd = prices.pop("crowd_byte_s", 0.0) * prices.get("byte_s", 0.0)
    return Level(
        name=need(raw, "name", where),
        kind=kind,
        family=family,
        domain=raw.get("domain", ""),
        link=raw["link"],
        in_node=bool(raw.get("in_node", False)),
        grows=bool(raw.get("grows", False)),
        sides=tuple(sorted(sides)),
        wrap=int(whole(raw, "wrap", where, least=0)),
        cube=bool(raw.get("cube", False)),
        members=size,
        capacity=size,
        limit=float(max(sides)) if sides else limit,
        uplinks=_uplinks(raw, inside, where),
        radix=whole(raw, "radix", where, least=0),
        rails=float(bool(raw.get("rails", False))),
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

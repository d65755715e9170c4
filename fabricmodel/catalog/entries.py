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
  ``twist``, ``radix``, ``rails``, ``uplinks`` (see ``Level``) or
  ``oversubscription``: links into a unit of it over links out.

Every figure is ``{ value, range = [low, high], source, confidence, note }``, the range
a 90 % belief, from which the fit takes the width of its prior.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fabricmodel.algorithms.registry import (
    COLLECTIVES,
    algorithms,
    known_names,
)
from fabricmodel.catalog.chips import list_chips
from fabricmodel.catalog.figures import (
    Figure,
    citation,
    figure,
    known,
    nearest,
    need,
    one_of,
    parse_toml,
    tables,
    text,
    whole,
    words,
)
from fabricmodel.catalog.levels import read_level
from fabricmodel.errors import FabricError
from fabricmodel.fabric import (
    FACTOR_KINDS,
    RULE_KIND,
    Fabric,
    Factors,
    KnownSwitch,
    Level,
)

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
_NEEDED = {"links": ("round_us", "bandwidth_GBps"), "engines": ("launch_us",)}
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
    content: str, place_name: str, library: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Entry]:
    """Read every fabric of one file, already loaded as text.

    Args:
      content: of the file.
      place_name: what errors call it.
      library: parsed files whose fabrics it may extend; their links, engines and
        citations come with those, behind its own.

    Raises:
      FabricError: naming the file, the table, the key, the value and the remedy.
    """
    data = parse_toml(content, place_name)
    fabrics = tables(data, "fabrics", place_name)
    if not fabrics:
        raise FabricError(
            place_name, "has no [fabrics.NAME]", "Add one; see the catalogue's files"
        )
    known(data, _FILE_KEYS, place_name)
    for kind in ("links", "engines", "sources"):
        tables(data, kind, place_name)
    bases = {str(table.get("extends")) for table in fabrics.values()} - set(fabrics)
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
    engine_name = text(merged, "engine", where)
    strategies = ("staged",)
    if "strategies" in merged:
        strategies = words(merged, "strategies", where)
    if not raw_levels or not all(isinstance(raw, dict) for raw in raw_levels):
        raise FabricError(where, "lacks levels", "Add levels = [{ name, kind, … }]")
    chip = text(merged, "chip", where, "")
    if chip and chip not in list_chips():
        near = nearest(chip, list_chips())
        raise FabricError(where, f"chip {chip!r}", f"Name one of the chips, as {near}")
    figures: dict[str, Figure] = {}
    cited = data.get("sources", {})

    def prices(kind: str, table: str, fields: Mapping[str, str]) -> dict[str, float]:
        """Read one table of figures, by the fields of ``Level`` or ``Fabric``."""
        at = f"{place_name}, [{kind}.{table}]"
        raw = need(data.get(kind, {}), table, f"{place_name}, [{kind}]")
        known(raw, {*fields, *(_LIBRARY_KEYS if kind == "engines" else ())}, at)
        for key in _NEEDED[kind]:
            need(raw, key, at)
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
        link = prices("links", text(raw, "link", at), _LINK)
        levels.append(read_level(raw, link, levels, at))
        if levels[-1].name in [level.name for level in levels[:-1]]:
            raise FabricError(at, "has the name of another level", "Give it its own")
    engine = prices("engines", engine_name, _ENGINE)
    library = data["engines"][engine_name]
    at = f"{place_name}, [engines.{engine_name}]"
    protocols = words({"protocols": [""], **library, **merged}, "protocols", where)
    names = words(library, "algorithms", at)
    for word in names:
        collective, _, algorithm = word.partition(".")
        if collective not in COLLECTIVES or algorithm not in known_names():
            raise FabricError(
                at,
                f"algorithms has {word!r}",
                "Give COLLECTIVE.ALGORITHM, as all_gather.ring",
            )
    domains = {level.domain or level.name for level in levels}
    for word in strategies or ("",):
        domain, _, algorithm = word.rpartition(".")
        if algorithm not in _STRATEGIES or domain not in domains | {""}:
            some = ", ".join(sorted(_STRATEGIES))
            what = f"strategies = {list(strategies)}"
            raise FabricError(where, what, f"Use some of {some}, or DOMAIN.ALGORITHM")
    launch = engine.pop("launch_s", 0.0)
    factors = {}
    stated = {**data.get("factors", {}), **library.get("factors", {})}
    for key in merged["factors"]:
        _factor_name(key, domains, protocols, f"{where}, factors")
    for key, raw in {**stated, **merged["factors"]}.items():
        at = f"{place_name}, [factors]"
        owner, called = [*key.split("."), ""][:2]
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
        title=text(merged, "title", where),
        ranks_per_chip=int(whole(merged, "ranks_per_chip", where, least=1)),
        figures=figures,
        source=citation(merged["source"], where, cited)[0]
        if "source" in merged
        else "",
        note=text(merged, "note", where, ""),
        chip=chip,
        cluster=text(data["fabrics"][name], "cluster", where, ""),
        systems=words(data["fabrics"][name], "systems", where),
    )


def _factor_name(
    key: str, domains: Iterable[str], protocols: Sequence[str], where: str
) -> None:
    """Refuse a fabric's factor that nothing would ever read."""
    *before, domain, called, kind = ["", "", *key.split(".")]
    told = {*domains, "flat"} if called not in protocols else {*domains, "protocol"}
    fits = called in known_names() or called in protocols
    if not (
        kind in (*FACTOR_KINDS, RULE_KIND)
        and fits
        and domain in told
        and "".join(before) in ("", *COLLECTIVES)
    ):
        kinds = ", ".join((*FACTOR_KINDS, RULE_KIND))
        raise FabricError(
            where,
            f"unknown factor {key!r}",
            f"Write DOMAIN.ALGORITHM.KIND or protocol.PROTOCOL.KIND, with a domain of "
            f"{', '.join(sorted({*domains, 'flat'}))} and a kind of {kinds}",
        )


def _switches(
    raw: Any,
    levels: list[Level],
    figures: dict[str, Figure],
    cited: Mapping[str, Any],
    where: str,
) -> tuple[KnownSwitch, ...]:
    """Read where a library is documented to change its algorithm."""
    families = {level.domain or level.name: level.family for level in levels}
    found = []
    at = f"{where}, switches"
    if not isinstance(raw, list):
        raise FabricError(at, f"{raw!r} is no list", "Write [{ domain, … }]")
    for each in raw:
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
        own = table.get("levels", [])
        if not isinstance(own, list) or not isinstance(table.get("factors", {}), dict):
            raise FabricError(
                where, "levels or factors of another kind", "Give a list and a table"
            )
        merged, levels = {**table, **merged}, own + levels
        factors = {**table.get("factors", {}), **factors}
        if "extends" not in table:
            return {**merged, "factors": factors}, levels
        at = table["extends"]
        if not isinstance(at, str) or at in seen or at not in data["fabrics"]:
            raise FabricError(
                where,
                f"extends {at!r}",
                "Name a fabric of this file or of the catalogue",
            )

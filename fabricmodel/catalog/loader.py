"""Read a fabric from the catalogue, or from a user's file of the same schema.

The schema, one TOML file for any number of fabrics:

- ``[sources]``: short names for citations.
- ``[links.NAME]``: a class of link, with ``round_us``, ``hop_us``, ``message_us``,
  ``jitter_us``, ``bandwidth_GBps`` (one link, one direction, 1e9 bytes) and ``crowd``
  (the share by which a byte gets dearer with each doubling of the level).
- ``[engines.NAME]``: ``launch_us``, ``reduce_GBps``, ``memory_round_us``,
  ``memory_GBps``.
- ``[factors]``: how much dearer than its counts an algorithm is, by
  ``"DOMAIN.ALGORITHM.latency"`` or ``.transfer``, wherever the domain occurs.
- ``[fabrics.NAME]``: ``title``, ``engine``, ``ranks_per_chip``, ``source``,
  ``strategies`` and ``levels``, innermost first; or ``extends``, another fabric whose
  levels come first.

Every figure is ``{ value, range = [low, high], source }``, the range a 90 % belief,
from which the fit takes the width of its prior.
"""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from fabricmodel.algorithms.registry import ALGORITHMS, COLLECTIVES, known_names
from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric, Factors, Level
from fabricmodel.placement import place

_Z90 = 1.645  # half a 90 % interval, in standard deviations
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
    "title", "engine", "ranks_per_chip", "source", "strategies", "levels", "extends",
    "systems",
}  # fmt: skip
_STRATEGIES = {"staged"} | known_names()
_FILE_KEYS = {"sources", "links", "engines", "factors", "fabrics"}
_FIGURE_KEYS = {"value", "range", "source", "note"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A catalogue entry: the fabric, and what it is called and made of.

    Attributes:
      fabric: of one unit of each level that grows.
      title: one line for people.
      ranks_per_chip: ranks that a chip runs by default.
      sources: citation of each price, by its name.
      systems: what logs call the machine.
    """

    fabric: Fabric
    title: str
    ranks_per_chip: int
    sources: Mapping[str, str]
    systems: tuple[str, ...] = ()


def load_fabric(name: str | os.PathLike[str], chips: int | None = None) -> Fabric:
    """Load a fabric by its catalogue name or from a TOML file of the same schema.

    Args:
      name: see ``list_fabrics()``; or a path to a file with one fabric in it.
      chips: how many chips the fabric has. Its inner levels are filled first, the
        outermost grows. Without it, one whole unit.

    Raises:
      FabricError: for an unknown name, a bad file (naming the key and the remedy), or
        chips that do not divide into the levels.

    >>> fabric = load_fabric("trn2-ultracluster", chips=65_536)
    >>> [level.members for level in fabric.levels]
    [4.0, 4.0, 4.0, 4.0, 1024.0]
    """
    entry = load_entry(name)
    if chips is None:
        return entry.fabric
    return place(entry.fabric, chips * entry.ranks_per_chip)


def list_fabrics() -> list[str]:
    """Return the names in the catalogue.

    >>> "trn1-instance" in list_fabrics()
    True
    """
    return sorted(_catalogue())


def load_entry(name: str | os.PathLike[str]) -> Entry:
    """Load a fabric with its title and its sources; see ``load_fabric``."""
    known = _catalogue()
    if isinstance(name, str) and name in known:
        return known[name]
    path = Path(name)
    if path.suffix != ".toml":
        raise FabricError(
            "fabric",
            f"{os.fspath(name)!r} is not in the catalogue",
            f"Name one of {', '.join(sorted(known))}, or a path to a .toml file",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FabricError(
            str(path), f"can't be read: {error}", "Check the path"
        ) from error
    entries = read_entries(text, str(path))
    if len(entries) != 1:
        raise FabricError(
            str(path),
            f"holds {len(entries)} fabrics",
            "Keep one fabric to a file",
        )
    return next(iter(entries.values()))


@cache
def _catalogue() -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    folder = resources.files("fabricmodel.catalog") / "data"
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if file.name.endswith(".toml"):
            entries |= read_entries(file.read_text(encoding="utf-8"), file.name)
    return entries


def read_entries(text: str, place_name: str) -> dict[str, Entry]:
    """Read every fabric of one file, already loaded as text."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FabricError(place_name, f"is no TOML: {error}", "Repair it") from error
    fabrics = data.get("fabrics", {})
    if not fabrics:
        raise FabricError(
            place_name, "has no [fabrics.NAME]", "Add one; see the catalogue's files"
        )
    _known(data, _FILE_KEYS, place_name)
    return {name: _entry(name, data, place_name) for name in fabrics}


def _entry(name: str, data: dict[str, Any], place_name: str) -> Entry:
    where = f"{place_name}, [fabrics.{name}]"
    own = data["fabrics"][name]
    _known(own, _FABRIC_KEYS, where)
    chain, raw_levels, seen = own, list(own.get("levels", [])), {name}
    merged = dict(own)
    while "extends" in chain:
        base = chain["extends"]
        if base in seen or base not in data["fabrics"]:
            raise FabricError(where, f"extends {base!r}", "Name a fabric of this file")
        seen.add(base)
        chain = data["fabrics"][base]
        raw_levels = list(chain.get("levels", [])) + raw_levels
        merged = {**chain, **merged}
    engine_name = str(_need(merged, "engine", where))
    strategies = tuple(merged.get("strategies", ["staged"]))
    if not strategies or not set(strategies) <= _STRATEGIES:
        names = ", ".join(sorted(_STRATEGIES))
        raise FabricError(where, f"strategies = {strategies}", f"Use some of {names}")
    if not raw_levels or not all(isinstance(raw, dict) for raw in raw_levels):
        raise FabricError(where, "lacks levels", "Add levels = [{ name, kind, … }]")
    engine = _need(data.get("engines", {}), engine_name, f"{place_name}, [engines]")
    sources: dict[str, str] = {}
    spread: dict[str, float] = {}
    cited = data.get("sources", {})

    def price(figure: Any, key: str, at: str, into: str) -> float:
        value, width, source = _figure(figure, key, at, cited)
        sources[into], spread[into] = source, width
        return value

    levels = []
    for raw in raw_levels:
        at = f"{where}, level {raw.get('name', '?')!r}"
        link_name = _need(raw, "link", at)
        link = _need(data.get("links", {}), link_name, f"{place_name}, [links]")
        _known(link, set(_LINK), f"{place_name}, [links.{link_name}]")
        prices = {
            field: price(
                link[key],
                key,
                f"{place_name}, [links.{link_name}]",
                f"{link_name}.{field}",
            )
            for key, field in _LINK.items()
            if key in link
        }
        levels.append(_level(raw, prices, at))
    engine_prices = {
        field: price(engine[key], key, f"{place_name}, [engines.{engine_name}]", field)
        for key, field in _ENGINE.items()
        if key in engine
    }
    _known(engine, set(_ENGINE), f"{place_name}, [engines.{engine_name}]")
    launch = engine_prices.pop("launch_s", 0.0)
    domains = {level.domain or level.name for level in levels}
    factors = {
        key: price(figure, key, f"{place_name}, [factors]", key)
        for key, figure in data.get("factors", {}).items()
        if key.split(".")[0] in domains
    }
    fabric = Fabric(
        name=name,
        strategies=strategies,
        levels=tuple(levels),
        launch_s=dict.fromkeys(COLLECTIVES, launch),
        factors=Factors(names=tuple(factors), values=tuple(factors.values())),
        spread=spread,
        **engine_prices,
    )
    return Entry(
        fabric=fabric,
        title=_need(merged, "title", where),
        ranks_per_chip=int(_whole(merged, "ranks_per_chip", where, least=1)),
        sources=sources,
        systems=tuple(own.get("systems", ())),
    )


def _level(raw: dict[str, Any], prices: dict[str, float], where: str) -> Level:
    _known(raw, _LEVEL_KEYS, where)
    kind = _need(raw, "kind", where)
    if kind not in ("ring", "line", "clique", "switch"):
        raise FabricError(where, f"kind {kind!r}", "Use ring, line, clique or switch")
    family = raw.get("family", "torus" if kind in ("ring", "line") else "flat")
    if family not in ALGORITHMS:
        raise FabricError(
            where, f"family {family!r}", f"Use one of {', '.join(ALGORITHMS)}"
        )
    size = _whole(raw, "size", where, least=1)
    crowd = prices.pop("crowd_byte_s", 0.0) * prices.get("byte_s", 0.0)
    return Level(
        name=_need(raw, "name", where),
        kind=kind,
        family=family,
        domain=raw.get("domain", ""),
        link=raw["link"],
        in_node=bool(raw.get("in_node", False)),
        grows=bool(raw.get("grows", False)),
        members=size,
        capacity=size,
        uplinks=_whole(raw, "uplinks", where, least=0),
        radix=_whole(raw, "radix", where, least=0),
        crowd_byte_s=crowd,
        **prices,
    )


def _figure(
    figure: Any, key: str, where: str, cited: Mapping[str, str]
) -> tuple[float, float, str]:
    """Value in SI, log standard deviation of its range, and citation."""
    at = f"{where}, {key}"
    if not isinstance(figure, dict):
        raise FabricError(
            at, f"{figure!r} is a bare number", "Write { value, range, source }"
        )
    _known(figure, _FIGURE_KEYS, at)
    value = _positive(_need(figure, "value", at), at)
    ends = _need(figure, "range", at)
    if not isinstance(ends, list) or len(ends) != 2:
        raise FabricError(at, f"range = {ends!r}", "Give [low, high]")
    low, high = (_positive(end, at) for end in ends)
    if not low < high or not low <= value <= high:
        raise FabricError(
            at, f"range [{low}, {high}] around {value}", "Give low <= value <= high"
        )
    source = _need(figure, "source", at)
    width = math.log(high / low) / (2.0 * _Z90)
    if key.endswith("_us"):
        value *= 1e-6
    elif key.endswith("_GBps"):
        value = 1e-9 / value
    return value, width, cited.get(source, source)


def _positive(number: Any, where: str) -> float:
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise FabricError(where, f"{number!r} is no number", "Give a positive number")
    if not (math.isfinite(number) and number > 0):
        raise FabricError(where, f"{number} is not positive", "Give a positive number")
    return float(number)


def _whole(table: Mapping[str, Any], key: str, where: str, *, least: int) -> float:
    """Read a whole number; one that may be 0 may also be left out."""
    number = table.get(key, 0) if least == 0 else _need(table, key, where)
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        what = f"{key} = {number!r}"
        raise FabricError(where, what, f"Give a whole number of at least {least}")
    return float(number)


def _need(table: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in table:
        raise FabricError(where, f"lacks {key!r}", f"Add {key}")
    return table[key]


def _known(table: Mapping[str, Any], keys: set[str], where: str) -> None:
    for key in table:
        if key not in keys:
            raise FabricError(
                where, f"unknown key {key!r}", f"Use {', '.join(sorted(keys))}"
            )

"""Chips: what one computes, remembers, draws, costs, and how often it fails.

The schema, one TOML file for any number of chips:

- ``[sources]``: short names for citations, ``{ cite, confidence }``.
- ``[chips.NAME]``: ``title``, ``vendor``, ``aliases``; the tables ``peak_TFLOPs`` and
  ``matrix_TFLOPs`` of figures by precision; ``memory_GB`` (or ``memory_GiB``),
  ``memory_GBps``, ``power_W``, ``failures_per_Mh`` (a million hours of one chip);
  ``prices``, a list; or ``extends``, another chip, of the file or of the catalogue, for
  what is not given (its prices and aliases stay its own).

A figure is ``{ value, range, source, confidence, note }``; a range is given where
sources disagree. A price is ``{ usd_per_hour, chips, offer, kind, date, source }``.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from chex import Numeric

from fabricmodel._pytree import pytree, static
from fabricmodel.catalog.figures import (
    CONFIDENCE,
    Figure,
    citation,
    figure,
    flatten,
    known,
    nearest,
    need,
    one_of,
    parse_toml,
    positive,
    read_text,
    tables,
    text,
    whole,
    words,
)
from fabricmodel.errors import FabricError

PRECISIONS = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "fp6", "fp4", "int8")
PRICE_KINDS = ("on_demand", "reserved", "capacity_block", "spot")

_SCALARS = {
    "memory_GB": "memory_bytes",
    "memory_GiB": "memory_bytes",
    "memory_GBps": "memory_Bps",
    "power_W": "power_W",
    "failures_per_Mh": "failures_per_hour",
}
_TABLES = {"peak_TFLOPs": "peak_flops", "matrix_TFLOPs": "matrix_flops"}
_KEYS = {"title", "vendor", "aliases", "prices", "extends", *_SCALARS, *_TABLES}
_PRICE_KEYS = {
    "usd_per_hour", "chips", "offer", "kind", "date", "source", "confidence", "note",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Price:
    """What somebody asked for one chip at some time.

    Attributes:
      usd_per_hour: US dollars for an hour of one chip, with its share of the host.
      kind: ``on_demand``, ``reserved``, ``capacity_block`` or ``spot``.
      date: year and month of the list, or ``unknown``.
      offer: whose, and what it is called.
      source, confidence, note: as of a ``Figure``.
    """

    usd_per_hour: float
    kind: str
    date: str
    offer: str
    source: str
    confidence: str
    note: str = ""


@pytree
class Chip:
    """One accelerator: the unit that ``chips`` counts.

    Attributes:
      name: its name in the catalogue.
      vendor: who makes it.
      title: one line for people.
      peak_flops: dense FLOP/s by precision (``bf16``, ``fp8``, ``fp4``, ``fp32``, …),
        as the vendor states it.
      matrix_flops: the best measured rate of a matrix product, by precision, where
        there is one: the roof to use. See ``roof_flops``.
      memory_bytes, memory_Bps: of its own memory, and the rate to it.
      power_W: its rating, or None where none is published.
      failures_per_hour: interruptions of a job for each hour of each chip.
      prices: what was asked for it, newest first.
      figures: every number above with its range, source and confidence.
    """

    name: str = static()
    vendor: str = static()
    title: str = static(default="")
    peak_flops: Mapping[str, Numeric]
    matrix_flops: Mapping[str, Numeric]
    memory_bytes: Numeric
    memory_Bps: Numeric
    power_W: Numeric | None = None
    failures_per_hour: Numeric
    prices: tuple[Price, ...] = static(default=())
    figures: tuple[Figure, ...] = static(default=())

    def roof_flops(self, precision: str) -> Numeric:
        """Matrix rate to plan with: the measured one, or else the stated peak.

        Raises:
          FabricError: for a precision that the chip is not known to have.

        >>> h100 = load_chip("h100")
        >>> float(h100.roof_flops("bf16")), float(h100.peak_flops["bf16"])
        (794500000000000.0, 989000000000000.0)
        """
        for rates in (self.matrix_flops, self.peak_flops):
            if precision in rates:
                return rates[precision]
        raise FabricError(
            "precision",
            f"{self.name} has no {precision!r}",
            f"Use one of {', '.join(sorted(self.peak_flops))}",
        )

    @property
    def unknown(self) -> tuple[str, ...]:
        """Attributes that the catalogue has no figure of.

        >>> load_chip("tpu-v3").unknown
        ('matrix_flops', 'power_W', 'prices')
        """
        known = {
            "matrix_flops": bool(self.matrix_flops),
            "power_W": self.power_W is not None,
            "prices": bool(self.prices),
        }
        return tuple(name for name, there in known.items() if not there)

    def rated_W(self) -> Numeric:
        """Its rating, for whoever can't do without.

        Raises:
          FabricError: where none is published.

        >>> load_chip("h100").rated_W()
        700.0
        """
        if self.power_W is None:
            raise FabricError(
                "power_W",
                f"no power of {self.name} is published",
                "Give your own in a chip file that extends it, or with "
                "dataclasses.replace(chip, power_W=…)",
            )
        return self.power_W

    def figure(self, name: str) -> Figure:
        """Return a number with its provenance: ``memory_Bps``, ``peak_flops.bf16``.

        Raises:
          FabricError: for a name that the chip has no figure of.

        >>> f = load_chip("trn1").figure("peak_flops.bf16")
        >>> f.low, f.high, f.confidence
        (190000000000000.0, 191000000000000.0, 'read')
        """
        for each in self.figures:
            if each.name == name:
                return each
        names = ", ".join(each.name for each in self.figures)
        raise FabricError("figure", f"{self.name} has no {name!r}", f"Use {names}")


def load_chip(name: str | os.PathLike[str]) -> Chip:
    """Load a chip by its name in the catalogue, an alias, or from a TOML file.

    Capitals, spaces and remarks in brackets do not matter: ``"TPU v5p"`` is
    ``tpu-v5p``, ``"H100-SXM-80GB (p5, EFA v2)"`` is ``h100``.

    Args:
      name: see ``list_chips()``; or a path to a file with one chip in it, which may
        extend one of the catalogue.

    Raises:
      FabricError: for an unknown name or a bad file (naming the key and the remedy).

    >>> trn2 = load_chip("trn2")
    >>> f"{trn2.peak_flops['bf16']:.3g} FLOP/s, {trn2.memory_Bps:.2g} B/s"
    '6.67e+14 FLOP/s, 2.9e+12 B/s'
    >>> [price.kind for price in trn2.prices]
    ['capacity_block', 'spot', 'spot']
    """
    chips, aliases = _catalogue()
    if isinstance(name, str):
        plain = _plain(name)
        if plain in aliases:
            return chips[aliases[plain]]
    path = Path(name)
    if path.suffix != ".toml":
        raise FabricError(
            "chip",
            f"{os.fspath(name)!r} is not in the catalogue",
            f"Name one of list_chips(), nearest {nearest(str(name), chips)}, or a path "
            "to a .toml file",
        )
    data = parse_toml(read_text(path), str(path))
    found = read_chips(data, str(path), _files().values())
    if len(found) != 1:
        raise FabricError(
            str(path), f"holds {len(found)} chips", "Keep one chip to a file"
        )
    return next(iter(found.values()))


def list_chips() -> list[str]:
    """Return the names of the chips in the catalogue.

    >>> "trn2" in list_chips()
    True
    """
    return sorted(_catalogue()[0])


@cache
def _files() -> dict[str, dict[str, Any]]:
    folder = resources.files("fabricmodel.catalog") / "data" / "chips"
    return {
        file.name: parse_toml(file.read_text(encoding="utf-8"), file.name)
        for file in sorted(folder.iterdir(), key=lambda item: item.name)
    }


@cache
def _catalogue() -> tuple[dict[str, Chip], dict[str, str]]:
    """Read every chip of the catalogue, and the name that each alias stands for."""
    chips: dict[str, Chip] = {}
    aliases: dict[str, str] = {}
    for file_name, data in _files().items():
        chips |= read_chips(data, file_name)
        for name, table in data["chips"].items():
            for alias in (name, *table.get("aliases", ())):
                aliases[_plain(alias)] = name
    return chips, aliases


def _plain(name: str) -> str:
    """Drop what does not tell chips apart: capitals, spaces, remarks in brackets."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\(.*?\)", "", name.lower())).strip("-")


def read_chips(
    data: Mapping[str, Any],
    place_name: str,
    library: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Chip]:
    """Read every chip of one file, already parsed.

    Args:
      data: the file.
      place_name: what errors call it.
      library: parsed files whose chips it may extend.
    """
    known(data, {"sources", "chips"}, place_name)
    names = list(tables(data, "chips", place_name))
    tables(data, "sources", place_name)
    if not names:
        raise FabricError(
            place_name, "has no [chips.NAME]", "Add one; see the catalogue's files"
        )
    bases = {str(data["chips"][name].get("extends")) for name in names} - set(names)
    for other in library:
        if bases & set(other["chips"]):
            data = {
                kind: {**other[kind], **data.get(kind, {})}
                for kind in ("sources", "chips")
            }
    return {name: _chip(name, data, place_name) for name in names}


def _chip(name: str, data: Mapping[str, Any], place_name: str) -> Chip:
    where = f"{place_name}, [chips.{name}]"
    own, raw = data["chips"][name], flatten(data, "chips", name, where)
    known(raw, _KEYS, where)
    if {"memory_GB", "memory_GiB"} <= set(raw):
        raise FabricError(where, "has memory_GB and memory_GiB", "Keep one of them")
    sources = data.get("sources", {})
    figures = [
        figure(raw[key], key, where, sources, name=field)
        for key, field in _SCALARS.items()
        if key in raw
    ]
    for key, field in _TABLES.items():
        known(raw.get(key, {}), PRECISIONS, f"{where}, {key}")
        figures += [
            figure(each, key, f"{where}, {kind}", sources, name=f"{field}.{kind}")
            for kind, each in raw.get(key, {}).items()
        ]
    values = {each.name: each.value for each in figures}
    for key in ("memory_bytes", "memory_Bps", "failures_per_hour"):
        need(values, key, where)
    rates = {
        field: {
            key.partition(".")[2]: value
            for key, value in values.items()
            if key.startswith(f"{field}.")
        }
        for field in _TABLES.values()
    }
    if not rates["peak_flops"]:
        raise FabricError(where, "lacks 'peak_TFLOPs'", "Add the rate of a precision")
    words(own, "aliases", where)
    listed = own.get("prices", [])
    if not isinstance(listed, list):
        raise FabricError(where, f"prices = {listed!r}", "Give a list of prices")
    prices = [_price(each, where, sources) for each in listed]
    return Chip(
        name=name,
        vendor=text(raw, "vendor", where),
        title=text(raw, "title", where),
        memory_bytes=values["memory_bytes"],
        memory_Bps=values["memory_Bps"],
        power_W=values.get("power_W"),
        failures_per_hour=values["failures_per_hour"],
        prices=tuple(
            sorted(prices, key=lambda p: (p.date != "unknown", p.date), reverse=True)
        ),
        figures=tuple(figures),
        **rates,
    )


def _price(raw: Any, where: str, sources: Mapping[str, Any]) -> Price:
    at = f"{where}, prices"
    if not isinstance(raw, dict):
        raise FabricError(
            at, f"{raw!r} is no price", "Write { usd_per_hour, kind, date, source }"
        )
    known(raw, _PRICE_KEYS, at)
    date = str(need(raw, "date", at))
    if not re.fullmatch(r"\d{4}-\d{2}|unknown", date):
        raise FabricError(at, f"date = {date!r}", "Give 2026-11, or unknown")
    cite, confidence = citation(need(raw, "source", at), at, sources)
    chips = whole(raw, "chips", at, least=1) if "chips" in raw else 1.0
    return Price(
        usd_per_hour=positive(need(raw, "usd_per_hour", at), at) / chips,
        kind=one_of(need(raw, "kind", at), PRICE_KINDS, at),
        date=date,
        offer=text(raw, "offer", at),
        source=cite,
        confidence=one_of(raw.get("confidence", confidence), CONFIDENCE, at),
        note=text(raw, "note", at, ""),
    )

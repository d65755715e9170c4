"""A figure and where it comes from: what every number of the catalogue is made of.

``{ value, range = [low, high], source, confidence, note }`` in a data file, its unit
in the key (``bandwidth_GBps``). ``source`` is a short name of the file's ``[sources]``
table, whose entry is a citation or ``{ cite, confidence }``.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fabricmodel.errors import FabricError

CONFIDENCE = ("read", "quoted", "derived", "recalled", "estimate")
"""How a figure is known, best first.

``read``: in the source named; ``quoted``: in a source that quotes it; ``derived``: by
arithmetic from such figures; ``recalled``: from a publication not read again;
``estimate``: an engineering judgement, its range wide enough to say so.
"""

UNITS = {
    "_us": ("s", 1e-6),
    "_GBps": ("B/s", 1e9),
    "_TFLOPs": ("FLOP/s", 1e12),
    "_MB": ("B", 1e6),
    "_GB": ("B", 1e9),
    "_GiB": ("B", 2.0**30),
    "_bytes": ("B", 1.0),
    "_W": ("W", 1.0),
    "_per_Mh": ("1/h", 1e-6),
    "_usd": ("USD/h", 1.0),
}
"""SI unit and factor of a key, by its ending; a key without one has no unit."""

_KEYS = {"value", "range", "source", "note", "confidence", "direction"}
_Z90 = 1.645  # half a 90 % interval, in standard deviations


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of the catalogue, with its provenance.

    Attributes:
      name: what it is the value of (``memory_Bps``, ``efa-v3.byte_s``).
      value: in SI.
      unit: of the value; bandwidths are of one direction.
      low, high: a 90 % belief, or what sources that disagree say; both are the value
        where nothing contradicts it.
      source: its citation.
      confidence: one of ``CONFIDENCE``.
      note: what else to know about it.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    source: str
    confidence: str
    note: str = ""

    @property
    def spread(self) -> float:
        """Standard deviation of the log of a log-normal with this 90 % range.

        >>> Figure(name="x", value=2.0, unit="s", low=1.0, high=4.0, source="a lab",
        ...        confidence="read").spread.__round__(3)
        0.421
        """
        return math.log(self.high / self.low) / (2.0 * _Z90)


def read_text(path: Path) -> str:
    """Read a user's file."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FabricError(
            str(path), f"can't be read: {error}", "Check the path"
        ) from error


def parse_toml(content: str, name: str) -> dict[str, Any]:
    """Parse the text of a file called ``name``."""
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise FabricError(name, f"is no TOML: {error}", "Repair it") from error


def figure(
    raw: Any,
    key: str,
    where: str,
    sources: Mapping[str, Any],
    *,
    name: str,
    needs_range: bool = False,
) -> Figure:
    """Check one figure and put it into SI.

    Args:
      raw: as it stands in the file.
      key: whose ending is its unit.
      where: file and table, for the error.
      sources: the file's citations.
      name: what the figure is to be called.
      needs_range: whether it has to state one.

    Raises:
      FabricError: naming the key, the value and the remedy.

    >>> f = figure({"value": 3.35, "source": "LAB"}, "memory_GBps", "x.toml",
    ...            {"LAB": "measured in our lab"}, name="memory_Bps")
    >>> f.value, f.unit, f.source, f.confidence
    (3350000000.0, 'B/s', 'measured in our lab', 'read')
    """
    at = f"{where}, {key}"
    if not isinstance(raw, dict):
        raise FabricError(
            at, f"{raw!r} is a bare number", "Write { value, range, source }"
        )
    known(raw, _KEYS, at)
    value = positive(need(raw, "value", at), at)
    ends = need(raw, "range", at) if needs_range else raw.get("range", [value, value])
    if not isinstance(ends, list) or len(ends) != 2:
        raise FabricError(at, f"range = {ends!r}", "Give [low, high]")
    low, high = (positive(end, at) for end in ends)
    if not (low < high or "range" not in raw) or not low <= value <= high:
        raise FabricError(
            at, f"range [{low}, {high}] around {value}", "Give low <= value <= high"
        )
    cite, confidence = citation(need(raw, "source", at), at, sources)
    unit, factor = unit_of(key)
    factor *= direction(raw, at)
    return Figure(
        name=name,
        value=value * factor,
        unit=unit,
        low=low * factor,
        high=high * factor,
        source=cite,
        confidence=one_of(raw.get("confidence", confidence), CONFIDENCE, at),
        note=text(raw, "note", at, ""),
    )


def unit_of(key: str) -> tuple[str, float]:
    """Return the SI unit that a key ends in, and the factor to reach it."""
    found = [UNITS[end] for end in sorted(UNITS, key=len) if key.endswith(end)]
    return found[-1] if found else ("", 1.0)


def direction(raw: Mapping[str, Any], where: str) -> float:
    """Return the share that one direction has of a bandwidth: 1, or half of both."""
    word = raw.get("direction", "one")
    return 1.0 if one_of(word, ("one", "both"), where) == "one" else 0.5


def citation(short: Any, where: str, sources: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a short name cites, and how sure a figure of it is by default.

    >>> citation("LBA", "x.toml", {"LAB": "measured in our lab"})
    Traceback (most recent call last):
    ...
    fabricmodel.errors.FabricError: x.toml: source 'LBA' is not among [sources]. Add \
it there, or name one of LAB.
    """
    if isinstance(short, str) and short.isupper() and short not in sources:
        some = f", or name one of {nearest(short, sources)}" if sources else ""
        what = f"source {short!r} is not among [sources]"
        raise FabricError(where, what, f"Add it there{some}")
    entry = sources.get(short, short) if isinstance(short, str) else short
    if isinstance(entry, str) and entry.strip():
        return entry, "read"
    at = f"{where}, source {short!r}"
    if not isinstance(entry, dict):
        raise FabricError(at, "is no citation", "Give text, or { cite, confidence }")
    known(entry, {"cite", "confidence"}, at)
    return (
        text(entry, "cite", at),
        one_of(entry.get("confidence", "read"), CONFIDENCE, at),
    )


def nearest(name: str, names: Iterable[str], count: int = 8) -> str:
    """Name those of a catalogue that look most like a name it does not have.

    >>> nearest("h100-infinband", ["a100-roce", "h100-infiniband", "trn1"], 2)
    'h100-infiniband, a100-roce'
    """

    def unlike(other: str) -> float:
        return -difflib.SequenceMatcher(None, name.lower(), other).ratio()

    return ", ".join(sorted(names, key=unlike)[:count])


def one_of(word: Any, words: Iterable[str], where: str, *, name: str = "") -> str:
    """Return a word that is on a list."""
    if word not in words:
        what = f"{name} {word!r}".strip()
        raise FabricError(where, what, f"Use one of {', '.join(words)}")
    return word


def positive(number: Any, where: str) -> float:
    """Return a finite number above zero."""
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise FabricError(where, f"{number!r} is no number", "Give a positive number")
    if not (math.isfinite(number) and number > 0):
        raise FabricError(where, f"{number} is not positive", "Give a positive number")
    return float(number)


def whole(table: Mapping[str, Any], key: str, where: str, *, least: int) -> float:
    """Read a whole number; one that may be 0 may also be left out."""
    number = table.get(key, 0) if least == 0 else need(table, key, where)
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        what = f"{key} = {number!r}"
        raise FabricError(where, what, f"Give a whole number of at least {least}")
    return float(number)


def need(table: Mapping[str, Any], key: str, where: str) -> Any:
    """Return what stands under a key."""
    if key not in table:
        raise FabricError(where, f"lacks {key!r}", f"Add {key}")
    return table[key]


def known(table: Any, keys: Iterable[str], where: str) -> None:
    """Refuse a key that is on no list, most often a slip of the pen.

    >>> known({"tilte": "x"}, {"title", "levels"}, "x.toml")
    Traceback (most recent call last):
    ...
    fabricmodel.errors.FabricError: x.toml: unknown key 'tilte'. Did you mean 'title'? \
Use levels, title.
    """
    if not isinstance(table, Mapping):
        raise FabricError(where, f"{table!r} is no table", "Write { KEY = VALUE, … }")
    for key in table:
        if key not in keys:
            meant = difflib.get_close_matches(key, keys, 1)
            hint = f"Did you mean {meant[0]!r}? " if meant else ""
            raise FabricError(
                where, f"unknown key {key!r}", f"{hint}Use {', '.join(sorted(keys))}"
            )


def tables(data: Mapping[str, Any], kind: str, where: str) -> Mapping[str, Any]:
    """Return a table of tables, or of citations; empty where there is none."""
    found = data.get(kind, {})
    plain = (dict, str) if kind == "sources" else (dict,)
    if not isinstance(found, dict) or not all(
        isinstance(each, plain) for each in found.values()
    ):
        name = "NAME = { cite }" if kind == "sources" else f"[{kind}.NAME]"
        raise FabricError(f"{where}, [{kind}]", "holds what is no table", f"Use {name}")
    return found


def text(
    table: Mapping[str, Any], key: str, where: str, default: str | None = None
) -> str:
    """Read text, which has to be there unless it has a default."""
    found = need(table, key, where) if default is None else table.get(key, default)
    if not isinstance(found, str) or not (found.strip() or found == default):
        raise FabricError(where, f"{key} = {found!r}", f'Give text, {key} = "…"')
    return found


def words(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Read a list of words that may be left out."""
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(x, str) for x in found):
        raise FabricError(where, f"{key} = {found!r}", 'Give a list, ["…", "…"]')
    return tuple(found)


def yes(table: Mapping[str, Any], key: str, where: str) -> bool:
    """Read true or false; false where it is left out."""
    found = table.get(key, False)
    if not isinstance(found, bool):
        raise FabricError(where, f"{key} = {found!r}", "Give true or false")
    return found


def flatten(data: Mapping[str, Any], kind: str, name: str, where: str) -> dict:
    """Merge a table with those that it ``extends``, its own keys first."""
    found, seen, at = {}, set(), name
    while True:
        if not isinstance(at, str) or at in seen or at not in data[kind]:
            raise FabricError(
                where,
                f"extends {at!r}",
                f"Name another of the file's {kind}, or of the catalogue's",
            )
        seen.add(at)
        found = {**data[kind][at], **found}
        if "extends" not in data[kind][at]:
            return found
        at = data[kind][at]["extends"]

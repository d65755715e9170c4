"""The catalogue in words: a list, one entry with its sources, two side by side."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from fabricmodel.catalog.chips import PRICE_KINDS, Chip, list_chips, load_chip
from fabricmodel.catalog.entries import Entry
from fabricmodel.catalog.figures import Figure
from fabricmodel.catalog.loader import list_fabrics, load_entry, load_sized
from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric

_FACTORS = {
    "s": (1e6, "us"),
    "B/s": (1e-9, "GB/s"),
    "B": (1e-9, "GB"),
    "FLOP/s": (1e-12, "TFLOP/s"),
    "1/h": (1e6, "per million hours"),
    "W": (1.0, "W"),
    "": (1.0, ""),
}
_WORDS = {
    "reduce_byte_s": "reduction",
    "copy_byte_s": "copy",
    "memory_byte_s": "memory bandwidth",
    "byte_s": "bandwidth",
    "_Bps": " bandwidth",
    "_bytes": "",
    "_W": "",
    "_s": "",
}
_OWN = "give your own, in a chip file that extends this one"
_UNKNOWN = {
    "matrix_flops": ("measured matrix rate", "unknown", "", "", "",
                     "plan with a share of the peak; training takes 0.8 of it"),
    "power_W": ("power", "unknown", "", "", "", _OWN),
    "prices": ("price", "unknown", "", "", "", _OWN),
}  # fmt: skip
_MAY_BE_UNKNOWN = ("matrix", "power", "USD")
_FOOT = "Bandwidths are of one link, or of a chip's memory, in one direction."
Rows = list[tuple[str, ...]]


def listing() -> str:
    """List every fabric and every chip, a line each.

    >>> [line.split()[0] for line in listing().splitlines()[1:3]]
    ['a100-efa', 'a100-infiniband']
    """
    fabrics: Rows = [(name, load_entry(name).title) for name in list_fabrics()]
    chips: Rows = [(name, load_chip(name).title) for name in list_chips()]
    head, foot = f"{len(fabrics)} fabrics", f"{len(chips)} chips"
    return "\n".join([head, *_lines(fabrics), "", foot, *_lines(chips)])


def describe(name: str | os.PathLike[str], chips: int | None = None) -> str:
    """Describe a fabric or a chip: every figure, its range, confidence and source.

    Args:
      name: of either, or of a file of fabrics.
      chips: the size of a fabric; without it, one unit.

    Raises:
      FabricError: for a name that is neither.

    >>> print(describe("tpu-v5e").splitlines()[0])
    tpu-v5e: TPU v5e
    """
    item = _load(name)
    numbered: dict[str, int] = {}
    _only_fabrics_have_a_size(item, chips)
    if isinstance(item, Chip):
        parts = [f"{item.name}: {item.title}", f"vendor: {item.vendor}"]
        rows = [_row(each, numbered) for each in item.figures]
        for price in item.prices:
            at = numbered.setdefault(price.source, len(numbered) + 1)
            cost = f"{price.usd_per_hour:.3g} USD/h"
            date = price.date if price.date != "unknown" else "date unknown"
            what = f"{price.kind.replace('_', ' ')}, {date}"
            remark = f"{price.offer}; {price.note}" if price.note else price.offer
            rows.append((what, cost, "", price.confidence, f"[{at}]", remark))
        rows += [_UNKNOWN[name] for name in item.unknown]
    else:
        item, fabric = load_sized(name, chips)
        parts = [f"{fabric.name}: {item.title}", *_about(item)]
        parts += ["", repr(fabric)]
        rows = [_row(each, numbered) for each in item.figures.values()]
    parts += ["", *_lines(rows), "", _FOOT]
    return "\n".join(parts + [f"[{at}] {cite}" for cite, at in numbered.items()])


def compare(
    one: str | os.PathLike[str], other: str | os.PathLike[str], chips: int | None = None
) -> str:
    """Put two fabrics, or two chips, side by side.

    Args:
      one, other: names, or files.
      chips: the size of both fabrics; without it, one unit of each.

    Raises:
      FabricError: for an unknown name, or a fabric and a chip.

    >>> print(compare("trn1", "trn2").splitlines()[1].split())
    ['vendor', 'AWS', 'AWS']
    """
    left, right = _load(one), _load(other)
    _only_fabrics_have_a_size(left, chips)
    if isinstance(left, Chip) != isinstance(right, Chip):
        raise FabricError(
            "compare", f"{one} and {other} are a fabric and a chip", "Name two alike"
        )
    columns = [
        _chip_sheet(item)
        if isinstance(item, Chip)
        else _sheet(*load_sized(each, chips))
        for item, each in ((left, one), (right, other))
    ]
    keys = list(dict.fromkeys(key for column in columns for key in column))
    keys.sort(key=_place)
    rows: Rows = []
    for key in keys:
        absent = "unknown" if key.startswith(_MAY_BE_UNKNOWN) else "-"
        rows.append((key, *(column.get(key, absent) for column in columns)))
    return "\n".join(_lines(rows))


def _load(name: str | os.PathLike[str]) -> Entry | Chip:
    """Load whatever has this name: a fabric first."""
    if isinstance(name, str) and not name.endswith(".toml"):
        if name in list_fabrics():
            return load_entry(name)
        try:
            return load_chip(name)
        except FabricError:
            pass
    return load_entry(name)


def _only_fabrics_have_a_size(item: Entry | Chip, chips: int | None) -> None:
    if isinstance(item, Chip) and chips is not None:
        raise FabricError(
            "chips", f"{item.name} is a chip", "Leave the number out, or name a fabric"
        )


def _place(key: str) -> int:
    """Where a row of a comparison stands: rates and prices behind what all have."""
    starts = ("peak", "matrix", "USD")
    found = [at for at, start in enumerate(starts, 1) if key.startswith(start)]
    return found[0] if found else (len(starts) + 1) * key.startswith("level")


def _about(entry: Entry) -> list[str]:
    chip = f"chip {entry.chip}, " if entry.chip else ""
    lines = [f"{chip}ranks of a chip: {entry.ranks_per_chip}", f"shape: {entry.source}"]
    return lines + [f"note: {entry.note}"] * bool(entry.note)


def _row(figure: Figure, numbered: dict[str, int]) -> tuple[str, ...]:
    """Name, value, range, confidence, source and note of a figure."""
    at = numbered.setdefault(figure.source, len(numbered) + 1)
    _, unit = _scale(figure)
    name = figure.name.replace("crowd_byte_s", "crowd")
    for ending, word in _WORDS.items():
        name = name.removesuffix(ending) + word * name.endswith(ending)
    disagree = figure.low < figure.high
    span = f"{_plain(figure, figure.low)} to {_plain(figure, figure.high)}"
    return (
        name.replace("_", " "),
        f"{_plain(figure, figure.value)} {unit}".strip(),
        span if disagree else "",
        figure.confidence,
        f"[{at}]",
        figure.note,
    )


def _scale(figure: Figure) -> tuple[float, str]:
    """Factor and unit that people would use for a figure."""
    small = figure.unit == "B" and figure.value < 1e9
    return (1e-6, "MB") if small else _FACTORS[figure.unit]


def _plain(figure: Figure, value: float) -> str:
    number = value * _scale(figure)[0]
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"


def _chip_sheet(chip: Chip) -> dict[str, str]:
    """Attributes of a chip, by name, to stand in a column."""
    rows = [_row(each, {}) for each in chip.figures]
    found = {"": chip.name, "vendor": chip.vendor}
    for name, value, span, *_ in rows:
        found[name] = f"{value} ({span})" if span else value
    for kind in PRICE_KINDS:
        costs = sorted({p.usd_per_hour for p in chip.prices if p.kind == kind})
        if costs:
            ends = f"{costs[0]:.3g} to {costs[-1]:.3g}"
            found[f"USD/h, {kind.replace('_', ' ')}"] = (
                ends if len(costs) > 1 else f"{costs[0]:.3g}"
            )
    return found


def _sheet(item: Entry, fabric: Fabric) -> dict[str, str]:
    """Attributes of a fabric, by name, to stand in a column."""
    found = {
        "": fabric.name,
        "chip": item.chip or "-",
        "ranks of a chip": str(item.ranks_per_chip),
        "strategies": ", ".join(fabric.strategies),
        "launch": f"{max(map(float, fabric.launch_s.values())) * 1e6:.3g} us",
    }
    for at, level in enumerate(fabric.levels):
        name, *rest = level.words()
        for part, words in zip(
            ("", " links", " of each", " latency"), rest, strict=True
        ):
            found[f"level {at + 1}{part}"] = f"{name}: {words}" if not part else words
    return found


def _lines(rows: Iterable[Sequence[str]]) -> list[str]:
    """Align columns; the last is left as long as it is."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]

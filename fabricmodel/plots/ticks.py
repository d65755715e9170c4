"""Axes that people can read: chips, sizes, seconds and bandwidths on log scales."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis

FONT = 8
"""Points: the size of the smallest writing."""

LAST = 131_072
"""Chips: the far end of the scaling figures, labelled though no power of 4."""


def chips_label(chips: float) -> str:
    """Write a number of chips shortly.

    >>> [chips_label(chips) for chips in (16, 1024, 65_536, 131_072)]
    ['16', '1k', '64k', '131k']
    """
    if chips < 1000:
        return f"{chips:g}"
    binary = chips % 1024 == 0 and chips < 100_000
    return f"{chips / (1024 if binary else 1000):.3g}k"


def size_label(size_bytes: float) -> str:
    """Write a size with its binary unit.

    >>> [size_label(size) for size in (512, 1024, 1536, 64 * 1024**2, 1024**4)]
    ['512 B', '1 KiB', '1.5 KiB', '64 MiB', '1 TiB']
    """
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(math.floor(math.log2(size_bytes) / 10), 0), len(units) - 1)
    return f"{size_bytes / 1024**power:.4g} {units[power]}"


def time_label(seconds: float) -> str:
    """Write a time with the unit that suits it.

    >>> [time_label(seconds) for seconds in (5e-7, 1e-5, 2e-3, 1.0, 1e4)]
    ['500 ns', '10 us', '2 ms', '1 s', '10,000 s']
    """
    if seconds >= 999.5:
        return f"{seconds:,.0f} s"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= 0.999 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def bandwidth_label(bytes_per_s: float) -> str:
    """Write a bandwidth in GB/s, without the unit.

    >>> [bandwidth_label(rate) for rate in (2e8, 1e10, 5e11)]
    ['0.2', '10', '500']
    """
    return f"{bytes_per_s / 1e9:g}"


def chips_axis(axes: Axes, values: Iterable[float], inches: float) -> None:
    """Make the x axis one of chips: powers of 4, as many as the width has room for."""
    low, high = _padded(values, least=4.0)
    ticks = _regular(low, high, 16, (4, 16, 256), inches, chips_label)
    if low <= LAST <= high:
        room = _gap(inches, low, high, chips_label(LAST))
        ticks = [tick for tick in ticks if LAST / tick >= room] + [LAST]
    _log_axis(axes.xaxis, 2, (low, high), ticks, chips_label)
    axes.set_xlim(low, high)


def size_axis(axes: Axes, values: Iterable[float], inches: float) -> None:
    """Make the x axis one of sizes in bytes, from B to TiB."""
    low, high = _padded(values, least=4.0)
    ticks = _regular(low, high, 1024, (4, 32, 1024), inches, size_label)
    _log_axis(axes.xaxis, 2, (low, high), ticks, size_label)
    axes.set_xlim(low, high)


def time_axis(axes: Axes, values: Iterable[float]) -> None:
    """Make the y axis one of seconds, ticks from ns to s."""
    low, high = _padded(values, least=5.0)
    _log_axis(axes.yaxis, 10, (low, high), _decimal(low, high), time_label)
    axes.set_ylim(low, high)


def bandwidth_axis(axes: Axes, values: Iterable[float]) -> None:
    """Make the y axis one of bandwidths in B/s, ticks in GB/s."""
    low, high = _padded(values, least=5.0)
    _log_axis(axes.yaxis, 10, (low, high), _decimal(low, high), bandwidth_label)
    axes.set_ylim(low, high)


def _padded(values: Iterable[float], least: float) -> tuple[float, float]:
    """Leave a margin round the values, and span at least a factor ``least``."""
    kept = [float(value) for value in values]
    low, high = min(kept), max(kept)
    margin = max((high / low) ** 0.04, math.sqrt(least / (high / low)))
    return low / margin, high * margin


def _gap(inches: float, low: float, high: float, label: str) -> float:
    """Tell the factor between two ticks that keeps labels this long apart."""
    wide = 0.075 * len(label) + 0.08  # inches, at 8 points
    return (high / low) ** (wide / inches)


def _regular(
    low: float,
    high: float,
    anchor: int,
    steps: Sequence[int],
    inches: float,
    label: Callable[[float], str],
) -> list[float]:
    """Take the powers of the finest step, through the anchor, whose labels fit."""
    ticks: list[float] = []
    for step in steps if high / low > steps[0] ** 3 else (2, *steps):
        first = math.ceil(math.log(low / anchor, step) - 1e-9)
        last = math.floor(math.log(high / anchor, step) + 1e-9)
        powers = [anchor * float(step) ** power for power in range(first, last + 1)]
        ticks = [tick for tick in powers if tick >= 1]
        longest = max(map(label, ticks), key=len, default="")
        if step >= _gap(inches, low, high, longest):
            return ticks
    return ticks


def _decimal(low: float, high: float) -> list[float]:
    """Take decades, every second one, or digits of each: some three to six ticks."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    span = math.log10(high / low)
    if span < 2.3:
        digits = (1, 2, 3, 5, 7) if span < 0.9 else (1, 2, 5) if span < 1.5 else (1, 3)
        made = (d * 10.0**power for power, d in itertools.product(decades, digits))
    else:
        made = (10.0**power for power in decades if span < 6 or power % 2 == 0)
    return [tick for tick in made if low <= tick <= high]


def _log_axis(
    axis: XAxis | YAxis,
    base: int,
    limits: tuple[float, float],
    ticks: Sequence[float],
    label: Callable[[float], str],
) -> None:
    from matplotlib import ticker

    getattr(axis.axes, f"set_{axis.axis_name}scale")("log", base=base)
    axis.set_major_locator(ticker.FixedLocator(ticks))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: label(value)))
    low, high = limits
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    small = base == 10 and len(decades) <= 7
    minor = [d * 10.0**power for power in decades for d in range(2, 10) if small]
    axis.set_minor_locator(ticker.FixedLocator(minor))
    axis.set_minor_formatter(ticker.NullFormatter())

"""Figures against the number of chips: how times scale, and what they are made of."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from fabricmodel.errors import FabricModelError
from fabricmodel.plots import figures, frames, ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VALUES = {
    "time": ("median_s", "lo_s", "hi_s"),
    "busbw": ("busbw_Bps", "busbw_lo_Bps", "busbw_hi_Bps"),
}
CHIPS = "chips (count)"
TERMS = 10

# Neighbours differ in lightness, and every second area is hatched.
AREAS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#F0E442",
    "#D55E00",
    "#56B4E9",
    "#882255",
    "#CC79A7",
    "#333333",
    "#999933",
)
OTHER = "#BBBBBB"


def scaling(
    rows: pl.DataFrame,
    value: Literal["time", "busbw"] = "time",
    data_ends: float | None = None,
) -> Figure:
    """Draw times (s) or bus bandwidths (GB/s) against chips, both on log axes.

    A grid of panels, collectives across (up to 4) and sizes down (up to 3); in each,
    a line per fabric (up to 6) through the medians, and its 90 % band. The panels of
    one size share their y axis.

    Args:
      rows: columns ``fabric``, ``collective``, ``size_bytes``, ``chips``, and
        ``median_s``, ``lo_s``, ``hi_s`` or, for bandwidths, ``busbw_Bps``,
        ``busbw_lo_Bps``, ``busbw_hi_Bps``.
      value: which of the two to draw.
      data_ends: the most chips that measurements cover, marked by a vertical line.

    Raises:
      FabricModelError: if rows or columns are missing, or too many for one figure.
    """
    place = "scaling"
    if value not in VALUES:
        raise FabricModelError(
            place, f"{value!r} is no value to draw", f"Ask for {' or '.join(VALUES)}"
        )
    columns = VALUES[value]
    frames.check_rows(
        place,
        rows,
        labels=("fabric", "collective"),
        positive=("size_bytes", "chips", *columns),
    )
    fabrics = frames.distinct(place, rows, "fabric", len(figures.LOOKS))
    collectives = frames.distinct(place, rows, "collective", 4)
    sizes = sorted(frames.distinct(place, rows, "size_bytes", 3))
    looks = dict(zip(fabrics, figures.LOOKS, strict=False))

    width, inches = _widths(len(collectives))
    figure = figures.make_figure(width, 2.0 * len(sizes) + 1.0)
    grid = figure.subplots(
        len(sizes), len(collectives), sharex=True, sharey="row", squeeze=False
    )
    panels = itertools.product(sizes, collectives)
    for axes, (size, collective) in zip(grid.flat, panels, strict=True):
        figures.dress(axes, f"{collective}, {ticks.size_label(size)}")
        shown = rows.filter(collective=collective, size_bytes=size)
        if shown.is_empty():
            figures.say_nothing_here(axes)
        for fabric, look in looks.items():
            _draw_fabric(axes, shown.filter(fabric=fabric).sort("chips"), columns, look)
        if data_ends is not None and not shown.is_empty():
            axes.axvline(data_ends, color=figures.GREY, linewidth=1, linestyle="--")
    ends = [] if data_ends is None else [data_ends]
    ticks.chips_axis(grid[0, 0], [*rows["chips"], *ends], inches)
    set_axis = ticks.time_axis if value == "time" else ticks.bandwidth_axis
    for line, size in zip(grid, sizes, strict=True):
        seen = rows.filter(size_bytes=size).select(columns)
        set_axis(line[0], seen.to_numpy().ravel())
        name = "time (s)" if value == "time" else "bus bandwidth (GB/s)"
        figures.label(line[0], y=name)
    for axes in grid[-1]:
        figures.label(axes, x=CHIPS)
    _scaling_legend(figure, looks, data_ends)
    return figure


def _widths(columns: int) -> tuple[float, float]:
    """Tell a figure's width, and a panel's, in inches."""
    width = min(max(2.5 * columns + 1.0, 7.0), 11.0)
    return width, (width - 0.9) / columns - 0.15


def _draw_fabric(
    axes: Axes, rows: pl.DataFrame, columns: tuple[str, ...], look: figures.Look
) -> None:
    if rows.is_empty():
        return
    x = rows["chips"].to_numpy()
    middle, low, high = (rows[name].to_numpy() for name in columns)
    figures.draw_band(axes, x, low, high, look.colour)
    axes.plot(
        x,
        middle,
        color=look.colour,
        linestyle=look.style,
        linewidth=1.3,
        marker=look.marker,
        markersize=3,
    )


def _scaling_legend(
    figure: Figure, looks: dict[str, figures.Look], data_ends: float | None
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list = [
        Line2D(
            [],
            [],
            color=look.colour,
            linestyle=look.style,
            linewidth=1.3,
            marker=look.marker,
            markersize=4,
            label=str(fabric),
        )
        for fabric, look in looks.items()
    ]
    handles.append(Patch(color=figures.GREY, alpha=0.25, label="90 % band"))
    if data_ends is not None:
        name = f"data end ({data_ends:,.0f} chips)"
        handles.append(
            Line2D([], [], color=figures.GREY, linewidth=1, linestyle="--", label=name)
        )
    figures.legend_below(figure, handles)


def shares(rows: pl.DataFrame) -> Figure:
    """Draw what part of the time (%) each term takes against chips (log axis).

    Stacked areas, the largest term at the bottom; a panel for each collective
    (across, up to 4) and each fabric and size (down, up to 4 together). Of more than
    10 terms the smallest are merged into "other". What shortens the time, as a
    correction may, hangs below 0, and the rest then reaches beyond 100.

    Args:
      rows: columns ``fabric``, ``collective``, ``size_bytes``, ``chips``, ``term``
        and ``share`` of the time, 1 in all; a term that a number of chips lacks counts
        as 0.

    Raises:
      FabricModelError: if rows or columns are missing, too many for one figure, or
        the shares of one time exceed 1 together.
    """
    place = "shares"
    frames.check_rows(
        place,
        rows,
        labels=("fabric", "collective", "term"),
        positive=("size_bytes", "chips"),
        finite=("share",),
    )
    case = ["fabric", "collective", "size_bytes", "chips"]
    whole = rows.group_by(case).agg(pl.col("share").sum())["share"].max()
    if float(whole) > 1.001:  # pyright: ignore[reportArgumentType]
        raise FabricModelError(
            place, f"the shares of one time add up to {whole:.3g}", "Divide by the time"
        )
    rows, terms = _merge_small(rows)
    collectives = frames.distinct(place, rows, "collective", 4)
    down = rows.select("fabric", "size_bytes").unique(maintain_order=True)
    down = sorted(down.rows(), key=lambda pair: pair[1])
    fabrics = rows["fabric"].unique(maintain_order=True).to_list()
    down.sort(key=lambda pair: fabrics.index(pair[0]))
    frames.check_room(place, "fabric and size", len(down), 4)

    width, inches = _widths(len(collectives))
    figure = figures.make_figure(width, 1.9 * len(down) + 1.2)
    grid = figure.subplots(
        len(down), len(collectives), sharex=True, sharey=True, squeeze=False
    )
    panels = itertools.product(down, collectives)
    for axes, ((fabric, size), collective) in zip(grid.flat, panels, strict=True):
        title = f"{collective}, {ticks.size_label(size)}"
        figures.dress(axes, f"{fabric}\n{title}" if len(fabrics) > 1 else title)
        shown = rows.filter(fabric=fabric, collective=collective, size_bytes=size)
        if shown.is_empty():
            figures.say_nothing_here(axes)
        else:
            _stack(axes, shown, terms)
    grid[0, 0].set_ylim(*_reach(rows))
    ticks.chips_axis(grid[0, 0], rows["chips"], inches)
    low, high = rows["chips"].min(), rows["chips"].max()
    if low != high:
        grid[0, 0].set_xlim(low, high)
    for axes in grid[:, 0]:
        figures.label(axes, y="share of time (%)")
    for axes in grid[-1]:
        figures.label(axes, x=CHIPS)
    _shares_legend(figure, terms)
    return figure


def _merge_small(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Keep the terms with the most of all time, at most 10 with "other"; sort them."""
    sums = rows.group_by("term").agg(pl.col("share").abs().sum())
    terms = sums.sort(["share", "term"], descending=[True, False])["term"].to_list()
    named = [term for term in terms if term != "other"]
    if len(terms) > TERMS:
        named = named[: TERMS - 1]
    kept = pl.when(pl.col("term").is_in(named)).then("term").otherwise(pl.lit("other"))
    merged = rows.with_columns(term=kept)
    return merged, named + ["other"] * (len(named) < len(terms))


def _reach(rows: pl.DataFrame) -> tuple[float, float]:
    """Tell from where to where the stacks reach, in percent."""
    case = ["fabric", "collective", "size_bytes", "chips"]
    share = 100.0 * pl.col("share")
    ends = rows.group_by(case).agg(
        low=share.clip(upper_bound=0.0).sum(), high=share.clip(lower_bound=0.0).sum()
    )
    low, high = ends["low"].to_numpy().min(), ends["high"].to_numpy().max()
    return min(1.05 * float(low), 0.0), 100.0 if high < 100.2 else 1.02 * float(high)


def _stack(axes: Axes, rows: pl.DataFrame, terms: list[str]) -> None:
    x = np.unique(rows["chips"].to_numpy()).astype(float)
    table = np.zeros((len(terms), len(x)))
    for chips, term, share in rows.select("chips", "term", "share").iter_rows():
        table[terms.index(term), np.searchsorted(x, chips)] += 100 * share
    if len(x) == 1:  # a bar, for want of an area
        x, table = x * [math.sqrt(0.5), math.sqrt(2)], np.repeat(table, 2, axis=1)
    for signed in (np.maximum(table, 0.0), np.minimum(table, 0.0)):
        ends = np.cumsum(signed, axis=0)
        for term, end, part in zip(terms, ends, signed, strict=True):
            if part.any():
                axes.fill_between(x, end - part, end, **_area(terms, term))
    if (table < 0).any():
        axes.axhline(0, color="black", linewidth=0.8)


def _area(terms: list[str], term: str) -> dict:
    """Tell how a term's area looks: its colour, white edges, perhaps a hatch."""
    rank = terms.index(term)
    hatch = "" if term == "other" else ("", "///", "", "...")[rank % 4]
    colour = OTHER if term == "other" else AREAS[rank]
    return {
        "facecolor": colour,
        "edgecolor": "white",
        "linewidth": 0.6,
        "hatch": hatch,
    }


def _shares_legend(figure: Figure, terms: list[str]) -> None:
    from matplotlib.patches import Patch

    figure.legend(
        handles=[Patch(label=term, **_area(terms, term)) for term in reversed(terms)],
        loc="outside right center",
        fontsize=ticks.FONT,
        frameon=False,
        title="term",
        title_fontsize=ticks.FONT + 1,
        handleheight=1.4,
    )

"""A figure of how a cluster does against its kind."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from fabricmodel.plots import figures, frames, ticks
from fabricmodel.plots.quality import MARKERS, rank_looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 9


def health(rows: pl.DataFrame) -> Figure:
    """Draw measured over expected time against size (bytes), both on log axes.

    A panel for each collective (up to 9), a colour and marker for each number of ranks
    (up to 10). The band is the catalogue's 90 % interval; filled points are of sizes
    that speak for latency or bandwidth, hollow ones lie between and aren't judged.

    Args:
      rows: columns ``collective``, ``ranks``, ``size_bytes``, ``measured_s``,
        ``expected_s``, ``low_s``, ``high_s`` and ``regime``.

    Raises:
      FabricModelError: if rows or columns are missing, or too many for one figure.
    """
    place = "health"
    frames.check_rows(
        place,
        rows,
        labels=("collective", "regime"),
        positive=("ranks", "size_bytes", "measured_s", "expected_s", "low_s", "high_s"),
    )
    looks = rank_looks(sorted(frames.distinct(place, rows, "ranks", len(MARKERS))))
    names = frames.distinct(place, rows, "collective", PANELS)
    columns = min(len(names), 3)
    down = math.ceil(len(names) / columns)
    width = max(6.4, 3.3 * columns + 0.6)
    figure = figures.make_figure(width, 3.3 * down + 0.7)
    grid = figure.subplots(down, columns, squeeze=False, sharey=True)
    ratios = rows["measured_s"] / rows["expected_s"]
    low = float((rows["low_s"] / rows["expected_s"]).min())  # pyright: ignore[reportArgumentType]
    high = float((rows["high_s"] / rows["expected_s"]).max())  # pyright: ignore[reportArgumentType]
    reach = [min(low, *ratios.to_list()) / 1.2, max(high, *ratios.to_list()) * 1.2]
    for index, axes in enumerate(grid.ravel()):
        if index >= len(names):
            axes.remove()
            continue
        mine = rows.filter(collective=names[index])
        _draw(axes, mine, looks)
        figures.dress(axes, names[index].replace("_", " "))
        ticks.size_axis(axes, rows["size_bytes"], (width - 0.9) / columns - 0.6)
        axes.set_yscale("log")
        axes.set_ylim(*reach)
        _ratio_ticks(axes, *reach)
        figures.label(axes, x="size (bytes)")
        if index % columns == 0:
            figures.label(axes, y="measured / expected time")
    _legend(figure, looks)
    return figure


def _draw(axes: Axes, rows: pl.DataFrame, looks: dict[int, figures.Look]) -> None:
    axes.axhline(1.0, color=figures.GREY, linewidth=0.8)
    for ranks, look in looks.items():
        mine = rows.filter(ranks=ranks).sort("size_bytes")
        if mine.is_empty():
            continue
        x = mine["size_bytes"].to_numpy()
        low, high, ratio = (
            (mine[name] / mine["expected_s"]).to_numpy()
            for name in ("low_s", "high_s", "measured_s")
        )
        figures.draw_band(axes, x, low, high, look.colour)
        axes.plot(x, ratio, color=look.colour, linewidth=0.8)
        judged = mine["regime"].to_numpy() != "between"
        for chosen, face in ((judged, look.colour), (~judged, "white")):
            axes.plot(
                x[chosen],
                ratio[chosen],
                linestyle="none",
                marker=look.marker,
                markersize=4,
                markeredgecolor=look.colour,
                markerfacecolor=face,
            )


def _ratio_ticks(axes: Axes, low: float, high: float) -> None:
    """Label round ratios, few enough to read."""
    steps = (1.0, 2.0, 5.0) if high / low < 300 else (1.0,)
    every = [s * 10.0**p for p in range(-3, 5) for s in steps]
    shown = [value for value in every if low <= value <= high]
    axes.set_yticks(shown, [f"{value:g}" for value in shown])
    axes.set_yticks([], minor=True)


def _legend(figure: Figure, looks: dict[int, figures.Look]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    style = {"linestyle": "none", "markersize": 4}
    handles: list = [
        Line2D([], [], label=f"{ranks:g} ranks", color=look.colour, marker=look.marker,
               **style)
        for ranks, look in looks.items()
    ]  # fmt: skip
    grey = {"color": figures.GREY, "marker": "o", **style}
    handles += [
        Line2D([], [], label="judged", **grey),
        Line2D([], [], label="between, not judged", markerfacecolor="white", **grey),
        Patch(color=figures.GREY, alpha=0.25, label="90 % of expectation"),
    ]
    figures.legend_below(figure, handles)

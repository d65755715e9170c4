"""A figure of what choices cost against the best that was measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from fabricmodel.plots import figures, frames, ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 9


def regret(rows: pl.DataFrame) -> Figure:
    """Draw the time of a choice over the best measured one, against size (bytes).

    A panel for each collective (up to 9): the exported choice, and the library's own
    where it was measured; a point for each size and set of ranks. 1 is the best.

    Args:
      rows: columns ``collective``, ``size_bytes``, ``chosen_over_best`` and
        ``default_over_best``, null where there is none.

    Raises:
      FabricModelError: if rows or columns are missing, or too many for one figure.
    """
    place = "regret"
    frames.check_rows(
        place,
        rows,
        labels=("collective",),
        positive=("size_bytes", "chosen_over_best"),
    )
    names = frames.distinct(place, rows, "collective", PANELS)
    columns = min(len(names), 3)
    down = math.ceil(len(names) / columns)
    width = max(6.4, 3.3 * columns + 0.6)
    figure = figures.make_figure(width, 3.0 * down + 0.7)
    grid = figure.subplots(down, columns, squeeze=False, sharey=True)
    shown = [
        ("default_over_best", "library's default", figures.LOOKS[1], 6.5),
        ("chosen_over_best", "exported choice", figures.LOOKS[0], 4.0),
    ]
    reach = _reach(
        [each for name, *_ in shown for each in rows[name].drop_nulls().to_list()]
    )
    for index, axes in enumerate(grid.ravel()):
        if index >= len(names):
            axes.remove()
            continue
        mine = rows.filter(collective=names[index])
        axes.axhline(1.0, color=figures.GREY, linewidth=0.8)
        for name, words, look, big in shown:
            points = mine.filter(pl.col(name).is_not_null())
            axes.plot(
                points["size_bytes"],
                points[name],
                linestyle="none",
                marker=look.marker,
                markersize=big,
                color=look.colour,
                markerfacecolor="none" if name.startswith("default") else look.colour,
                label=words,
            )
        figures.dress(axes, names[index].replace("_", " "))
        ticks.size_axis(axes, rows["size_bytes"], (width - 0.9) / columns - 0.6)
        axes.set_yscale("log")
        axes.set_ylim(*reach)
        _ratio_ticks(axes, *reach)
        figures.label(axes, x="size (bytes)")
        if index % columns == 0:
            figures.label(axes, y="time / best measured")
    figures.legend_below(figure, grid[0, 0].get_legend_handles_labels()[0])
    return figure


def _reach(ratios: list[float]) -> tuple[float, float]:
    """Leave room round the ratios; a default may beat what is known, below 1."""
    return min(0.93, min(ratios) / 1.08), max(1.3, max(ratios) * 1.15)


def _ratio_ticks(axes: Axes, low: float, high: float) -> None:
    fine = [1.0, 1.05, 1.1, 1.2, 1.3, 1.5] if high < 1.8 else [1.0, 1.2, 1.5, 2, 3, 5]
    every = [0.1, 0.2, 0.5, 0.7, 0.85, *fine, 10.0, 20.0, 50.0, 100.0]
    shown = [v for v in every if low <= v <= high]
    axes.set_yticks(shown, [f"{value:g}" for value in shown])
    axes.set_yticks([], minor=True)

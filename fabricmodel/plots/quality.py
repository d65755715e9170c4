"""Figures of how good a fit is: against measurements, and of its own intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from fabricmodel.errors import FabricModelError
from fabricmodel.plots import figures, frames, ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^Dv<P>X*"
PANELS = 12
Z90 = 1.6449
"""Standard deviations to either side that hold 90 % of a normal distribution."""


def fit_quality(rows: pl.DataFrame) -> Figure:
    """Draw measured and predicted times (s) against size (bytes), both on log axes.

    A panel for each series and collective (up to 12 of them): measured times as
    points, hollow where held out of the fit; predictions as a line and a band for
    each number of ranks (up to 10), by colour and marker. The thin panel below shows
    measured over predicted time less 1, in percent.

    Args:
      rows: columns ``series``, ``collective``, ``ranks``, ``size_bytes``,
        ``measured_s``, ``predicted_s``, ``lo_s``, ``hi_s`` and ``held_out``.

    Raises:
      FabricModelError: if rows or columns are missing, or too many for one figure.
    """
    place = "fit_quality"
    times = ("measured_s", "predicted_s", "lo_s", "hi_s")
    frames.check_rows(
        place,
        rows,
        labels=("series", "collective", "held_out"),
        positive=("ranks", "size_bytes", *times),
    )
    if rows["held_out"].dtype != pl.Boolean:
        raise FabricModelError(
            place,
            f"column held_out holds {rows['held_out'].dtype}, not true or false",
            "Cast it to Boolean",
        )
    looks = rank_looks(sorted(frames.distinct(place, rows, "ranks", len(MARKERS))))
    panels = rows.select("series", "collective").unique(maintain_order=True).rows()
    frames.check_room(place, "series and collective", len(panels), PANELS)

    columns = min(3, len(panels)) if len(panels) != 4 else 2
    down = math.ceil(len(panels) / columns)
    width = min(max(3.2 * columns + 0.8, 7.0), 10.5)
    figure = figures.make_figure(width, 3.1 * down + 0.7)
    grid = figure.subplots(
        2 * down, columns, height_ratios=[3, 1] * down, squeeze=False
    )
    for index, (series, collective) in enumerate(panels):
        row, column = divmod(index, columns)
        pair = grid[2 * row, column], grid[2 * row + 1, column]
        shown = rows.filter(series=series, collective=collective)
        figures.dress(pair[0], f"{series}\n{collective}")
        _draw_fit(*pair, shown, looks)
        for axes in pair:
            ticks.size_axis(axes, rows["size_bytes"], (width - 0.9) / columns - 0.6)
        ticks.time_axis(pair[0], shown.select(times).to_numpy().ravel())
        pair[0].tick_params(labelbottom=False)
        last = index + columns >= len(panels)
        figures.label(pair[1], x="size (bytes)" if last else "")
        if column == 0:
            figures.label(pair[0], y="time (s)")
            figures.label(pair[1], y="residual (%)")
    for index in range(len(panels), down * columns):
        row, column = divmod(index, columns)
        grid[2 * row, column].remove()
        grid[2 * row + 1, column].remove()
    figure.align_ylabels()
    _fit_legend(figure, looks)
    return figure


def rank_looks(ranks: list[int]) -> dict[int, figures.Look]:
    """Colour rank counts from dark to light, which grey print keeps in order."""
    figures.make_figure(1, 1)  # says so if matplotlib is missing
    from matplotlib import colormaps, colors

    shades = colormaps["viridis"](np.linspace(0.0, 0.75, len(ranks)))
    return {
        count: figures.Look(colors.to_hex(shade), "-", marker)
        for count, shade, marker in zip(ranks, shades, MARKERS, strict=False)
    }


def _draw_fit(
    above: Axes, below: Axes, rows: pl.DataFrame, looks: dict[int, figures.Look]
) -> None:
    """Draw times above and residuals below."""
    residual = 100 * (pl.col("measured_s") / pl.col("predicted_s") - 1)
    rows = rows.with_columns(residual=residual)
    below.axhline(0, color=figures.GREY, linewidth=0.8)
    for ranks, look in looks.items():
        mine = rows.filter(ranks=ranks)
        if mine.is_empty():
            continue
        curve = mine.group_by("size_bytes").agg(
            pl.col("predicted_s", "lo_s", "hi_s").mean()
        )
        x, middle, low, high = curve.sort("size_bytes").to_numpy().T
        figures.draw_band(above, x, low, high, look.colour)
        above.plot(x, middle, color=look.colour, linewidth=1.2)
        for held_out in (False, True):
            points = mine.filter(held_out=held_out)
            style = _point(look, held_out)
            above.plot(points["size_bytes"], points["measured_s"], **style)
            below.plot(points["size_bytes"], points["residual"], **style)
    figures.dress(below)
    most = rows["residual"].abs().max()
    reach = max(1.15 * float(most), 5.0)  # pyright: ignore[reportArgumentType]
    below.set_ylim(-reach, reach)


def _point(look: figures.Look, held_out: bool) -> dict:
    return {
        "linestyle": "none",
        "marker": look.marker,
        "markersize": 4,
        "markeredgewidth": 0.9,
        "markeredgecolor": look.colour,
        "markerfacecolor": "white" if held_out else look.colour,
    }


def _fit_legend(figure: Figure, looks: dict[int, figures.Look]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    grey = figures.Look(figures.GREY, "-", "o")
    handles: list = [
        Line2D([], [], label=f"{ranks:g} ranks", **_point(look, False))
        for ranks, look in looks.items()
    ]
    handles += [
        Line2D([], [], label="measured", **_point(grey, False)),
        Line2D([], [], label="held out", **_point(grey, True)),
        Line2D([], [], label="predicted", color=figures.GREY, linewidth=1.2),
        Patch(color=figures.GREY, alpha=0.25, label="90 % band"),
    ]
    figures.legend_below(figure, handles)


def reliability(
    nominal: npt.ArrayLike, observed: npt.ArrayLike, counts: npt.ArrayLike
) -> Figure:
    """Draw how often intervals hold the truth (%) against how often they claim to (%).

    Points on the diagonal are calibrated; below it the intervals are too narrow. Bars
    show the 90 % Wilson interval that the number of cases leaves, and the thin panel
    below that number.

    Args:
      nominal: coverage that the intervals claim, from 0 to 1, one for each point.
      observed: the part of cases that they covered, from 0 to 1.
      counts: the number of cases behind each point.

    Raises:
      FabricModelError: if the arrays are empty, of unequal lengths or out of range.
    """
    place = "reliability"
    arrays = [np.atleast_1d(np.asarray(a, float)) for a in (nominal, observed, counts)]
    if any(a.ndim > 1 or a.shape != arrays[0].shape for a in arrays):
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise FabricModelError(
            place, f"the arrays have shapes {shapes}", "Give three of one length"
        )
    names = ("nominal", "observed", "counts")
    rows = pl.DataFrame(dict(zip(names, arrays, strict=True))).sort("nominal")
    frames.check_rows(
        place, rows, labels=(), positive=("counts",), fractions=("nominal", "observed")
    )
    figure = figures.make_figure(7.0, 5.2)
    above, below = figure.subplots(2, 1, height_ratios=[5, 1], sharex=True)
    _draw_coverage(above, rows)
    x, n = 100 * rows["nominal"].to_numpy(), rows["counts"].to_numpy()
    below.vlines(x, 0, n, color=figures.LOOKS[0].colour, linewidth=4)
    figures.dress(above)
    figures.dress(below)
    above.set(xlim=(0, 100), ylim=(0, 100))
    below.set_ylim(0, 1.1 * n.max())
    figures.label(above, y="observed coverage (%)")
    figures.label(below, x="nominal coverage (%)", y="cases (count)")
    figure.align_ylabels()
    figures.legend_below(figure, above.get_legend_handles_labels()[0])
    return figure


def _draw_coverage(axes: Axes, rows: pl.DataFrame) -> None:
    look = figures.LOOKS[0]
    x, y = (100 * rows[name].to_numpy() for name in ("nominal", "observed"))
    low, high = _wilson(rows["observed"].to_numpy(), rows["counts"].to_numpy())
    axes.plot(
        [0, 100], [0, 100], color=figures.GREY, linestyle="--", label="calibrated"
    )
    axes.vlines(
        x,
        100 * low,
        100 * high,
        color=look.colour,
        alpha=0.4,
        linewidth=4,
        label="90 % Wilson interval",
    )
    axes.plot(x, y, color=look.colour, marker="o", markersize=5, label="observed")
    corner = {"transform": axes.transAxes, "fontsize": ticks.FONT, "color": "#444444"}
    axes.text(0.02, 0.96, "intervals too wide", va="top", **corner)
    axes.text(0.98, 0.04, "intervals too narrow", ha="right", **corner)


def _wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give Wilson's 90 % interval of a share seen in so many cases."""
    scale = 1 + Z90**2 / count
    middle = (share + Z90**2 / (2 * count)) / scale
    half = Z90 * np.sqrt(share * (1 - share) / count + (Z90 / (2 * count)) ** 2) / scale
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)

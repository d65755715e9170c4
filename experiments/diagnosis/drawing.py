"""What counts x prices alone miss of one series, against size and against ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fabricmodel.plots import figures, ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = 8
"""Most lines in a panel; of more, evenly chosen ones."""

MARKS = (0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)


def residuals(rows: pl.DataFrame, title: str) -> Figure:
    """Draw measured over priced time, a line per rank count and a line per size.

    Args:
      rows: columns ``size_bytes``, ``ranks`` and ``ratio``.
      title: above both panels.
    """
    figure = figures.make_figure(9.0, 4.6)
    figure.suptitle(title, fontsize=ticks.FONT + 2)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, x, by, say in (
        (left, "size_bytes", "ranks", lambda n: f"{n:,.0f} ranks"),
        (right, "ranks", "size_bytes", ticks.size_label),
    ):
        _draw(axes, rows, x, by, say)
    ticks.size_axis(left, rows["size_bytes"], 3.6)
    ticks.chips_axis(right, rows["ranks"], 3.6)
    _ratio_axis(left, rows["ratio"].to_numpy())
    figures.label(left, x="size (bytes)", y="measured / counts x prices")
    figures.label(right, x="ranks (count)")
    return figure


def _draw(axes: Axes, rows: pl.DataFrame, x: str, by: str, say) -> None:
    from matplotlib import colormaps

    figures.dress(axes)
    axes.axhline(1.0, color=figures.GREY, linewidth=1)
    values = np.unique(rows[by].to_numpy())
    if len(values) > LINES:
        at = np.linspace(0, len(values) - 1, LINES).round().astype(int)
        values = values[at]
    shades = colormaps["viridis"](np.linspace(0.0, 0.85, len(values)))
    for value, shade, marker in zip(values, shades, "os^Dv<P>X*", strict=False):
        own = rows.filter(pl.col(by) == value).group_by(x).agg(pl.col("ratio").median())
        own = own.sort(x)
        axes.plot(
            own[x], own["ratio"], color=shade, marker=marker, markersize=3.5,
            linewidth=1.1, label=say(float(value)),
        )  # fmt: skip
    axes.legend(
        fontsize=ticks.FONT - 1, frameon=False, ncols=4, loc="upper center",
        bbox_to_anchor=(0.5, -0.16), columnspacing=1.0, handlelength=1.8,
    )  # fmt: skip


def _ratio_axis(axes: Axes, ratio: np.ndarray) -> None:
    from matplotlib import ticker

    low = min(float(ratio.min()) / 1.05, 0.85)
    high = max(float(ratio.max()) * 1.05, 1.18)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    shown = [mark for mark in MARKS if low <= mark <= high]
    if high / low > 4.0:
        shown = [mark for mark in shown if mark in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
    axes.yaxis.set_major_locator(ticker.FixedLocator(shown))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_locator(ticker.NullLocator())

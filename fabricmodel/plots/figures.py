"""The look that the figures share: sizes, colours, line styles, legends, files."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fabricmodel.errors import FabricModelError
from fabricmodel.plots.ticks import FONT

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#666666"


@dataclasses.dataclass(frozen=True)
class Look:
    """How one line is told from the others, in colour and in grey print."""

    colour: str
    style: Any
    marker: str


# Okabe and Ito's colours, told apart by all common kinds of colour blindness.
LOOKS = (
    Look("#0072B2", "-", "o"),
    Look("#D55E00", (0, (5, 1.5)), "s"),
    Look("#009E73", (0, (4, 1.5, 1, 1.5)), "^"),
    Look("#000000", (0, (1, 1)), "D"),
    Look("#CC79A7", (0, (8, 2)), "v"),
    Look("#E69F00", (0, (4, 1, 1, 1, 1, 1)), "P"),
)


def make_figure(width: float, height: float) -> Figure:
    """Make an empty figure, in inches, that lays itself out.

    Raises:
      FabricModelError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise FabricModelError(
            "fabricmodel.plots",
            "matplotlib is not installed",
            "Install the extra, fabricmodel[experiments]",
        ) from error
    margins = ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.07)
    return Figure(figsize=(width, height), layout=margins)


def save(
    figure: Figure, folder: str | os.PathLike[str], name: str
) -> tuple[pathlib.Path, pathlib.Path]:
    """Write ``name.png`` (160 dots an inch) and ``name.svg``; return both paths.

    The folder is made if need be. The same figure gives the same bytes.

    Raises:
      FabricModelError: if the name is not that of a file.
    """
    import matplotlib

    if not name or pathlib.PurePath(name).name != name:
        raise FabricModelError(
            "name", f"{name!r} is not a file's name", "Leave out folders and endings"
        )
    home = pathlib.Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    png, svg = home / f"{name}.png", home / f"{name}.svg"
    figure.savefig(png, dpi=160)
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(svg, metadata={"Date": None})
    return png, svg


def dress(axes: Axes, title: str = "") -> None:
    """Give axes the common look: light grid, two spines, small writing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=FONT)
    axes.tick_params(which="minor", length=1.5, color=GREY)
    axes.set_title(title, fontsize=FONT + 1)


def label(axes: Axes, x: str = "", y: str = "") -> None:
    """Name the axes, with their units."""
    if x:
        axes.set_xlabel(x, fontsize=FONT + 0.5)
    if y:
        axes.set_ylabel(y, fontsize=FONT + 0.5)


def draw_band(
    axes: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str
) -> None:
    """Shade between two curves; a bar where there is a single x."""
    if len(x) == 1:
        axes.vlines(x, low, high, color=colour, alpha=0.35, linewidth=4)
    else:
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def say_nothing_here(axes: Axes) -> None:
    """Mark a panel of a grid that no row belongs to."""
    place = {"transform": axes.transAxes, "ha": "center", "va": "center"}
    axes.text(0.5, 0.5, "no rows", fontsize=FONT, color=GREY, **place)


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put one legend for all panels under them, in as few even rows as fit."""
    width = figure.get_size_inches()[0]
    longest = max(len(str(handle.get_label())) for handle in handles)
    room = max(1, int(width / (0.06 * longest + 0.65)))
    rows = math.ceil(len(handles) / room)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=math.ceil(len(handles) / rows),
        fontsize=FONT,
        frameon=False,
        handlelength=3.2,
    )

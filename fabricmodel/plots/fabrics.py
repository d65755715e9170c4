"""A fabric as a picture: each level as what it is, a ring, a torus, a clique, a switch.

From left to right the view zooms out: the whole of one panel is one member, the dark
one, of the next.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fabricmodel.algorithms.tpu import can_twist
from fabricmodel.errors import FabricModelError
from fabricmodel.fabric import Fabric, Level
from fabricmodel.plots.figures import GREY, make_figure
from fabricmodel.plots.ticks import FONT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = {"clique": 8, "ring": 10, "line": 6, "switch": 6}
SIDE = {2: 5, 3: 3}  # of a torus, by its sides
MEMBER, DARK, WIRE, BAR = "#56B4E9", "#0072B2", "#888888", "#E69F00"
PITCH, INCHES = 1.5, 1.55  # between panels, and of a unit on paper
LINE = 0.125  # between lines of writing

_KEY = (
    "A panel is the dark member of the next.",
    "Stubs: the side closes. Bandwidths: of one link, one way.",
)

Place = tuple[float, float]


def fabric_diagram(fabric: Fabric, title: str = "") -> Figure:
    """Draw the levels of a placed fabric, innermost on the left.

    Neighbouring rings of one domain are one torus, whose open ends are stubs where a
    side closes on itself. Large levels show a few members and an ellipsis; the writing
    says how many there are, the bandwidth of a link in one direction, and a round.

    Args:
      fabric: with plain numbers, as ``load_fabric`` and ``place`` give it.
      title: above it; the fabric's name by default.

    Raises:
      FabricModelError: for a fabric whose members are arrays, or if matplotlib is not
        installed.

    >>> from fabricmodel import load_fabric
    >>> len(fabric_diagram(load_fabric("trn2-ultracluster", chips=1024)).axes)
    1
    """
    for level in fabric.levels:
        if not isinstance(level.members, (int, float, np.floating)):
            raise FabricModelError(
                "fabric_diagram",
                f"level {level.name!r} has an array of members",
                "Draw one fabric, as place gives it",
            )
    groups = _groups(fabric.levels)
    width = max(PITCH * len(groups) + 0.1, 2.3)
    key = -0.26 - LINE * max(len(_words(group)) for group in groups)
    head = _wrapped(title or fabric.name, INCHES * width - 0.35)
    top = 1.1 + LINE * len(head)
    edge = 0.15  # inches that the layout keeps clear, both sides together
    unit = INCHES - edge / width
    figure = make_figure(INCHES * width, unit * (top - key + 0.16) + edge)
    axes = figure.add_subplot()
    axes.set(xlim=(-0.3, width - 0.3), ylim=(key - 0.16, top), aspect="equal")
    axes.axis("off")
    title_font = {"fontsize": FONT + 2, "va": "bottom", "in_layout": False}
    axes.text(-0.2, 1.08, "\n".join(head), **title_font)
    for at, group in enumerate(groups):
        left = PITCH * at
        dark = _panel(axes, group, left)
        _frame(axes, left)
        if at:
            _zoom(axes, left - PITCH + 1.0, dark)
        _write(axes, group, left)
    for at, line in enumerate(_KEY):
        axes.text(0.0, key - 0.09 * at, line, fontsize=FONT - 1.5, color=GREY, va="top")
    return figure


def _wrapped(title: str, inches: float) -> list[str]:
    """Break a title into the longest lines that the page has room for."""
    from matplotlib.textpath import TextPath

    def fits(line: str) -> bool:
        drawn = TextPath((0, 0), line, size=FONT + 2).get_extents().width
        return drawn <= 72.0 * inches

    for letters in range(int(inches / 0.06), 8, -1):
        lines = textwrap.wrap(title, letters)
        if all(map(fits, lines)):
            return lines
    return textwrap.wrap(title, 8)


def _groups(levels: Sequence[Level]) -> list[list[Level]]:
    """Levels that one panel shows: those in use, rings of one domain together."""
    used = [level for level in levels if float(level.members) > 1] or list(levels[:1])
    keyed = itertools.groupby(
        enumerate(used),
        key=lambda x: (
            x[1].domain if x[1].domain and x[1].kind in ("ring", "line") else x[0]
        ),
    )
    groups = [[level for _, level in group] for _, group in keyed]
    return [part for group in groups for part in _three(group)]


def _three(group: list[Level]) -> list[list[Level]]:
    """Split a torus of more sides than a page shows."""
    return [group[at : at + 3] for at in range(0, len(group), 3)]


def _panel(axes: Axes, group: list[Level], left: float) -> Place:
    """Draw one panel; returns where its dark member is."""
    level = group[0]
    if len(group) > 1:
        return _torus(axes, group, left)
    count = int(float(level.members))
    if level.kind == "switch":
        return _switch(axes, level, left)
    if level.kind == "line" or (level.kind == "ring" and not _closes(level)):
        return _torus(axes, group, left)
    shown = min(count, SHOWN[level.kind])
    angles = np.pi + 2 * np.pi * np.arange(shown) / shown
    points = [
        (left + 0.5 + 0.36 * math.cos(a), 0.5 + 0.36 * math.sin(a)) for a in angles
    ]
    pairs = itertools.combinations(range(shown), 2)
    if level.kind == "ring":
        pairs = zip(range(shown), [*range(1, shown), 0], strict=True)
    for i, j in pairs:
        _wire(axes, points[i], points[j], dashed=shown < count and j == 0)
    return _members(axes, points, 0.055)


def _closes(level: Level) -> bool:
    """Whether a ring is used whole, and is more than a pair."""
    return float(level.members) >= float(level.capacity) and float(level.members) > 2


def _torus(axes: Axes, group: list[Level], left: float) -> Place:
    """A grid in two or three dimensions, with stubs where sides close."""
    most = SIDE.get(len(group), SHOWN["line"])
    counts = [int(float(level.members)) for level in group]
    shape = [min(count, most) for count in counts] + [1] * (3 - len(group))
    depth = shape[2] - 1
    # The layers of three dimensions lean so that none hides another's members.
    room, lean = (0.74, (0.0, 0.0)) if not depth else (0.42, (0.315, 0.2))
    steps = [room / max(shape[i] - 1, 1) for i in (0, 1)]
    origin = (left + (1 - room - lean[0]) / 2, (1 - room - lean[1]) / 2)
    if shape[1] == 1:
        origin = (origin[0], 0.5)

    def point(x: float, y: float, z: float) -> Place:
        share = z / depth if depth else 0.0
        return (
            origin[0] + x * steps[0] + share * lean[0],
            origin[1] + y * steps[1] + share * lean[1],
        )

    grid = list(itertools.product(*map(range, shape)))
    grid.sort(key=lambda place: (-place[2], place))
    for place in grid:
        for axis, level in enumerate(group):
            ahead = [*place]
            ahead[axis] += 1
            here, cut = point(*place), shape[axis] < counts[axis]
            if ahead[axis] < shape[axis]:
                last = cut and ahead[axis] == shape[axis] - 1
                _wire(axes, here, point(*ahead), dashed=last)
            elif _closes(level):
                _stub(axes, here, point(*ahead))
            if place[axis] == 0 and _closes(level):
                behind = [*place]
                behind[axis] -= 1
                _stub(axes, here, point(*behind))
    front = [point(*place) for place in grid][::-1]
    front.sort(key=lambda spot: spot != point(0, shape[1] // 2, 0))
    return _members(axes, front, 0.045 if depth else 0.04)


def _switch(axes: Axes, level: Level, left: float) -> Place:
    """Tiers of switches as bars over a row of members."""
    count = int(float(level.members))
    shown = min(count, SHOWN["switch"])
    xs = left + 0.5 + (np.arange(shown) - (shown - 1) / 2) * 0.155
    tiers = min(max(level.tiers, 1), 4)
    bars = [0.5 + 0.13 * tier for tier in range(tiers)]
    for low, high in itertools.pairwise(bars):
        for x in xs:
            _wire(axes, (x, low), (x, high))
    points = [(float(x), 0.22) for x in xs]
    for at, point in enumerate(points):
        if shown < count and at == shown - 2:
            continue
        for side in (-0.02, 0.02) if float(level.uplinks) > 1 else (0.0,):
            _wire(axes, (point[0] + side, point[1]), (point[0] + side, bars[0]))
    for bar in bars:
        _box(axes, (left + 0.05, bar - 0.035), 0.9, 0.07, BAR, 0.02)
    if shown < count:
        gap = points.pop(shown - 2)
        axes.text(*gap, "···", ha="center", va="center", fontsize=FONT + 2)
    return _members(axes, points, 0.055)


def _members(axes: Axes, points: Sequence[Place], half: float) -> Place:
    """Draw members as squares, the first of them dark."""
    for at, (x, y) in reversed(list(enumerate(points))):
        colour = MEMBER if at else DARK
        _box(axes, (x - half, y - half), 2 * half, 2 * half, colour, half / 3)
    return points[0]


def _wire(axes: Axes, one: Place, other: Place, *, dashed: bool = False) -> None:
    style = (0, (1.5, 1.5)) if dashed else "-"
    axes.plot(
        *zip(one, other, strict=True),
        color=WIRE,
        linewidth=0.9,
        linestyle=style,
        zorder=1,
    )


def _stub(axes: Axes, here: Place, there: Place) -> None:
    """A third of a link that would leave the drawing, but no more than a tenth."""
    run = (there[0] - here[0], there[1] - here[1])
    share = min(0.33, 0.1 / max(math.hypot(*run), 1e-9))
    end = (here[0] + share * run[0], here[1] + share * run[1])
    axes.plot(*zip(here, end, strict=True), color=BAR, linewidth=1.4, zorder=1)


def _box(
    axes: Axes, corner: Place, width: float, height: float, colour: str, bend: float
) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = f"round,pad=0,rounding_size={bend}"
    axes.add_patch(
        FancyBboxPatch(
            corner,
            width,
            height,
            boxstyle=style,
            facecolor=colour,
            edgecolor="white",
            linewidth=0.6,
            zorder=2,
        )
    )


def _frame(axes: Axes, left: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch(
            (left, 0.0),
            1.0,
            1.0,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor="none",
            edgecolor=DARK,
            linewidth=0.8,
            zorder=0,
        )
    )


def _zoom(axes: Axes, right: float, dark: Place) -> None:
    """Join a panel's right side to the member of the next that it is."""
    for y in (0.04, 0.96):
        axes.plot(
            (right, dark[0]),
            (y, dark[1]),
            color=DARK,
            linewidth=0.6,
            linestyle=(0, (3, 2)),
            alpha=0.7,
            zorder=0.5,
        )


def _words(group: list[Level]) -> list[str]:
    """Say what a panel shows: shape, links, and what a round takes."""
    sides = " x ".join(f"{float(level.members):,.0f}" for level in group)
    _, _, links, bandwidth, latency = group[0].words()
    if len(group) > 1:
        kind = "torus" if all(map(_closes, group)) else "mesh"
        if kind == "torus" and all(level.twist for level in group):
            turned = can_twist([int(float(level.members)) for level in group])
            kind = f"{'twisted ' * turned}torus"
        shape = f"{sides} {kind}"
        some = [level.name for level in group if _closes(level)]
        if some and len(some) < len(group):
            shape = f"{sides}, {' and '.join(some)} close{'s' * (len(some) == 1)}"
    else:
        shape = group[0].words()[1]
    return [shape, f"{links}, {bandwidth}", *latency.split(", ")]


def _write(axes: Axes, group: list[Level], left: float) -> None:
    """Name a panel's levels, and write what it shows, under it."""
    names = ", ".join(level.name for level in group)
    middle = left + 0.5
    axes.text(
        middle, -0.07, names, fontsize=FONT + 1, ha="center", va="top", weight="bold"
    )
    for at, line in enumerate(_words(group)):
        axes.text(
            middle,
            -0.22 - LINE * at,
            line,
            fontsize=FONT,
            color="black" if at < 2 else GREY,
            ha="center",
            va="top",
        )

"""Fit each rig's small rings, predict its other topologies, and say how surely.

A ring of 2 to 4 hosts may be fitted; nothing else ever is. An interval holds what the
fit leaves open, the noise of its cells, and what the counts miss (``FLOOR``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from experiments.rigs.prices import Fit, can_count
from experiments.rigs.regimes import choose
from experiments.rigs.table import Cell, Fabric
from experiments.scores import score

RINGS = ("ring2", "ring3", "ring4")
LEAST_CELLS = 5
FLOOR = 0.016
"""Log standard deviation of what the counts miss at the true prices. With nothing
fitted, and the overhead from a ping-pong, they left 2.5 to 3.2 % at the 90th percentile
of 935 cells of such rigs: 1.7 % as a standard deviation, 0.6 % of it noise. Its square
grows by as much again with every octave of hosts beyond the largest fitted ring, as
``fabricmodel`` lets its own discrepancy grow.
"""

Z_90 = 1.6448536269514722

SOCKETS = "netns_tun"
"""Rigs whose ranks speak plain sockets over relayed links: they price the wire."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the fit of its rig says of a cell.

    Attributes:
      cell: in question.
      median_s, low_s, high_s: predicted, with the 90 % interval; NaN where not.
      held_out: whether the cell was kept from the fit.
      reason: why there is no prediction, or "".
    """

    cell: Cell
    median_s: float = math.nan
    low_s: float = math.nan
    high_s: float = math.nan
    held_out: bool = True
    reason: str = ""


def may_fit(cell: Cell) -> bool:
    """Whether a fit may see a cell: a plain ring of 2 to 4, and repeats that agree."""
    return cell.wiring.name in RINGS and can_count(cell) and cell.conclusive


def fit_rigs(
    cells: Sequence[Cell],
    progress: Callable[[Sequence[Fabric]], Iterable[Fabric]] = iter,
) -> list[Fit]:
    """Fit every fabric that has rings; those of plain sockets first, as the wire.

    Args:
      cells: of the whole table; those that no fit may see are passed over.
      progress: wraps the list of fabrics, to show how far it is.
    """
    groups: dict[Fabric, list[Cell]] = {}
    for cell in cells:
        if may_fit(cell):
            groups.setdefault(cell.fabric, []).append(cell)
    order = sorted(groups, key=lambda fabric: not fabric.rig.startswith(SOCKETS))
    found: list[Fit] = []
    for fabric in progress(order):
        if len(groups[fabric]) >= LEAST_CELLS:
            found.append(choose(fabric, groups[fabric], wire_of(fabric, found)))
    return found


def wire_of(fabric: Fabric, fits: Sequence[Fit]) -> Fit | None:
    """The fit of plain sockets over the same links; None for sockets themselves."""
    if fabric.rig.startswith(SOCKETS):
        return None
    same = [
        each
        for each in fits
        if each.fabric.rig.startswith(SOCKETS)
        and (each.fabric.delay_s, each.fabric.rate_Bps)
        == (fabric.delay_s, fabric.rate_Bps)
    ]
    return max(same, key=lambda each: len(each.cells), default=None)


def speaker(fabric: Fabric, fits: Sequence[Fit]) -> Fit | None:
    """The fit that speaks for a fabric: its own, or of the same rig at the same rate.

    Links of another length than the fitted ones count as so many of them.
    """
    rig = [
        each
        for each in fits
        if (each.fabric.rig, each.fabric.variant) == (fabric.rig, fabric.variant)
    ]
    own = [each for each in rig if each.fabric == fabric]
    same_rate = [each for each in rig if each.fabric.rate_Bps == fabric.rate_Bps]
    for candidates in (own, same_rate):
        if candidates:
            return max(candidates, key=lambda each: len(each.cells))
    return None


def predict(cells: Sequence[Cell], fits: Sequence[Fit]) -> list[Prediction]:
    """Predict every cell that a fit speaks for; a reason for each of the others."""
    found = []
    for cell in cells:
        each = speaker(cell.fabric, fits)
        if not can_count(cell):
            reason = f"no schedule known of {cell.collective} {cell.algorithm}"
            found.append(Prediction(cell=cell, reason=reason))
        elif each is None:
            reason = f"no ring of 2 to 4 to fit on {cell.fabric.name}"
            found.append(Prediction(cell=cell, reason=reason))
        else:
            found.append(_predict(cell, each))
    return found


def _predict(cell: Cell, fitted: Fit) -> Prediction:
    time_s, sd = fitted.predict(cell)
    largest = max(each.wiring.hosts for each in fitted.cells)
    beyond = max(math.log2(cell.wiring.hosts / largest), 0.0)
    sd = math.hypot(sd, FLOOR * math.sqrt(1.0 + beyond))
    width = math.exp(Z_90 * sd)
    return Prediction(
        cell=cell,
        median_s=time_s,
        low_s=time_s / width,
        high_s=time_s * width,
        held_out=not may_fit(cell),
    )


def errors(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Score held-out, conclusive predictions; None where there are none."""
    chosen = [
        each
        for each in predictions
        if each.held_out and not each.reason and each.cell.conclusive
    ]
    return score(
        [each.cell.time_s for each in chosen],
        [each.median_s for each in chosen],
        [each.low_s for each in chosen],
        [each.high_s for each in chosen],
    )

"""Fit each rig's small rings, predict its other topologies, and say how surely.

A ring of 2 to 4 hosts may be fitted; nothing else ever is. What a fit misses beyond its
noise is learned by leaving one size of ring out at a time (``stretch``), and grows
as a random walk in the octaves of hosts beyond the largest ring.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from experiments.rigs.prices import Fit, can_count, fit
from experiments.rigs.regimes import choose
from experiments.rigs.table import Cell, Fabric

RINGS = ("ring2", "ring3", "ring4")
LEAST_CELLS = 5
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


def stretch(fits: Sequence[Fit]) -> tuple[float, int]:
    """How much wider than its own error a fit's errors on an unseen ring are.

    Every fit of two or three rings is repeated without one of the larger ones, and
    predicts it. Returned is the 90 % quantile of the misses, in standard deviations,
    against a normal's, at least 1; and the number of misses.
    """
    misses = []
    for each in fits:
        names = sorted({cell.wiring.name for cell in each.cells})
        for name in names[1:]:
            kept = [cell for cell in each.cells if cell.wiring.name != name]
            wire = wire_of(each.fabric, fits)
            refit = fit(each.fabric, kept, each.regime, wire)
            for cell in each.cells:
                if cell.wiring.name == name:
                    time_s, sd = refit.predict(cell)
                    misses.append(abs(math.log(cell.time_s / time_s)) / sd)
    if not misses:
        return 2.0, 0
    return max(float(np.quantile(misses, 0.9)) / Z_90, 1.0), len(misses)


def predict(
    cells: Sequence[Cell], fits: Sequence[Fit], wider: float
) -> list[Prediction]:
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
            found.append(_predict(cell, each, wider))
    return found


def _predict(cell: Cell, fitted: Fit, wider: float) -> Prediction:
    time_s, sd = fitted.predict(cell)
    held_out = not may_fit(cell)
    if held_out:
        largest = max(each.wiring.hosts for each in fitted.cells)
        sd *= math.sqrt(1.0 + (wider**2 - 1.0) * octaves(cell.wiring.hosts, largest))
    else:
        sd *= wider
    width = math.exp(Z_90 * sd)
    return Prediction(
        cell=cell,
        median_s=time_s,
        low_s=time_s / width,
        high_s=time_s * width,
        held_out=held_out,
    )


def octaves(hosts: int, largest: int) -> float:
    """Steps of the walk: octaves beyond the largest ring, in those of 3 to 4 hosts.

    A topology of no more hosts than the ring is one step away, by its shape.

    >>> round(octaves(8, 4), 2), octaves(4, 4)
    (2.41, 1.0)
    """
    step = math.log2(4 / 3)
    return max(math.log2(hosts / largest) / step, 1.0)


def errors(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Summarise held-out, conclusive predictions; NaN where there are none."""
    chosen = [
        each
        for each in predictions
        if each.held_out and not each.reason and each.cell.conclusive
    ]
    miss = [abs(each.median_s / each.cell.time_s - 1.0) for each in chosen]
    inside = [each.low_s <= each.cell.time_s <= each.high_s for each in chosen]
    if not chosen:
        return {"n": 0}
    return {
        "n": len(chosen),
        "median_abs_rel_err": float(np.median(miss)),
        "p90_abs_rel_err": float(np.quantile(miss, 0.9)),
        "coverage_90": float(np.mean(inside)),
    }

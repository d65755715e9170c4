"""Which regime a rig's messages are in: chosen by evidence, with its switch point.

Plain messages are the rule. Where they leave more than ``ROUGH`` unexplained, or take
a price that nobody believes (software as slow as the wire), handshakes, from every size
on at which the data could tell a difference, and token buckets are tried; the best
posterior wins, each further unknown paid with half of log n (Schwarz's criterion).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from experiments.rigs.events import PLAIN, Regime
from experiments.rigs.prices import Fit, fit, program
from experiments.rigs.table import Cell, Fabric

ROUGH = 0.015
"""Log scale of what plain messages may leave: the noise of a quiet rig is a third."""

STRAINED = 2.5
"""Standard deviations from its belief at which a price of plain messages is doubted."""

FEWEST = 10
"""Cells below which a regime would be read into noise."""

BUCKETS = np.arange(500.0, 6500.0, 500.0)
_UNKNOWNS = {"none": 0, "ready": 2, "request": 2}

KNOWN_LIMITS = {"openmpi": 65_536.0}
"""Documented defaults, believed where the data leave a gap: ``btl_tcp_eager_limit``
of Open MPI 4.1 (ompi_info --param btl tcp --level 9).
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Switch:
    """Where messages change their regime.

    Attributes:
      largest_eager_bytes: message that still goes at once; 0 if none does.
      smallest_shaken_bytes: message that already pays the handshake.
    """

    largest_eager_bytes: float
    smallest_shaken_bytes: float

    @property
    def middle_bytes(self) -> float:
        """Geometric middle of the gap, 0 where every message pays."""
        return float(np.sqrt(self.largest_eager_bytes * self.smallest_shaken_bytes))


def choose(fabric: Fabric, cells: Sequence[Cell], wire: Fit | None) -> Fit:
    """Fit the cells in the regime that explains them best."""
    plain = fit(fabric, cells, PLAIN, wire)
    believed = plain.noise < ROUGH and plain.strain < STRAINED
    if believed or len(cells) < FEWEST:
        return plain
    tried = [plain]
    for kind in ("ready", "request"):
        for threshold in _thresholds(message_sizes(cells)):
            regime = Regime(handshake=kind, eager_bytes=threshold)
            tried.append(fit(fabric, cells, regime, wire))
    for bucket in BUCKETS:
        tried.append(fit(fabric, cells, Regime(bucket_bytes=float(bucket)), wire))
    best = min(tried, key=lambda each: score(each))
    if best.regime.eager_bytes > 0:
        gap = switch(best)
        believed = known_limit(fabric) or gap.middle_bytes
        inside = np.clip(
            believed, gap.largest_eager_bytes + 1, gap.smallest_shaken_bytes
        )
        regime = dataclasses.replace(best.regime, eager_bytes=float(inside))
        best = dataclasses.replace(best, regime=regime)
    return best


def known_limit(fabric: Fabric) -> float | None:
    """Return the documented switch point of a rig's software, if there is one."""
    found = (limit for name, limit in KNOWN_LIMITS.items() if name in fabric.rig)
    return next(found, None)


def score(found: Fit) -> float:
    """Negative log evidence of a fit, after Schwarz."""
    unknowns = _UNKNOWNS[found.regime.handshake] + (found.regime.bucket_bytes > 0)
    return found.loss + 0.5 * unknowns * float(np.log(len(found.cells)))


def switch(found: Fit, cells: Sequence[Cell] | None = None) -> Switch:
    """Bracket the switch point of a fit: the sizes next to it that tell it apart.

    Args:
      found: in a regime with a handshake; its prices stay.
      cells: to bracket it with; those of the fit if not given.
    """
    cells = found.cells if cells is None else cells
    sizes = message_sizes(cells)
    bounds = _thresholds(sizes)
    errors = []
    for bound in bounds:
        regime = dataclasses.replace(found.regime, eager_bytes=bound)
        moved = dataclasses.replace(found, regime=regime)
        gaps = [np.log(moved.predict(c)[0] / c.time_s) / found.noise for c in cells]
        errors.append(float(np.sum(np.log1p(np.square(gaps) / 4.0))))
    at = int(np.argmin(errors))
    below = [size for size in sizes if size < bounds[at]]
    above = [size for size in sizes if size >= bounds[at]]
    return Switch(
        largest_eager_bytes=max(below, default=0.0),
        smallest_shaken_bytes=min(above, default=np.inf),
    )


def message_sizes(cells: Sequence[Cell]) -> list[float]:
    """Sizes of all messages of the cells, sorted; within 1 % they count as one."""
    found = sorted(
        {
            size
            for cell in cells
            for steps in program(cell)
            for step in steps
            for _, size in step.sends
        }
    )
    return [
        size for i, size in enumerate(found) if i == 0 or size > 1.01 * found[i - 1]
    ]


def _thresholds(sizes: Sequence[float]) -> list[float]:
    """Zero, and the middles between neighbouring sizes."""
    middles = np.sqrt(np.array(sizes[:-1]) * np.array(sizes[1:]))
    return [0.0, *(float(middle) for middle in middles)]

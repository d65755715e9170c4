"""The prices that a rig's small rings teach: counts of their schedules, fitted.

The time of a cell is ``counts . prices`` of the critical path of its schedule
(``events``); prices are fitted in log space with log-normal priors, errors are
relative, and outliers lose their pull. The path depends on the prices, so counting and
fitting take turns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import least_squares

from experiments.rigs.events import NAMES, PLAIN, Prices, Regime, critical_path
from experiments.rigs.graph import Link
from experiments.rigs.schedules import nearest_halving_doubling, schedule
from experiments.rigs.steps import Program
from experiments.rigs.table import Cell, Fabric, scales

PRIOR = {
    "overhead_s": (2e-4, 1.0),
    "delay_s": (3e-3, 2.0),
    "byte_s": (3e-7, 2.0),
    "wake_s": (3e-5, 0.5),
    "handshake_s": (3e-3, 2.0),
    "launch_s": (1e-4, 1.5),
}
"""Median and log spread of the belief in each price, before anything is measured: a
relayed network of milliseconds and megabytes, and what Linux needs to wake a process
or to call a library.
"""

ROUNDS = 5
"""Of counting and fitting in turns; the paths settle after two or three."""

LEAST_NOISE = 0.003
"""Log scale below which no cell repeats."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """Fitted prices of one fabric.

    Attributes:
      fabric: it speaks for.
      regime: of its messages.
      prices: fitted.
      covariance: (6, 6) of their logarithms.
      noise: log scale of what is left of a cell.
      loss: negative log posterior, up to a constant.
      strain: how many standard deviations its price farthest from belief is away.
      cells: it was fitted to.
    """

    fabric: Fabric
    regime: Regime
    prices: Prices
    covariance: np.ndarray
    noise: float
    loss: float
    strain: float
    cells: tuple[Cell, ...]

    @property
    def round_s(self) -> float:
        """Seconds of a message to a neighbour before its bytes: the delay of a step."""
        return self.prices.overhead_s + self.prices.wake_s + self.prices.delay_s

    def predict(
        self, cell: Cell, scale: Mapping[Link, tuple[float, float]] | None = None
    ) -> tuple[float, float]:
        """Return the median seconds of a cell and its log standard deviation."""
        if scale is None:
            scale = scales(cell, self.fabric, self.prices.delay_s)
        counts = count(cell, self.prices, self.regime, scale)
        vector = self.prices.vector()
        time_s = float(counts @ vector)
        slopes = counts * vector / time_s
        return time_s, float(np.sqrt(slopes @ self.covariance @ slopes + self.noise**2))


def can_count(cell: Cell) -> bool:
    """Whether the schedule of a cell is known."""
    return schedule(cell.collective, cell.algorithm, cell.wiring.hosts) is not None


def program(cell: Cell) -> Program:
    """Return the schedule of a cell."""
    steps = schedule(cell.collective, cell.algorithm, cell.wiring.hosts)
    assert steps is not None
    if cell.algorithm == "rabenseifner" and "openmpi" in cell.fabric.rig:
        steps = nearest_halving_doubling
    return steps(cell.wiring.sides, cell.size_bytes)


def count(
    cell: Cell,
    prices: Prices,
    regime: Regime,
    scale: Mapping[Link, tuple[float, float]],
) -> np.ndarray:
    """Count the critical path of a cell at some prices, (6,)."""
    return critical_path(
        program(cell),
        cell.wiring,
        prices,
        scale=scale,
        regime=regime,
        packet_bytes=cell.fabric.packet_bytes,
    )


def fit(
    fabric: Fabric,
    cells: Sequence[Cell],
    regime: Regime = PLAIN,
    wire: Fit | None = None,
) -> Fit:
    """Fit the prices of a fabric to cells whose schedules are known.

    Args:
      fabric: the cells ran on.
      cells: that the prices have to explain.
      regime: of the messages.
      wire: of plain sockets over the same links, if any: its delay is believed within
        2 %, and a trip of a handshake is believed to take about as long.

    The maximum of a posterior: log-normal priors, Cauchy-like loss on log times, the
    noise re-estimated between rounds from the median residual.
    """
    times = np.log([cell.time_s for cell in cells])
    belief = dict(PRIOR)
    if wire is not None:
        belief["delay_s"] = (wire.prices.delay_s, 0.02)
        belief["handshake_s"] = (wire.prices.delay_s, 0.3)
    centre = np.log([belief[name][0] for name in NAMES])
    spread = np.array([belief[name][1] for name in NAMES])
    logs, noise = _first_guess(cells, centre, wire is None), 0.05
    counts, found = np.zeros((0, len(NAMES))), None
    for _ in range(ROUNDS):
        here = Prices(**dict(zip(NAMES, np.exp(logs).tolist(), strict=True)))
        counts = np.array(
            [
                count(cell, here, regime, scales(cell, fabric, here.delay_s))
                for cell in cells
            ]
        )

        def residuals(logs: np.ndarray, counts=counts, noise=noise) -> np.ndarray:
            gap = (np.log(counts @ np.exp(logs)) - times) / noise
            # Beyond two standard deviations an error grows as its logarithm.
            gap = np.sign(gap) * 2.0 * np.sqrt(np.log1p(gap**2 / 4.0))
            return np.concatenate([gap, (logs - centre) / spread])

        found = least_squares(residuals, logs, method="lm")
        logs = found.x
        left = np.abs(np.log(counts @ np.exp(logs)) - times)
        noise = max(1.4826 * float(np.median(left)), LEAST_NOISE)
    assert found is not None
    prices = Prices(**dict(zip(NAMES, np.exp(logs).tolist(), strict=True)))
    return Fit(
        fabric=fabric,
        regime=regime,
        prices=prices,
        covariance=np.linalg.inv(found.jac.T @ found.jac),
        noise=noise,
        loss=float(found.cost + len(cells) * np.log(noise)),
        strain=float(np.max(np.abs(logs - centre) / spread)),
        cells=tuple(cells),
    )


def _first_guess(cells: Sequence[Cell], centre: np.ndarray, alone: bool) -> np.ndarray:
    """Delay from the quickest cell, the price of a byte from the largest message."""
    guess = centre.copy()
    if alone:
        half = np.log(0.5 * min(cell.time_s for cell in cells))
        guess[NAMES.index("delay_s")] = guess[NAMES.index("handshake_s")] = half
    largest = max(cells, key=lambda cell: cell.size_bytes)
    guess[NAMES.index("byte_s")] = np.log(0.5 * largest.time_s / largest.size_bytes)
    return guess

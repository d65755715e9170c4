"""What a model answers, and what it was fitted to."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from fabricmodel.errors import FabricModelError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """What a model was fitted to.

    Attributes:
      rows: how many measurements.
      ranks, sizes: smallest and largest (NaN without data).
      collectives: that were measured.
      series: their names.
    """

    rows: int = 0
    ranks: tuple[float, float] = (np.nan, np.nan)
    sizes: tuple[float, float] = (np.nan, np.nan)
    collectives: tuple[str, ...] = ()
    series: tuple[str, ...] = ()

    def warnings(
        self, collective: str, sizes: np.ndarray, ranks: np.ndarray
    ) -> tuple[str, ...]:
        """Say in words where questions lie outside the data."""
        if not self.rows:
            return ("no measurements: catalogue prices alone",)
        said = []
        if collective not in self.collectives:
            said.append(f"{collective} was not measured: it rests on the others")
        smallest, largest = self.ranks
        if ranks.max() > largest:
            said.append(
                f"{ranks.max() / largest:,.3g} times beyond your largest run "
                f"({largest:,.0f} ranks)"
            )
        if ranks.min() < smallest:
            said.append(f"below your smallest run ({smallest:,.0f} ranks)")
        if sizes.max() > self.sizes[1] or sizes.min() < self.sizes[0]:
            said.append(
                "sizes outside the measured "
                f"{self.sizes[0]:,.0f} to {self.sizes[1]:,.0f} bytes"
            )
        return tuple(said)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """Predicted times of one question, or of an array of them.

    Attributes:
      median_s: seconds.
      log_scale: of the logarithm's Student t of 4 degrees: prices, noise and
        discrepancy. Its tails are heavy, since how far models go wrong beyond their
        data is itself known from a few series only.
      terms: seconds by cause; they add up to the median. ``not in the model`` is what
        the measurements nearby took beyond counts x prices, or less.
      warnings: in words, where the question lies outside the data.
    """

    median_s: np.ndarray
    log_scale: np.ndarray
    terms: Mapping[str, np.ndarray]
    warnings: tuple[str, ...] = ()

    def interval(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper seconds of the central interval of a probability.

        Raises:
          FabricModelError: unless 0 < level < 1.
        """
        if not 0.0 < level < 1.0:
            what, remedy = f"{level} is no probability", "Give one between 0 and 1"
            raise FabricModelError("level", what, remedy)
        width = student_quantile(0.5 + level / 2.0) * self.log_scale
        return self.median_s * np.exp(-width), self.median_s * np.exp(width)


def student_quantile(probability: float) -> float:
    """Quantile of the Student t of 4 degrees of freedom, in closed form (Shaw, 2006).

    >>> [round(student_quantile(p), 3) for p in (0.05, 0.5, 0.95, 0.995)]
    [-2.132, 0.0, 2.132, 4.604]
    """
    root = math.sqrt(4.0 * probability * (1.0 - probability))
    size = 2.0 * math.sqrt(max(math.cos(math.acos(root) / 3.0) / root - 1.0, 0.0))
    return math.copysign(size, probability - 0.5)


def student_log_density(off: np.ndarray) -> np.ndarray:
    """Log density of the same, of deviations in units of its scale.

    >>> student_log_density(np.array([0.0, 2.0])).round(4).tolist()
    [-0.9808, -2.7137]
    """
    return math.log(3.0 / 8.0) - 2.5 * np.log1p(off**2 / 4.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """Predicted seconds of the rows of a table, (R,).

    Attributes:
      median_s, low_s, high_s: median and 90 % interval.
      priced_s: counts x prices alone, without what the measurements nearby missed.
    """

    median_s: np.ndarray
    priced_s: np.ndarray
    low_s: np.ndarray
    high_s: np.ndarray

"""When enough repetitions are enough: the interval of a median, free of any shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

FEWEST = 6
"""Repetitions below which a 95 % interval of the median does not exist."""


def median_interval(times_s: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the median, by order statistics; infinite for too few.

    The median lies between the k-th smallest and the k-th largest of n repetitions
    with probability 1 - 2 P(Binomial(n, 1/2) < k), whatever their distribution.
    Source: Hoefler and Belli, "Scientific benchmarking of parallel computing systems"
    (2015), rule 6.

    >>> median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    (1.0, 6.0)
    """
    ordered, n = sorted(times_s), len(times_s)
    if n < FEWEST:
        return -math.inf, math.inf
    below, k = 0.5**n, 0
    while 2.0 * (below + _choose(n, k + 1)) <= 0.05:
        k += 1
        below += _choose(n, k)
    return ordered[k], ordered[n - 1 - k]


def _choose(n: int, k: int) -> float:
    return math.comb(n, k) * 0.5**n


def tight(times_s: Sequence[float], tolerance: float) -> bool:
    """Whether the interval of the median is within ``tolerance`` of it either way."""
    low, high = median_interval(times_s)
    middle = float(np.median(times_s)) if len(times_s) else 0.0
    return high - low <= 2.0 * tolerance * middle

"""How sure a fit is: Laplace's approximation of its posterior."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jax import Array

from fabricmodel.fitting.solve import differences

Slopes = Callable[[Array], tuple[Array, Array, Array]]


def laplace(
    slopes: Slopes, point: np.ndarray, batch: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariance of the parameters, and residuals with their slopes, at an optimum.

    The inverse of the Hessian of the negative log posterior. Directions in which the
    likelihood curves the wrong way keep the prior's curvature of 1: the data may narrow
    a belief, and are not trusted to widen it.

    Args:
      slopes: loss, gradient and R residuals of ``batch`` points at once.
      point: (n,) the optimum.
      batch: the points that one call takes.

    Returns:
      (n, n) covariance, (R,) residuals, (R, n) their slopes.

    >>> slope = lambda x: (2.0 * (x**2).sum(axis=1), 4.0 * x, 3.0 * x)
    >>> covariance, residual, slopes = laplace(slope, np.zeros(2), batch=4)
    >>> covariance.round(6).tolist(), slopes.round(6).tolist()
    ([[0.25, 0.0], [0.0, 0.25]], [[3.0, 0.0], [0.0, 3.0]])
    """
    (_, _, residual), (_, hessian, jacobian) = differences(slopes, point, batch)
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    return (vectors / np.maximum(values, 1.0)) @ vectors.T, residual, jacobian


def octaves_outside(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Octaves by which values lie outside a range; 0 inside, and everywhere if none.

    >>> octaves_outside(np.array([1.0, 3.0, 16.0]), 2.0, 4.0).tolist()
    [1.0, 0.0, 2.0]
    """
    if not low <= high:
        return np.zeros_like(values)
    return np.maximum(np.log2(np.maximum(values / high, low / values)), 0.0)

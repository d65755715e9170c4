"""Fisher scoring: Newton's method with the expected curvature, for hundreds of numbers.

Where first-order searches crawl along valleys of a posterior, the expected curvature of
a normal likelihood is exact enough to walk straight to the end, and needs first
derivatives only: 1 + J' K^-1 J of what moves its mean, 1 + tr(K^-1 dK K^-1 dK') / 2 of
what moves its covariance.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array

Value = Callable[[np.ndarray], tuple[float, np.ndarray]]
Curvature = Callable[[np.ndarray], np.ndarray]

_ARMIJO = 1e-4  # decrease asked of a step, as a share of what its slope promises
_HALVINGS = 12


def scored(
    value_and_grad: Value,
    information: Curvature,
    point: np.ndarray,
    *,
    steps: int,
    tolerance: float,
) -> tuple[np.ndarray, float]:
    """Walk to where the gradient vanishes, or as far as the steps go.

    Args:
      value_and_grad: of a point, (n,).
      information: expected curvature there, (n, n), positive definite.
      point: where to begin.
      steps: at most.
      tolerance: of the length of the step that is left, in standard deviations of the
        posterior: sqrt(g' I^-1 g).

    Returns:
      The point, and that length there.

    >>> bowl = lambda x: (float(np.sum(x**2)), 2.0 * x)
    >>> end, left = scored(bowl, lambda x: 2.0 * np.eye(2), np.ones(2), steps=3,
    ...                    tolerance=1e-6)
    >>> bool(np.all(abs(end) < 1e-9)), left < 1e-6
    (True, True)
    """
    value, grad = value_and_grad(point)
    left = np.inf
    for turn in range(steps + 1):
        step = -np.linalg.solve(information(point), grad)
        left = float(np.sqrt(max(-grad @ step, 0.0)))
        if left < tolerance or turn == steps:
            break
        for halving in range(_HALVINGS):
            length = 0.5**halving
            trial = point + length * step
            there, slope = value_and_grad(trial)
            if there <= value - _ARMIJO * length * left**2:
                break
        else:
            break
        point, value, grad = trial, there, slope
    return point, left


def expected_curvature(matrix: Array, shared: Array, own: Array) -> Array:
    """Of the numbers of a covariance, (k + h, k + h): tr(K^-1 dK K^-1 dK') / 2.

    Args:
      matrix: (R, R) covariance of the rows.
      shared: (k, R, R) slopes of the covariance by what rows share.
      own: (h, R) slopes of its diagonal by what each has of its own.
    """
    inverse = jnp.linalg.inv(matrix)
    turned = jnp.einsum("ij,kjl->kil", inverse, shared)
    both = jnp.einsum("kij,lji->kl", turned, turned)
    mixed = jnp.einsum("kij,ji,hi->kh", turned, inverse, own)
    alone = own @ inverse**2 @ own.T
    return 0.5 * jnp.block([[both, mixed], [mixed.T, alone]])

"""What the physics leaves over, shared by runs that are alike: a Gaussian process.

Two runs of one software, one series, one model, one recipe err together. The residual
of log time is a sum of normal effects, one for each thing that runs can have in common,
a random walk in the doublings of chips within a series, and noise of its own:

  cov(i, j) = sum_k s_k^2 [key_k(i) = key_k(j)]
              + s_w^2 [series(i) = series(j)] min(u_i, u_j) + s_n(i)^2 / w_i [i = j]

with u the doublings of chips over the least of the table. The sizes s are learned by
marginal likelihood; the weights w make the noise Student-t (a scale mixture).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import cho_solve, solve_triangular

from fabricmodel.training.runs import Run

EFFECTS: dict[str, float] = {
    "software": 0.08,
    "version": 0.04,
    "precision": 0.05,
    "series": 0.08,
    "release": 0.03,
    "model": 0.05,
    "recipe": 0.05,
    "walk": 0.012,
}
"""Prior centre of each shared effect's size, a log standard deviation."""

NOISE = 0.015
"""Prior centre of the noise of one run; every software has its own."""

SIZE_SPREAD = 0.6
"""Log spread of the belief in those centres, and of one software's noise about all."""

DEGREES = 5.0
"""Of freedom of the noise."""


@dataclasses.dataclass(frozen=True)
class Likeness:
    """What each row has in common with others.

    Attributes:
      keys: one tuple of names for each effect but the walk.
      series: of the walk.
      doublings: (R,) of chips.
    """

    keys: tuple[tuple[str, ...], ...]
    series: tuple[str, ...]
    doublings: np.ndarray


def likeness(runs: Sequence[Run]) -> Likeness:
    """Name what rows share: software, its version, precision, series and so on."""
    rows = []
    for run in runs:
        chip = run.platform.chip.name if run.platform else ""
        at = run.layout
        degrees = (at.tp, at.pp, at.cp, at.ep, at.virtual, at.recompute) if at else ()
        cut = "/".join(f"{float(d):g}" for d in degrees)
        wave = float(at.microbatch) if at else 0.0
        rows.append(
            (
                f"{run.stack}|{chip}",
                f"{run.stack}|{chip}|{run.version}",
                f"{run.stack}|{chip}|{run.precision}|{run.numerics}",
                f"{run.group}|{chip}|{run.precision}",
                f"{run.release}|{run.version}|{run.group}|{chip}|{run.precision}",
                f"{run.model}|{chip}|{run.precision}",
                f"{run.group}|{chip}|{run.precision}|{run.model}|{cut}|{wave:g}",
            )
        )
    return Likeness(
        keys=tuple(zip(*rows, strict=True)),
        series=tuple(row[3] for row in rows),
        doublings=np.log2([max(run.chips, 1.0) for run in runs]),
    )


def same(first: Likeness, second: Likeness) -> np.ndarray:
    """Kernel of each effect at size 1: (effects, R1, R2)."""
    parts = [_equal(a, b) for a, b in zip(first.keys, second.keys, strict=True)]
    least = np.minimum(first.doublings[:, None], second.doublings[None, :])
    parts.append(_equal(first.series, second.series) * np.maximum(least, 0.0))
    return np.stack(parts)


def _equal(first: Sequence[str], second: Sequence[str]) -> np.ndarray:
    codes = {name: at for at, name in enumerate(dict.fromkeys([*first, *second]))}
    a = np.array([codes[name] for name in first])
    b = np.array([codes[name] for name in second])
    return (a[:, None] == b[None, :]).astype(float)


def covariance(kernels: np.ndarray | Array, logs: Array, noise: Array) -> Array:
    """Covariance of the rows, (R, R), at log effect sizes and variances of noise."""
    shared = jnp.tensordot(jnp.exp(2.0 * logs), jnp.asarray(kernels), axes=1)
    return shared + jnp.diag(noise)


def negative_log_density(matrix: Array, residual: Array) -> Array:
    """Of a residual under a normal of that covariance, without its constant."""
    factor = jnp.linalg.cholesky(matrix)
    white = solve_triangular(factor, residual, lower=True)
    return 0.5 * jnp.sum(white**2) + jnp.sum(jnp.log(jnp.diag(factor)))


def conditional(
    matrix: Array, cross: Array, own: Array, residual: Array
) -> tuple[Array, Array, Array]:
    """Mean and variance of new rows given a residual, and the gain (R2, R1).

    Args:
      matrix: (R1, R1) covariance of the rows seen; residual: (R1,).
      cross: (R2, R1) covariance of new rows with them; own: (R2,) variance of each.
    """
    factor = jnp.linalg.cholesky(matrix)
    gain = cho_solve((factor, True), cross.T).T
    mean = gain @ residual
    variance = own - jnp.sum(gain * cross, axis=1)
    return mean, jnp.maximum(variance, 1e-12), gain

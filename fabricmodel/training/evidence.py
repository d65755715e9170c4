"""How large the effects and the noise are, learned with the habits integrated out.

Hundreds of habits explain part of whatever is left over, so the sizes that suit the
residual best are too small: one divides by the rows where one should divide by the
rows less what the habits took (restricted likelihood, REML). To first order in theta,
standard normal a priori, the logs are

  log T - (log physics(theta) - J theta) ~ N(0, K + J J')

with K the covariance of effects and noise: theta is one normal effect more. This is the
second step of Lindstrom and Bates' alternation for nonlinear mixed-effects models
(Biometrics 46, 1990); the first, theta given the sizes, is the fit's.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fabricmodel._pytree import pytree
from fabricmodel.training import mixed
from fabricmodel.training.scoring import expected_curvature, scored


@pytree
class Alike:
    """What rows share.

    Attributes:
      kernels: (effects, R, R) of each effect at size 1.
      software: (R,) column of each row's noise.
    """

    kernels: np.ndarray
    software: np.ndarray


@pytree
class Linear:
    """What a fit leaves over, to first order in theta.

    Attributes:
      jacobian: (R, n) slopes of the log steps.
      whole: (R,) log seconds, less what the physics would say at theta 0.
    """

    jacobian: Array
    whole: Array


def sizes(rest: np.ndarray | Array) -> tuple[Array, Array]:
    """Log effect sizes, noise variance by software and, last, of an unseen one.

    Args:
      rest: (effects + 1 + softwares,) standard normal a priori: each effect's, the
        noise of all, each software's about it.
    """
    centre = jnp.log(jnp.array(list(mixed.EFFECTS.values())))
    shared, common, own = jnp.split(jnp.asarray(rest), [len(centre), len(centre) + 1])
    effects = centre + mixed.SIZE_SPREAD * shared
    each = common + jnp.concatenate([own, jnp.zeros(1)])
    return effects, mixed.NOISE**2 * jnp.exp(2.0 * mixed.SIZE_SPREAD * each)


def covariance(alike: Alike, weights: Array, rest: np.ndarray | Array) -> Array:
    """Of what the physics leaves over, (R, R)."""
    effects, noise = sizes(rest)
    return mixed.covariance(alike.kernels, effects, noise[alike.software] / weights)


def learn_sizes(
    alike: Alike,
    weights: Array,
    linear: Linear,
    rest: np.ndarray,
    *,
    steps: int,
    tolerance: float,
) -> tuple[np.ndarray, float]:
    """Walk the sizes to the most probable, and how far they still are from there.

    The length is in standard deviations of their posterior, as in ``scored``.
    """

    def value_and_grad(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, grad, _ = _evidence(alike, weights, linear, jnp.asarray(point))
        return float(value), np.asarray(grad)

    def information(point: np.ndarray) -> np.ndarray:
        return np.asarray(_evidence(alike, weights, linear, jnp.asarray(point))[2])

    return scored(value_and_grad, information, rest, steps=steps, tolerance=tolerance)


@jax.jit
def _evidence(
    alike: Alike, weights: Array, linear: Linear, rest: Array
) -> tuple[Array, Array, Array]:
    """Negative log posterior of the sizes, its gradient and expected curvature."""
    habits = linear.jacobian @ linear.jacobian.T

    def loss(rest: Array) -> Array:
        matrix = covariance(alike, weights, rest) + habits
        return mixed.negative_log_density(matrix, linear.whole) + 0.5 * rest @ rest

    def noise_of(rest: Array) -> Array:
        return sizes(rest)[1][alike.software] / weights

    effects, first = sizes(rest)[0], len(mixed.EFFECTS)
    growing = 2.0 * mixed.SIZE_SPREAD * jnp.exp(2.0 * effects)
    curvature = expected_curvature(
        covariance(alike, weights, rest) + habits,
        growing[:, None, None] * jnp.asarray(alike.kernels),
        jax.jacfwd(noise_of)(rest).T[first:],
    )
    return *jax.value_and_grad(loss)(rest), curvature + jnp.eye(len(rest))


def heavy_tails(
    alike: Alike, weights: Array, linear: Linear, rest: np.ndarray
) -> Array:
    """Weights of the noise that make it Student-t: small where it had to be large.

    Of a run's noise both the mean and the variance count (EM): what its recipe or a
    habit may have taken of it is not known to be no noise.
    """
    own = sizes(rest)[1][alike.software]
    each = own / weights
    habits = linear.jacobian @ linear.jacobian.T
    inverse = jnp.linalg.inv(covariance(alike, weights, rest) + habits)
    mean = each * (inverse @ linear.whole)
    variance = each - each**2 * jnp.diag(inverse)
    nu = mixed.DEGREES
    return (nu + 1.0) / (nu + (mean**2 + variance) / own)

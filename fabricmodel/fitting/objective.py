"""How badly a parameter vector explains the measurements, the prior included."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fabricmodel._pytree import pytree, static
from fabricmodel.algorithms import arrays as xp
from fabricmodel.fabric import Fabric
from fabricmodel.fitting.cases import QUICK, Cases, estimates, seconds
from fabricmodel.fitting.discrepancy import FREEDOM
from fabricmodel.fitting.parameters import Parameters

EXTRA_LAUNCH = (1e-6, 2.5)
"""Prior of a series' own launch: its median in seconds, the spread of its logarithm."""

MANY_ROWS = 100
"""From here on a search runs for longer than its program takes to compile."""


@pytree
class Documented:
    """Sizes at which a library is documented to change its algorithm, K of them.

    Attributes:
      rows: the sizes, of one collective on the whole fabric.
      below, above: (K, C) 1 for the candidate on that side.
      spread: (K,) log standard deviation of the estimates' difference there.
    """

    rows: Cases
    below: np.ndarray | Array
    above: np.ndarray | Array
    spread: np.ndarray | Array


@pytree
class Data:
    """Measured rows, grouped by collective, and the series each belongs to.

    Attributes:
      rows: one group of cases per collective.
      log_times: per group, (R,) log seconds.
      series: per group, (R,) which launch applies.
      weights: per group, (R,) 1, or 0 for a row that only pads the group.
      white: per group, (R, R) what makes its residuals independent.
      documented: switch points, by collective.
      count: how many series there are.
    """

    rows: tuple[Cases, ...]
    log_times: tuple[np.ndarray | Array, ...]
    series: tuple[np.ndarray | Array, ...]
    weights: tuple[np.ndarray | Array, ...]
    white: tuple[np.ndarray | Array, ...]
    documented: tuple[Documented, ...] = ()
    count: int = static(default=1)


def split(
    vector: np.ndarray | Array, parameters: Parameters, series: int
) -> tuple[np.ndarray | Array, np.ndarray | Array]:
    """Cut a solver's vector into price parameters and extra launches.

    Where there are several series each has a launch of its own on top of the fabric's:
    tools and their versions time different things.
    """
    count = len(parameters.names)
    typical, octaves = EXTRA_LAUNCH
    extra = typical * xp.exp(octaves * vector[count:])
    return vector[:count], extra if series > 1 else np.zeros(series)


def unknowns(parameters: Parameters, series: int) -> int:
    """Length of the solver's vector."""
    return len(parameters.names) + (series if series > 1 else 0)


def residuals(
    vector: Array, fabric: Fabric, parameters: Parameters, data: Data
) -> list[Array]:
    """Log measured less log predicted, per group."""
    theta, extra = split(vector, parameters, data.count)
    priced = parameters.apply(fabric, theta)
    return [
        jnp.asarray(log_time)
        - jnp.log(seconds(priced, rows) + jnp.asarray(extra)[series])
        for rows, log_time, series in zip(
            data.rows, data.log_times, data.series, strict=True
        )
    ]


def negative_log_posterior(
    vector: Array, fabric: Fabric, parameters: Parameters, data: Data
) -> tuple[Array, Array]:
    """Student-t likelihood of log times, standard normal priors; up to a constant.

    -log p = sum_i (v + 1)/2 log(1 + z_i^2 / v) + |vector|^2 / 2, with z = W r:
    residuals r of log time, made independent and of unit scale by W, which knows field
    and noise (``fitting.discrepancy``), and v degrees of freedom. Where a switch of
    algorithm is documented, its library expects both to take as long, give or take.

    Returns:
      The loss, and the residuals of all groups, one after another.
    """
    total = 0.5 * jnp.sum(vector**2)
    found = residuals(vector, fabric, parameters, data)
    for residual, weight, white in zip(found, data.weights, data.white, strict=True):
        independent = jnp.asarray(white) @ residual
        each = 0.5 * (FREEDOM + 1.0) * jnp.log1p(independent**2 / FREEDOM)
        total = total + jnp.sum(weight * each)
    theta, _ = split(vector, parameters, data.count)
    for known in data.documented:
        expected = estimates(parameters.apply(fabric, theta), known.rows)
        apart = jnp.sum((known.below - known.above) * expected, axis=1)
        total = total + 0.5 * jnp.sum((apart / known.spread) ** 2)
    return total, jnp.concatenate(found)


def slopes(
    points: Array, fabric: Fabric, parameters: Parameters, data: Data
) -> tuple[Array, Array, Array]:
    """Negative log posterior, its gradient and the residuals, at many points.

    One compilation serves every fit of the same structure: fabric, collectives, and
    numbers of rows that pad to the same power of two. Many rows are worth more of it.
    """
    many = sum(map(len, data.weights)) >= MANY_ROWS
    return (_fast if many else _quick)(points, fabric, parameters, data)


def _slopes(
    points: Array, fabric: Fabric, parameters: Parameters, data: Data
) -> tuple[Array, Array, Array]:
    one = jax.value_and_grad(negative_log_posterior, has_aux=True)
    (values, found), grads = jax.vmap(one, in_axes=(0, None, None, None))(
        points, fabric, parameters, data
    )
    return values, grads, found


_quick = jax.jit(_slopes, compiler_options=QUICK)
_fast = jax.jit(_slopes, compiler_options={"xla_backend_optimization_level": "1"})

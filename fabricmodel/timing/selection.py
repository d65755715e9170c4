"""Smooth minimum and maximum of positive times, and the slowest of N."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from chex import Numeric
from jax import Array
from jax.scipy.special import ndtri

TEMPERATURE = 0.03
"""Of the minimum, in log time: two equal candidates count as 2 % less than one."""

SHARPNESS = 64
"""Of the maximum, a p-norm: two equal parts count as 1 % more than one.

A sharper one has kinks that a fit to precise measurements ends in."""

GUARD = 1024
"""Of the maximum with the bound, which is seldom near: 0.07 % where it is."""

_NEVER = 60.0  # log seconds of a candidate that does not exist
_FREE = -60.0  # log seconds of one that has nothing to do


def over(array: Array | np.ndarray, axes: int) -> Array:
    """Give an array axes of length 1 behind its own, up to so many.

    Cases come last: what holds for all of them meets what each has for itself.

    >>> over(np.ones((2, 3)), 4).shape
    (2, 3, 1, 1)
    """
    return jnp.reshape(array, array.shape + (1,) * (axes - array.ndim))


def soft_min_groups(
    times_s: Array,
    valid: Array,
    group: np.ndarray,
    groups: int,
    bias: Array | None = None,
    *,
    frozen: bool = False,
) -> Array:
    """Least of the valid times of each group: ``-T log sum exp(-log t / T)``.

    Never above the least of them, at most ``T log K`` below it in log time; monotone,
    and it scales with its arguments. At zero temperature it is the minimum. A group
    with no valid time takes for ever (1e26 s).

    Where the one who chooses is mistaken by ``bias``, the log time of the least
    *estimate*, less the bias of the one that it belongs to (their mean, weighed as the
    minimum weighs them). It still scales with its arguments and is monotone no more:
    where a time rises, the choice may change for the better.

    Args:
      times_s: (C, ...) seconds; valid: (C,) or (C, ...) 1 or 0.
      group: (C,) the group of each, static; groups: how many there are.
      bias: as ``valid``, log of the estimate over the time; None where they are the
        same.
      frozen: differentiate the times as they are chosen, and not the choice, which a
        mistaken library may change for the better as a price rises.

    >>> times, one = jnp.array([1.0, 2.0, 9.0]), jnp.ones(3)
    >>> soft_min_groups(times, one, np.array([0, 0, 1]), 2).round(5).tolist()
    [1.0, 9.0]
    """
    at, member = _members(group, groups)
    cases = times_s.ndim - 1
    valid, member = over(valid, cases + 1), over(member, cases + 2)
    usable = (valid > 0) & (times_s > 0)
    logs = jnp.where(usable, jnp.log(jnp.where(usable, times_s, 1.0)), _FREE)
    logs = jnp.where(valid > 0, logs, _NEVER)
    if bias is None:
        return jnp.exp(_least(jnp.where(member, logs[at], _NEVER)))
    bias = over(bias, cases + 1)[at]
    return jnp.exp(_picked(jnp.where(member, logs[at] + bias, _NEVER), bias, frozen))


@jax.custom_jvp
def _least(logs: Array) -> Array:
    """Soft minimum along the second axis."""
    return _weighed(logs)[0]


@_least.defjvp
def _least_slope(primals, tangents):
    least, weights = _weighed(*primals)
    return least, jnp.sum(weights * tangents[0], axis=1)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _picked(logs: Array, bias: Array, frozen: bool) -> Array:
    """Soft minimum of estimates along the second axis, less the bias of the choice."""
    least, weights = _weighed(logs)
    return least - jnp.sum(weights * bias, axis=1)


@_picked.defjvp
def _picked_slope(frozen: bool, primals, tangents):
    """With weights w, mean bias m and temperature T: w (1 + (bias - m) / T)."""
    logs, bias = primals
    least, weights = _weighed(logs)
    mean = jnp.sum(weights * bias, axis=1)
    steps, drifts = tangents
    steps = steps if frozen else (
        steps * (1.0 + (bias - mean[:, None]) / TEMPERATURE)
    )  # fmt: skip
    return least - mean, jnp.sum(weights * (steps - drifts), axis=1)


def _weighed(logs: Array) -> tuple[Array, Array]:
    """Soft minimum along the second axis, and the share of each in it."""
    first = jnp.min(logs, axis=1, keepdims=True)
    parts = jnp.exp((first - logs) / TEMPERATURE)
    total = jnp.sum(parts, axis=1, keepdims=True)
    least = first - TEMPERATURE * jnp.log(total)
    return jnp.squeeze(least, axis=1), parts / total


def _members(group: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Index the members of each group, (groups, widest), and tell them from filling."""
    found = [np.flatnonzero(np.asarray(group) == at) for at in range(groups)]
    at = np.zeros((groups, max(1, *map(len, found), 1)), int)
    member = np.zeros(at.shape, bool)
    for row, members in enumerate(found):
        at[row, : len(members)], member[row, : len(members)] = members, True
    return at, member


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def soft_max(times_s: Array, axis: int, sharpness: int = SHARPNESS) -> Array:
    """Largest of the times along an axis: their p-norm, at least the maximum.

    Smooth, so that equal links share the gradient; 0 for all zeros.

    >>> round(float(soft_max(jnp.array([1.0, 2.0]), axis=0)), 6)
    2.0
    """
    largest = jnp.max(times_s, axis=axis, keepdims=True)
    shares = times_s / jnp.where(largest > 0, largest, 1.0)
    norm = jnp.sum(shares**sharpness, axis=axis, keepdims=True)
    root = jnp.exp(jnp.log(jnp.where(norm > 0, norm, 1.0)) / sharpness)
    return jnp.squeeze(largest * root, axis=axis)


@soft_max.defjvp
def _soft_max_slope(axis: int, sharpness: int, primals, tangents):
    """The derivative by each part is its share of the whole, to the power p - 1."""
    whole = jnp.asarray(soft_max(*primals, axis, sharpness))
    scale = jnp.expand_dims(jnp.where(whole > 0, whole, 1.0), axis)
    weights = (primals[0] / scale) ** (sharpness - 1)
    return whole, jnp.sum(weights * tangents[0], axis=axis)


def slowest_of(ranks: Numeric) -> Array:
    """Expected largest of N normal delays, in standard deviations.

    ``-ndtri(0.625 / (N + 0.25))`` (Blom, 1958): 0 for one rank, 3.0 at 512, 4.4 at
    100,000, growing as sqrt(2 ln N).

    >>> [round(float(slowest_of(n)), 1) for n in (1.0, 512.0, 100_000.0)]
    [-0.0, 3.0, 4.4]
    """
    return -ndtri(0.625 / (jnp.asarray(ranks) + 0.25))

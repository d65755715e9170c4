"""Many starts at once: Adam and L-BFGS of optax, then Newton; convergence reported.

The loss is compiled once, for all starts together, and both searches call it: on a
small problem compiling costs more than searching.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from fabricmodel.fitting.cases import QUICK

ValueAndGrad = Callable[[Array], tuple[Array, ...]]

ADAM_STEPS = 100
_ADAM = optax.adam(optax.cosine_decay_schedule(0.1, ADAM_STEPS))
_MEMORY = optax.scale_by_lbfgs(memory_size=20)

_DIFFERENCE = 1e-4  # step of the Hessian's differences, of the prior's spread
_ARMIJO = 1e-4  # decrease asked of a step, as a share of what its slope promises
_SHRINK = 0.3  # of a step that did not decrease enough
_SHORTEST = 1e-6  # step, after which the curvature is forgotten


@dataclasses.dataclass(frozen=True, kw_only=True)
class Solution:
    """Where the search ended.

    Attributes:
      point: (n,) the best end point.
      points: (starts, n) all of them, the best first.
      losses: (starts,) of all end points, sorted.
      distance: of the best one from an optimum, in standard deviations of the
        posterior: ``sqrt(g' H^-1 g)``, g its gradient and H the curvature; the norm of
        the gradient where no curvature was taken, which is never less.
      converged: that distance is below the tolerance.
      agreeing: starts that ended within 0.1 of the best loss.
    """

    point: np.ndarray
    points: np.ndarray
    losses: np.ndarray
    distance: float
    converged: bool
    agreeing: int


def minimise(
    value_and_grad: ValueAndGrad,
    starts: np.ndarray,
    *,
    adam: bool = True,
    lbfgs_steps: int = 150,
    newton_steps: int = 24,
    tolerance: float = 1e-2,
) -> Solution:
    """Minimise a loss from every start, and keep the best.

    Args:
      value_and_grad: of a batch of points, (starts, n) to ((starts,), (starts, n)),
        and anything more.
      starts: (starts, n).
      adam: whether to begin with it; not where the starts are good ones.
      lbfgs_steps: of each start at most, backtracking included; ends early once the
        best and half of the others have converged.
      newton_steps: of the best one at most.
      tolerance: of that distance; a hundredth of a standard deviation.

    >>> solution = minimise(lambda x: (jnp.sum(x**2, axis=1), 2.0 * x), np.ones((2, 3)))
    >>> solution.converged, float(abs(solution.point).max()) < 0.01
    (True, True)
    """
    points = _first_order(value_and_grad, starts) if adam else jnp.asarray(starts)
    values, grads, *_ = value_and_grad(points)
    points, values, grads = _second_order(
        value_and_grad, points, values, grads, lbfgs_steps, tolerance
    )
    losses = np.where(np.isfinite(values), values, np.inf)
    order = np.argsort(losses)
    points, losses, grads = np.asarray(points)[order], losses[order], grads[order]
    point, norm = points[0], float(np.linalg.norm(grads[0]))
    if newton_steps:
        point, losses[0], norm = _newton(
            value_and_grad, point, len(starts), newton_steps, tolerance
        )
    return Solution(
        point=point,
        points=points,
        losses=np.sort(losses),
        distance=norm,
        converged=norm < tolerance,
        agreeing=int(np.sum(losses < losses[0] + 0.1)),
    )


def differences(
    value_and_grad: ValueAndGrad, point: np.ndarray, batch: int
) -> tuple[tuple[np.ndarray, ...], list[np.ndarray]]:
    """Outputs at a point, and the slope of each by the parameters.

    Central differences, in steps of 1e-4, of a function of ``batch`` points at once:
    of a gradient they make a Hessian, and the program that the search compiled serves
    again.

    >>> cube = lambda x: (jnp.sum(x**3, axis=1), 3.0 * x**2)
    >>> (value, grad), (_, hessian) = differences(cube, np.ones(2), batch=4)
    >>> float(value), hessian.round(3).tolist()
    (2.0, [[6.0, 0.0], [0.0, 6.0]])
    """
    size = len(point)
    offsets = np.concatenate([np.zeros((1, size)), np.eye(size), -np.eye(size)])
    extra = -len(offsets) % batch
    points = point + _DIFFERENCE * np.concatenate([offsets, np.zeros((extra, size))])
    parts = [
        value_and_grad(jnp.asarray(x)) for x in np.split(points, len(points) // batch)
    ]
    outputs = [
        np.concatenate([np.asarray(p) for p in each])
        for each in zip(*parts, strict=True)
    ]
    slopes = [
        (values[1 : size + 1] - values[size + 1 : 2 * size + 1]).T / (2.0 * _DIFFERENCE)
        for values in outputs
    ]
    return tuple(values[0] for values in outputs), slopes


def _first_order(value_and_grad: ValueAndGrad, starts: np.ndarray):
    points = jnp.asarray(starts)
    state = _ADAM.init(points)  # elementwise, so one state serves all starts
    for _ in range(ADAM_STEPS):
        points, state = _move(points, state, value_and_grad(points)[1])
    return points


@partial(jax.jit, compiler_options=QUICK)
def _move(points, state, grads):
    safe = jnp.where(jnp.isfinite(grads), grads, 0.0)
    updates, state = _ADAM.update(safe, state)
    return optax.apply_updates(points, updates), state


def _second_order(value_and_grad, points, values, grads, steps: int, tolerance: float):
    """L-BFGS with Armijo backtracking, one evaluation of all starts a turn."""
    now = _begin(points, values, grads)
    for count in range(steps):
        if count % 20 == 0:
            arrived = np.linalg.norm(now[2], axis=1) < 0.1 * tolerance
            finite = np.where(np.isfinite(now[1]), now[1], np.inf)
            if arrived[int(np.argmin(finite))] and np.mean(arrived) > 0.5:
                break
        trial = now[0] + now[4][:, None] * now[3]
        now = _turn(now, *value_and_grad(trial)[:2])
    return now[0], np.array(now[1]), np.asarray(now[2])


def _direct(state, point, grad):
    updates, state = _MEMORY.update(grad, state, point)
    ascent = jnp.asarray(updates)
    downhill = jnp.vdot(ascent, grad) > 0
    return jnp.where(downhill, -ascent, -grad), state


def _begin(points, values, grads):
    """Arrive at the points from nowhere, by the program that all turns share."""
    shapes = jax.eval_shape(jax.vmap(_MEMORY.init), points)
    memory = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)  # as init does
    starts, still = len(points), np.zeros_like(points)
    nowhere = np.full(starts, np.inf)
    old = (points, nowhere, still, still, np.ones(starts), memory)
    return _turn(old, values, grads)


@partial(jax.jit, compiler_options=QUICK)
@jax.vmap
def _turn(old, new_value, new_grad):
    point, value, grad, direction, step, state = old
    promised = _ARMIJO * step * jnp.vdot(direction, grad)
    good = jnp.isfinite(new_value) & (new_value <= value + promised)
    there = point + step * direction
    fresh, moved = _direct(state, there, new_grad)
    accepted = (there, new_value, new_grad, fresh, jnp.ones(()), moved)
    shorter = step * _SHRINK
    stuck = shorter < _SHORTEST  # forget the curvature, go straight downhill
    anew = (point, value, grad, -grad, _restart(grad), _MEMORY.init(point))
    again = (point, value, grad, direction, shorter, state)
    refused = _choose(stuck, anew, again)
    return _choose(good, accepted, refused)


def _newton(
    value_and_grad: ValueAndGrad,
    point: np.ndarray,
    batch: int,
    steps: int,
    tolerance: float,
) -> tuple[np.ndarray, float, float]:
    """Newton's method with a line search, where L-BFGS has stopped.

    Directions of little or negative curvature count as the prior's curvature of 1.
    """
    value, norm = np.inf, np.inf
    for turn in range(steps + 1):
        (value, grad, *_), (_, hessian, *_) = differences(value_and_grad, point, batch)
        if not np.isfinite(grad).all() or not np.isfinite(hessian).all():
            break
        curved, axes = np.linalg.eigh(0.5 * (hessian + hessian.T))
        step = -(axes / np.maximum(np.abs(curved), 1.0)) @ (axes.T @ grad)
        norm = float(np.sqrt(-step @ grad))
        if norm < 0.3 * tolerance or turn == steps:
            break
        trials = point + 0.4 ** np.arange(batch)[:, None] * step
        values = np.asarray(value_and_grad(jnp.asarray(trials))[0])
        values = np.where(np.isfinite(values), values, np.inf)
        if not values.min() < value:
            break
        point = trials[int(np.argmin(values))]
    return point, float(value), norm


def _restart(grad: Array) -> Array:
    """First step after a restart: a hundredth of a standard deviation."""
    return 0.01 / jnp.maximum(jnp.linalg.norm(grad), 1.0)


def _choose(condition: Array, yes, no):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)

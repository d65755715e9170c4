"""Many starts at once: Adam, then L-BFGS, both of optax; convergence reported.

The loss is compiled once, for all starts together, and both searches call it: on a
small problem compiling costs more than searching.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

ValueAndGrad = Callable[[Array], tuple[Array, Array]]

_ARMIJO = 1e-4  # decrease asked of a step, as a share of what its slope promises
_SHRINK = 0.3  # of a step that did not decrease enough
_SHORTEST = 1e-6  # step, after which the curvature is forgotten


@dataclasses.dataclass(frozen=True, kw_only=True)
class Solution:
    """Where the search ended.

    Attributes:
      point: (n,) the best end point.
      losses: (starts,) of all end points, sorted.
      gradient_norm: at the best one.
      converged: that norm is below the tolerance.
      agreeing: starts that ended within 0.1 of the best loss.
    """

    point: np.ndarray
    losses: np.ndarray
    gradient_norm: float
    converged: bool
    agreeing: int


def minimise(
    value_and_grad: ValueAndGrad,
    starts: np.ndarray,
    *,
    adam_steps: int = 150,
    lbfgs_steps: int = 600,
    tolerance: float = 1e-2,
) -> Solution:
    """Minimise a loss from every start, and keep the best.

    Args:
      value_and_grad: of a batch of points, (starts, n) to ((starts,), (starts, n)).
      starts: (starts, n).
      adam_steps: of each start.
      lbfgs_steps: at most, backtracking included; ends early once the best start and
        half of the others have converged, or the best alone after 200.
      tolerance: of the gradient norm; in units where the prior's curvature is 1, a
        hundredth of a standard deviation.

    >>> solution = minimise(lambda x: (jnp.sum(x**2, axis=1), 2.0 * x), np.ones((2, 3)))
    >>> solution.converged, float(abs(solution.point).max()) < 0.01
    (True, True)
    """
    points, values, grads = _first_order(value_and_grad, starts, adam_steps)
    points, values, grads = _second_order(
        value_and_grad, points, values, grads, lbfgs_steps, tolerance
    )
    losses = np.where(np.isfinite(values), values, np.inf)
    order = np.argsort(losses)
    best = int(order[0])
    norm = float(np.linalg.norm(grads[best]))
    return Solution(
        point=np.asarray(points)[best],
        losses=losses[order],
        gradient_norm=norm,
        converged=norm < tolerance,
        agreeing=int(np.sum(losses < losses[best] + 0.1)),
    )


def _first_order(value_and_grad: ValueAndGrad, starts: np.ndarray, steps: int):
    adam = optax.adam(optax.cosine_decay_schedule(0.1, max(steps, 1)))
    points = jnp.asarray(starts)
    state = adam.init(points)  # elementwise, so one state serves all starts

    @jax.jit
    def move(points, state, grads):
        safe = jnp.where(jnp.isfinite(grads), grads, 0.0)
        updates, state = adam.update(safe, state)
        return optax.apply_updates(points, updates), state

    for _ in range(steps):
        _, grads = value_and_grad(points)
        points, state = move(points, state, grads)
    return points, *value_and_grad(points)


def _second_order(value_and_grad, points, values, grads, steps: int, tolerance: float):
    """L-BFGS with Armijo backtracking, one evaluation of all starts a turn."""
    memory = optax.scale_by_lbfgs(memory_size=20)

    def direct(state, point, grad):
        updates, state = memory.update(grad, state, point)
        ascent = jnp.asarray(updates)
        downhill = jnp.vdot(ascent, grad) > 0
        return jnp.where(downhill, -ascent, -grad), state

    @jax.jit
    @jax.vmap
    def begin(point, grad):
        direction, state = direct(memory.init(point), point, grad)
        return direction, state, jnp.ones(())

    @jax.jit
    @jax.vmap
    def turn(old, new_value, new_grad):
        point, value, grad, direction, step, state = old
        promised = _ARMIJO * step * jnp.vdot(direction, grad)
        good = jnp.isfinite(new_value) & (new_value <= value + promised)
        there = point + step * direction
        fresh, moved = direct(state, there, new_grad)
        accepted = (there, new_value, new_grad, fresh, jnp.ones(()), moved)
        shorter = step * _SHRINK
        stuck = shorter < _SHORTEST  # forget the curvature, go straight downhill
        anew = (point, value, grad, -grad, _restart(grad), memory.init(point))
        again = (point, value, grad, direction, shorter, state)
        refused = _choose(stuck, anew, again)
        return _choose(good, accepted, refused)

    direction, state, step = begin(points, grads)
    now = (points, values, grads, direction, step, state)
    for count in range(steps):
        if count % 20 == 0:
            arrived = np.linalg.norm(now[2], axis=1) < 0.1 * tolerance
            finite = np.where(np.isfinite(now[1]), now[1], np.inf)
            leader = arrived[int(np.argmin(finite))]
            if leader and (count >= 200 or np.mean(arrived) > 0.5):
                break
        trial = now[0] + now[4][:, None] * now[3]
        now = turn(now, *value_and_grad(trial))
    return now[0], np.asarray(now[1]), np.asarray(now[2])


def _restart(grad: Array) -> Array:
    """First step after a restart: a hundredth of a standard deviation."""
    return 0.01 / jnp.maximum(jnp.linalg.norm(grad), 1.0)


def _choose(condition: Array, yes, no):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)

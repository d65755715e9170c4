"""The search of many refits side by side, each from the fitted optimum."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from fabricmodel._pytree import pytree
from fabricmodel.fabric import Fabric
from fabricmodel.fitting.cases import QUICK
from fabricmodel.fitting.discrepancy import FREEDOM
from fabricmodel.fitting.model import FittedModel
from fabricmodel.fitting.objective import (
    Data,
    negative_log_posterior,
)
from fabricmodel.fitting.parameters import Parameters
from fabricmodel.fitting.solve import differences

TOLERANCE = 0.3
"""Distance from its optimum at which a refit has arrived, over all parameters together
and in posterior deviations: a loss within 0.05 of the least."""

BATCH = 64  # refits in one call of the compiled objective
_TURNS = 100  # evaluations of a batch in one round
_ENOUGH = 0.9  # of a batch arrived; the others are taken up again with their like
_ROUNDS = 2  # in which the refits that have not arrived are taken up again
_REACH = 3.0  # posterior deviations that one step may go
_MEMORY = optax.scale_by_lbfgs(memory_size=50)


def plain(fabric: Fabric) -> Fabric:
    """Without what does not touch the times, so that programs serve again."""
    return dataclasses.replace(fabric, name="", spread={}, switches=())


@jax.jit  # in full: it runs thousands of times
def _objective(
    points: Array,
    log_times: tuple[Array, ...],
    tilts: Array,
    fabric: Fabric,
    parameters: Parameters,
    data: Data,
) -> tuple[Array, Array, Array]:
    """Loss of each refit, its gradient, and its residuals."""

    def loss(point: Array, measured: tuple[Array, ...], tilt: Array):
        own = dataclasses.replace(data, log_times=measured)
        value, found = negative_log_posterior(point, fabric, parameters, own)
        return value - tilt @ point, found

    one = jax.value_and_grad(loss, has_aux=True)
    (values, found), grads = jax.vmap(one)(points, log_times, tilts)
    return values, grads, found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refit:
    """The refits of one model, in coordinates in which its posterior is a unit ball.

    Attributes:
      optimum: (n,) of the fit.
      shape: (n, n) from those coordinates to parameters less the optimum.
      tilt: (n,) that makes it the optimum of noiseless measurements.
      belief: (n, n) information of the catalogue.
      expected: by group, (R,) log times at the optimum.
      objective: of points, log times and tilts.
      data: measurements, whitened.
    """

    optimum: np.ndarray
    shape: np.ndarray
    tilt: np.ndarray
    belief: np.ndarray
    expected: tuple[np.ndarray, ...]
    objective: partial
    data: Data

    @staticmethod
    def at(model: FittedModel, data: Data) -> Refit:
        """Look at the curvature about the optimum of a model."""
        assert model.solution is not None
        point = model.solution.point
        known = {
            "fabric": plain(model.fabric),
            "parameters": model.parameters,
            "data": data,
        }
        _, found = jax.jit(negative_log_posterior)(jnp.asarray(point), **known)
        ends = np.cumsum([len(times) for times in data.log_times])[:-1]
        expected = tuple(
            np.asarray(times) - off
            for times, off in zip(
                data.log_times, np.split(np.asarray(found), ends), strict=True
            )
        )
        objective = partial(_objective, **known)
        many = tuple(np.tile(times, (BATCH, 1)) for times in expected)
        level = jnp.zeros((BATCH, len(point)))
        (_, grad, _), (_, hessian, slopes) = differences(
            lambda points: objective(points, many, level), point, BATCH
        )
        parts = zip(data.white, np.split(slopes, ends), strict=True)
        slopes = np.concatenate([np.asarray(white) @ part for white, part in parts])
        # noiseless, the likelihood curves (v + 1) / v as much as squares would: what
        # is left is belief; with its noise it curves (v + 1) / (v + 3) as much
        shown = (FREEDOM + 1.0) * slopes.T @ slopes
        values, axes = np.linalg.eigh(0.5 * (hessian + hessian.T) - shown / FREEDOM)
        belief = (axes * np.maximum(values, 1.0)) @ axes.T
        return Refit(
            optimum=point,
            shape=np.linalg.cholesky(np.linalg.inv(belief + shown / (FREEDOM + 3.0))),
            tilt=grad,
            belief=belief,
            expected=expected,
            objective=objective,
            data=data,
        )

    def solve(
        self, rng: np.random.Generator, draws: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Simulate and refit: (draws, n) points, which arrived, (draws, R) log times.

        Those that have not arrived are taken up again together, their curvature
        forgotten. The log times are less those of the fit.
        """
        times = self.simulated(rng, draws)
        normal = rng.standard_normal((draws, len(self.optimum)))
        tilts = self.tilt + normal @ np.linalg.cholesky(self.belief).T
        inside, left = np.zeros_like(tilts), np.full(draws, np.inf)
        gone = np.zeros((draws, sum(len(x) for x in self.expected)))
        for enough in np.linspace(_ENOUGH, 1.0, _ROUNDS):
            waiting = np.flatnonzero(~(left < TOLERANCE))
            for start in range(0, len(waiting), BATCH):
                own = waiting[start : start + BATCH]
                full = np.resize(own, BATCH)
                found = self.descend(
                    inside[full], tuple(x[full] for x in times), tilts[full], enough
                )
                inside[own], left[own], rest = (x[: len(own)] for x in found)
                simulated = np.concatenate([x[own] for x in times], axis=1)
                gone[own] = simulated - rest - np.concatenate(self.expected)
        return self.optimum + inside @ self.shape.T, left < TOLERANCE, gone

    def simulated(self, rng: np.random.Generator, draws: int) -> tuple[np.ndarray, ...]:
        """Log times as they might have been measured, by group, (draws, R)."""
        found = []
        for clean, white, weight in zip(
            self.expected, self.data.white, self.data.weights, strict=True
        ):
            count = int(np.sum(np.asarray(weight)))
            block = np.asarray(white)[:count, :count]
            noise = rng.standard_t(FREEDOM, (draws, count))
            times = np.tile(clean, (draws, 1))
            times[:, :count] += np.linalg.solve(block, noise.T).T
            found.append(times)
        return tuple(found)

    def descend(
        self,
        inside: np.ndarray,
        times: tuple[np.ndarray, ...],
        tilts: np.ndarray,
        enough: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """L-BFGS with backtracking: where refits end, how far off, and residuals."""

        def value_and_grad(at: Array) -> tuple[Array, Array, Array]:
            points = self.optimum + at @ self.shape.T
            value, grad, rest = self.objective(points, times, tilts)
            return value, grad @ self.shape, rest

        now = _begin(jnp.asarray(inside), *value_and_grad(jnp.asarray(inside))[:2])
        for _ in range(_TURNS):
            now = _turn(now, *value_and_grad(now.trial)[:2])
            if np.mean(np.linalg.norm(now.grad, axis=1) < TOLERANCE) >= enough:
                break
        rest = value_and_grad(now.point)[2]
        left = np.linalg.norm(now.grad, axis=1)
        return np.asarray(now.point), left, np.asarray(rest)


@pytree
class _Search:
    """Where an L-BFGS search stands, and what it tries next."""

    point: Array
    value: Array
    grad: Array
    direction: Array
    step: Array
    memory: Any

    @property
    def trial(self) -> Array:
        return self.point + self.step[:, None] * self.direction


@partial(jax.jit, compiler_options=QUICK)
@jax.vmap
def _begin(point: Array, value: Array, grad: Array) -> _Search:
    return _Search(
        point=point,
        value=value,
        grad=grad,
        direction=-grad,
        step=jnp.minimum(1.0, _REACH / jnp.linalg.norm(grad)),
        memory=_MEMORY.update(grad, _MEMORY.init(point), point)[1],
    )


@partial(jax.jit, compiler_options=QUICK)
@jax.vmap
def _turn(old: _Search, value: Array, grad: Array) -> _Search:
    """Take the step that was tried if the loss fell, or try a third of it."""
    slope = jnp.vdot(old.direction, old.grad)
    good = value <= old.value + 1e-4 * old.step * slope  # NaN is refused
    point = old.point + old.step * old.direction
    found, memory = _MEMORY.update(grad, old.memory, point)
    update = jnp.asarray(found)
    downhill = jnp.where(jnp.vdot(update, grad) > 0.0, -update, -grad)
    length = jnp.linalg.norm(downhill)
    taken = _Search(
        point=point,
        value=value,
        grad=grad,
        direction=downhill,
        step=jnp.minimum(1.0, _REACH / length),
        memory=memory,
    )
    shorter = dataclasses.replace(old, step=old.step / 3.0)
    return jax.tree.map(lambda a, b: jnp.where(good, a, b), taken, shorter)

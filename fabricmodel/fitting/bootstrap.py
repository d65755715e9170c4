"""Refits to simulated measurements, to check Laplace's intervals against.

Each draw measures the fitted model anew, with what it misses and the noise as the fit
believes them, and hears the catalogue anew, with the belief's spread:

    log time = log (counts . prices at the fit) + W^-1 t4,     belief = fit + normal

(W: the whitener of ``fitting.objective``). Where time is linear in the parameters
and noise is normal the refits are draws from the posterior, and Laplace is exact too:
the difference of the two tells how far a model is from that. After Bardsley, Solonen,
Haario and Laine, "Randomize-then-optimize" (2014), and Efron and Tibshirani's
parametric bootstrap (1993).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from chex import Numeric
from jax import Array

from fabricmodel._pytree import pytree
from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric
from fabricmodel.fitting.cases import QUICK, Cases, bounds, pad_rows, seconds
from fabricmodel.fitting.discrepancy import FREEDOM
from fabricmodel.fitting.fit import fit
from fabricmodel.fitting.gather import gather, whitened
from fabricmodel.fitting.model import FittedModel
from fabricmodel.fitting.objective import (
    Data,
    negative_log_posterior,
    split,
    unknowns,
)
from fabricmodel.fitting.parameters import Parameters
from fabricmodel.fitting.questions import Questions, check_sizes
from fabricmodel.fitting.solve import differences
from fabricmodel.measurements import Measurements
from fabricmodel.timing.collective import check_collective

TOLERANCE = 0.3
"""Distance from its optimum at which a refit has arrived, over all parameters together
and in posterior deviations: a loss within 0.05 of the least."""

_BATCH = 64  # refits in one call of the compiled objective
_TURNS = 100  # evaluations of a batch in one round
_ENOUGH = 0.9  # of a batch arrived; the others are taken up again with their like
_ROUNDS = 2  # in which the refits that have not arrived are taken up again
_REACH = 3.0  # posterior deviations that one step may go
_MEMORY = optax.scale_by_lbfgs(memory_size=50)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resampled:
    """Predicted times of refits, noise included.

    Attributes:
      draws_s: (draws, ...) seconds, one for each refit.
    """

    draws_s: np.ndarray

    @property
    def median_s(self) -> np.ndarray:
        """Median of the draws."""
        return np.median(self.draws_s, axis=0)

    def interval(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper seconds of the central interval of a probability."""
        low, high = 0.5 - level / 2.0, 0.5 + level / 2.0
        return np.quantile(self.draws_s, low, 0), np.quantile(self.draws_s, high, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """A model refitted to simulated measurements, many times.

    Attributes:
      model: that was resampled.
      theta: (draws, n) parameters of each refit.
      launch_s: (draws, series) what each series adds to the launch in it.
      converged: (draws,) whether it came within ``TOLERANCE`` of its optimum; those
        that did not count all the same, since they are no random sample.
      gone: by collective and series, (R, draws) how far the log time of each measured
        row went in each refit.
      seed: of the draws.
    """

    model: FittedModel
    theta: np.ndarray
    launch_s: np.ndarray
    converged: np.ndarray
    gone: Mapping[tuple[str, str], np.ndarray]
    seed: int

    def spreads(self) -> dict[str, float]:
        """Log standard deviation of each price over the refits.

        By quantiles, so that a refit that fell into another regime does not make it.
        """
        low, high = np.quantile(self.theta, [0.05, 0.95], axis=0)
        sd = (high - low) / (2.0 * 1.6449) * np.asarray(self.model.parameters.spread)
        return dict(zip(self.model.parameters.names, sd.tolist(), strict=True))

    def predict(
        self, collective: str, size_bytes: Numeric, ranks: Numeric, algorithm: str = ""
    ) -> Resampled:
        """Predict as every refit would, one draw of noise and of what is missed each.

        Raises:
          FabricError: as ``FittedModel.predict``.
        """
        check_collective(collective)
        volumes, counts = np.broadcast_arrays(
            np.asarray(size_bytes, float), np.asarray(ranks, float)
        )
        shape, volumes, counts = volumes.shape, volumes.ravel(), counts.ravel()
        check_sizes(volumes)
        asked = Questions(
            collective=collective,
            size_bytes=volumes,
            ranks=counts,
            ranks_per_node=np.full(len(volumes), np.nan),
            labels=[algorithm] * len(volumes),
        )
        model, theta = self.model, self.theta
        series = model.seen.series[0] if len(model.seen.series) == 1 else None
        missed, variance = model._missed(asked, series)[:2]
        field = model.fields.get((collective, series or ""))
        if field is not None:  # what a refit leaves unexplained, its field takes over
            left = dataclasses.replace(
                field, slopes=-self.gone[collective, series or ""]
            )
            missed = missed + left.ask(asked.points())[2].T
        with jax.enable_x64(True):
            rows = pad_rows(asked.cases(model.fabric))
            time, bound = (
                np.asarray(part)[:, : len(volumes)]
                for part in _times(theta, _plain(model.fabric), model.parameters, rows)
            )
        if series is not None:
            time = time + self.launch_s[:, :1]
        noise = np.random.default_rng(self.seed + 1).standard_t(FREEDOM, time.shape)
        whole = np.maximum(time * np.exp(missed), bound)
        drawn = whole * np.exp(np.sqrt(variance) * noise)
        return Resampled(draws_s=drawn.reshape(-1, *shape))


def bootstrap(
    model: FittedModel | Fabric,
    times: Measurements,
    draws: int = 1000,
    *,
    seed: int = 0,
) -> Bootstrap:
    """Refit a model to measurements simulated from it, all refits side by side.

    Each refit starts at the fitted optimum, and L-BFGS (optax) takes it to its own, in
    coordinates in which the posterior is round; how many arrived is reported.

    Args:
      model: fitted to these measurements, or the fabric to fit to them first.
      times: what it was fitted to.
      draws: refits.
      seed: of the simulated measurements.

    Raises:
      FabricError: where the model was not fitted to these measurements.

    >>> from fabricmodel import Level
    >>> ring = Level(name="x", kind="ring", family="torus", members=8.0, capacity=8.0,
    ...              round_s=1e-6, byte_s=1e-11)
    >>> rows = [{"ranks": 8, "collective": "broadcast", "size_bytes": 4.0**k,
    ...          "time_us": 20 + 4.0**k / 1e4} for k in range(5, 14)]
    >>> found = bootstrap(Fabric(name="ring", levels=(ring,)),
    ...                   Measurements.from_records(rows), draws=8)
    >>> low, high = found.predict("broadcast", 2**20, 8).interval(0.9)
    >>> bool(low < 125e-6 < high)
    True
    """
    if isinstance(model, Fabric):
        model = fit(model, times)
    _check(model, times)
    with jax.enable_x64(True):
        found = whitened(gather(model.fabric, times), model.beliefs)
        parts = list(found.parts())
        refit = _Refit.at(model, found.data)
        rng = np.random.default_rng(seed)
        points, arrived, gone = refit.solve(rng, draws)
        theta, extra = jax.vmap(
            lambda x: split(x, model.parameters, len(found.series))
        )(jnp.asarray(points))
    return Bootstrap(
        model=model,
        theta=np.asarray(theta),
        launch_s=np.asarray(extra),
        converged=arrived,
        gone={
            (collective, name): gone[:, group][:, own].T
            for collective, name, own, group in parts
        },
        seed=seed,
    )


def _check(model: FittedModel, times: Measurements) -> None:
    """Refuse measurements that the model was not fitted to."""
    series = tuple(sorted({str(name) for name in times.series}))
    count = unknowns(model.parameters, len(model.seen.series))
    if model.solution is None or len(model.solution.point) != count:
        what, remedy = "the model was not fitted itself", "Give the one that was fitted"
        raise FabricError("model", what, remedy)
    if len(times) != model.seen.rows or series != model.seen.series:
        what = f"{len(times)} rows, the model was fitted to {model.seen.rows}"
        raise FabricError("times", what, "Give the rows that the model was fitted to")


def _plain(fabric: Fabric) -> Fabric:
    """Without what does not touch the times, so that programs serve again."""
    return dataclasses.replace(fabric, name="", spread={}, switches=())


@partial(jax.jit, compiler_options=QUICK)
def _times(
    thetas: Array, fabric: Fabric, parameters: Parameters, rows: Cases
) -> tuple[Array, Array]:
    """Seconds and bounds of every row at every parameter vector, (draws, R)."""

    def one(theta: Array) -> tuple[Array, Array]:
        priced = parameters.apply(fabric, theta)
        return seconds(priced, rows), bounds(priced, rows)

    return jax.lax.map(one, thetas, batch_size=_BATCH)


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
class _Refit:
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
    def at(model: FittedModel, data: Data) -> _Refit:
        """Look at the curvature about the optimum of a model."""
        assert model.solution is not None
        point = model.solution.point
        known = {
            "fabric": _plain(model.fabric),
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
        many = tuple(np.tile(times, (_BATCH, 1)) for times in expected)
        level = jnp.zeros((_BATCH, len(point)))
        (_, grad, _), (_, hessian, slopes) = differences(
            lambda points: objective(points, many, level), point, _BATCH
        )
        parts = zip(data.white, np.split(slopes, ends), strict=True)
        slopes = np.concatenate([np.asarray(white) @ part for white, part in parts])
        # noiseless, the likelihood curves (v + 1) / v as much as squares would: what
        # is left is belief; with its noise it curves (v + 1) / (v + 3) as much
        shown = (FREEDOM + 1.0) * slopes.T @ slopes
        values, axes = np.linalg.eigh(0.5 * (hessian + hessian.T) - shown / FREEDOM)
        belief = (axes * np.maximum(values, 1.0)) @ axes.T
        return _Refit(
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
            for start in range(0, len(waiting), _BATCH):
                own = waiting[start : start + _BATCH]
                full = np.resize(own, _BATCH)
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

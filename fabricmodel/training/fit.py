"""Fit the habits of platforms to runs, and predict other runs with an interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fabricmodel._pytree import pytree
from fabricmodel.errors import MeasurementError
from fabricmodel.fitting.cases import QUICK
from fabricmodel.fitting.solve import minimise
from fabricmodel.training import mixed
from fabricmodel.training.batch import Batch, batch
from fabricmodel.training.beliefs import Space, columns, habits_at
from fabricmodel.training.evidence import (
    Alike,
    Linear,
    covariance,
    heavy_tails,
    learn_sizes,
    sizes,
)
from fabricmodel.training.pricing import padded
from fabricmodel.training.runs import Run
from fabricmodel.training.scoring import scored
from fabricmodel.training.step import step_terms

ROUNDS = 25
"""Of reweighting at most: each makes the noise more Student-t, until it settles."""

SETTLED = 0.02
"""Change of every log weight between rounds, below which they are settled."""

STEPS = 2
"""Of scoring in each round at most."""

TOLERANCE = 0.05
"""Of the step that is left, in standard deviations of the posterior."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast:
    """Predicted steps.

    Attributes:
      median_s, low_s, high_s: (R,) seconds, the ends of the interval asked for.
      terms: (R,) seconds of each term of the median.
      physics_s: (R,) seconds by the terms alone, before what similar runs tell.
    """

    median_s: np.ndarray
    low_s: np.ndarray
    high_s: np.ndarray
    terms: dict[str, np.ndarray]
    physics_s: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class FittedTraining:
    """Platforms' habits, what similar runs have in common, and how sure they are.

    Attributes:
      space, theta: the parameter vector and what its parts are.
      spread: (n, n) covariance of theta.
      sizes: log size of each shared effect, in the order of ``mixed.EFFECTS``.
      noise: variance of a run's noise, by software, and last of one never seen.
      seen: the rows of the fit; weights: of their noise; residual: of log time.
      inflation: by how much intervals are widened (or narrowed) so that larger scales
        held back inside the fit were covered.
      converged: whether the search's gradient vanished.
    """

    space: Space
    theta: np.ndarray
    spread: np.ndarray
    sizes: np.ndarray
    noise: np.ndarray
    seen: tuple[Run, ...]
    weights: np.ndarray
    residual: np.ndarray
    jacobian: np.ndarray
    inflation: float
    converged: bool

    @property
    def effects(self) -> tuple[str, ...]:
        """Names of the effects, in the order of ``sizes``."""
        return tuple(mixed.EFFECTS)

    def predict(self, runs: Sequence[Run], coverage: float = 0.9) -> Forecast:
        """Predict usable runs; their measured steps are not looked at.

        log T = log physics(theta) + what runs like it had in common. The interval adds
        the uncertainty of theta, of the shared effects and the noise of one run.
        """
        terms, jacobian = self._physics(runs)
        where = _columns(self.space, runs)
        physics = np.sum([*terms.values()], axis=0)
        before, now = mixed.likeness(self.seen), mixed.likeness(runs)
        logs = jnp.asarray(self.sizes)
        known = self.noise[_columns(self.space, self.seen)["software"]]
        matrix = mixed.covariance(
            mixed.same(before, before), logs, jnp.asarray(known / self.weights)
        )
        sizes = np.exp(2.0 * self.sizes)
        cross = np.tensordot(sizes, mixed.same(now, before), axes=1)
        own = np.sum(sizes[:-1]) + sizes[-1] * np.maximum(now.doublings, 0.0)
        mean, variance, gain = mixed.conditional(
            matrix, jnp.asarray(cross), jnp.asarray(own), jnp.asarray(self.residual)
        )
        slope = jacobian - np.asarray(gain) @ self.jacobian
        learned = np.einsum("ri,ij,rj->r", slope, self.spread, slope)
        noise = self.noise[where["software"]] * mixed.DEGREES / (mixed.DEGREES - 2.0)
        deviation = np.sqrt(np.asarray(variance) + learned + noise)
        reach = NormalDist().inv_cdf(0.5 + coverage / 2.0) * deviation * self.inflation
        shift = np.exp(np.asarray(mean))
        median = physics * shift
        return Forecast(
            median_s=median,
            low_s=median * np.exp(-reach),
            high_s=median * np.exp(reach),
            terms={name: value * shift for name, value in terms.items()},
            physics_s=physics,
        )

    def _physics(self, runs: Sequence[Run]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Terms of each run, (R,), and the slopes of log time in theta, (R, n)."""
        filled = [*runs, *[runs[-1]] * (padded(len(runs)) - len(runs))]
        rows, where = batch(filled), _columns(self.space, filled)
        theta = jnp.asarray(self.theta)
        terms = _terms(self.space, rows, where, theta)
        slopes = _jacobian(self.space, rows, where, theta)
        kept = slice(len(runs))
        return {k: np.asarray(v)[kept] for k, v in terms.items()}, np.asarray(slopes)[
            kept
        ]


def fit_runs(runs: Sequence[Run], *, calibrate: bool = True) -> FittedTraining:
    """Fit habits to the runs that have a measured step.

    A nonlinear mixed-effects model, by the alternation of Lindstrom and Bates
    (Biometrics 46, 1990): theta (standard normal a priori) maximises its posterior
    given the sizes of effects and noise, with the shared effects integrated out; the
    sizes maximise theirs with theta integrated out too, to first order, for hundreds
    of numbers explain part of the noise, and sizes of what is left over after them
    would be too small. The noise is Student-t by EM reweighting. Theta's covariance is
    Laplace's in the Gauss-Newton form, (1 + J' K^-1 J)^-1.

    Args:
      runs: of any platforms; those without a measured step are passed over.
      calibrate: widen or narrow the intervals by the errors that a fit to the smaller
        half of the scales makes on the larger.

    Raises:
      MeasurementError: where no run is usable.
    """
    usable = _finite([run for run in runs if run.layout is not None and run.step_s])
    if not usable:
        raise MeasurementError(
            "runs", "none has a layout and a measured step", "Give runs that have both"
        )
    fitted = _fit(usable)
    if not calibrate:
        return fitted
    return dataclasses.replace(fitted, inflation=_inflation(usable))


def _finite(runs: list[Run]) -> tuple[Run, ...]:
    """Drop runs that the terms give no finite time, which no fit can use."""
    if not runs:
        return ()
    space = Space(platforms=(), chips=(), softwares=(), precisions=())
    steps = _log_step(space, batch(runs), _columns(space, runs), jnp.zeros(space.size))
    return tuple(
        run
        for run, good in zip(runs, np.isfinite(np.asarray(steps)), strict=True)
        if good
    )


def _inflation(runs: tuple[Run, ...]) -> float:
    """Compare errors with deviations on the larger scales held back, by quantile."""
    chips = np.array([run.chips for run in runs])
    limit = np.max(chips) / 4.0
    small = tuple(run for run in runs if run.chips <= limit)
    large = [run for run in runs if run.chips > limit]
    if len(small) < 20 or len(large) < 20:
        return 1.0
    found = _fit(small).predict(large, coverage=0.6827)
    measured = np.array([run.step_s for run in large], float)
    deviation = np.log(found.high_s / found.median_s)
    error = np.abs(np.log(measured / found.median_s)) / deviation
    return float(np.clip(np.quantile(error, 0.9) / 1.645, 0.7, 2.0))


def _names(runs: Sequence[Run]) -> dict[str, list[str]]:
    """What each row's habits depend on, by name."""
    found: dict[str, list[str]] = {}
    for run in runs:
        chip = run.platform.chip.name if run.platform else ""
        family = run.platform.family if run.platform else ""
        for key, name in (
            ("platform", family),
            ("chip", chip),
            ("software", f"{run.stack}/{chip}"),
            ("precision", f"{chip}/{run.precision}"),
        ):
            found.setdefault(key, []).append(name)
    return found


def _columns(space: Space, runs: Sequence[Run]) -> dict[str, np.ndarray]:
    names = _names(runs)
    return {key: columns(names[key], getattr(space, f"{key}s")) for key in names}


@partial(jax.jit, static_argnames="space")
def _terms(space: Space, rows: Batch, where, theta: Array) -> dict[str, Array]:
    habits = space.habits(theta, where)
    return step_terms(
        rows.work, rows.layout, rows.machine, habits, rows.spent, rows.cause_of
    )


def _log_step(space: Space, rows: Batch, where, theta: Array) -> Array:
    terms = _terms(space, rows, where, theta)
    return jnp.log(sum(terms.values(), start=jnp.zeros(())))


def _slopes(space: Space, rows: Batch, where, theta: Array) -> Array:
    """Slopes of log time in theta, (R, n), by one gradient."""

    def total(shifts: Array) -> Array:
        terms = step_terms(
            rows.work, rows.layout, rows.machine, habits_at(shifts), rows.spent,
            rows.cause_of,
        )  # fmt: skip
        return jnp.sum(jnp.log(sum(terms.values(), start=jnp.zeros(()))))

    return space.slopes(jax.grad(total)(space.shifts(theta, where)), where)


@partial(jax.jit, static_argnames="space", compiler_options=QUICK)
def _jacobian(space: Space, rows: Batch, where, theta: Array) -> Array:
    return _slopes(space, rows, where, theta)


@pytree
class _Seen:
    """What a fit looks at: rows, their columns, what they share, log seconds."""

    rows: Batch
    where: dict[str, np.ndarray]
    alike: Alike
    logs: np.ndarray


@partial(jax.jit, static_argnames="space")
def _misfits(
    space: Space, seen: _Seen, inverse: Array, thetas: Array
) -> tuple[Array, Array]:
    """Negative log posterior of each theta, (P,), and its gradient, sizes given."""

    def loss(theta: Array) -> Array:
        residual = jnp.asarray(seen.logs) - _log_step(
            space, seen.rows, seen.where, theta
        )
        return 0.5 * (residual @ inverse @ residual + theta @ theta)

    return jax.vmap(jax.value_and_grad(loss))(thetas)


def _fit(runs: tuple[Run, ...]) -> FittedTraining:
    names = {f"{k}s": tuple(sorted(set(v))) for k, v in _names(runs).items()}
    space = Space(**names)
    rows, where = batch(runs), _columns(space, runs)
    alike = mixed.likeness(runs)
    seen = _Seen(
        rows=rows,
        where=where,
        alike=Alike(kernels=mixed.same(alike, alike), software=where["software"]),
        logs=np.log([float(run.step_s or 0.0) for run in runs]),
    )
    weights = jnp.ones(len(runs))
    rest = np.zeros(len(mixed.EFFECTS) + 1 + len(space.softwares))
    inverse = jnp.linalg.inv(covariance(seen.alike, weights, rest))
    theta = minimise(
        partial(_misfits, space, seen, inverse),
        np.zeros((1, space.size)),
        lbfgs_steps=60,
        newton_steps=0,  # the scoring below takes over
    ).point
    converged = False
    for _ in range(ROUNDS):
        jacobian, residual = _linear(space, seen, theta)
        linear = Linear(jacobian=jacobian, whole=residual + jacobian @ theta)
        rest, short = learn_sizes(
            seen.alike, weights, linear, rest, steps=STEPS, tolerance=TOLERANCE
        )
        heavier = heavy_tails(seen.alike, weights, linear, rest)
        change = float(jnp.max(jnp.abs(jnp.log(heavier / weights))))
        weights = heavier
        theta, left = _learn_theta(space, seen, weights, rest, theta)
        converged = max(change / SETTLED, short / TOLERANCE, left / TOLERANCE) < 1.0
        if converged:
            break
    effects, noise = sizes(rest)
    matrix = covariance(seen.alike, weights, rest)
    jacobian, residual = _linear(space, seen, theta)
    precision = jnp.eye(space.size) + jacobian.T @ jnp.linalg.solve(matrix, jacobian)
    return FittedTraining(
        space=space,
        theta=np.asarray(theta),
        spread=np.asarray(jnp.linalg.inv(precision)),
        sizes=np.asarray(effects),
        noise=np.asarray(noise),
        seen=runs,
        weights=np.asarray(weights),
        residual=np.asarray(residual),
        jacobian=np.asarray(jacobian),
        inflation=1.0,
        converged=converged,
    )


def _linear(space: Space, seen: _Seen, theta: np.ndarray) -> tuple[Array, Array]:
    """Jacobian of the log steps in theta, and the residual there."""
    at = jnp.asarray(theta)
    jacobian = _jacobian(space, seen.rows, seen.where, at)
    residual = jnp.asarray(seen.logs) - _log_step(space, seen.rows, seen.where, at)
    return jacobian, residual


def _learn_theta(
    space: Space, seen: _Seen, weights: Array, rest: np.ndarray, theta: np.ndarray
) -> tuple[np.ndarray, float]:
    """Move theta towards its best, sizes given; and how far it was from there."""
    inverse = jnp.linalg.inv(covariance(seen.alike, weights, rest))

    def value_and_grad(point: np.ndarray) -> tuple[float, np.ndarray]:
        values, grads = _misfits(space, seen, inverse, jnp.asarray(point)[None, :])
        return float(values[0]), np.asarray(grads[0])

    def information(point: np.ndarray) -> np.ndarray:
        jacobian = _jacobian(space, seen.rows, seen.where, jnp.asarray(point))
        return np.asarray(jacobian.T @ inverse @ jacobian) + np.eye(space.size)

    return scored(value_and_grad, information, theta, steps=STEPS, tolerance=TOLERANCE)

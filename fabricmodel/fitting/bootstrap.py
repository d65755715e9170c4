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

import jax
import jax.numpy as jnp
import numpy as np
from chex import Numeric
from jax import Array

from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric
from fabricmodel.fitting.cases import QUICK, Cases, bounds, pad_rows, seconds
from fabricmodel.fitting.discrepancy import FREEDOM
from fabricmodel.fitting.fit import fit
from fabricmodel.fitting.gather import gather, whitened
from fabricmodel.fitting.model import FittedModel
from fabricmodel.fitting.objective import (
    split,
    unknowns,
)
from fabricmodel.fitting.parameters import Parameters
from fabricmodel.fitting.questions import Questions, check_sizes
from fabricmodel.fitting.refit import BATCH, Refit, plain
from fabricmodel.measurements import Measurements
from fabricmodel.timing.collective import check_collective


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
                for part in _times(theta, plain(model.fabric), model.parameters, rows)
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
        refit = Refit.at(model, found.data)
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


@partial(jax.jit, compiler_options=QUICK)
def _times(
    thetas: Array, fabric: Fabric, parameters: Parameters, rows: Cases
) -> tuple[Array, Array]:
    """Seconds and bounds of every row at every parameter vector, (draws, R)."""

    def one(theta: Array) -> tuple[Array, Array]:
        priced = parameters.apply(fabric, theta)
        return seconds(priced, rows), bounds(priced, rows)

    return jax.lax.map(one, thetas, batch_size=BATCH)

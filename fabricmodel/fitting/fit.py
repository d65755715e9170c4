"""From a fabric and measurements to a fitted model."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric
from fabricmodel.fitting.cases import Cases, cases, factor_stems, pad_rows
from fabricmodel.fitting.labels import algorithm_of
from fabricmodel.fitting.model import FittedModel, Seen, concrete
from fabricmodel.fitting.objective import Data, slopes, split, unknowns
from fabricmodel.fitting.parameters import parameters
from fabricmodel.fitting.posterior import covariance
from fabricmodel.fitting.solve import minimise
from fabricmodel.measurements import Measurements

STARTS = 8


def fit(fabric: Fabric, times: Measurements, *, seed: int = 0) -> FittedModel:
    """Fit the prices of a fabric to measured times.

    The maximum of a posterior: log-normal priors from the catalogue, Student-t
    likelihood on log time with a noise of its own for every series. Several starts
    at once, Adam then L-BFGS; the posterior by Laplace.

    Args:
      fabric: from the catalogue, or one's own; its prices are the priors' medians.
      times: measured on it, any number of series and collectives.
      seed: of the starts.

    Returns:
      The model; ``converged`` says whether the search met its tolerance and
      ``informed()`` which prices the data moved.

    Raises:
      FabricError: without rows, or where ranks do not divide into the fabric.
    """
    if len(times) == 0:
        raise FabricError("times", "no measurements", "Use prior_model(fabric) instead")
    series = sorted({str(name) for name in times.series})
    with jax.enable_x64(True):
        rows, log_times, owners, weights = [], [], [], []
        for collective in sorted(set(times.collective)):
            part = times.select(collective=collective)
            owner = np.array([series.index(name) for name in part.series])
            rows.append(pad_rows(_cases(fabric, collective, part)))
            log_times.append(pad_rows(np.log(part.time_s)))
            owners.append(pad_rows(owner))
            weights.append(np.arange(len(owners[-1])) < len(part))
        data = Data(
            rows=tuple(rows),
            log_times=tuple(log_times),
            series=tuple(owners),
            weights=tuple(weight.astype(float) for weight in weights),
            count=len(series),
        )
        known = parameters(fabric, _factors(rows))
        size = unknowns(known, len(series))
        starts = np.random.default_rng(seed).normal(scale=0.7, size=(STARTS, size))
        starts[0] = 0.0
        plain = dataclasses.replace(fabric, name="", spread={})
        slope = partial(slopes, fabric=plain, parameters=known, data=data)
        solution = minimise(slope, starts)
        cov = covariance(slope, solution.point, batch=STARTS)
        theta, log_noise, extra = split(jnp.asarray(solution.point), known, len(series))
        fitted = concrete(known.apply(fabric, theta))
    n = len(known.names)
    return FittedModel(
        fabric=fitted,
        parameters=known,
        theta=np.asarray(theta),
        covariance=cov[:n, :n],
        noise=_typical_noise(np.asarray(log_noise), owners, weights),
        series_launch_s=dict(zip(series, np.asarray(extra).tolist(), strict=True)),
        seen=Seen(
            rows=len(times),
            ranks=(float(times.ranks.min()), float(times.ranks.max())),
            sizes=(float(times.size_bytes.min()), float(times.size_bytes.max())),
            collectives=tuple(sorted(set(times.collective))),
        ),
        solution=solution,
    )


def prior_model(fabric: Fabric) -> FittedModel:
    """Predict from catalogue prices alone, as wide as the catalogue's own ranges.

    Catalogue figures describe one unit, so the distance from the data starts there.
    """
    known = parameters(fabric)
    return FittedModel(
        fabric=fabric,
        parameters=known,
        theta=np.zeros(len(known.names)),
        covariance=np.eye(len(known.names)),
        noise=0.1,
        seen=Seen(ranks=(1.0, _one_unit(fabric))),
        solution=None,
    )


def _one_unit(fabric: Fabric) -> float:
    """Ranks of the levels that don't grow."""
    return math.prod(float(x.capacity) for x in fabric.levels if not x.grows)


def _typical_noise(
    log_noise: np.ndarray, owners: list[np.ndarray], weights: list[np.ndarray]
) -> float:
    """Noise of the series, each counted by its rows, in the mean of logarithms."""
    rows = np.concatenate(owners)[np.concatenate(weights) > 0]
    return float(np.exp(np.mean(log_noise[rows])))


def _cases(fabric: Fabric, collective: str, part: Measurements) -> Cases:
    return cases(
        fabric,
        collective,
        part.size_bytes,
        part.ranks,
        part.ranks_per_node,
        [algorithm_of(label, collective) for label in part.algorithm],
        part.frame["topology_shape"].to_list(),
    )


def _factors(rows: list[Cases]) -> list[str]:
    """Factors worth learning: shared by collectives, and own where two share one."""
    stems = [pair for group in rows for pair in dict.fromkeys(factor_stems(group))]
    shared = dict.fromkeys(pair[0] for pair in stems)
    own = [own for name, own in stems if sum(s == name for s, _ in stems) > 1]
    return [*shared, *dict.fromkeys(own)]

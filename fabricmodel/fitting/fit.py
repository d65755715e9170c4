"""From a fabric and measurements to a fitted model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import numpy as np

from fabricmodel.errors import FabricError
from fabricmodel.fabric import RULE_KIND, Fabric
from fabricmodel.fitting.cases import Cases, factor_stems
from fabricmodel.fitting.discrepancy import Discrepancy, conditioned
from fabricmodel.fitting.explain import explain
from fabricmodel.fitting.gather import gather, rescaled, whitened
from fabricmodel.fitting.model import FittedModel, concrete
from fabricmodel.fitting.objective import Data, slopes, split, unknowns
from fabricmodel.fitting.parameters import Parameters, parameters
from fabricmodel.fitting.posterior import laplace
from fabricmodel.fitting.prediction import Seen
from fabricmodel.fitting.solve import minimise
from fabricmodel.fitting.statistic import ratios
from fabricmodel.measurements import Measurements

STARTS = 8


def fit(
    fabric: Fabric,
    times: Measurements,
    *,
    seed: int = 0,
    discrepancy: Discrepancy | None = None,
    factors: bool = True,
) -> FittedModel:
    """Fit the prices of a fabric to measured times.

    The maximum of a posterior: log-normal priors from the catalogue, Student-t
    likelihood on log time, in which what the model misses is correlated over sizes and
    ranks (``fitting.discrepancy``). Several starts at once, Adam and L-BFGS: first with
    what models typically miss, then with what the residuals say that this one does,
    each series at a scale of its own; Newton for the best. The posterior by Laplace.

    Args:
      fabric: from the catalogue, or one's own; its prices are the priors' medians.
      times: measured on it, any number of series and collectives.
      seed: of the starts.
      discrepancy: how much a model typically misses; the default was learned from the
        reference series.
      factors: whether algorithms may cost more or less than their counts.

    Returns:
      The model; ``converged`` says whether the search met its tolerance and
      ``informed()`` which prices the data moved.

    Raises:
      FabricError: without rows, or where ranks do not divide into the fabric.
    """
    if len(times) == 0:
        raise FabricError("times", "no measurements", "Use prior_model(fabric) instead")
    missed = discrepancy or Discrepancy()
    with jax.enable_x64(True):
        found = gather(fabric, times)
        count = len(found.series)
        known = parameters(fabric, _factors(found.data.rows) if factors else ())
        size = unknowns(known, count)
        starts = np.random.default_rng(seed).normal(scale=0.7, size=(STARTS, size))
        starts[0] = 0.0
        starts = _shared_out(starts, known)
        plain = dataclasses.replace(fabric, name="", spread={}, switches=())
        slope = partial(slopes, fabric=plain, parameters=known)
        beliefs = dict.fromkeys(found.series, missed)
        typical = partial(slope, data=whitened(found, beliefs).data)
        with ThreadPoolExecutor(1) as aside:
            # its program compiles while that of the search does
            zero = np.zeros(len(known.names)), np.zeros(count)
            ready = aside.submit(_slopes_as_chosen, fabric, known, found.data, *zero)
            first = minimise(typical, starts, lbfgs_steps=60, newton_steps=0)
        ready.result()
        # what this series shows of its noise, and of what the model misses
        _, residual, jacobian = laplace(typical, first.point, batch=STARTS)
        beliefs = rescaled(found, missed, residual, jacobian)
        found = whitened(found, beliefs)
        slope = partial(slope, data=found.data)
        again = _shared_out(first.points, known, best=True)
        solution = minimise(slope, again, adam=False)
        cov, residual, _ = laplace(slope, solution.point, batch=STARTS)
        theta, extra = split(solution.point, known, count)
        at, extra = np.asarray(theta), np.asarray(extra)
        chosen = _slopes_as_chosen(fabric, known, found.data, at, extra)
    n = len(known.names)
    return FittedModel(
        fabric=concrete(known.apply(fabric, at)),
        parameters=known,
        theta=at,
        covariance=cov[:n, :n],
        discrepancy=missed,
        beliefs=beliefs,
        fields={
            (collective, name): conditioned(
                beliefs[name],
                found.anchor,
                found.at[collective].take(own),
                residual[group][own],
                -chosen[group][own],
            )
            for collective, name, own, group in found.parts()
        },
        repeat_sd=found.repeat_sd,
        ratios=ratios(times),
        series_launch_s=dict(zip(found.series, extra.tolist(), strict=True)),
        seen=Seen(
            rows=len(times),
            ranks=(float(times.ranks.min()), float(times.ranks.max())),
            sizes=(float(times.size_bytes.min()), float(times.size_bytes.max())),
            collectives=tuple(sorted(set(times.collective.tolist()))),
            series=found.series,
        ),
        solution=solution,
    )


def _slopes_as_chosen(
    fabric: Fabric, known: Parameters, data: Data, theta: np.ndarray, extra: np.ndarray
) -> np.ndarray:
    """Slopes of the log times of all rows by the prices, (rows, n), as of predictions.

    The choices count as made: where a measurement lies on a switch from one algorithm
    to another, the slope of the choice itself knows no bounds.
    """
    found = []
    with jax.enable_x64(True):  # each thread has its own
        fitted = concrete(known.apply(fabric, theta))
        for rows, owners in zip(data.rows, data.series, strict=True):
            time, _, slopes, _ = explain(fitted, known, theta, (), rows)
            whole = np.asarray(time) + extra[np.asarray(owners)]
            found.append(np.asarray(slopes) * (np.asarray(time) / whole)[:, None])
    return np.concatenate(found)


def _shared_out(
    points: np.ndarray, known: Parameters, *, best: bool = False
) -> np.ndarray:
    """Give each start its own size of the rules: no slope leads from one to another.

    Sizes cover nine tenths of the belief in them; all else as it was, or as it is at
    the best start.
    """
    rules = [name.endswith(f".{RULE_KIND}") for name in known.names]
    if not any(rules):
        return points
    shared = np.repeat(points[:1], len(points), axis=0) if best else points.copy()
    at = np.flatnonzero(rules)
    shared[:, at] = np.linspace(-1.75, 1.75, len(points))[:, None]
    return np.concatenate([points[:1], shared[1:]]) if best else shared


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
        seen=Seen(ranks=(1.0, _one_unit(fabric))),
        solution=None,
    )


def _one_unit(fabric: Fabric) -> float:
    """Ranks of the levels that don't grow."""
    return math.prod(float(x.capacity) for x in fabric.levels if not x.grows)


def _factors(rows: Sequence[Cases]) -> list[str]:
    """Factors worth learning: shared by collectives, and own where two share one."""
    stems = [pair for group in rows for pair in dict.fromkeys(factor_stems(group))]
    shared = dict.fromkeys(pair[0] for pair in stems)
    own = [own for name, own in stems if sum(s == name for s, _ in stems) > 1]
    return [*shared, *dict.fromkeys(own)]

"""Long runs: failures, checkpoints, restarts and spares; the share of useful time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fabricmodel._pytree import pytree
from fabricmodel.training.numeric import Numeric


@pytree
class Reliability:
    """What stops a job, and how long it takes to go on.

    Attributes:
      failures_per_hour: interruptions of a job for each hour of each chip, those of
        the network included.
      checkpoint_s: seconds that writing a checkpoint stops the job.
      restart_s: from a failure until the job computes again: to notice it, to replace
        the node, to start and to load.
      repair_hours: until a failed node is back among the spares.
      chips_per_node: chips that one failure takes away.
      swap_s: what a failure costs on top where no spare is left, per failure.
    """

    failures_per_hour: Numeric = 1.97e-5
    checkpoint_s: Numeric = 10.0
    restart_s: Numeric = 600.0
    repair_hours: Numeric = 24.0
    chips_per_node: Numeric = 8.0
    swap_s: Numeric = 7200.0


def mean_time_between_s(reliability: Reliability, chips: Numeric) -> Numeric:
    """Seconds between interruptions of a job: 1 / (chips x rate).

    >>> f"{mean_time_between_s(Reliability(), 16_384.0) / 3600:.2f} h"
    '3.10 h'
    """
    return 3600.0 / (reliability.failures_per_hour * chips)


def young_s(checkpoint_s: Numeric, between_s: Numeric) -> Numeric:
    """Young's interval (1974): sqrt(2 C M).

    >>> round(float(young_s(60.0, 1824.0)))
    468
    """
    return jnp.sqrt(2.0 * checkpoint_s * between_s)


def daly_s(checkpoint_s: Numeric, between_s: Numeric) -> Array:
    """Daly's higher-order interval (2006).

    sqrt(2 C M) (1 + sqrt(C / 2M) / 3 + C / 18 M) - C, and M where C >= 2 M.

    >>> round(float(daly_s(60.0, 1824.0)))
    429
    """
    ratio = jnp.asarray(checkpoint_s / (2.0 * between_s))
    root = jnp.sqrt(2.0 * checkpoint_s * between_s)
    inner = root * (1.0 + jnp.sqrt(ratio) / 3.0 + ratio / 9.0) - checkpoint_s
    return jnp.where(ratio < 1.0, inner, between_s)


def goodput(
    reliability: Reliability, chips: Numeric, interval_s: Numeric, spares: Numeric = 0.0
) -> Array:
    """Useful share of a job's time, by Daly's exact wall time of exponential failures.

    tau / (M e^(R/M) (e^((tau + C)/M) - 1)): a segment of tau seconds and a checkpoint
    of C is tried until it survives, and every failure costs R. R is the restart, and
    what waiting for a node costs on top, as often as the spares are used up: failed
    nodes under repair are Poisson with mean nodes x rate x repair time (M/G/infinity).

    Args:
      reliability, chips, interval_s: broadcast with each other.
      spares: nodes that stand by.

    >>> job = Reliability(failures_per_hour=419 / (16384 * 54 * 24), restart_s=600.0,
    ...                   checkpoint_s=60.0)
    >>> between = mean_time_between_s(job, 100_000.0)
    >>> f"{float(goodput(job, 100_000.0, young_s(60.0, between), spares=500)):.2f}"
    '0.55'
    """
    between = mean_time_between_s(reliability, chips)
    waiting = short_of_spares(reliability, chips, spares)
    restart = reliability.restart_s + waiting * reliability.swap_s
    segment = (interval_s + reliability.checkpoint_s) / between
    wall = between * jnp.exp(restart / between) * jnp.expm1(segment)
    return jnp.asarray(interval_s / wall)


def short_of_spares(reliability: Reliability, chips: Numeric, spares: Numeric) -> Array:
    """Probability that a failure finds no spare: at least ``spares`` under repair.

    >>> job = Reliability(repair_hours=24.0)
    >>> [round(float(short_of_spares(job, 16_384.0, n)), 2) for n in (0.0, 8.0, 20.0)]
    [1.0, 0.51, 0.0]
    """
    failing = reliability.failures_per_hour * chips * reliability.repair_hours
    none = jnp.asarray(spares) <= 0.0
    tail = jax.scipy.special.gammainc(jnp.where(none, 1.0, spares), failing)
    return jnp.where(none, 1.0, tail)


def best_interval_s(
    reliability: Reliability, chips: Numeric, spares: Numeric = 0.0, steps: int = 30
) -> Array:
    """Checkpoint interval of the greatest goodput, by Newton's method on its gradient.

    From Young's interval, in log time; each step at most halves or doubles it.

    >>> job = Reliability(checkpoint_s=60.0)
    >>> between = mean_time_between_s(job, 16_384.0)
    >>> abs(float(best_interval_s(job, 16_384.0) / daly_s(60.0, between)) - 1) < 0.01
    True
    """
    start = jnp.log(young_s(
        reliability.checkpoint_s, mean_time_between_s(reliability, chips)
    ))  # fmt: skip

    def lost(log_interval: Array) -> Array:
        return -jnp.sum(
            jnp.log(goodput(reliability, chips, jnp.exp(log_interval), spares))
        )

    slope = jax.grad(lost)

    def step(_: int, at: Array) -> Array:
        first, second = jax.jvp(slope, (at,), (jnp.ones_like(at),))
        move = -first / jnp.maximum(jnp.abs(second), 1e-12)
        return at + jnp.clip(move, -0.7, 0.7)

    return jnp.exp(jax.lax.fori_loop(0, steps, step, start))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outlook:
    """A quantity with its interval."""

    median: np.ndarray
    low: np.ndarray
    high: np.ndarray


def outlook(
    reliability: Reliability,
    chips: Numeric,
    *,
    spares: Numeric = 0.0,
    rate_spread: float = 0.6,
    restart_spread: float = 0.5,
    coverage: float = 0.9,
    draws: int = 400,
    seed: int = 0,
) -> Outlook:
    """Goodput at the best interval, with what rates and restarts leave open.

    Args:
      reliability: medians.
      chips: (R,) of each job.
      spares: nodes that stand by; broadcasts with ``chips``.
      rate_spread: log standard deviation of the failure rate between systems; those
        published for clusters of GPUs lie between 7,400 and 82,000 chip-hours.
      restart_spread: the same of the restart.
      coverage: of the interval.
      draws, seed: of the Monte Carlo over both.
    """
    random = np.random.default_rng(seed)
    rates = np.exp(rate_spread * random.standard_normal((draws, 1)))
    restarts = np.exp(restart_spread * random.standard_normal((draws, 1)))
    rates[0], restarts[0] = 1.0, 1.0
    drawn = dataclasses.replace(
        reliability,
        failures_per_hour=reliability.failures_per_hour * rates,
        restart_s=reliability.restart_s * restarts,
    )
    size = np.atleast_1d(np.asarray(chips, float))[None, :]
    interval = best_interval_s(drawn, size, spares)
    share = np.asarray(goodput(drawn, size, interval, spares))
    low, high = np.quantile(share, [0.5 - coverage / 2, 0.5 + coverage / 2], axis=0)
    return Outlook(median=share[0], low=low, high=high)


def expected_failures(
    reliability: Reliability, chips: float, hours: float
) -> tuple[float, float]:
    """Mean and standard deviation of the interruptions of a run (Poisson).

    >>> mean, deviation = expected_failures(Reliability(), 16_384.0, 54 * 24.0)
    >>> f"{mean:.0f} +- {2 * deviation:.0f}"
    '418 +- 41'
    """
    mean = float(np.asarray(reliability.failures_per_hour)) * chips * hours
    return mean, math.sqrt(mean)


OBSERVED: Sequence[tuple[str, float, str]] = (
    ("Llama 3, 16,384 H100", 50_700.0, "Grattafiori et al. 2024, arXiv 2407.21783"),
    ("BLOOM, 384 A100", 64_500.0, "BigScience, chronicles of BLOOM-176B"),
    ("RSC-1, 16,000 A100", 29_500.0, "Kokolis et al. 2024, arXiv 2410.21680"),
    ("RSC-2, 8,000 A100", 82_000.0, "Kokolis et al. 2024, arXiv 2410.21680"),
    ("OPT-175B, 992 A100", 7_440.0, "Zhang et al. 2022, arXiv 2205.01068, logbook"),
)
"""Chip-hours between interruptions of published clusters, with where it is stated."""

"""Random shapes, prices and sizes: does any algorithm go below what is physical?

Pricing and bounds are written again here, in numpy and from the formulas, so that a
slip in the library's own pricing does not hide one in the counts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from fabricmodel import Fabric, Level
from fabricmodel.algorithms.counts import Counts, Dim, Phases
from fabricmodel.algorithms.registry import Algorithm, every_algorithm
from fabricmodel.timing.bounds import bound_counts

CHANNELS = 4.0
"""Streams through the memory of a chip, NeuronLink's at most."""

_PASSES = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0}
KINDS = {
    "flat": ("switch",),
    "torus": ("ring", "ring", "ring"),
    "neuronlink": ("clique", "ring", "ring"),
    "spanning": ("switch", "switch"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prices:
    """Random prices of K cases: (K, L) of the levels, (K,) of the ranks."""

    round_s: np.ndarray
    hop_s: np.ndarray
    message_s: np.ndarray
    byte_s: np.ndarray
    reduce_byte_s: np.ndarray
    memory_round_s: np.ndarray
    memory_byte_s: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """What one algorithm did: how near it came to the bound, and how often below."""

    name: str
    cases: int
    below: int
    nearest: float


def draw_prices(rng: np.random.Generator, cases: int, depth: int) -> Prices:
    """Draw latencies over 0.1 us to 100 us, links of 1 to 1,000 GB/s, log-uniform."""

    def spread(low: float, high: float, *shape: int) -> np.ndarray:
        return np.exp(rng.uniform(math.log(low), math.log(high), shape))

    byte_s = spread(1e-12, 1e-9, cases, depth)
    return Prices(
        round_s=spread(1e-7, 1e-4, cases, depth),
        hop_s=spread(1e-8, 1e-5, cases, depth),
        message_s=spread(1e-9, 1e-6, cases, depth),
        byte_s=byte_s,
        reduce_byte_s=spread(1e-14, 1e-9, cases),
        memory_round_s=spread(1e-8, 1e-5, cases),
        memory_byte_s=spread(1e-13, 1e-8, cases),
    )


def draw_dims(rng: np.random.Generator, family: str) -> list[Dim]:
    """Draw a shape: powers of two half of the time, rings whole or in part."""
    dims, inside = [], 1.0
    powers = rng.random() < 0.5
    for kind in KINDS[family]:
        most = 10 if family == "flat" else 4
        n = 2.0 ** rng.integers(0, most) if powers else rng.integers(1, 2**most)
        n = float(n)
        whole = kind != "ring" or rng.random() < 0.7
        outer = family == "spanning" and dims
        sharing = int(rng.integers(1, int(inside) + 1)) if outer else 1
        dims.append(
            Dim(
                kind=kind,
                members=n,
                capacity=n if whole else n + 1.0,
                ranks_per_link=float(sharing),
                ranks_inside=inside,
            )
        )
        inside *= n
    return dims


def seconds(phases: Phases, prices: Prices, size: np.ndarray) -> np.ndarray:
    """Price counts of a vector of one byte, (K,): hard maxima, the best segment."""
    return sum((_phase(p, prices, size) for p in phases), np.zeros(len(size)))


def _phase(counts: Counts, prices: Prices, size: np.ndarray) -> np.ndarray:
    rows = np.array(
        [
            [float(getattr(x, f)) for x in counts.levels]
            for f in ("rounds", "hops", "messages", "bytes")
        ]
    )
    latency = (
        rows[0] * prices.round_s + rows[1] * prices.hop_s + rows[2] * prices.message_s
    )
    moved = size[:, None] * rows[3] * prices.byte_s
    reduced = size * float(counts.reduced_bytes) * prices.reduce_byte_s
    chain, fullest = latency.sum(axis=1), moved.max(axis=1)
    if counts.flow == "sequential":
        return chain + moved.sum(axis=1) + reduced
    if counts.flow == "parallel":
        return (latency + moved).max(axis=1) + reduced
    if counts.flow == "segmented":
        return chain + fullest + 2.0 * np.sqrt(chain * fullest) + reduced
    memory = (
        size * float(counts.memory_bytes) * prices.memory_byte_s
        + float(counts.memory_rounds) * prices.memory_round_s
    )
    return np.maximum(chain + fullest, memory + reduced)


def physical(
    family: str,
    collective: str,
    dims: list[Dim],
    prices: Prices,
    size: np.ndarray,
    *,
    in_network: bool,
) -> np.ndarray:
    """The bound by the textbook, (K,): ports, bisection, one message, reduction.

    What a rank has to send and receive over all of its ports, 2 (N - 1)/N S for an
    all_reduce and half of that where switches add, (N - 1)/N S for its halves and an
    all_to_all; S n/8 over each link of a closed side for an all_to_all; one round; and
    (N - 1)/N S reduced. Of one level or a torus; elsewhere the library's bound is used.
    """
    n = math.prod(float(dim.members) for dim in dims)
    share = (n - 1.0) / n
    if n == 1:
        return np.zeros(len(size))
    if family not in ("flat", "torus"):
        return np.zeros(len(size))
    ports = np.zeros(len(size))
    found = np.zeros(len(size))
    for at, dim in enumerate(dims):
        m = float(dim.members)
        if m == 1:
            continue
        each = 1.0 if dim.kind == "switch" or m == 2 else 2.0
        ports += each / prices.byte_s[:, at]
        if collective == "all_to_all" and dim.kind == "ring":
            closed = m >= float(dim.capacity) and m > 2
            cut = np.floor(m / 2) * np.ceil(m / 2) / m
            load = size * cut * (0.5 if closed else 1.0) * prices.byte_s[:, at]
            found = np.maximum(found, load)
    passes = _PASSES.get(collective, 1.0 if collective == "all_to_all" else 0.0)
    if collective == "all_reduce" and in_network:
        passes = 1.0
    found = np.maximum(found, passes * share * size / ports)
    if collective in ("all_reduce", "reduce_scatter") and not in_network:
        found = np.maximum(found, share * size * prices.reduce_byte_s)
    used = [at for at, dim in enumerate(dims) if float(dim.members) > 1]
    return np.maximum(found, prices.round_s[:, used].min(axis=1))


def library(
    family: str,
    collective: str,
    dims: list[Dim],
    prices: Prices,
    size: np.ndarray,
    *,
    in_network: bool,
) -> np.ndarray:
    """The library's own bound, its counts priced in numpy, (K,).

    The memory of a chip is one more way into a rank, which the library leaves out.
    """
    levels = [
        Level(
            name=str(at),
            kind=dim.kind,
            family="neuronlink" if family == "neuronlink" else "flat",
            members=dim.members,
            capacity=dim.capacity,
        )
        for at, dim in enumerate(dims)
    ]
    fabric = Fabric(name="", levels=tuple(levels))
    with np.errstate(divide="ignore", invalid="ignore"):
        counts = bound_counts(fabric.levels, dims, collective, in_network=in_network)
    rates = (np.asarray(counts.links) / prices.byte_s[:, None, :]).sum(axis=2)
    rounds = np.asarray(counts.used) * prices.round_s
    if family == "neuronlink":
        # Inside a chip a byte reaches a rank by a link or through memory, in four
        # channels; a ring does without the links, and a step of it without their round.
        rates[:, 0] += CHANNELS / prices.memory_byte_s
        rounds[:, 0] = np.minimum(rounds[:, 0], prices.memory_round_s)
    crossing = np.where(rates > 0, counts.crossing / np.maximum(rates, 1e-300), 0.0)
    busiest = np.asarray(counts.busiest) * prices.byte_s
    parts = [
        rounds.max(axis=1),
        size * crossing.max(axis=1),
        size * busiest.max(axis=1),
        size * float(counts.reduced) * prices.reduce_byte_s,
    ]
    return np.max(parts, axis=0)


def check(cases: int, seed: int = 0, draws: int = 100) -> Iterator[Found]:
    """Yield what each algorithm does on its part of so many random cases."""
    table = [(f, c, n, a) for f, c, n, a in every_algorithm() if n != "shift"]
    shapes = max(2, math.ceil(cases / len(table) / draws))
    for at, (family, collective, name, algorithm) in enumerate(table):
        rng = np.random.default_rng([seed, at])
        done, below, nearest = 0, 0, math.inf
        while done < shapes * draws:
            ratio = _one_shape(rng, family, collective, algorithm, draws)
            if ratio is None:
                continue
            done += draws
            below += int((ratio < 1.0 - 1e-9).sum())
            nearest = min(nearest, float(ratio.min()))
        yield Found(
            name=f"{family}/{collective}/{name}",
            cases=done,
            below=below,
            nearest=nearest,
        )


def _one_shape(
    rng: np.random.Generator,
    family: str,
    collective: str,
    algorithm: Algorithm,
    draws: int,
) -> np.ndarray | None:
    """Times over the bound on one random shape, or None where it does not exist."""
    dims = draw_dims(rng, family)
    if math.prod(float(dim.members) for dim in dims) == 1:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        phases = algorithm.count(dims, 1.0)
    if min(float(phase.valid) for phase in phases) == 0.0:
        return None
    prices = draw_prices(rng, draws, len(dims))
    size = 2.0 ** rng.uniform(0.0, 36.0, draws)
    time = seconds(phases, prices, size)
    arguments = (family, collective, dims, prices, size)
    bounds = [
        bound(*arguments, in_network=algorithm.in_network)
        for bound in (physical, library)
    ]
    return time / np.maximum(*bounds)

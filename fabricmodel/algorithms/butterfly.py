"""Exchanges with one partner a step on a torus: Swing, Bine and recursive doubling.

Step k along a side goes ``d_k`` links far; sides take turns. On every port in use a
sub-collective carries its part of ``S`` and starts on a side of its own; with all ports
each has a mirror image, which goes the other way round. Within a step the busiest link
of a side carries the messages that pass over it: that congestion is counted here, for
sides that are powers of two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from chex import Numeric
from jax import Array

from fabricmodel.algorithms import arrays as xp
from fabricmodel.algorithms.counts import (
    Counts,
    Dim,
    LevelCounts,
    Phases,
    active,
    directions,
    is_power_of_two,
    log2_floor,
    reducing,
    wraps,
)

STEPS = 18
"""Steps along one side that are counted: sides of up to 2^18."""

Distances = np.ndarray
Load = Callable[[Dim, Distances, Numeric], Array]
PORTS = ("one", "sides", "all")


def swing_distances() -> Distances:
    """``|1 - (-2)^(k+1)| / 3``: 1, 1, 3, 5, 11, 21, ...

    >>> swing_distances()[:6].tolist()
    [1.0, 1.0, 3.0, 5.0, 11.0, 21.0]
    """
    return np.abs(1.0 - (-2.0) ** (np.arange(STEPS) + 1.0)) / 3.0


def doubling_distances() -> Distances:
    """``2^k``."""
    return 2.0 ** np.arange(STEPS)


def swing_load(dim: Dim, distances: Distances, copies: Numeric) -> Array:
    """Messages over the busiest link in each step, of so many mirrored copies.

    Every second member sends up: (d + 1)/2 of them pass over a link. With its mirror
    image, in which the others do, that is d on every link.
    """
    n = xp.asarray(dim.members)
    one = xp.where(xp.asarray(copies) > 1, distances, (distances + 1.0) / 2.0)
    return xp.where(n > 2, one, copies * xp.ones(distances.shape))


def doubling_load(dim: Dim, distances: Distances, copies: Numeric) -> Array:
    """Messages over the busiest link in each step, of so many copies.

    2^k in the middle of a block; half as far round the whole ring they part, half of
    them each way, and n/4 pass over every link.
    """
    n = xp.asarray(dim.members)
    halfway = (distances * 2.0 == n) & (wraps(dim) > 0)
    return copies * xp.where(halfway, n / 4.0, distances)


def swing_all_gather(
    dims: Sequence[Dim], size_bytes: Numeric, ports: str = "all"
) -> Phases:
    """Swing: partners 1, 1, 3, 5, 11, ... away, alternating sense; log2 N steps.

    What a rank holds doubles in every step, so that the far steps move little in a
    reduce_scatter and the near ones much. Source: De Sensi, Bonato, Saam and Hoefler,
    "Swing: short-cutting rings for higher bandwidth allreduce" (2024).

    >>> side = Dim(kind="ring", members=4.0, capacity=4.0)
    >>> (c,) = swing_all_gather([side, side], 64.0)
    >>> float(c.levels[0].rounds), float(c.levels[0].bytes)
    (4.0, 15.0)
    """
    return _gather(dims, size_bytes, swing_distances(), swing_load, ports, twist=True)


def swing_reduce_scatter(
    dims: Sequence[Dim], size_bytes: Numeric, ports: str = "all"
) -> Phases:
    """Swing: the all_gather run backwards, and (N - 1)/N S reduced."""
    return reducing(swing_all_gather(dims, size_bytes, ports), dims, size_bytes)


def swing_all_reduce(
    dims: Sequence[Dim], size_bytes: Numeric, ports: str = "all"
) -> Phases:
    """Swing, bandwidth-optimal: reduce_scatter, then all_gather; 2 log2 N steps."""
    return swing_reduce_scatter(dims, size_bytes, ports) + swing_all_gather(
        dims, size_bytes, ports
    )


def swing_latency_all_reduce(
    dims: Sequence[Dim], size_bytes: Numeric, ports: str = "all"
) -> Phases:
    """Swing, latency-optimal: log2 N steps, in each of which the whole part moves."""
    return _whole(dims, size_bytes, swing_distances(), swing_load, ports, twist=True)


def doubling_all_gather(
    dims: Sequence[Dim], size_bytes: Numeric, ports: str = "all"
) -> Phases:
    """Recursive doubling on a torus: partners 2^k away, with their congestion."""
    return _gather(dims, size_bytes, doubling_distances(), doubling_load, ports)


def doubling_reduce_scatter(
    dims: Sequence[Dim], size_bytes: Numeric, ports: str = "all"
) -> Phases:
    """Recursive halving on a torus: the nearest partner first, half of the data."""
    return reducing(doubling_all_gather(dims, size_bytes, ports), dims, size_bytes)


def doubling_all_reduce(
    dims: Sequence[Dim], size_bytes: Numeric, ports: str = "all"
) -> Phases:
    """Recursive halving and doubling on a torus; on one ring (log2 n - 1/2) S bytes."""
    return doubling_reduce_scatter(dims, size_bytes, ports) + doubling_all_gather(
        dims, size_bytes, ports
    )


def doubling_latency_all_reduce(
    dims: Sequence[Dim], size_bytes: Numeric, ports: str = "all"
) -> Phases:
    """Recursive doubling of whole vectors; on one ring of n (3n/4 - 1) S bytes."""
    return _whole(dims, size_bytes, doubling_distances(), doubling_load, ports)


def bine_broadcast(
    dims: Sequence[Dim], size_bytes: Numeric, ports: str = "one"
) -> Phases:
    """Bine tree: log2 N steps to partners at Swing's distances, the farthest first.

    Few ranks send while the way is long, so that no link carries two messages at once.
    Source: De Sensi et al., "Bine trees" (2025).
    """
    return _tree(dims, size_bytes, ports, halving=False)


def bine_reduce(dims: Sequence[Dim], size_bytes: Numeric, ports: str = "one") -> Phases:
    """Bine tree towards the root, which reduces S in every step."""
    (tree,) = bine_broadcast(dims, size_bytes, ports)
    steps = sum((_steps(dim) for dim in dims), xp.zeros(()))
    return (dataclasses.replace(tree, reduced_bytes=steps * size_bytes),)


def bine_scatter(
    dims: Sequence[Dim], size_bytes: Numeric, ports: str = "one"
) -> Phases:
    """Bine tree: half of what is left goes on in every step (or comes in, a gather)."""
    return _tree(dims, size_bytes, ports, halving=True)


def _steps(dim: Dim) -> Array:
    return log2_floor(dim.members)


def _valid(dims: Sequence[Dim], *, twist: bool) -> Array:
    """Powers of two; Swing needs closed sides besides."""
    valid = xp.ones(())
    for dim in dims:
        closed = (wraps(dim) > 0) | (xp.asarray(dim.members) <= 2)
        valid = valid * is_power_of_two(dim.members)
        valid = valid * (xp.where(closed, 1.0, 0.0) if twist else 1.0)
    return valid


def _copies(dims: Sequence[Dim], ports: str) -> list[Array]:
    """Sub-collectives that start on each side."""
    if ports == "one":
        return [xp.where(at == 0, 1.0, 0.0) for at in range(len(dims))]
    if ports == "sides":
        return [active(dim) for dim in dims]
    return [active(dim) * directions(dim) for dim in dims]


def _turns(dims: Sequence[Dim], start: int, at: int) -> tuple[Array, Array]:
    """Step of the whole in which side ``at`` takes its step k, and whether it does.

    Sides take turns in cyclic order from ``start``; one that has made all of its steps
    is passed over.
    """
    count, k = len(dims), np.arange(float(STEPS))
    before = xp.zeros(())
    for other in range(count):
        earlier = (other - start) % count < (at - start) % count
        before = before + xp.minimum(_steps(dims[other]), k + float(earlier))
    used = xp.where(k < _steps(dims[at]), 1.0, 0.0)
    # The side itself has made k steps, which the sum has counted.
    return before, used


def _per_side(
    dims: Sequence[Dim],
    distances: Distances,
    load: Load,
    ports: str,
    amount: Callable[[Array], Array],
) -> tuple[LevelCounts, ...]:
    """Rounds, hops and bytes of each side; ``amount`` of S moves in a step."""
    copies = _copies(dims, ports)
    parts = xp.maximum(sum(copies, xp.zeros(())), 1.0)
    clock = np.arange(float(STEPS * len(dims)))
    levels = []
    for at, dim in enumerate(dims):
        moved, busy = xp.zeros(()), xp.zeros(clock.shape)
        for start in range(len(dims)):
            step, used = _turns(dims, start, at)
            used = used * xp.where(copies[start] > 0, 1.0, 0.0)
            carried = load(dim, distances, copies[start]) * amount(step) / parts
            moved = moved + (used * carried).sum()
            reach = used[:, None] * xp.where(
                step[:, None] == clock[None, :], distances[:, None], 0.0
            )
            busy = xp.maximum(busy, reach.max(0))
        rounds = xp.where(busy > 0, 1.0, 0.0).sum()
        levels.append(
            LevelCounts(
                rounds=rounds,
                hops=xp.maximum(busy - 1.0, 0.0).sum(),
                phases=rounds,
                bytes=moved * dim.ranks_per_link,
            )
        )
    return tuple(levels)


def _one(
    dims: Sequence[Dim],
    size_bytes: Numeric,
    levels: Sequence[LevelCounts],
    ports: str,
    valid: Array,
) -> Counts:
    """One phase; several ports keep all sides busy at once."""
    scaled = tuple(
        dataclasses.replace(level, bytes=level.bytes * size_bytes) for level in levels
    )
    flow = "sequential" if ports == "one" else "parallel"
    return Counts(levels=scaled, valid=valid, flow=flow)


def _gather(
    dims: Sequence[Dim],
    size_bytes: Numeric,
    distances: Distances,
    load: Load,
    ports: str,
    *,
    twist: bool = False,
) -> Phases:
    levels = _per_side(dims, distances, load, ports, lambda step: 0.5 ** (step + 1.0))
    return (_one(dims, size_bytes, levels, ports, _valid(dims, twist=twist)),)


def _whole(
    dims: Sequence[Dim],
    size_bytes: Numeric,
    distances: Distances,
    load: Load,
    ports: str,
    *,
    twist: bool = False,
) -> Phases:
    levels = _per_side(dims, distances, load, ports, lambda step: 1.0 + 0.0 * step)
    counts = _one(dims, size_bytes, levels, ports, _valid(dims, twist=twist))
    steps = sum((_steps(dim) for dim in dims), xp.zeros(()))
    return (dataclasses.replace(counts, reduced_bytes=steps * size_bytes),)


def _tree(
    dims: Sequence[Dim], size_bytes: Numeric, ports: str, *, halving: bool
) -> Phases:
    """A tree: one message at a time over a link."""

    last = sum((_steps(dim) for dim in dims), xp.zeros(()))

    def amount(step: Array) -> Array:
        # The last step of an exchange is the first of the tree.
        return 0.5 ** (last - step) if halving else 1.0 + 0.0 * step

    def load(dim: Dim, distances: Distances, copies: Numeric) -> Array:
        crowd = xp.where(xp.asarray(dim.members) > 2, 1.0, copies)
        return crowd * xp.ones(distances.shape)

    levels = _per_side(dims, swing_distances(), load, ports, amount)
    return (_one(dims, size_bytes, levels, ports, _valid(dims, twist=True)),)

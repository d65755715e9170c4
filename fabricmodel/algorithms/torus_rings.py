"""Rings on a torus: one way, free-running on all ports, Hamiltonian, and shifts.

``n_i`` is the side of dimension i, ``N`` their product, ``S`` the bytes of the full
vector.
"""

from __future__ import annotations

from collections.abc import Sequence

from chex import Numeric

from fabricmodel.algorithms import arrays as xp
from fabricmodel.algorithms.counts import (
    Counts,
    Dim,
    LevelCounts,
    Phases,
    active,
    diameter,
    folded_hops,
    path_rounds,
    product,
    reducing,
    share,
    wraps,
)
from fabricmodel.algorithms.torus import multiport_bucket_all_gather


def one_way_bucket_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bucket on one port: one dimension after another, one way round its ring.

    Stage i has n_i - 1 rounds and moves (n_i - 1)/n_i of the data gathered so far over
    one link; (N - 1)/N S bytes in all. Source: Jain and Sabharwal (2010).

    >>> ring = Dim(kind="ring", members=4.0, capacity=4.0)
    >>> (c,) = one_way_bucket_all_gather([ring, ring], 16.0)
    >>> [float(level.bytes) for level in c.levels]
    [3.0, 12.0]
    """
    levels, gathered = [], size_bytes / product(dims)
    for dim in dims:
        rounds = xp.asarray(dim.members) - 1.0
        levels.append(
            LevelCounts(
                rounds=rounds,
                hops=rounds * folded_hops(dim),
                phases=active(dim),
                bytes=gathered * rounds * dim.ranks_per_link,
            )
        )
        gathered = gathered * dim.members
    return (Counts(levels=tuple(levels)),)


def one_way_bucket_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bucket on one port run backwards, and (N - 1)/N S bytes reduced."""
    return reducing(one_way_bucket_all_gather(dims, size_bytes), dims, size_bytes)


def one_way_bucket_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bucket on one port: a reduce_scatter, then an all_gather."""
    return one_way_bucket_reduce_scatter(dims, size_bytes) + one_way_bucket_all_gather(
        dims, size_bytes
    )


def free_bucket_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bucket on every port at once, each part going on as soon as it can.

    The parts of ``multiport_bucket``, but none waits for another at the end of a phase:
    every part makes its sum (n_i - 1) rounds, and the busiest dimension, whose links
    carry what all of the parts bring there, sets the pace. Equal sides make no
    difference; on unequal ones the lock step wastes the shorter.
    Source: Jain and Sabharwal (2010).

    >>> sides = [Dim(kind="ring", members=n, capacity=n) for n in (4.0, 8.0)]
    >>> (c,) = free_bucket_all_gather(sides, 128.0)
    >>> [float(level.bytes) for level in c.levels]
    [27.0, 35.0]
    """
    phases = multiport_bucket_all_gather(dims, size_bytes)
    levels = tuple(
        LevelCounts(
            rounds=xp.asarray(dim.members) - 1.0,
            hops=(xp.asarray(dim.members) - 1.0) * folded_hops(dim),
            phases=active(dim),
            bytes=sum((phase.levels[at].bytes for phase in phases), xp.zeros(())),
        )
        for at, dim in enumerate(dims)
    )
    return (Counts(levels=levels, flow="stream"),)


def free_bucket_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bucket on every port, free-running, backwards; (N - 1)/N S bytes reduced."""
    return reducing(free_bucket_all_gather(dims, size_bytes), dims, size_bytes)


def free_bucket_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bucket on every port, free-running: reduce_scatter, then all_gather."""
    return free_bucket_reduce_scatter(dims, size_bytes) + free_bucket_all_gather(
        dims, size_bytes
    )


def hamiltonian_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Rings along edge-disjoint Hamiltonian cycles, both ways round each.

    A torus of D closed sides splits into D such cycles: 2 D directed rings, each with
    its part of S through all N ranks, N - 1 rounds and (N - 1)/N S/(2D) bytes over
    every link. The fewest bytes that there can be, and the most rounds. Source:
    Foregger (1978) for the cycles.

    >>> side = Dim(kind="ring", members=4.0, capacity=4.0)
    >>> (c,) = hamiltonian_all_gather([side, side], 64.0)
    >>> [float(level.rounds) for level in c.levels], float(c.levels[0].bytes)
    ([12.0, 3.0], 15.0)
    """
    used = sum((active(dim) for dim in dims), xp.zeros(()))
    closed = sum((wraps(dim) for dim in dims), xp.zeros(()))
    part = share(product(dims)) * size_bytes / xp.maximum(2.0 * used, 1.0)
    levels = tuple(
        LevelCounts(
            rounds=steps,
            phases=active(dim),
            bytes=active(dim) * part * dim.ranks_per_link,
        )
        for dim, steps in zip(dims, path_rounds(dims), strict=True)
    )
    valid = xp.where(used == closed, 1.0, 0.0)
    return (Counts(levels=levels, valid=valid, flow="stream"),)


def hamiltonian_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Hamiltonian rings, reducing; (N - 1)/N S bytes reduced."""
    return reducing(hamiltonian_all_gather(dims, size_bytes), dims, size_bytes)


def hamiltonian_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Hamiltonian rings: a reduce_scatter, then an all_gather; 2 (N - 1) rounds."""
    return hamiltonian_reduce_scatter(dims, size_bytes) + hamiltonian_all_gather(
        dims, size_bytes
    )


def shift(
    dims: Sequence[Dim],
    size_bytes: Numeric,
    distances: Sequence[Numeric] | None = None,
) -> Phases:
    """Shift: everyone sends to the rank a fixed way off along each side.

    On a ring the shorter way, d links of it: d messages pass over every link; half way
    round they part, half of them each way. On a line those who would leave it come back
    the whole way: d go up over a middle link, and n - d at most come down. Without
    ``distances``: as far as there is.

    >>> ring = Dim(kind="ring", members=8.0, capacity=8.0)
    >>> (c,) = shift([ring], 1.0, [3.0])
    >>> float(c.levels[0].hops), float(c.levels[0].bytes)
    (2.0, 3.0)
    """
    far = [diameter(dim) for dim in dims] if distances is None else list(distances)
    lengths, loads = [], []
    for dim, distance in zip(dims, far, strict=True):
        n, d = xp.asarray(dim.members), xp.asarray(distance)
        back = n - d
        short = xp.minimum(d, back)
        parted = xp.where(d == back, 0.5, 1.0)
        ring = wraps(dim) > 0
        # At a middle link of a line: those below it that go up, those above that
        # go down; either way no more than there are of them.
        line = xp.minimum(d, back)
        lengths.append(active(dim) * xp.where(ring, short, xp.maximum(d, back)))
        lengths[-1] = xp.where(d > 0, lengths[-1], 0.0)
        loads.append(xp.where(d > 0, xp.where(ring, short * parted, line), 0.0))
    reach = sum(lengths, xp.zeros(()))
    levels = tuple(
        LevelCounts(
            rounds=xp.where(length > 0, 1.0, 0.0),
            hops=xp.where(length > 0, xp.maximum(reach - 1.0, 0.0), 0.0),
            phases=xp.where(length > 0, 1.0, 0.0),
            bytes=active(dim) * load * size_bytes * dim.ranks_per_link,
        )
        for dim, length, load in zip(dims, lengths, loads, strict=True)
    )
    return (Counts(levels=levels, flow="parallel"),)

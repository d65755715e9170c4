"""Algorithms on a torus or mesh: consecutive ring and line dimensions.

``n_i`` is the side of dimension i, ``N`` their product, ``S`` the bytes of the full
vector. A ring of two has one neighbour and so one link; a line has no way round.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from chex import Numeric
from jax import Array

from fabricmodel.algorithms import arrays as xp
from fabricmodel.algorithms.counts import (
    Counts,
    Dim,
    LevelCounts,
    Phases,
    active,
    diameter,
    directions,
    exchange_load,
    folded_hops,
    product,
    reducing,
    routed,
    wraps,
)


def bucket_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bucket, one dimension after another, both directions of its ring.

    Stage i has n_i - 1 rounds and moves (n_i - 1)/n_i of the data gathered so far,
    half of it each way round. A line has to carry all of it both ways, and is folded
    to a ring whose steps are two links long.
    Source: Jain and Sabharwal (2010).

    >>> ring = Dim(kind="ring", members=4.0, capacity=4.0)
    >>> (c,) = bucket_all_gather([ring, ring], 16.0)
    >>> [float(level.bytes) for level in c.levels]
    [1.5, 6.0]
    """
    levels, gathered = [], size_bytes / product(dims)
    for dim in dims:
        ways = xp.where(wraps(dim) > 0, 2.0, 1.0)
        levels.append(
            LevelCounts(
                rounds=xp.asarray(dim.members) - 1.0,
                hops=(xp.asarray(dim.members) - 1.0) * folded_hops(dim),
                phases=active(dim),
                bytes=gathered
                * (xp.asarray(dim.members) - 1.0)
                * dim.ranks_per_link
                / ways,
            )
        )
        gathered = gathered * dim.members
    return (Counts(levels=tuple(levels)),)


def bucket_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bucket: the all_gather run backwards, and (N - 1)/N S bytes reduced."""
    return reducing(bucket_all_gather(dims, size_bytes), dims, size_bytes)


def bucket_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bucket: a reduce_scatter, then an all_gather."""
    return bucket_reduce_scatter(dims, size_bytes) + bucket_all_gather(dims, size_bytes)


def multiport_bucket_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bucket on every port at once, in lock step.

    The vector is cut into one part per port; the parts of dimension j start there and
    visit the others in cyclic order. A phase ends when its slowest part does: on
    dimension i that part takes n_i - 1 rounds and moves (n_i - 1) times what it had
    gathered. Without wraparound the way back shares the links, which doubles it.
    Source: Jain and Sabharwal (2010).

    >>> ring = Dim(kind="ring", members=4.0, capacity=4.0)
    >>> first, last = multiport_bucket_all_gather([ring, ring], 64.0)
    >>> float(first.levels[0].bytes), float(last.levels[0].bytes)
    (3.0, 12.0)
    """
    count = len(dims)
    parts = [active(dim) * directions(dim) for dim in dims]
    part = size_bytes / xp.maximum(sum(parts, xp.zeros(())), 1.0)
    gathered = [part * active(dim) / product(dims) for dim in dims]
    sides = [xp.asarray(dim.members) for dim in dims]
    phases = []
    for phase in range(count):
        rounds = [xp.zeros(())] * count
        moved = [xp.zeros(())] * count
        for start in range(count):
            grown = gathered[start]
            for at in range(count):
                here = _visits(dims, start, at, phase)
                others = here * (sides[at] - 1.0)
                # A wrapped side carries each part on links of its own; a line, or a
                # side of two, carries all the parts that come to it both ways.
                crowd = xp.where(wraps(dims[at]) > 0, 1.0, parts[start])
                rounds[at] = rounds[at] + others
                moved[at] = moved[at] + gathered[start] * others * crowd
                grown = grown + gathered[start] * others
            gathered[start] = grown
        levels = tuple(
            LevelCounts(
                rounds=rounds[at],
                hops=rounds[at] * folded_hops(dims[at]),
                phases=xp.where(rounds[at] > 0, 1.0, 0.0),
                bytes=moved[at] * dims[at].ranks_per_link,
            )
            for at in range(count)
        )
        phases.append(Counts(levels=levels, flow="parallel"))
    return tuple(phases)


def _visits(dims: Sequence[Dim], start: int, at: int, phase: int) -> Array:
    """1.0 where parts that start at a side are at another in a phase.

    Sides of one are left out of the cyclic order, and so of the phases.
    """
    used = [active(dim) for dim in dims]
    place = [sum(used[:i], xp.zeros(())) for i in range(len(dims))]
    total = xp.maximum(sum(used, xp.zeros(())), 1.0)
    turn = xp.mod(place[start] + phase, total)
    reached = (place[at] == turn) & (phase < total)
    return xp.where(reached, used[start] * used[at], 0.0)


def multiport_bucket_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bucket on every port at once, run backwards; (N - 1)/N S bytes reduced."""
    return reducing(multiport_bucket_all_gather(dims, size_bytes), dims, size_bytes)


def multiport_bucket_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bucket on every port at once: reduce_scatter, then all_gather."""
    return multiport_bucket_reduce_scatter(
        dims, size_bytes
    ) + multiport_bucket_all_gather(dims, size_bytes)


def routed_all_to_all(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Direct all_to_all over minimal routes: the busiest dimension sets the pace.

    One round of N - 1 messages over at most the diameter in hops, and S g(n_i) bytes
    through the busiest link of dimension i. Source: the bisection bound of a torus,
    which it meets.
    """
    loads = [size_bytes * exchange_load(dim) * dim.ranks_per_link for dim in dims]
    return (Counts(levels=routed(dims, loads), flow="parallel"),)


def routed_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Direct all_gather over minimal routes: the load of an all_to_all."""
    return routed_all_to_all(dims, size_bytes)


def routed_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Direct reduce_scatter over minimal routes; (N - 1)/N S bytes reduced."""
    return reducing(routed_all_to_all(dims, size_bytes), dims, size_bytes)


def routed_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Direct all_reduce: routed reduce_scatter, then routed all_gather."""
    return routed_reduce_scatter(dims, size_bytes) + routed_all_gather(dims, size_bytes)


def tree_broadcast(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Pipelined spanning tree: the diameter in rounds fills it, S bytes stream."""
    levels = tuple(
        LevelCounts(
            rounds=diameter(dim),
            phases=active(dim),
            bytes=active(dim) * size_bytes * dim.ranks_per_link,
        )
        for dim in dims
    )
    return (Counts(levels=levels, flow="segmented"),)


def tree_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Pipelined spanning tree, towards the root, which reduces one S for each child.

    A root in the corner: two children along a closed side, one along any other.
    """
    (tree,) = tree_broadcast(dims, size_bytes)
    children = sum((active(dim) + wraps(dim) for dim in dims), xp.zeros(()))
    return (dataclasses.replace(tree, reduced_bytes=children * size_bytes),)


def routed_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Scatter (or gather) over minimal routes: a part of S for each side goes it first.

    The root is in the middle. D parts, one for every side longer than one: part j goes
    along side j first, then along the next in cyclic order. Of it the root sends over
    either link of side i what is for half of that side, (n_i - 1)/2 (on a line n_i/2,
    rounded down), times all the sides still to come. Equal closed sides: (N - 1)/N
    S/(2D) over each link.

    >>> side = Dim(kind="ring", members=4.0, capacity=4.0)
    >>> (c,) = routed_scatter([side, side], 64.0)
    >>> [float(level.bytes) for level in c.levels], float(c.levels[0].hops)
    ([15.0, 15.0], 3.0)
    """
    count, parts = len(dims), sum((active(dim) for dim in dims), xp.zeros(()))
    part = size_bytes / product(dims) / xp.maximum(parts, 1.0)
    loads = []
    for at, dim in enumerate(dims):
        served = xp.zeros(())
        for start in range(count):
            later = active(dims[start])
            for other in range(count):
                if (other - start) % count > (at - start) % count:
                    later = later * dims[other].members
            served = served + later
        n = xp.asarray(dim.members)
        half = xp.where(wraps(dim) > 0, (n - 1.0) / 2.0, xp.floor(n / 2.0))
        loads.append(half * served * part * dim.ranks_per_link)
    reach = sum((xp.floor(xp.asarray(dim.members) / 2.0) for dim in dims), xp.zeros(()))
    return (Counts(levels=routed(dims, loads, reach), flow="parallel"),)


def neighbour_send_recv(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Send to the next rank and receive from the one before: one link, one round.

    Rows follow one another like the turns of a snake, so that the next rank is a
    neighbour too where a row ends: every side carries some of the messages. The last
    rank has none after it, as in a pipeline.
    """
    levels = tuple(
        LevelCounts(
            rounds=active(dim),
            phases=active(dim),
            bytes=active(dim) * size_bytes * dim.ranks_per_link,
        )
        for dim in dims
    )
    return (Counts(levels=levels, flow="parallel"),)

"""Algorithms in which switches add and copy: NVLink SHARP, its tree, and SHARP trees.

``N`` ranks, ``S`` bytes of the full vector. The ranks reduce nothing themselves; the
bound of an all_reduce is half of the usual one.
"""

from __future__ import annotations

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
    log2_ceil,
    product,
)
from fabricmodel.algorithms.flat import double_tree_reduced, double_tree_volume


def nvls_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """NVLS: each rank has the switch add up its part, then copy the sum to all.

    A load that reduces draws S/N out of every rank for every part, S in all, and
    returns S/N; a store that multicasts takes S/N and brings S. The parts follow one
    another, so that each link carries (N + 1)/N S in either direction where a ring
    takes 2 (N - 1)/N S. Needs a switch. Source: Ishii and Wells, "The NVLink-network
    switch", Hot Chips 34 (2022); NCCL's NVLS.

    >>> (c,) = nvls_all_reduce([Dim(kind="switch", members=8.0)], 8.0)
    >>> float(c.levels[0].rounds), float(c.levels[0].bytes)
    (2.0, 9.0)
    """
    n = _n(dims)
    return _through_switch(dims, size_bytes, rounds=2.0, volume=(n + 1.0) / n)


def nvls_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """NVLS: each rank stores its part once, and the switch copies it to all.

    S/N goes out of a rank and S comes in, its own part with the others.
    """
    return _through_switch(dims, size_bytes, rounds=1.0, volume=1.0)


def nvls_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """NVLS: each rank loads its part as the sum that the switch makes of all of them.

    S goes out of a rank and S/N comes in.
    """
    return _through_switch(dims, size_bytes, rounds=1.0, volume=1.0)


def sharp_all_reduce(
    dims: Sequence[Dim], size_bytes: Numeric, depth: Numeric = 1.0
) -> Phases:
    """SHARP: the vector goes up a tree of switches that add, and the sum comes down.

    One round: up ``depth`` switches and down again, S bytes each way on every link,
    full duplex. With ``depth`` 1 the tiers of the level itself are the tree, where its
    ``radix`` tells them. Source: Graham et al., "Scalable hierarchical aggregation
    protocol" (2016).

    >>> (c,) = sharp_all_reduce([Dim(kind="switch", members=512.0)], 8.0, depth=3.0)
    >>> float(c.levels[0].rounds), float(c.levels[0].hops), float(c.levels[0].bytes)
    (1.0, 4.0, 8.0)
    """
    hops = 2.0 * (xp.asarray(depth) - 1.0)
    return _through_switch(dims, size_bytes, rounds=1.0, volume=1.0, hops=hops)


def sharp_reduce(
    dims: Sequence[Dim], size_bytes: Numeric, depth: Numeric = 1.0
) -> Phases:
    """SHARP: up the tree of switches that add, and down to the root alone."""
    return sharp_all_reduce(dims, size_bytes, depth)


def sharp_broadcast(
    dims: Sequence[Dim], size_bytes: Numeric, depth: Numeric = 1.0
) -> Phases:
    """SHARP: up to the root of the tree of switches, which copies on the way down."""
    return sharp_all_reduce(dims, size_bytes, depth)


def nvls_tree_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """NVLSTree: switches add inside a node, a pair of trees between nodes, then copy.

    Each of the p ranks of a node owns S/p: it has its switch add that part, passes it
    up and down a double binary tree of its peers, 2 ceil(log2 X) rounds and 2 S/p
    bytes (S/p between two nodes), and has the switch copy the sum to its node;
    (p + 1)/p S over each link of the switch. Pipelined. The outermost level is the trees'; a level between, if any,
    has trees as well. Source: NCCL 2.18, NVLSTree.

    >>> node, net = Dim(kind="switch", members=8.0), Dim(kind="switch", members=16.0)
    >>> (c,) = nvls_tree_all_reduce([node, net], 8.0)
    >>> [float(level.rounds) for level in c.levels], float(c.levels[1].bytes)
    ([2.0, 8.0], 2.0)
    """
    node, *outside = dims
    p = xp.asarray(node.members)
    volume = (p + 1.0) / p * size_bytes * node.ranks_per_link
    inside = LevelCounts(
        rounds=2.0 * active(node),
        phases=2.0 * active(node),
        bytes=active(node) * volume,
    )
    trees = tuple(
        LevelCounts(
            rounds=2.0 * log2_ceil(dim.members),
            phases=2.0 * active(dim),
            bytes=active(dim)
            * double_tree_volume(dim.members)
            * (size_bytes / p * dim.ranks_per_link),
        )
        for dim in outside
    )
    counts = Counts(
        levels=(inside, *trees),
        reduced_bytes=double_tree_reduced(product(outside)) * size_bytes / p,
        valid=_has_switch(node),
        flow="segmented",
    )
    return (counts,)


def _n(dims: Sequence[Dim]) -> Array:
    (dim,) = dims
    return xp.asarray(dim.members)


def _has_switch(dim: Dim) -> float:
    """1.0 where there is a switch to do the work."""
    return 1.0 if dim.kind == "switch" else 0.0


def _through_switch(
    dims: Sequence[Dim],
    size_bytes: Numeric,
    *,
    rounds: float,
    volume: Numeric,
    hops: Numeric = 0.0,
) -> Phases:
    (dim,) = dims
    some = active(dim)
    level = LevelCounts(
        rounds=some * rounds,
        hops=some * hops,
        phases=some * rounds,
        bytes=some * volume * size_bytes * dim.ranks_per_link,
    )
    return (Counts(levels=(level,), valid=_has_switch(dim)),)

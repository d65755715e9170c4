"""Algorithms on one dimension where any member reaches any other: switch or clique.

Each function takes the one dimension and the size in bytes, and counts. ``N`` ranks,
``S`` bytes of the full vector, ``L = log2 N``. Formulas after Thakur, Rabenseifner and
Gropp, "Optimization of collective communication operations in MPICH" (2005), unless
another source is named.
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
    is_power_of_two,
    log2_ceil,
    log2_floor,
    reducing,
    share,
)


def counted(
    dims: Sequence[Dim],
    size_bytes: Numeric,
    *,
    rounds: Numeric,
    volume: Numeric,
    lanes: Numeric = 1.0,
    messages: Numeric = 0.0,
    phases: Numeric | None = None,
    reduced: Numeric = 0.0,
    valid: Numeric = 1.0,
    flow: str = "sequential",
) -> Phases:
    """One phase on one dimension; ``volume`` and ``reduced`` in units of ``S``."""
    (dim,) = dims
    some = active(dim)
    level = LevelCounts(
        rounds=some * rounds,
        messages=some * messages,
        phases=some * (rounds if phases is None else phases),
        bytes=some * volume * size_bytes * dim.ranks_per_link / lanes,
    )
    counts = Counts(
        levels=(level,),
        reduced_bytes=some * reduced * size_bytes,
        valid=valid,
        flow=flow,
    )
    return (counts,)


def ranks_of(dims: Sequence[Dim]) -> Array:
    """Ranks on the one dimension."""
    (dim,) = dims
    return xp.asarray(dim.members)


def share_of(dims: Sequence[Dim]) -> Array:
    """The part (N - 1)/N of a vector."""
    return share(ranks_of(dims))


def lanes_of(dims: Sequence[Dim]) -> Array:
    """Links a rank drives at once: N - 1 in a clique, else the one into the switch."""
    (dim,) = dims
    n = xp.asarray(dim.members)
    return xp.maximum(n - 1.0, 1.0) if dim.kind == "clique" else xp.ones(())


def ring_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Ring: N - 1 rounds, (N - 1)/N S bytes. A clique holds N - 1 rings.

    Source: Patarasuk and Yuan (2009).

    >>> (c,) = ring_all_gather([Dim(kind="switch", members=4.0)], 8.0)
    >>> float(c.levels[0].rounds), float(c.levels[0].bytes)
    (3.0, 6.0)
    """
    n = ranks_of(dims)
    return counted(
        dims,
        size_bytes,
        rounds=n - 1.0,
        volume=share_of(dims),
        lanes=lanes_of(dims),
        phases=1.0,
    )


def ring_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Ring: as the all_gather, and (N - 1)/N S bytes reduced."""
    return reducing(ring_all_gather(dims, size_bytes), dims, size_bytes)


def ring_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Ring: a reduce_scatter, then an all_gather; 2 (N - 1) rounds."""
    return ring_reduce_scatter(dims, size_bytes) + ring_all_gather(dims, size_bytes)


def recursive_doubling_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Recursive doubling: L rounds of S bytes.

    Where N is no power of two, one round folds the extra ranks in and one unfolds.
    """
    n = ranks_of(dims)
    fold = 1.0 - is_power_of_two(n)
    steps = log2_floor(n)
    return counted(
        dims,
        size_bytes,
        rounds=steps + 2.0 * fold,
        volume=steps + 2.0 * fold,
        reduced=steps + fold,
    )


def halving_doubling_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Rabenseifner: recursive halving, then doubling; 2 L rounds, 2 (N - 1)/N S bytes.

    Where N is no power of two, P = 2^floor(L) ranks do the work: one round folds the
    others in, by halves, and one hands them the result.
    """
    n = ranks_of(dims)
    fold = 1.0 - is_power_of_two(n)
    power = 2.0 ** log2_floor(n)
    share = (power - 1.0) / power
    return counted(
        dims,
        size_bytes,
        rounds=2.0 * log2_floor(n) + 2.0 * fold,
        volume=2.0 * share + 2.0 * fold,
        reduced=share + fold,
    )


def recursive_doubling_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Recursive doubling: L rounds, (N - 1)/N S bytes; powers of two only."""
    n = ranks_of(dims)
    return counted(
        dims,
        size_bytes,
        rounds=log2_ceil(n),
        volume=share_of(dims),
        valid=is_power_of_two(n),
    )


def recursive_halving_reduce_scatter(
    dims: Sequence[Dim], size_bytes: Numeric
) -> Phases:
    """Recursive halving: L rounds, (N - 1)/N S bytes and reduced; powers of two."""
    return reducing(recursive_doubling_all_gather(dims, size_bytes), dims, size_bytes)


def bruck_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bruck: ceil(L) rounds, (N - 1)/N S bytes, any N. Source: Bruck et al. (1997)."""
    return counted(
        dims, size_bytes, rounds=log2_ceil(ranks_of(dims)), volume=share_of(dims)
    )


def bruck_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Bruck run backwards: the dual of the all_gather, and (N - 1)/N S reduced."""
    return reducing(bruck_all_gather(dims, size_bytes), dims, size_bytes)


def direct_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Direct: everyone sends its block to everyone in one round of N - 1 messages."""
    return direct_all_to_all(dims, size_bytes)


def direct_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Direct: everyone sends everyone its block, and reduces N blocks."""
    return reducing(direct_all_gather(dims, size_bytes), dims, size_bytes)


def two_shot_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Two-shot mesh: direct reduce_scatter, then direct all_gather."""
    return direct_reduce_scatter(dims, size_bytes) + direct_all_gather(dims, size_bytes)


def one_shot_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """One-shot mesh: everyone sends the whole vector to everyone, (N - 1) S bytes."""
    n = ranks_of(dims)
    return counted(
        dims,
        size_bytes,
        rounds=1.0,
        messages=n - 2.0,
        volume=n - 1.0,
        lanes=lanes_of(dims),
        reduced=n - 1.0,
    )


def double_tree_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Double binary tree, pipelined: 2 ceil(L) rounds fill it, 2 S bytes stream.

    Two complementary trees carry half the vector each, so that every rank is an inner
    node of one and a leaf of the other: it sends and receives 2 S in all. Two ranks
    have one child in either tree, and S; three have a rank of one and a half. In a
    clique each child has a link of its own, and some pair of ranks are neighbours in
    both trees: S over their link.
    Source: Sanders, Speck and Traeff (2009).
    """
    n = ranks_of(dims)
    return counted(
        dims,
        size_bytes,
        rounds=2.0 * log2_ceil(n),
        volume=1.0 if dims[0].kind == "clique" else double_tree_volume(n),
        phases=2.0,
        reduced=double_tree_reduced(n),
        flow="segmented",
    )


def double_tree_volume(n: Numeric) -> Array:
    """Vectors that the busiest rank sends, and receives, up and down both trees.

    >>> [float(double_tree_volume(n)) for n in (2.0, 3.0, 4.0, 24.0)]
    [1.0, 1.5, 2.0, 2.0]
    """
    return xp.minimum(2.0, xp.asarray(n) / 2.0)


def double_tree_reduced(n: Numeric) -> Array:
    """Vectors that the busiest rank adds up: two children of half a vector each.

    >>> [float(double_tree_reduced(n)) for n in (1.0, 2.0, 3.0, 24.0)]
    [0.0, 0.5, 1.0, 1.0]
    """
    return xp.minimum(1.0, (xp.asarray(n) - 1.0) / 2.0)


def direct_all_to_all(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Direct: one round of N - 1 messages, (N - 1)/N S bytes."""
    return counted(
        dims,
        size_bytes,
        rounds=1.0,
        messages=ranks_of(dims) - 2.0,
        volume=share_of(dims),
        lanes=lanes_of(dims),
    )


def ring_all_to_all(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Ring: each block is passed on, one way round, until it is there.

    The blocks for the rank at distance d take d rounds of S/N: N (N - 1)/2 rounds and
    (N - 1)/2 S bytes. What a ring does that has no routing; ASTRA-sim's ``ring``.
    """
    n = ranks_of(dims)
    return counted(dims, size_bytes, rounds=n * (n - 1.0) / 2.0, volume=(n - 1.0) / 2.0)


def binomial_broadcast(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Binomial tree: ceil(L) rounds of S bytes."""
    rounds = log2_ceil(ranks_of(dims))
    return counted(dims, size_bytes, rounds=rounds, volume=rounds)


def binomial_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Binomial tree: ceil(L) rounds of S bytes, each reduced."""
    rounds = log2_ceil(ranks_of(dims))
    return counted(dims, size_bytes, rounds=rounds, volume=rounds, reduced=rounds)


def chain_broadcast(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Pipelined chain: N - 1 rounds fill it, S bytes stream."""
    return counted(
        dims,
        size_bytes,
        rounds=ranks_of(dims) - 1.0,
        volume=1.0,
        phases=1.0,
        flow="segmented",
    )


def chain_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Pipelined chain: N - 1 rounds fill it, S bytes stream and are reduced."""
    return counted(
        dims,
        size_bytes,
        rounds=ranks_of(dims) - 1.0,
        volume=1.0,
        phases=1.0,
        reduced=1.0,
        flow="segmented",
    )


def scatter_all_gather_broadcast(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Van de Geijn: binomial scatter, then ring all_gather; 2 (N - 1)/N S bytes."""
    return binomial_scatter(dims, size_bytes) + ring_all_gather(dims, size_bytes)


def reduce_scatter_gather_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Rabenseifner's reduce: ring reduce_scatter, then binomial gather."""
    return ring_reduce_scatter(dims, size_bytes) + binomial_scatter(dims, size_bytes)


def binomial_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Binomial tree: ceil(L) rounds, (N - 1)/N S bytes from the root (or to it)."""
    return bruck_all_gather(dims, size_bytes)


def direct_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Direct: the root posts N - 1 messages, (N - 1)/N S bytes in all."""
    return direct_all_to_all(dims, size_bytes)


def neighbour_send_recv(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Send to one peer and receive from one: one round, S bytes."""
    return counted(dims, size_bytes, rounds=1.0, volume=1.0)

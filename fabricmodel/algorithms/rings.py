"""Rings on one dimension beyond the plain one: both ways round, and several channels.

``N`` ranks, ``S`` bytes of the full vector.
"""

from __future__ import annotations

from collections.abc import Sequence

from chex import Numeric

from fabricmodel.algorithms import arrays as xp
from fabricmodel.algorithms.counts import (
    Dim,
    Phases,
    is_power_of_two,
    log2_ceil,
    reducing,
)
from fabricmodel.algorithms.flat import counted, lanes_of, ranks_of, share_of


def two_way_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Two-way ring: every block goes both ways round, half of the ring each.

    ceil((N - 1)/2) rounds of two messages (of one in the last, if N is even), and
    (N - 1)/N S bytes; in a clique, on the links to two neighbours.

    >>> (c,) = two_way_all_gather([Dim(kind="switch", members=6.0)], 6.0)
    >>> float(c.levels[0].rounds), float(c.levels[0].messages), float(c.levels[0].bytes)
    (3.0, 2.0, 5.0)
    """
    n = ranks_of(dims)
    rounds = xp.ceil((n - 1.0) / 2.0)
    pairs = xp.floor((n - 1.0) / 2.0)
    clique = dims[0].kind == "clique"
    return counted(
        dims,
        size_bytes,
        rounds=rounds,
        messages=pairs,
        phases=1.0,
        volume=rounds / n if clique else share_of(dims),
    )


def two_way_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Two-way ring: the all_gather run backwards, and (N - 1)/N S reduced."""
    return reducing(two_way_all_gather(dims, size_bytes), dims, size_bytes)


def two_way_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Two-way ring: a reduce_scatter, then an all_gather."""
    return two_way_reduce_scatter(dims, size_bytes) + two_way_all_gather(
        dims, size_bytes
    )


def channels_all_gather(
    dims: Sequence[Dim], size_bytes: Numeric, channels: Numeric = 2.0
) -> Phases:
    """Rings in c channels: each carries S/c round a ring of its own.

    N - 1 rounds of c messages. A switch has one link for all of them; in a clique each
    ring has links of its own, and there are N - 1 such rings at most.

    >>> (c,) = channels_all_gather([Dim(kind="clique", members=5.0)], 8.0, 4.0)
    >>> float(c.levels[0].messages), float(c.levels[0].bytes)
    (12.0, 1.6)
    """
    n = ranks_of(dims)
    rings = xp.minimum(channels, lanes_of(dims))
    lanes = rings if dims[0].kind == "clique" else xp.ones(())
    posted = rings if dims[0].kind == "clique" else channels
    return counted(
        dims,
        size_bytes,
        rounds=n - 1.0,
        messages=(n - 1.0) * (posted - 1.0),
        phases=1.0,
        volume=share_of(dims),
        lanes=lanes,
    )


def channels_reduce_scatter(
    dims: Sequence[Dim], size_bytes: Numeric, channels: Numeric = 2.0
) -> Phases:
    """Rings in c channels, reducing; (N - 1)/N S bytes reduced."""
    return reducing(channels_all_gather(dims, size_bytes, channels), dims, size_bytes)


def channels_all_reduce(
    dims: Sequence[Dim], size_bytes: Numeric, channels: Numeric = 2.0
) -> Phases:
    """Rings in c channels: a reduce_scatter, then an all_gather."""
    return channels_reduce_scatter(dims, size_bytes, channels) + channels_all_gather(
        dims, size_bytes, channels
    )


def neighbour_exchange_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Neighbour exchange: pairs swap, then swap what they last got on the other side.

    N/2 rounds: one block first, then two at a time; even N only. Source: Chen, Zhang,
    Zhang and Yuan (2005).

    >>> (c,) = neighbour_exchange_all_gather([Dim(kind="switch", members=6.0)], 6.0)
    >>> float(c.levels[0].rounds), float(c.levels[0].bytes)
    (3.0, 5.0)
    """
    n = ranks_of(dims)
    even = xp.where(xp.mod(n, 2.0) == 0.0, 1.0, 0.0)
    return counted(
        dims,
        size_bytes,
        rounds=xp.ceil(n / 2.0),
        volume=share_of(dims),
        valid=xp.where(n > 1, even, 1.0),
    )


def pat_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """PAT: every rank is the root of a binomial tree, and all of them run at once.

    The farthest ranks first, ceil(log2 N) rounds in which the blocks for one peer
    travel together; (N - 1)/N S bytes for any N. Buffers for all of them are assumed.
    Source: Jeaugey, "PAT: a new algorithm for all-gather and reduce-scatter" (2025).
    """
    rounds = log2_ceil(ranks_of(dims))
    return counted(dims, size_bytes, rounds=rounds, volume=share_of(dims))


def pat_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """PAT: the trees run backwards, and (N - 1)/N S reduced."""
    return reducing(pat_all_gather(dims, size_bytes), dims, size_bytes)


def folded_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Recursive halving for any N: the ranks beyond a power of two fold in and out.

    P = 2^floor(log2 N) and R = N - P: R ranks send their whole vector to a neighbour,
    who keeps their block for them as well. Of P blocks or pairs of blocks, half leave
    in every round; the first half, which holds the pairs, is the larger. One round
    hands R blocks out. Source: MPICH's reduce_scatter (Thakur et al., 2005).

    >>> (c,) = folded_reduce_scatter([Dim(kind="switch", members=6.0)], 6.0)
    >>> float(c.levels[0].rounds), round(float(c.levels[0].bytes), 9)
    (4.0, 13.0)
    """
    n = ranks_of(dims)
    fold = 1.0 - is_power_of_two(n)
    power, extra, rounds = _folding(n)
    small = xp.floor(xp.log2(xp.maximum(extra, 1.0)) + 1e-5)
    some = xp.where(extra > 0, 1.0, 0.0)
    doubled = some * (2.0 ** (small + 1.0) - 1.0 + extra * (rounds - 1.0 - small))
    halved = (power - 1.0 + doubled) / n
    return counted(
        dims,
        size_bytes,
        rounds=rounds + 2.0 * fold,
        volume=halved + fold * (1.0 + 1.0 / n),
        reduced=halved + fold,
    )


def _folding(n: Numeric) -> tuple[Numeric, Numeric, Numeric]:
    """The largest power of two within n, what is beyond it, and its logarithm."""
    rounds = xp.floor(xp.log2(n) + 1e-5)
    power = 2.0**rounds
    return power, xp.asarray(n) - power, rounds

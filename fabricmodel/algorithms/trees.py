"""Trees on one dimension: k-nomial, linear, and pipelined ones cut into segments.

``N`` ranks, ``S`` bytes of the full vector, ``m = ceil(S/s)`` segments of s bytes.
Where the segment is chosen by the caller, rounds depend on the size; the registry's
pipelined algorithms leave it to the pricing (flow ``segmented``), which takes the best.
"""

from __future__ import annotations

from collections.abc import Sequence

from chex import Numeric

from fabricmodel.algorithms import arrays as xp
from fabricmodel.algorithms.counts import Dim, Phases, log2_ceil
from fabricmodel.algorithms.flat import (
    counted,
    double_tree_reduced,
    double_tree_volume,
    lanes_of,
    ranks_of,
)


def knomial_broadcast(
    dims: Sequence[Dim], size_bytes: Numeric, radix: int = 4
) -> Phases:
    """K-nomial tree: in every of ceil(log_k N) levels a holder serves k - 1 others.

    One at a time: the root sends S in each of the rounds; for N = k^L that is
    (k - 1) L of them, and fewer where the last level is not full.

    >>> (c,) = knomial_broadcast([Dim(kind="switch", members=16.0)], 1.0)
    >>> float(c.levels[0].rounds), float(c.levels[0].bytes)
    (6.0, 6.0)
    """
    rounds = _knomial_rounds(dims, radix)
    return counted(dims, size_bytes, rounds=rounds, volume=rounds)


def knomial_reduce(dims: Sequence[Dim], size_bytes: Numeric, radix: int = 4) -> Phases:
    """K-nomial tree run backwards: the root reduces S in every round."""
    rounds = _knomial_rounds(dims, radix)
    return counted(dims, size_bytes, rounds=rounds, volume=rounds, reduced=rounds)


def _knomial_rounds(dims: Sequence[Dim], radix: int) -> Numeric:
    """Sends of the root: at level k to the ranks d k^j below N."""
    n = ranks_of(dims)
    rounds, place = xp.zeros(()), 1.0
    while place < 2.0**24:
        most = xp.ceil(n / place - 1e-6) - 1.0
        rounds = rounds + xp.minimum(xp.maximum(most, 0.0), radix - 1.0)
        place *= radix
    return rounds


def linear_broadcast(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Linear: the root posts the whole vector to everyone, (N - 1) S bytes.

    In a clique over N - 1 links.
    """
    n = ranks_of(dims)
    return counted(
        dims,
        size_bytes,
        rounds=1.0,
        messages=n - 2.0,
        volume=n - 1.0,
        lanes=lanes_of(dims),
    )


def linear_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Linear: everyone sends the root its vector, which reduces N - 1 of them."""
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


def binary_tree_broadcast(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Binary tree, pipelined: ceil(log2 N) rounds fill it, 2 S leave an inner rank.

    Up to three ranks make a chain, in which S does; in a clique each child has a link
    of its own, and S goes over it.
    Source: Chan, Heimlich, Purkayastha and van de Geijn (2007).
    """
    n = ranks_of(dims)
    return counted(
        dims,
        size_bytes,
        rounds=log2_ceil(n),
        volume=1.0 if dims[0].kind == "clique" else _children(n),
        phases=1.0,
        flow="segmented",
    )


def binary_tree_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Binary tree, pipelined, towards the root: 2 S come into an inner rank."""
    n = ranks_of(dims)
    return counted(
        dims,
        size_bytes,
        rounds=log2_ceil(n),
        volume=1.0 if dims[0].kind == "clique" else _children(n),
        phases=1.0,
        reduced=_children(n),
        flow="segmented",
    )


def _children(n: Numeric) -> Numeric:
    """Most children of a rank of a binary tree."""
    return xp.where(xp.asarray(n) > 3, 2.0, 1.0)


def chain_broadcast(
    dims: Sequence[Dim], size_bytes: Numeric, segment_bytes: Numeric
) -> Phases:
    """Chain in segments: N - 2 + m rounds of s bytes.

    >>> (c,) = chain_broadcast([Dim(kind="switch", members=5.0)], 8.0, 2.0)
    >>> float(c.levels[0].rounds), float(c.levels[0].bytes)
    (7.0, 14.0)
    """
    some = segments(size_bytes, segment_bytes)
    rounds = ranks_of(dims) - 2.0 + some
    return counted(dims, size_bytes, rounds=rounds, volume=rounds / some, phases=1.0)


def binomial_broadcast(
    dims: Sequence[Dim], size_bytes: Numeric, segment_bytes: Numeric
) -> Phases:
    """Binomial tree in segments: the root sends each to ceil(log2 N) others in turn.

    A segment leaves the root in as many rounds as it has children, and the last one
    reaches everyone in as many again, the first of which is its own last child's:
    m ceil(log2 N) rounds of s bytes in all.
    """
    some = segments(size_bytes, segment_bytes)
    depth = log2_ceil(ranks_of(dims))
    return counted(dims, size_bytes, rounds=some * depth, volume=depth, phases=depth)


def double_tree_all_reduce(
    dims: Sequence[Dim], size_bytes: Numeric, segment_bytes: Numeric
) -> Phases:
    """Double binary tree in segments: 2 ceil(log2 N) + m - 1 rounds, 2 S streamed.

    Each of the two trees carries half of the vector, in segments of s/2. Beside the
    stream, filling both trees moves s up and down every level of them.
    Source: Sanders, Speck and Träff (2009).
    """
    some = segments(size_bytes, segment_bytes)
    n = ranks_of(dims)
    depth = log2_ceil(n)
    return counted(
        dims,
        size_bytes,
        rounds=2.0 * depth + some - 1.0,
        volume=double_tree_volume(n) + (2.0 * depth - 1.0) / some,
        phases=2.0,
        reduced=double_tree_reduced(n),
    )


def segments(size_bytes: Numeric, segment_bytes: Numeric) -> Numeric:
    """``m = ceil(S/s)``, at least 1."""
    return xp.maximum(xp.ceil(xp.asarray(size_bytes) / segment_bytes - 1e-6), 1.0)

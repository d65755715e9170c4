"""Trees on one dimension: k-nomial, linear, and pipelined ones cut into segments.

``N`` ranks, ``S`` bytes of the full vector, ``m = ceil(S/s)`` segments of s bytes.
Where the segment is chosen by the caller, rounds depend on the size; the registry's
pipelined algorithms leave it to the pricing (flow ``segmented``), which takes the best.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from chex import Numeric

from fabricmodel.algorithms import arrays as xp
from fabricmodel.algorithms.counts import Dim, Phases, log2_ceil
from fabricmodel.algorithms.flat import (
    counted,
    double_tree_reduced,
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
    """Double binary tree in segments: 2 ceil(log2 N) + m - 1 rounds of s/2 a message.

    Each of the two trees carries half of the vector. Segment i starts in round i, goes
    up from the leaves, one level a round, and down again, to both children at once. The
    bytes are those of the busiest rank, sent or received, of every round: 2 s while the
    stream is full, less while it fills and drains, by the depths at which the ranks of
    this number sit in both trees. They are walked, so N and the sizes have to be known:
    numbers, not traced. Source: Sanders, Speck and Träff (2009).

    >>> switch = Dim(kind="switch", members=8.0)
    >>> for segment_bytes in (16.0, 2.0):
    ...     (c,) = double_tree_all_reduce([switch], 16.0, segment_bytes)
    ...     print(float(c.levels[0].rounds), float(c.levels[0].bytes))
    6.0 80.0
    13.0 38.0
    """
    some = segments(size_bytes, segment_bytes)
    n = ranks_of(dims)
    return counted(
        dims,
        size_bytes,
        rounds=2.0 * log2_ceil(n) + some - 1.0,
        volume=_streamed(int(n), int(some)) / (2.0 * some),
        phases=2.0,
        reduced=double_tree_reduced(n),
    )


def _streamed(ranks: int, many: int) -> float:
    """Messages of the busiest rank of every round, both trees up and down, added up."""
    top = (ranks - 1).bit_length()
    starts = np.arange(2.0 * top + 1.0)
    edges = np.unique(np.concatenate([starts, starts + many]))
    edges = edges[edges < 2 * top + many]  # loads change nowhere between them
    sent, received = 0.0, 0.0
    for depth, children in _places(ranks):
        below = depth > 0

        def begun(at: np.ndarray) -> np.ndarray:
            late = edges[None, :] - at[:, None]
            return np.where((late >= 0) & (late < many), 1.0, 0.0)

        kids, parent = children[:, None], below[:, None]
        sent = sent + parent * begun(top - depth) + kids * begun(top + depth)
        received = received + (
            kids * begun(top - depth - 1) + parent * begun(top + depth - 1)
        )
    busiest = np.maximum(sent, received).max(axis=0)
    lasting = np.diff(np.append(edges, 2 * top + many - 1.0))
    return float((busiest * lasting).sum())


@functools.cache
def _places(ranks: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Depths and children of the ranks in either tree, each pair of places once.

    The tree of NCCL: rank 0 above, odd ranks as leaves; the second one is shifted by a
    rank where their number is odd, and mirrored where it is even.
    """
    rank = np.arange(ranks)
    low = rank & -rank
    over = (rank ^ low) | (low << 1)
    parent = np.where(over < ranks, over, rank ^ low)
    children = np.bincount(parent[1:], minlength=ranks)
    depth, here = np.zeros(ranks, int), rank
    while here.any():
        depth, here = depth + (here > 0), parent[here]
    there = (rank - 1) % ranks if ranks % 2 else ranks - 1 - rank
    both = np.stack([depth, children, depth[there], children[there]])
    a, b, c, d = np.unique(both, axis=1)
    return (a, b), (c, d)


def segments(size_bytes: Numeric, segment_bytes: Numeric) -> Numeric:
    """``m = ceil(S/s)``, at least 1."""
    return xp.maximum(xp.ceil(xp.asarray(size_bytes) / segment_bytes - 1e-6), 1.0)

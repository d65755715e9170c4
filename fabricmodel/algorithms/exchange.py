"""All_to_all, and the algorithms of Bruck for any radix, on one dimension.

``N`` ranks, ``S`` bytes of the full vector. Source: Bruck, Ho, Kipnis, Upfal and
Weathersby (1997), unless another is named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from chex import Numeric
from jax import Array

from fabricmodel.algorithms import arrays as xp
from fabricmodel.algorithms.counts import Dim, Phases, reducing
from fabricmodel.algorithms.flat import counted, ranks_of, share_of

LARGEST_RANKS = 2.0**24
"""The digits of Bruck's algorithm are counted up to here."""


def pairwise_all_to_all(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Pairwise: N - 1 rounds, in each of which everyone meets one other, S/N bytes.

    Source: Thakur, Rabenseifner and Gropp (2005).
    """
    n = ranks_of(dims)
    return counted(dims, size_bytes, rounds=n - 1.0, volume=share_of(dims))


def bruck_all_to_all(
    dims: Sequence[Dim], size_bytes: Numeric, radix: int = 2
) -> Phases:
    """Bruck of radix r: a block moves once for every digit of its distance.

    For each of the ceil(log_r N) digits one round for every value it takes, r - 1 at
    most; the blocks whose digit has the value move together. For N = r^L that is
    (r - 1) L rounds and L (r - 1)/r S bytes; for any other N it is counted.

    >>> (c,) = bruck_all_to_all([Dim(kind="switch", members=9.0)], 9.0, radix=3)
    >>> float(c.levels[0].rounds), float(c.levels[0].bytes)
    (4.0, 12.0)
    """
    n = ranks_of(dims)
    place = _places(radix)
    whole = xp.floor(n[..., None] / (place * radix))
    rest = n[..., None] - whole * place * radix
    zeros = whole * place + xp.minimum(rest, place)  # distances whose digit is 0
    moved = n[..., None] - zeros
    return counted(dims, size_bytes, rounds=_rounds(n, radix), volume=moved.sum(-1) / n)


def bruck_all_gather(
    dims: Sequence[Dim], size_bytes: Numeric, radix: int = 4
) -> Phases:
    """Bruck of radix r: what is known goes to r - 1 others in turn; (N - 1)/N S bytes.

    >>> (c,) = bruck_all_gather([Dim(kind="switch", members=16.0)], 16.0)
    >>> float(c.levels[0].rounds), float(c.levels[0].bytes)
    (6.0, 15.0)
    """
    n = ranks_of(dims)
    return counted(dims, size_bytes, rounds=_rounds(n, radix), volume=share_of(dims))


def bruck_reduce_scatter(
    dims: Sequence[Dim], size_bytes: Numeric, radix: int = 4
) -> Phases:
    """Bruck of radix r run backwards, and (N - 1)/N S reduced."""
    return reducing(bruck_all_gather(dims, size_bytes, radix), dims, size_bytes)


Count = Callable[[Sequence[Dim], Numeric], Phases]


def with_incast(count: Count, strength: Numeric, exponent: Numeric = 1.0) -> Count:
    """Make the bytes of a one-round algorithm dearer by those who send to one rank.

    By ``1 + strength (N - 1)^exponent``: small differences in their starts let the
    messages of many crowd the link of one. Both numbers are fitted. Source: AWS Neuron
    documentation, on mesh algorithms between nodes.

    >>> crowded = with_incast(pairwise_all_to_all, 0.1)
    >>> (c,) = crowded([Dim(kind="switch", members=6.0)], 6.0)
    >>> float(c.levels[0].bytes)
    7.5
    """

    def counts(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
        factor = 1.0 + strength * xp.maximum(ranks_of(dims) - 1.0, 0.0) ** exponent
        return tuple(
            dataclasses.replace(
                phase,
                levels=tuple(
                    dataclasses.replace(level, bytes=level.bytes * factor)
                    for level in phase.levels
                ),
            )
            for phase in count(dims, size_bytes)
        )

    return counts


def _places(radix: int) -> np.ndarray:
    """1, r, r^2 and so on, beyond the largest number of ranks."""
    digits = int(np.ceil(np.log(LARGEST_RANKS) / np.log(radix)))
    return float(radix) ** np.arange(digits)


def _rounds(n: Array, radix: int) -> Array:
    """Values other than 0 that the digits of 0 to N - 1 take, added up."""
    place = _places(radix)
    most = xp.ceil(n[..., None] / place - 1e-6) - 1.0
    return xp.minimum(xp.maximum(most, 0.0), radix - 1.0).sum(-1)

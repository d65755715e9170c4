"""Which slices of a TPU pod wrap, and what a twist does for all_to_all.

Shapes only, no prices. Sources: Jouppi et al., "TPU v4: an optically reconfigurable
supercomputer" (2023); Austin et al., "How to scale your model" (2025); Camarero,
Martínez and Beivide (2010) for twisted tori.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from fabricmodel.algorithms.counts import Dim

OPTICAL = ("v4", "v5p", "v7x")
"""Cubes of 4x4x4 joined by optical switches: any multiple of four wraps."""

PLANAR = {"v5e": 16, "v6e": 16}
"""One electrical pod of 16x16: a side wraps only at its full length."""


def wraps_of(generation: str, sides: Sequence[int]) -> list[bool]:
    """Say which sides of a slice close on themselves.

    Optically joined pods: all of them where every side is a multiple of four, none in a
    slice below a cube. Planar pods: a side of 16.

    Raises:
      ValueError: for a generation that is not known.

    >>> wraps_of("v4", (4, 4, 8)), wraps_of("v5p", (2, 2, 4)), wraps_of("v5e", (8, 16))
    ([True, True, True], [False, False, False], [False, True])
    """
    if generation in OPTICAL:
        cubes = all(n % 4 == 0 for n in sides)
        return [cubes] * len(sides)
    if generation in PLANAR:
        return [n == PLANAR[generation] for n in sides]
    known = ", ".join((*OPTICAL, *PLANAR))
    raise ValueError(f"generation: {generation!r}. Use one of {known}.")


def slice_dims(generation: str, sides: Sequence[int]) -> list[Dim]:
    """Dimensions of a slice, for the algorithms of a torus.

    >>> [dim.kind for dim in slice_dims("v6e", (4, 16))]
    ['line', 'ring']
    """
    return [
        Dim(
            kind="ring" if wrap else "line",
            members=float(n),
            capacity=float(n),
        )
        for n, wrap in zip(sides, wraps_of(generation, sides), strict=True)
    ]


def can_twist(sides: Sequence[int]) -> bool:
    """Whether a slice of sides k and 2k, both of them there, k a multiple of 4.

    >>> can_twist((4, 4, 8)), can_twist((4, 8, 8)), can_twist((4, 4, 4))
    (True, True, False)
    """
    short, long = min(sides), max(sides)
    return long == 2 * short and set(sides) == {short, long} and short % 4 == 0


def twisted_distances(sides: Sequence[int]) -> np.ndarray:
    """Links from the origin to every place of a twisted torus, of shape ``sides``.

    A turn round a side of k shifts every side of 2k by k. So a place is reached by any
    number of such turns, and turns of the long sides; the nearest counts.

    >>> int(twisted_distances((4, 8)).max())
    4
    """
    short, long = min(sides), max(sides)
    places = np.moveaxis(np.indices(sides), 0, -1).astype(float)
    best = np.full(tuple(sides), np.inf)
    for turns in itertools.product((-2, -1, 0, 1, 2), repeat=len(sides)):
        round_short = sum(
            turn for turn, n in zip(turns, sides, strict=True) if n == short
        )
        shift = [
            turn * n + (round_short * short if n == long else 0)
            for turn, n in zip(turns, sides, strict=True)
        ]
        best = np.minimum(best, np.abs(places + np.array(shift)).sum(axis=-1))
    return best


def twisted_exchange_load(sides: Sequence[int]) -> float:
    """Load of a link of a twisted torus when everyone sends to everyone.

    In units of the bytes that one chip sends, as ``counts.exchange_load``: the links of
    all shortest ways over the links there are. Every place looks alike; that the sides
    can share the load evenly is assumed (shortest ways leave the choice).

    >>> twisted_exchange_load((4, 8)), 8 / 8  # twisted, and as it stands
    (0.65625, 1.0)
    """
    distances = twisted_distances(sides)
    return float(distances.sum() / distances.size / (2.0 * len(sides)))

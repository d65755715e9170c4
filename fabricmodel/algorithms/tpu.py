"""Which slices of a TPU pod wrap, and what a twist does for whoever talks to all.

Shapes only, no prices. Sources: Jouppi et al., "TPU v4: an optically reconfigurable
supercomputer" (2023); Austin et al., "How to scale your model" (2025); Camarero,
Martínez and Beivide (2010) for twisted tori.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from fabricmodel.algorithms import arrays as xp
from fabricmodel.algorithms.counts import Dim, wraps

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


def twisted(dims: Sequence[Dim]) -> list[Dim]:
    """Twist a torus of two or three sides where they allow it (``can_twist``).

    A turn round a side of k shifts every side of 2k by k: with e_i a step along side
    i, k e_i = k e_j for all of them, so that every side, short or long, lies on rings
    of 2k and they all look alike. When everyone sends to everyone over the shortest
    ways, ties split evenly, every link carries the same part of the bytes that one
    chip sends, the mean distance over the links of a chip:

    - k x 2k: k/6 - 1/(24 k), where the long side of the plain torus carries k/4;
    - k x k x 2k: 7k/48 - 1/(24 k);
    - k x 2k x 2k: 35k/192 - 1/(24 k).

    The diameter is k/2 for each side. All other algorithms are counted as on the plain
    torus, which has as many links. A bucket needs no more than that here: its parts
    start on closed rings of 2k in every direction, and only what is left of them has
    to use open rows of k (4x4x8: 1.109 S/(2D) against 1.148 S/(2D); (N - 1)/N S/(2D) is
    the least there can be).

    >>> sides = [Dim(kind="ring", members=n, capacity=n) for n in (4.0, 4.0, 8.0)]
    >>> [round(float(dim.twisted_load), 4) for dim in twisted(sides)]
    [0.5729, 0.5729, 0.5729]
    """
    if len(dims) not in (2, 3):
        return list(dims)
    sides = [xp.asarray(dim.members) for dim in dims]
    short, long = sides[0], sides[0]
    for n in sides[1:]:
        short, long = xp.minimum(short, n), xp.maximum(long, n)
    turns = xp.where((long == 2.0 * short) & (xp.mod(short, 4.0) == 0.0), 1.0, 0.0)
    many = xp.zeros(())
    for dim, n in zip(dims, sides, strict=True):
        turns = turns * wraps(dim) * xp.where((n == short) | (n == long), 1.0, 0.0)
        many = many + xp.where(n == long, 1.0, 0.0)
    slope = 1.0 / 6.0
    if len(dims) == 3:
        slope = xp.where(many > 1, 35.0 / 192.0, 7.0 / 48.0)
    load = turns * (slope * short - 1.0 / (24.0 * short))
    reach = turns * short / 2.0
    return [
        dataclasses.replace(dim, twisted_load=load, twisted_reach=reach) for dim in dims
    ]

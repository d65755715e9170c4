"""What an algorithm counts, and the topology it counts on. No hardware here.

Counts are exact integers held as floats: they broadcast, and one compiled program
serves every size and every number of ranks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
from chex import Numeric
from jax import Array

from fabricmodel._pytree import pytree, static
from fabricmodel.algorithms import arrays as xp


@pytree
class Dim:
    """One dimension of the topology a collective spans.

    Attributes:
      kind: ``ring``, ``line`` (a ring without its closing link), ``clique`` (a link
        between every pair) or ``switch`` (a link from every member to a crossbar).
      members: how many of the dimension take part, at least 1.
      capacity: how many there are. A ring used in part is a line.
      ranks_per_link: ranks that share one link of this dimension (4 when 32 ranks of
        a node leave it through 8 adapters; below 1 when a rank drives several).
      ranks_inside: ranks inside one member.
      twisted_load, twisted_reach: of a side of a twisted torus, its ``exchange_load``
        and its part of the diameter (``tpu.twisted``); 0 of any other.
    """

    kind: str = static()
    members: Numeric = 1.0
    capacity: Numeric = 1.0
    ranks_per_link: Numeric = 1.0
    ranks_inside: Numeric = 1.0
    twisted_load: Numeric = 0.0
    twisted_reach: Numeric = 0.0


@pytree
class LevelCounts:
    """What one fabric level is asked for, along the critical path of one rank.

    Attributes:
      rounds: dependent messages, each of which waits for the one before.
      hops: links crossed beyond the first, summed over those rounds.
      messages: further messages that a rank posts in the same round.
      phases: joins at which every rank waits for the slowest.
      bytes: through the busiest link, in one direction.
    """

    rounds: Numeric = 0.0
    hops: Numeric = 0.0
    messages: Numeric = 0.0
    phases: Numeric = 0.0
    bytes: Numeric = 0.0


@pytree
class Counts:
    """What one phase of an algorithm asks of a fabric.

    An algorithm returns a tuple of phases, done one after another, so that
    ``reduce_scatter + all_gather`` is an all_reduce.

    Attributes:
      levels: per dimension, innermost first.
      reduced_bytes: bytes that a rank reduces.
      memory_rounds: steps of the memory stream that runs beside the links.
      memory_bytes: bytes that one channel of that stream moves.
      valid: 1 where the algorithm exists for this shape, 0 where it does not.
      flow: how the levels share the phase. ``sequential``: one after another.
        ``parallel``: each works on its own part, and the slowest ends the phase.
        ``stream``: latencies add up along a chain, while the bytes flow through all
        levels at once. ``segmented``: a stream cut into segments of the best size,
        which adds ``2 sqrt(latency x transfer)`` to their sum.
    """

    levels: tuple[LevelCounts, ...]
    reduced_bytes: Numeric = 0.0
    memory_rounds: Numeric = 0.0
    memory_bytes: Numeric = 0.0
    valid: Numeric = 1.0
    flow: str = static(default="sequential")


Phases = tuple[Counts, ...]


def total(phases: Phases) -> Counts:
    """Add the phases up; the sum exists where every phase does.

    >>> one = Counts(levels=(LevelCounts(rounds=2.0, bytes=8.0),))
    >>> float(total((one, one)).levels[0].bytes)
    16.0
    """
    plain = [dataclasses.replace(phase, flow="sequential") for phase in phases]
    summed = jax.tree.map(lambda *leaves: sum(xp.asarray(x) for x in leaves), *plain)
    valid = xp.least([phase.valid for phase in phases])
    return dataclasses.replace(summed, valid=valid)


def product(dims: Sequence[Dim]) -> Array:
    """Ranks that the dimensions hold together."""
    ranks = xp.ones(())
    for dim in dims:
        ranks = ranks * dim.members
    return ranks


def share(n: Numeric) -> Array:
    """The part (n - 1)/n of a vector that has to leave a rank."""
    return (xp.asarray(n) - 1.0) / n


def active(dim: Dim) -> Array:
    """1.0 where a dimension has someone to talk to."""
    return xp.where(xp.asarray(dim.members) > 1, 1.0, 0.0)


def log2_ceil(n: Numeric) -> Array:
    """Round ``log2 n`` up: the rounds of a doubling algorithm; exact in float32.

    >>> [float(log2_ceil(n)) for n in (1.0, 2.0, 3.0, 4.0, 65.0)]
    [0.0, 1.0, 2.0, 2.0, 7.0]
    """
    return xp.abs(xp.ceil(xp.log2(n) - 1e-5))


def log2_floor(n: Numeric) -> Array:
    """Round ``log2 n`` down; exact in float32.

    >>> [float(log2_floor(n)) for n in (1.0, 2.0, 3.0, 4.0, 63.0)]
    [0.0, 1.0, 1.0, 2.0, 5.0]
    """
    return xp.floor(xp.log2(n) + 1e-5)


def is_power_of_two(n: Numeric) -> Array:
    """Say so as 1.0 or 0.0.

    >>> [float(is_power_of_two(n)) for n in (1.0, 4.0, 6.0)]
    [1.0, 1.0, 0.0]
    """
    return xp.where(log2_ceil(n) == log2_floor(n), 1.0, 0.0)


def wraps(dim: Dim) -> Array:
    """1.0 where a dimension closes on itself: a ring used whole, of three or more.

    A ring of two has one neighbour, and one link to it.
    """
    closed = (dim.members >= dim.capacity) & (dim.members > 2)
    return xp.where(closed, 1.0, 0.0) if dim.kind == "ring" else xp.zeros(())


def directions(dim: Dim) -> Array:
    """Links that a member owns along a ring or line: 2, or 1 when it has one neighbour.

    The end of a longer line has one neighbour too; its inner members pace the line.
    """
    return xp.where(xp.asarray(dim.members) > 2, 2.0, 1.0)


def folded_hops(dim: Dim) -> Array:
    """Links beyond the first in each step of a ring along a dimension: 0, or 1.

    A line of three or more closes to a ring by going up over its even members and back
    over the odd ones, two links at a step; every link carries one block each way.

    >>> [float(folded_hops(Dim(kind="line", members=n))) for n in (2.0, 5.0)]
    [0.0, 1.0]
    """
    long = xp.where(xp.asarray(dim.members) > 2, 1.0, 0.0)
    return long * (1.0 - wraps(dim))


def exchange_load(dim: Dim) -> Array:
    """Load ``g`` of the busiest link when everyone sends to everyone.

    In units of the bytes that one member sends in all. With wraparound n/8 (n even)
    or (n^2 - 1)/(8 n) (n odd); without, twice that. Minimal routes, ties split
    evenly. Source: counted link by link; agrees with the bisection bound of a torus. A
    twisted torus has its own.

    >>> ring = Dim(kind="ring", members=4.0, capacity=4.0)
    >>> float(exchange_load(ring)), float(exchange_load(Dim(kind="line", members=2.0)))
    (0.5, 0.5)
    """
    n = xp.asarray(dim.members)
    even = xp.where(xp.mod(n, 2.0) == 0.0, 1.0, 0.0)
    line = (n * n - 1.0 + even) / (4.0 * n)
    plain = line * xp.where(wraps(dim) > 0, 0.5, 1.0)
    twisted = xp.asarray(dim.twisted_load)
    return xp.where(twisted > 0, twisted, plain)


def diameter(dim: Dim) -> Array:
    """Links between the two members farthest apart."""
    n = xp.asarray(dim.members)
    if dim.kind in ("clique", "switch"):
        return xp.where(n > 1, 1.0, 0.0)
    plain = xp.where(wraps(dim) > 0, xp.floor(n / 2.0), n - 1.0)
    twisted = xp.asarray(dim.twisted_reach)
    return xp.where(twisted > 0, twisted, plain)


def path_rounds(torus: Sequence[Dim]) -> list[Array]:
    """Steps of a Hamiltonian path along each side, one less than its members in all.

    Row by row: a row of n_1 takes n_1 - 1 steps along it, every change of row takes
    one along the second side, and so on.

    >>> sides = [Dim(kind="ring", members=4.0), Dim(kind="ring", members=3.0)]
    >>> [float(x) for x in path_rounds(sides)]
    [9.0, 2.0]
    """
    steps, rows = [], product(torus)
    for dim in torus:
        rows = rows / dim.members
        steps.append((xp.asarray(dim.members) - 1.0) * rows)
    return steps


def routed(
    dims: Sequence[Dim], loads: Sequence[Numeric], reach: Numeric | None = None
) -> tuple[LevelCounts, ...]:
    """Counts of one round in which every member sends to every other over routes.

    N - 1 messages of each member, over at most the diameter in hops, or ``reach``;
    ``loads`` are the bytes over the busiest link of each dimension.
    """
    members = product(dims)
    farthest = sum((diameter(dim) for dim in dims), xp.zeros(()))
    longest = farthest if reach is None else reach
    return tuple(
        LevelCounts(
            rounds=active(dim),
            hops=active(dim) * xp.maximum(longest - 1.0, 0.0),
            messages=active(dim) * xp.maximum(members - 2.0, 0.0),
            phases=active(dim),
            bytes=load,
        )
        for dim, load in zip(dims, loads, strict=True)
    )


def reducing(phases: Phases, dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Run an all_gather backwards, reducing what arrives: a reduce_scatter.

    (N - 1)/N S bytes are reduced in all, an equal part in each phase.
    """
    part = share(product(dims)) * size_bytes / len(phases)
    return tuple(
        dataclasses.replace(phase, reduced_bytes=part) for phase in reversed(phases)
    )

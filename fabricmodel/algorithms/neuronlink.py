"""NeuronLink's own algorithms: chips on a torus, several ranks inside each chip.

The first dimension is the chip (a clique of ``r`` ranks), the others are the torus
that joins ``C`` chips; ``N = r C``. An all_reduce is a reduce_scatter followed by an
all_gather. Source: AWS Neuron documentation, "Intra-node collective communications"
(neuron-runtime/explore/intranode-collective-comm) for what each algorithm does; the
formulas are counted from that description.
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
    exchange_load,
    is_power_of_two,
    log2_ceil,
    path_rounds,
    product,
    reducing,
    routed,
    share,
    wraps,
)


def channels(dims: Sequence[Dim]) -> Array:
    """Rings that run at once: 4 for a group of every device of the node, else 2.

    Two edge-disjoint Hamiltonian cycles, both ways round each. Source: the NKI
    collectives module of the AWS Neuron SDK.

    >>> chip = Dim(kind="clique", members=4.0, capacity=4.0)
    >>> side = Dim(kind="ring", members=4.0, capacity=4.0)
    >>> part = Dim(kind="ring", members=2.0, capacity=4.0)
    >>> float(channels([chip, side, side])), float(channels([chip, side, part]))
    (4.0, 2.0)
    """
    whole = xp.ones(())
    for dim in dims:
        whole = whole * xp.where(xp.asarray(dim.members) >= dim.capacity, 1.0, 0.0)
    return 2.0 + 2.0 * whole


def disjoint_rings(torus: Sequence[Dim]) -> Array:
    """Directed Hamiltonian rings with no link in common: 4, 2 or 1.

    A torus of two sides that close, of three or more each, holds two cycles, each
    used both ways round; a grid or a single closed side holds one; a line none, so
    that a ring along it comes back over the same links.

    >>> side = Dim(kind="ring", members=4.0, capacity=4.0)
    >>> pair = Dim(kind="ring", members=2.0, capacity=4.0)
    >>> [float(disjoint_rings(t)) for t in ([side, side], [side, pair], [pair])]
    [4.0, 2.0, 1.0]
    """
    used = sum((active(dim) for dim in torus), xp.zeros(()))
    closed = sum((wraps(dim) for dim in torus), xp.zeros(()))
    one_side = xp.where(closed > 0, 2.0, 1.0)
    return xp.where(closed > 1, 4.0, xp.where(used > 1, 2.0, one_side))


def mesh_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Mesh: one round between chips, routed, then one round inside the chip.

    Between chips every rank posts a message to its share of the other chips, and the
    busiest link carries S g(n_i); inside the chip each rank reads the (r - 1)/r S
    that its neighbours received.
    """
    chip, *torus = dims
    ranks = product(dims)
    between = routed(torus, [size_bytes * exchange_load(dim) for dim in torus])
    inside = LevelCounts(
        rounds=active(chip),
        messages=active(chip) * xp.maximum(ranks / chip.members - 1.0, 0.0),
        phases=active(chip),
        bytes=share(chip.members) * size_bytes,
    )
    idle = tuple(LevelCounts() for _ in torus)
    return (
        Counts(levels=(LevelCounts(), *between), flow="parallel"),
        Counts(levels=(inside, *idle)),
    )


def mesh_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Mesh: reduce inside the chip, then one routed round between chips."""
    between, inside = mesh_all_gather(dims, size_bytes)
    chip = dims[0]
    chips = product(dims[1:])
    return (
        dataclasses.replace(inside, reduced_bytes=share(chip.members) * size_bytes),
        dataclasses.replace(
            between, reduced_bytes=share(chips) * size_bytes / chip.members
        ),
    )


def mesh_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Mesh: reduce_scatter, then all_gather; four rounds in all."""
    return mesh_reduce_scatter(dims, size_bytes) + mesh_all_gather(dims, size_bytes)


def single_step_mesh_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Single-step mesh: every rank sends its whole vector to every other, once.

    N S bytes of each chip's ranks reach every other chip, r N S g(n_i) on the busiest
    link; (r - 1) S come in from the neighbours in the chip; N - 1 vectors are reduced.
    """
    chip, ranks = dims[0], product(dims)
    between, inside = mesh_all_gather(dims, size_bytes)
    copies = ranks * chip.members
    levels = (
        dataclasses.replace(
            inside.levels[0], bytes=(xp.asarray(chip.members) - 1.0) * size_bytes
        ),
        *(
            dataclasses.replace(level, bytes=level.bytes * copies)
            for level in between.levels[1:]
        ),
    )
    return (
        Counts(
            levels=levels, reduced_bytes=(ranks - 1.0) * size_bytes, flow="parallel"
        ),
    )


def mesh_all_to_all(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Mesh: one routed round between chips, then one round inside the chip.

    Every rank has S bytes to send, so a chip has r S, and the busiest link carries
    r S g(n_i).
    """
    between, inside = mesh_all_gather(dims, size_bytes)
    levels = tuple(
        dataclasses.replace(level, bytes=level.bytes * dims[0].members)
        for level in between.levels
    )
    return (dataclasses.replace(between, levels=levels), inside)


def rdh_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Recursive doubling along the axes of the torus, then a stage inside the chip.

    A ring of four is a 2-cube, so each of the log2 C steps is one hop along one axis.
    The r ranks of a chip run r groups at once, each on S/r, and start on different
    axes: with a axes a link serves ceil(r / a) groups, and carries (C - 1)/C S/r of
    each over all the steps. Sides of 2, or closed ones of 4, only.

    >>> chip = Dim(kind="clique", members=4.0, capacity=4.0)
    >>> side = Dim(kind="ring", members=4.0, capacity=4.0)
    >>> (c,) = rdh_all_gather([chip, side, side], 64.0)
    >>> [float(level.rounds) for level in c.levels], float(c.levels[1].bytes)
    ([1.0, 2.0, 2.0], 7.5)
    """
    chip, *torus = dims
    steps = [log2_ceil(dim.members) for dim in torus]
    axes = xp.maximum(sum(steps, xp.zeros(())), 1.0)
    r = xp.asarray(chip.members)
    carried = share(product(torus)) * size_bytes / r * xp.ceil(r / axes - 1e-5)
    valid = xp.ones(())
    for dim in torus:
        n = xp.asarray(dim.members)
        cube = (n <= 2) | ((n == 4) & (wraps(dim) > 0))
        valid = valid * xp.where(cube, is_power_of_two(n), 0.0)
    levels = tuple(
        LevelCounts(rounds=count, phases=count, bytes=carried * count / axes)
        for count in steps
    )
    inside = LevelCounts(
        rounds=active(chip),
        phases=active(chip),
        bytes=share(chip.members) * size_bytes,
    )
    return (Counts(levels=(inside, *levels), valid=valid),)


def rdh_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Reduce inside the chip, then recursive halving along the axes."""
    (gather,) = rdh_all_gather(dims, size_bytes)
    chip, chips = dims[0], product(dims[1:])
    reduced = (share(chip.members) + share(chips) / chip.members) * size_bytes
    return (dataclasses.replace(gather, reduced_bytes=reduced),)


def rdh_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Recursive halving, then doubling: 2 (1 + log2 C) rounds."""
    return rdh_reduce_scatter(dims, size_bytes) + rdh_all_gather(dims, size_bytes)


def ring_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Ring through every rank: N - 1 rounds, c channels, 2 memory accesses a byte."""
    return _cycle(dims, size_bytes, joined=dims[0].members, accesses=2.0)


def ring_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Ring through every rank, reducing: 3 memory accesses a byte."""
    ring = _cycle(dims, size_bytes, joined=dims[0].members, accesses=3.0)
    return reducing(ring, dims, size_bytes)


def ring_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Ring crossed twice: 2 (N - 1) rounds, 2 (N - 1)/N S bytes over c channels."""
    return ring_reduce_scatter(dims, size_bytes) + ring_all_gather(dims, size_bytes)


def kangaring_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """KangaRing: the ring joins one rank of each pair, N/2 - 1 rounds.

    The other rank of the pair copies from its partner, so that a byte costs 3
    accesses for two ranks where the ring takes 4. Needs pairs (an even r) and more
    than one chip.
    """
    return _pairs_only(
        _cycle(dims, size_bytes, joined=_pairs(dims), accesses=1.5), dims
    )


def kangaring_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """KangaRing, reducing: 4 accesses for two ranks where the ring takes 6."""
    ring = _cycle(dims, size_bytes, joined=_pairs(dims), accesses=2.0)
    return _pairs_only(reducing(ring, dims, size_bytes), dims)


def kangaring_all_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """KangaRing crossed twice: 2 (N/2 - 1) rounds."""
    return kangaring_reduce_scatter(dims, size_bytes) + kangaring_all_gather(
        dims, size_bytes
    )


def _pairs(dims: Sequence[Dim]) -> Array:
    return xp.maximum(xp.asarray(dims[0].members) / 2.0, 1.0)


def _pairs_only(phases: Phases, dims: Sequence[Dim]) -> Phases:
    paired = xp.mod(xp.asarray(dims[0].members), 2.0) == 0.0
    valid = xp.where(paired & (product(dims[1:]) > 1), 1.0, 0.0)
    return tuple(dataclasses.replace(phase, valid=valid) for phase in phases)


def _cycle(
    dims: Sequence[Dim], size_bytes: Numeric, *, joined: Numeric, accesses: float
) -> Phases:
    """Once round the Hamiltonian cycles that join ``joined`` ranks of every chip.

    Of the rounds, C - 1 cross to another chip and the rest stay inside one. With M
    ranks joined in all, (M - 1)/M S is split over the disjoint rings and crosses every
    link of them at the same time; each channel streams its part of ``accesses`` times
    (N - 1)/N S through memory beside it. The slower of the two sets the pace, since
    one slice moves while the other is reduced.
    """
    chip, *torus = dims
    chips, ranks = product(torus), product(dims)
    alone = xp.where(chips > 1, 0.0, 1.0)
    on_link = share(joined * chips) * size_bytes / disjoint_rings(torus)
    streamed = share(ranks) * size_bytes / channels(dims)
    inner = chips * (joined - 1.0)
    levels = (
        LevelCounts(
            rounds=inner,
            phases=alone * active(chip),
            bytes=alone * share(chip.members) * size_bytes,
        ),
        *(
            LevelCounts(rounds=steps, phases=active(dim), bytes=active(dim) * on_link)
            for dim, steps in zip(torus, path_rounds(torus), strict=True)
        ),
    )
    return (
        Counts(
            levels=levels,
            memory_rounds=inner + chips - 1.0,
            memory_bytes=accesses * streamed,
            flow="stream",
        ),
    )

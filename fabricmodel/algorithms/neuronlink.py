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
    folded_hops,
    is_power_of_two,
    log2_ceil,
    path_rounds,
    product,
    reducing,
    routed,
    share,
    wraps,
)
from fabricmodel.algorithms.torus import routed_scatter
from fabricmodel.algorithms.torus import tree_broadcast as torus_broadcast
from fabricmodel.algorithms.torus import tree_reduce as torus_reduce


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


def direct_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Scatter (or gather): the root's links carry what is for the other chips.

    (C - 1)/C S over the links of its chip between them, and (r - 1)/N S inside it.
    """
    chip, *torus = dims
    ranks = product(dims)
    (between,) = routed_scatter(torus, size_bytes)
    levels = tuple(
        dataclasses.replace(
            level,
            messages=active(dim) * xp.maximum(ranks - chip.members - 1.0, 0.0),
        )
        for dim, level in zip(torus, between.levels, strict=True)
    )
    r = xp.asarray(chip.members)
    inside = LevelCounts(
        rounds=active(chip),
        messages=active(chip) * xp.maximum(r - 2.0, 0.0),
        phases=active(chip),
        bytes=(r - 1.0) / ranks * size_bytes,
    )
    return (Counts(levels=(inside, *levels), flow="parallel"),)


def tree_broadcast(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Pipelined spanning tree over the chips, from whose memory the ranks then read."""
    return torus_broadcast(dims, size_bytes)


def tree_reduce(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Pipelined: a chain through the ranks of each chip, then a tree of the chips.

    r - 1 rounds and S bytes inside; the last rank of the root's chip adds what comes
    along the chain and what comes from every child of its chip.
    """
    chip, *torus = dims
    (chips,) = torus_reduce(torus, size_bytes)
    inside = LevelCounts(
        rounds=xp.asarray(chip.members) - 1.0,
        phases=active(chip),
        bytes=active(chip) * size_bytes,
    )
    return (
        dataclasses.replace(
            chips,
            levels=(inside, *chips.levels),
            reduced_bytes=chips.reduced_bytes + active(chip) * size_bytes,
        ),
    )


def rdh_all_gather(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Recursive doubling along the axes of the torus, then a stage inside the chip.

    A ring of four is a 2-cube, so each of the log2 C steps is one hop along one axis.
    The r ranks of a chip run r groups at once, each on its own part, and start on
    different axes: of a axes, axis x serves in step k the groups g with g + k = x
    (mod a), and carries 2^k S/N of each. The busiest axis of the slowest side sets the
    pace of a step. Sides of 2, or closed ones of 4, only.

    >>> chip = Dim(kind="clique", members=4.0, capacity=4.0)
    >>> side = Dim(kind="ring", members=4.0, capacity=4.0)
    >>> *between, inside = rdh_all_gather([chip, side, side], 64.0)
    >>> [float(step.levels[1].bytes) for step in between]
    [1.0, 2.0, 4.0, 8.0]
    >>> float(inside.levels[0].bytes)
    48.0
    """
    chip, *torus = dims
    bits = [log2_ceil(dim.members) for dim in torus]
    axes = sum(bits, xp.zeros(()))
    valid = xp.ones(())
    for dim in torus:
        n = xp.asarray(dim.members)
        cube = (n <= 2) | ((n == 4) & (wraps(dim) > 0))
        valid = valid * xp.where(cube, is_power_of_two(n), 0.0)
    steps = []
    for k in range(2 * len(torus)):
        levels = [LevelCounts()]
        for at, many in enumerate(bits):
            first = sum(bits[:at], xp.zeros(()))
            groups = xp.zeros(())
            for axis in range(2):
                here = _groups_on(first + axis, k, chip.members, axes)
                groups = xp.maximum(groups, xp.where(axis < many, here, 0.0))
            groups = xp.where(k < axes, groups, 0.0)
            used = xp.where(groups > 0, 1.0, 0.0)
            moved = groups * 2.0**k * size_bytes / product(dims)
            levels.append(LevelCounts(rounds=used, phases=used, bytes=moved))
        steps.append(Counts(levels=tuple(levels), valid=valid, flow="parallel"))
    inside = LevelCounts(
        rounds=active(chip),
        phases=active(chip),
        bytes=share(chip.members) * size_bytes,
    )
    idle = tuple(LevelCounts() for _ in torus)
    return (*steps, Counts(levels=(inside, *idle), valid=valid))


def _groups_on(axis: Numeric, step: int, groups: Numeric, axes: Numeric) -> Array:
    """Groups that go along an axis in a step, of so many that start one axis apart."""
    first = xp.mod(xp.asarray(axis) - step, xp.maximum(axes, 1.0))
    return xp.maximum(xp.ceil((groups - first) / xp.maximum(axes, 1.0) - 1e-5), 0.0)


def rdh_reduce_scatter(dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Reduce inside the chip, then recursive halving along the axes."""
    *steps, inside = rdh_all_gather(dims, size_bytes)
    chip, chips = dims[0], product(dims[1:])
    halved = [
        dataclasses.replace(
            step,
            reduced_bytes=xp.where(2.0**k < chips, 2.0**k, 0.0)
            * size_bytes
            / product(dims),
        )
        for k, step in enumerate(steps)
    ]
    return (
        dataclasses.replace(inside, reduced_bytes=share(chip.members) * size_bytes),
        *reversed(halved),
    )


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
    (N - 1)/N S through memory beside it, which is how a byte gets from rank to rank
    inside a chip (bytes of the chip's own level are counted for a single chip alone).
    The slower of the two sets the pace, since one slice moves while the other is
    reduced. A line of chips is folded to a ring of steps of two links.
    """
    chip, *torus = dims
    chips, ranks = product(torus), product(dims)
    alone = xp.where(chips > 1, 0.0, 1.0)
    used = sum((active(dim) for dim in torus), xp.zeros(()))
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
            LevelCounts(
                rounds=steps,
                hops=xp.where(used == 1.0, folded_hops(dim), 0.0)
                * xp.maximum(chips - 2.0, 0.0),
                phases=active(dim),
                bytes=active(dim) * on_link,
            )
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

"""How a collective crosses several domains: in stages, or flat through all of them.

``p_d`` ranks lie inside a member of domain d; ``S`` bytes of the full vector.
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
    log2_ceil,
    product,
    share,
    total,
)
from fabricmodel.algorithms.flat import double_tree_reduced, double_tree_volume

# Ranks outside / inside a domain decide how much of S a stage handles.
_STAGE_SIZE = {
    "all_gather": "inner",
    "reduce_scatter": "inner",
    "all_to_all": "whole",
    "broadcast": "whole",
    "reduce": "whole",
    "gather": "outer",
    "scatter": "outer",
    "send_recv": "whole",
}


def stage_sizes(
    collective: str, domains: Sequence[Sequence[Dim]], size_bytes: Numeric
) -> list[Array]:
    """Bytes that each domain handles when a collective runs stage by stage.

    all_gather and reduce_scatter shrink the vector by every rank inside (S/p_d);
    gather and scatter hand a unit only what is meant for it; the others carry S. An
    all_reduce is a reduce_scatter inside, an all_reduce outside and an all_gather
    inside, each of the all_gather's size. Source: AWS Neuron documentation,
    "Inter-node collective communications", hierarchical algorithms.

    >>> node, net = Dim(kind="clique", members=4.0), Dim(kind="switch", members=8.0)
    >>> sizes = stage_sizes("all_gather", [[node], [net]], 32.0)
    >>> [float(size) for size in sizes]
    [32.0, 8.0]
    """
    counts = [product(dims) for dims in domains]
    how = _STAGE_SIZE["all_gather" if collective == "all_reduce" else collective]
    sizes = []
    for at in range(len(domains)):
        others = {"inner": counts[:at], "outer": counts[at + 1 :], "whole": []}[how]
        divisor = xp.ones(())
        for count in others:
            divisor = divisor * count
        sizes.append(size_bytes / divisor)
    return sizes


def pipelined(
    stages: Sequence[tuple[Sequence[int], Phases]], depth: int, chunks: Numeric
) -> Phases:
    """Run stages on m chunks of the vector, each chunk in its next stage at once.

    ``T = sum_i t_i(S/m) + (m - 1) max_l sum_{i on l} t_i(S/m)``: the first chunk goes
    through all stages, and the others follow as fast as the busiest level lets them, on
    which stages may share (an all_reduce gathers where it has scattered). One chunk:
    stage after stage. Every chunk pays the rounds of a stage again.

    Args:
      stages: in their order, each with the places of its levels, and its phases for
        the part of the vector that it handles (``stage_sizes``).
      depth: levels there are.
      chunks: m, at least 1.

    >>> node, net = Dim(kind="switch", members=4.0), Dim(kind="switch", members=8.0)
    >>> def phase(rounds, moved):
    ...     return (Counts(levels=(LevelCounts(rounds=rounds, bytes=moved),)),)
    >>> stages = [([0], phase(3.0, 6.0)), ([1], phase(7.0, 7.0))]
    >>> *first, rest = pipelined(stages, 2, 4.0)
    >>> [float(level.bytes) for level in first[1].levels]
    [0.0, 1.75]
    >>> rest.flow, [float(level.rounds) for level in rest.levels]
    ('parallel', [9.0, 21.0])
    """
    m = xp.asarray(chunks)
    first = [
        _scaled(_on_levels(phase, places, depth), 1.0, 1.0 / m)
        for places, phases in stages
        for phase in phases
    ]
    busy = _scaled(total(tuple(first)), m - 1.0, m - 1.0)
    return (*first, dataclasses.replace(busy, flow="parallel"))


def _on_levels(phase: Counts, places: Sequence[int], depth: int) -> Counts:
    """The same on its places among all levels; the others are idle."""
    idle = LevelCounts()
    levels = dict(zip(places, phase.levels, strict=True))
    return dataclasses.replace(
        phase, levels=tuple(levels.get(at, idle) for at in range(depth))
    )


def _scaled(phase: Counts, events: Numeric, moved: Numeric) -> Counts:
    """Rounds and their like times one factor, bytes times another."""
    levels = tuple(
        LevelCounts(
            rounds=level.rounds * events,
            hops=level.hops * events,
            messages=level.messages * events,
            phases=level.phases * events,
            bytes=level.bytes * moved,
        )
        for level in phase.levels
    )
    return dataclasses.replace(
        phase,
        levels=levels,
        reduced_bytes=phase.reduced_bytes * moved,
        memory_rounds=phase.memory_rounds * events,
        memory_bytes=phase.memory_bytes * moved,
    )


def flat_ring(collective: str, dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """One ring through every rank, unit by unit; the dearest level sets the pace.

    all_gather and reduce_scatter: N - 1 rounds, of which a level takes (n - 1) for
    every unit outside it, (N - 1)/N S bytes through every level at once, and each
    unit's links are shared by all of its rings (one a link). all_reduce: twice that.
    broadcast and reduce: a pipelined chain of the same N - 1 rounds, S bytes.
    Source: NCCL's ring, as its tuning model counts it.
    """
    ranks = product(dims)
    chain = collective in ("broadcast", "reduce")
    volume = size_bytes if chain else share(ranks) * size_bytes
    levels, units = [], ranks
    for dim in dims:
        units = units / dim.members
        levels.append(
            LevelCounts(
                rounds=(xp.asarray(dim.members) - 1.0) * units,
                phases=active(dim),
                bytes=active(dim) * volume * _links_shared(dim),
            )
        )
    gather = Counts(levels=tuple(levels), flow="segmented" if chain else "stream")
    some = xp.where(ranks > 1, 1.0, 0.0)
    scatter = dataclasses.replace(gather, reduced_bytes=some * volume)
    return {
        "all_gather": (gather,),
        "broadcast": (gather,),
        "reduce_scatter": (scatter,),
        "reduce": (scatter,),
        "all_reduce": (scatter, gather),
    }[collective]


def flat_tree(collective: str, dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Two trees over the units, chains inside them, pipelined: an all_reduce.

    Up and down, 2 (n - 1) rounds along the chain of the innermost level and
    2 ceil(log2 n) over each one outside it. A member in the middle of a chain, and a
    unit, which is an inner node of one tree and a leaf of the other, sends 2 S bytes;
    where there are only two of them each sends S, and a unit of three 3/2 S. The rank
    at the head of a chain adds what comes along it, S, and what comes from the children
    of its unit, S more where it has two in a tree.
    Source: NCCL's double binary tree (Jeaugey, 2019).
    """
    del collective
    levels = []
    for at, dim in enumerate(dims):
        chain = at == 0 and len(dims) > 1
        n = xp.asarray(dim.members)
        sent = xp.where(n > 2, 2.0, 1.0) if chain else double_tree_volume(n)
        levels.append(
            LevelCounts(
                rounds=2.0 * (n - 1.0 if chain else log2_ceil(n)),
                phases=2.0 * active(dim),
                bytes=sent * active(dim) * size_bytes * _links_shared(dim),
            )
        )
    inner, *outer = dims if len(dims) > 1 else (Dim(kind="switch"), *dims)
    added = active(inner) + sum(
        (double_tree_reduced(dim.members) for dim in outer), xp.zeros(())
    )
    reduced = added * size_bytes
    return (Counts(levels=tuple(levels), reduced_bytes=reduced, flow="segmented"),)


def flat_direct(collective: str, dims: Sequence[Dim], size_bytes: Numeric) -> Phases:
    """Everyone sends to everyone at once, over the level on which the peer lies.

    all_to_all: one round on each level in use, a message to each of the (n - 1) p
    peers that a level of n members of p ranks leads to, S/N bytes each.
    Source: NCCL's all_to_all, grouped sends and receives.
    """
    del collective
    ranks, levels = product(dims), []
    for dim in dims:
        peers = (xp.asarray(dim.members) - 1.0) * dim.ranks_inside
        levels.append(
            LevelCounts(
                rounds=active(dim),
                messages=active(dim) * (peers - 1.0),
                phases=active(dim),
                bytes=peers / ranks * size_bytes * dim.ranks_per_link,
            )
        )
    return (Counts(levels=tuple(levels), flow="parallel"),)


def _links_shared(dim: Dim) -> Array:
    """Rings of one unit over one of its links: ``ranks_per_link`` over ranks inside.

    A unit of p ranks sends each byte of a flat ring once over one of its u links, so
    a link carries 1/u of it; ``ranks_per_link`` is p/u, and ``ranks_inside`` is p.
    """
    return xp.asarray(dim.ranks_per_link) / dim.ranks_inside

"""What no algorithm can beat: counted once per shape, priced with the fabric's own."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from chex import Numeric
from jax import Array

from fabricmodel._pytree import pytree
from fabricmodel.algorithms import arrays as xp
from fabricmodel.algorithms.counts import (
    Dim,
    active,
    directions,
    exchange_load,
    product,
    share,
)
from fabricmodel.fabric import Fabric, Level
from fabricmodel.timing.selection import over

_SYMMETRIC = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0}


@pytree
class BoundCounts:
    """What has to happen, for a vector of one byte; L levels.

    Attributes:
      used: (L,) 1 where a level has more than one member: one round at least.
      crossing: (L,) bytes over the border of a unit, a member of the level.
      links: (L, L) links out of that unit, on the level of the column.
      busiest: (L,) bytes over the busiest link of a ring, for all_to_all.
      reduced: bytes that a rank reduces.
    """

    used: Array
    crossing: Array
    links: Array
    busiest: Array
    reduced: Array


def bound_counts(
    levels: Sequence[Level],
    dims: Sequence[Dim],
    collective: str,
    *,
    in_network: bool = False,
) -> BoundCounts:
    """Count what a collective can't avoid on this shape.

    A unit of p ranks out of N has to take in (N - p)/N S for all_gather and
    reduce_scatter, twice that for all_reduce, p times that for all_to_all, and half of
    S, at least, for the others. It does so over its links on its own level and on
    every level further out, which it shares with its neighbours there. Switches that
    reduce spare an all_reduce half of that, and the ranks the reduction.
    """
    ranks = product(dims)
    both = list(zip(levels, dims, strict=True))
    owned = [_links(levels, level, dim) for level, dim in both]
    fair = collective in (*_SYMMETRIC, "all_to_all")
    nothing = xp.zeros(())
    links, crossing, busiest = [], [], []
    for at, (level, dim) in enumerate(both):
        inside = xp.asarray(dim.ranks_inside)
        for column, further in enumerate(dims):
            units = xp.asarray(further.ranks_inside) / inside
            mine = owned[column] / (units if fair else 1.0)
            links.append(mine if column >= at else nothing)
        eased = 0.5 if in_network and collective == "all_reduce" else 1.0
        crossing.append(eased * _crossing(collective, inside, ranks))
        ring = collective == "all_to_all" and level.kind in ("ring", "line")
        load = exchange_load(dim) * _sharing(levels, level, dim)
        busiest.append(load if ring else nothing)
    reduces = collective in ("all_reduce", "reduce_scatter") and not in_network
    depth = len(dims)
    return BoundCounts(
        used=xp.stack([active(dim) for dim in dims]),
        crossing=xp.stack(crossing),
        links=xp.stack(links).reshape(depth, depth),
        busiest=xp.stack(busiest),
        reduced=xp.asarray(share(ranks) if reduces else nothing),
    )


def bound_seconds(counts: BoundCounts, fabric: Fabric, size_bytes: Numeric) -> Array:
    """Largest of the unavoidable parts, in seconds, the launch not included.

    One round on any level in use; for each unit its crossing bytes over all of its
    links; for all_to_all the busiest link of a ring; the bytes that a rank reduces.
    Sources: Chan et al. (2007); Patarasuk and Yuan (2009); the bisection of a torus.
    Reduction inside the network, which halves the all_reduce, is in the counts where
    the fabric has it.
    """
    axes, cases = jnp.ndim(size_bytes), jnp.shape(size_bytes)
    byte_s = jnp.asarray(xp.stack([level.byte_s for level in fabric.levels]))
    round_s = jnp.asarray(xp.stack([level.round_s for level in fabric.levels]))
    byte_s, round_s = over(byte_s, 1 + axes), over(round_s, 1 + axes)
    links = over(counts.links, 2 + axes)
    used, busiest = over(counts.used, 1 + axes), over(counts.busiest, 1 + axes)
    free = (byte_s <= 0) & (links > 0)
    rates = jnp.where(free, jnp.inf, links / jnp.where(byte_s > 0, byte_s, 1.0))
    rate = jnp.sum(rates, axis=1)
    crossing = over(counts.crossing, 1 + axes) / jnp.where(rate > 0, rate, 1.0)
    parts = [
        used * round_s,
        size_bytes * jnp.where(rate > 0, crossing, 0.0),
        size_bytes * busiest * byte_s,
        (size_bytes * counts.reduced * fabric.reduce_byte_s)[None],
    ]
    return jnp.max(
        jnp.concatenate(
            [jnp.broadcast_to(part, (part.shape[0], *cases)) for part in parts]
        ),
        axis=0,
    )


def _crossing(collective: str, inside: Array, ranks: Array) -> Array:
    """Bytes that have to cross the border of a unit of ``inside`` ranks."""
    outside = (ranks - inside) / ranks
    if collective == "all_to_all":
        return inside * outside
    if collective in _SYMMETRIC:
        return _SYMMETRIC[collective] * outside
    return xp.where(outside > 0, 0.5, 0.0)


def _links(levels: Sequence[Level], level: Level, dim: Dim) -> Array:
    """Links, of one direction, out of one member of a level."""
    links = active(dim) * xp.asarray(dim.ranks_inside) / _sharing(levels, level, dim)
    if level.kind in ("ring", "line"):
        return links * directions(dim)
    if level.kind == "clique":
        return links * xp.maximum(xp.asarray(dim.members) - 1.0, 1.0)
    return links


def _sharing(levels: Sequence[Level], level: Level, dim: Dim) -> Array:
    """Ranks on one link; the ranks of a NeuronLink chip share the chip's links."""
    if level.family == "neuronlink" and level.kind in ("ring", "line"):
        return xp.asarray(levels[0].members)
    return xp.asarray(dim.ranks_per_link)

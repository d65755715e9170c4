"""What no algorithm can beat, at the fabric's own prices."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from chex import Numeric
from jax import Array

from fabricmodel.algorithms.counts import (
    Dim,
    active,
    directions,
    exchange_load,
    product,
    share,
)
from fabricmodel.fabric import Fabric, Level
from fabricmodel.timing.table import topology

_SYMMETRIC = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0}


def bound_s(fabric: Fabric, collective: str, size_bytes: Numeric) -> Array:
    """Physical lower bound of a collective, in seconds, at the fabric's own prices.

    The launch, and then the largest of

    - one round on any level in use;
    - for each level, the bytes that must cross the border of a unit (a member of the
      level, p ranks of N) over all the links out of it, on this level and further out:
      (N - p)/N S for all_gather and reduce_scatter, twice that for all_reduce, p times
      that for all_to_all; half of S, at least, for the others;
    - for all_to_all, the bytes over the busiest link of a ring or line;
    - the (N - 1)/N S bytes that a rank reduces.

    Sources: Chan et al. (2007); Patarasuk and Yuan (2009); the bisection of a torus.
    Reduction inside the network, which would halve the all_reduce, is not assumed.
    """
    dims = topology(fabric.levels)
    ranks = product(dims)
    capacities = _capacities(fabric.levels, dims)
    parts = [jnp.zeros(())]
    for at, (level, dim) in enumerate(zip(fabric.levels, dims, strict=True)):
        inside = jnp.asarray(dim.ranks_inside)
        outwards = jnp.zeros(())
        for further, capacity in zip(dims[at:], capacities[at:], strict=True):
            units = jnp.asarray(further.ranks_inside) / inside
            shared = units if collective in (*_SYMMETRIC, "all_to_all") else 1.0
            outwards = outwards + capacity / shared
        crossing = _crossing_bytes(collective, size_bytes, inside, ranks)
        safe = jnp.where(outwards > 0, outwards, 1.0)
        parts.append(jnp.where(outwards > 0, crossing / safe, 0.0))
        parts.append(active(dim) * level.round_s)
        if collective == "all_to_all" and level.kind in ("ring", "line"):
            sharing = _sharing(fabric.levels, level, dim)
            busiest = size_bytes * exchange_load(dim) * sharing
            parts.append(busiest * level.byte_s)
    if collective in ("all_reduce", "reduce_scatter"):
        parts.append(share(ranks) * size_bytes * fabric.reduce_byte_s)
    largest = jnp.max(jnp.stack(jnp.broadcast_arrays(*parts)), axis=0)
    return fabric.launch_s.get(collective, 0.0) + largest


def _crossing_bytes(
    collective: str, size_bytes: Numeric, inside: Array, ranks: Array
) -> Array:
    """Bytes that have to cross the border of a unit of ``inside`` ranks."""
    outside = (ranks - inside) / ranks
    if collective == "all_to_all":
        return inside * outside * size_bytes
    if collective in _SYMMETRIC:
        return _SYMMETRIC[collective] * outside * size_bytes
    return jnp.where(outside > 0, 0.5 * size_bytes, 0.0)


def _capacities(levels: Sequence[Level], dims: Sequence[Dim]) -> list[Array]:
    """Bytes per second out of one member of each level, over that level's links."""
    rates = []
    for level, dim in zip(levels, dims, strict=True):
        links = jnp.asarray(dim.ranks_inside) / _sharing(levels, level, dim)
        if level.kind in ("ring", "line"):
            links = links * directions(dim)
        elif level.kind == "clique":
            links = links * jnp.maximum(jnp.asarray(dim.members) - 1.0, 1.0)
        price = jnp.asarray(level.byte_s)
        free = jnp.where(price > 0, price, 1.0)
        rates.append(active(dim) * jnp.where(price > 0, links / free, jnp.inf))
    return rates


def _sharing(levels: Sequence[Level], level: Level, dim: Dim) -> Array:
    """Ranks on one link; the ranks of a NeuronLink chip share the chip's links."""
    chip = levels[0]
    if level.family == "neuronlink" and level.kind in ("ring", "line"):
        return jnp.asarray(chip.members)
    return jnp.asarray(dim.ranks_per_link)

"""What a larger scale adds to the counts of a level: tiers, stragglers, crowding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
from chex import Numeric
from jax import Array

from fabricmodel._pytree import pytree
from fabricmodel.algorithms import arrays as xp
from fabricmodel.fabric import Level
from fabricmodel.timing.selection import slowest_of
from fabricmodel.timing.table import CountTable


@pytree
class Scale:
    """What the shape of a fabric makes of its counts; of numpy for a known shape.

    Attributes:
      hops: (L,) tiers of switches that each round crosses beyond the first.
      doublings: (L,) of the members that share the level.
      slowest: standard deviations by which the slowest of all ranks is late.
    """

    hops: Array | np.ndarray
    doublings: Array | np.ndarray
    slowest: Numeric


def scale_of(levels: Sequence[Level]) -> Scale:
    """Return what the members of the levels make of their counts.

    >>> scale = scale_of([Level(name="net", kind="switch", members=8.0, radix=4.0)])
    >>> scale.hops.tolist(), scale.doublings.tolist(), round(float(scale.slowest), 2)
    ([2.0], [3.0], 1.43)
    """
    tiers = [
        tier_hops(level.members, level.uplinks, level.radix, level.rails)
        for level in levels
    ]
    doublings = [xp.log2(xp.maximum(level.members, 1.0)) for level in levels]
    ranks = math.prod(
        (xp.asarray(level.members) for level in levels), start=xp.ones(())
    )
    return Scale(
        hops=xp.stack(tiers), doublings=xp.stack(doublings), slowest=_slowest(ranks)
    )


def tier_hops(
    members: Numeric, uplinks: Numeric, radix: Numeric, rails: Numeric = 0.0
) -> Numeric:
    """Switches beyond the first on the longest way through a folded Clos.

    t tiers of k-port switches reach 2 (k/2)^t ends, and the way up and down crosses
    2 t - 1 of them. On rails the first tier joins the ranks of one place in k/2
    units. Zero where the radix is not known (0).

    >>> float(tier_hops(1000.0, 1.0, 64.0))
    2.0
    """
    known = xp.asarray(radix) > 2
    half = xp.where(known, xp.asarray(radix) / 2.0, 2.0)
    ends = xp.asarray(members) * xp.maximum(uplinks, 1.0)
    tiers = xp.ceil(xp.log2(xp.maximum(ends / 2.0, 1.0)) / xp.log2(half) - 1e-5)
    railed = (xp.asarray(rails) > 0) & (xp.asarray(members) <= half)
    tiers = xp.where(railed, 1.0, xp.maximum(tiers, 1.0))
    return xp.where(known, 2.0 * tiers - 2.0, 0.0)


def scaled_counts(table: CountTable, scale: Scale) -> tuple[Array, Array]:
    """Counts of each phase on each level, as the prices of a level want them.

    latency = (rounds, hops + rounds x tiers, messages, joins b_N) . (round_s, hop_s,
              message_s, jitter_s);
    transfer = (bytes, bytes x doublings) . (byte_s, crowd_byte_s).

    Returns:
      (P, L, 4) and, for a vector of one byte, (P, L, 2).
    """
    rounds, hops, messages, joins, moved = (table.levels[..., i] for i in range(5))
    events = [rounds, hops + rounds * scale.hops, messages, joins * scale.slowest]
    return (
        jnp.stack(events, axis=-1),
        jnp.stack([moved, moved * scale.doublings], axis=-1),
    )


def _slowest(ranks: Numeric) -> Numeric:
    """As ``slowest_of``, in numpy where the number of ranks is known."""
    if isinstance(ranks, jax.Array):
        return slowest_of(ranks)
    return -NormalDist().inv_cdf(0.625 / (float(ranks) + 0.25))

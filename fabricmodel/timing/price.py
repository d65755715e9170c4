"""Counts x prices: the seconds of every candidate at once, and the choice among them.

Time is linear in the prices but in three places, each homogeneous of degree one:
parallel parts and streams take the (smooth) maximum, a segmented stream adds the cross
term of its best segment, ``2 sqrt(latency x transfer)``, and a memory stream beside the
links counts where it is the slower. So doubling every price doubles the time, and
price x derivative, summed over the prices, is the time (Euler): that is how a
prediction is taken apart into terms.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from chex import Numeric
from jax import Array

from fabricmodel.fabric import Fabric, Level
from fabricmodel.timing.bounds import bound_seconds
from fabricmodel.timing.selection import slowest_of, soft_max, soft_min_groups
from fabricmodel.timing.table import CountTable, total_ranks


def tier_hops(
    members: Array, uplinks: Array, radix: Array, rails: Numeric = 0.0
) -> Array:
    """Switches beyond the first on the longest way through a folded Clos.

    t tiers of k-port switches reach 2 (k/2)^t ends, and the way up and down crosses
    2 t - 1 of them. On rails the first tier joins the ranks of one place in k/2
    units. Zero where the radix is not known (0).

    >>> float(tier_hops(jnp.array(1000.0), jnp.array(1.0), jnp.array(64.0)))
    2.0
    """
    known = radix > 2
    half = jnp.where(known, radix / 2.0, 2.0)
    ends = members * jnp.maximum(uplinks, 1.0)
    tiers = jnp.ceil(jnp.log(jnp.maximum(ends / 2.0, 1.0)) / jnp.log(half) - 1e-5)
    tiers = jnp.where((rails > 0) & (members <= half), 1.0, jnp.maximum(tiers, 1.0))
    return jnp.where(known, 2.0 * tiers - 2.0, 0.0)


def level_prices(levels: Sequence[Level], ranks: Numeric) -> tuple[Array, Array]:
    """Price vectors of the levels: (4, L) for latency, (L,) for a byte.

    latency = rounds (round_s + tiers hop_s) + hops hop_s + messages message_s
              + joins b_N jitter_s;
    transfer = bytes (byte_s + log2(members) crowd_byte_s).
    """

    def row(field: str) -> Array:
        return jnp.stack(
            [jnp.asarray(getattr(level, field), float) for level in levels]
        )

    members, hop_s = row("members"), row("hop_s")
    tiers = tier_hops(members, row("uplinks"), row("radix"), row("rails"))
    doublings = jnp.log2(jnp.maximum(members, 1.0))
    per_event = jnp.stack(
        [
            row("round_s") + tiers * hop_s,
            hop_s,
            row("message_s"),
            slowest_of(ranks) * row("jitter_s"),
        ]
    )
    return per_event, row("byte_s") + doublings * row("crowd_byte_s")


def phase_seconds(table: CountTable, fabric: Fabric, size_bytes: Numeric) -> Array:
    """Seconds of each phase, (P,), its levels combined as its flow says."""
    ranks = total_ranks(fabric.levels)
    per_event, per_byte = level_prices(fabric.levels, ranks)
    latency_factor, transfer_factor = _phase_factors(table, fabric)
    latency = latency_factor[:, None] * jnp.einsum(
        "ple,el->pl", table.levels[..., :4], per_event
    )
    transfer = transfer_factor[:, None] * size_bytes * table.levels[..., 4] * per_byte
    reduction = size_bytes * table.sides[:, 0] * fabric.reduce_byte_s
    memory = (
        table.sides[:, 1] * fabric.memory_round_s
        + size_bytes * table.sides[:, 2] * fabric.memory_byte_s
    ) * transfer_factor
    chain, fullest = jnp.sum(latency, axis=1), soft_max(transfer, axis=1)
    cross = chain * fullest
    some = cross > 0
    cross = jnp.where(some, 2.0 * jnp.sqrt(jnp.where(some, cross, 1.0)), 0.0)
    flow = np.asarray(table.flows)
    links = jnp.select(
        [flow == "sequential", flow == "parallel", flow == "segmented"],
        [
            chain + jnp.sum(transfer, axis=1),
            soft_max(latency + transfer, axis=1),
            chain + fullest + cross,
        ],
        chain + fullest,
    )
    beside = soft_max(jnp.stack([links, memory + reduction]), axis=0)
    return jnp.where(flow == "stream", beside, links + reduction)


def candidate_seconds(table: CountTable, fabric: Fabric, size_bytes: Numeric) -> Array:
    """Seconds of each candidate, (C,): its phases one after another."""
    owner = np.zeros((len(table.candidates), len(table.flows)), np.float32)
    for row, candidate in enumerate(table.candidates):
        owner[row, list(candidate.phases)] = 1.0
    return jnp.asarray(owner) @ phase_seconds(table, fabric, size_bytes)


def collective_seconds(
    table: CountTable, fabric: Fabric, size_bytes: Numeric, launch_s: Numeric
) -> Array:
    """Seconds of a collective: the launch, and the best way, never below the bound."""
    best = best_seconds(table, fabric, size_bytes)
    bound = bound_seconds(table.bounds, fabric, size_bytes)
    return jnp.asarray(launch_s + soft_max(jnp.stack([best, bound]), axis=0))


def best_seconds(table: CountTable, fabric: Fabric, size_bytes: Numeric) -> Array:
    """Seconds of the best alternative, each of its stages by its best candidate."""
    times = candidate_seconds(table, fabric, size_bytes)
    names = table.stage_names
    group = np.array([names.index(c.stage) for c in table.candidates])
    stages = soft_min_groups(times, table.valid, group, len(names))
    whole = jnp.sum(table.stages * stages, axis=1)
    return soft_min_groups(whole, table.allowed, np.zeros(whole.shape[0], int), 1)[0]


def factor_names(stage: tuple[str, str], algorithm: str) -> tuple[str, str]:
    """Name the factors of an algorithm: shared by its collectives, and its own.

    >>> factor_names(("neuronlink", "all_gather"), "mesh")
    ('neuronlink.mesh', 'all_gather.neuronlink.mesh')
    """
    domain, collective = stage
    return f"{domain}.{algorithm}", f"{collective}.{domain}.{algorithm}"


def _phase_factors(table: CountTable, fabric: Fabric) -> tuple[Array, Array]:
    """Latency and transfer factor of each phase, (P,), from those of its algorithm."""
    names, phases = fabric.factors.names, len(table.flows)
    if not names:
        return jnp.ones(phases), jnp.ones(phases)
    own = np.zeros((2, phases, len(names)), np.float32)
    for candidate in table.candidates:
        for stem in factor_names(candidate.stage, candidate.algorithm):
            for part, kind in enumerate(("latency", "transfer")):
                if f"{stem}.{kind}" in names:
                    column = names.index(f"{stem}.{kind}")
                    own[part, list(candidate.phases), column] = 1.0
    both = jnp.exp(own @ jnp.log(jnp.asarray(fabric.factors.values, float)))
    return both[0], both[1]

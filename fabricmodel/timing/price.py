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

from fabricmodel.fabric import FACTOR_KINDS, Fabric, Level
from fabricmodel.timing.bounds import bound_seconds
from fabricmodel.timing.factors import (
    candidate_factors,
    level_factors,
    protocol_factors,
)
from fabricmodel.timing.rules import by_size
from fabricmodel.timing.selection import GUARD, slowest_of, soft_max, soft_min_groups
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
    """Seconds of each phase in each protocol, (P, Q), levels combined by its flow."""
    order, seconds = _by_flow(table, fabric, size_bytes)
    return seconds[np.argsort(order)]


def _by_flow(
    table: CountTable, fabric: Fabric, size_bytes: Numeric
) -> tuple[np.ndarray, Array]:
    """Seconds as ``phase_seconds``, flow after flow, and the phases in that order.

    A phase is combined in its own way alone: each way has its roots and powers.
    """
    ranks = total_ranks(fabric.levels)
    per_event, per_byte = level_prices(fabric.levels, ranks)
    owner, by_protocol = _owner(table), protocol_factors(fabric)
    by_candidate = candidate_factors(table, fabric, FACTOR_KINDS[:2])
    by_level = [level_factors(table, fabric, kind) for kind in FACTOR_KINDS[:2]]
    flows = np.asarray(table.flows)
    order, found = [], []
    for flow in np.unique(flows):
        rows = np.flatnonzero(flows == flow)
        levels, sides = table.levels[rows], table.sides[rows]
        # (P, Q): what an algorithm and a protocol cost against the counts
        latency_factor, transfer_factor = (
            by_candidate[part][owner[rows]][:, None] * by_protocol[part]
            for part in range(2)
        )
        latency = jnp.einsum("ple,el->pl", levels[..., :4], per_event)
        transfer = size_bytes * levels[..., 4] * per_byte
        latency = latency_factor[..., None] * latency[:, None]
        transfer = transfer_factor[..., None] * transfer[:, None]
        latency, transfer = (
            seconds if factor is None else factor[owner[rows]] * seconds
            for factor, seconds in zip(by_level, (latency, transfer), strict=True)
        )
        links = _flow_seconds(str(flow), latency, transfer)
        reduction = (size_bytes * sides[:, 0] * fabric.reduce_byte_s)[:, None]
        if flow == "stream":
            memory = (
                sides[:, 1] * fabric.memory_round_s
                + size_bytes * sides[:, 2] * fabric.memory_byte_s
            )[:, None] * transfer_factor
            seconds = soft_max(jnp.stack([links, memory + reduction]), axis=0)
        else:
            seconds = links + reduction
        order.append(rows)
        found.append(seconds)
    return np.concatenate(order), jnp.concatenate(found)


def _flow_seconds(flow: str, latency: Array, transfer: Array) -> Array:
    """Seconds on the links of phases of one flow, (P, Q), from theirs by level."""
    if flow == "parallel":
        return soft_max(latency + transfer, axis=-1)
    chain = jnp.sum(latency, axis=-1)
    if flow == "sequential":
        return chain + jnp.sum(transfer, axis=-1)
    fullest = soft_max(transfer, axis=-1)
    if flow == "stream":
        return chain + fullest
    cross = chain * fullest
    some = cross > 0
    cross = jnp.where(some, 2.0 * jnp.sqrt(jnp.where(some, cross, 1.0)), 0.0)
    return chain + fullest + cross


def candidate_seconds(table: CountTable, fabric: Fabric, size_bytes: Numeric) -> Array:
    """Seconds of each candidate in each protocol, (C, Q): its phases in turn."""
    owner = np.zeros((len(table.candidates), len(table.flows)), np.float32)
    for row, candidate in enumerate(table.candidates):
        owner[row, list(candidate.phases)] = 1.0
    order, seconds = _by_flow(table, fabric, size_bytes)
    return jnp.asarray(owner[:, order]) @ seconds


def collective_seconds(
    table: CountTable,
    fabric: Fabric,
    size_bytes: Numeric,
    launch_s: Numeric,
    *,
    frozen: bool = False,
) -> Array:
    """Seconds of a collective: the launch, and the best way, never below the bound.

    On top what a rank copies of its own share, from what it sends to what it receives.

    ``frozen`` as in ``timing.selection``: the same seconds, and derivatives that say
    what they are made of.
    """
    best = best_seconds(table, fabric, size_bytes, frozen=frozen)
    bound = bound_seconds(table.bounds, fabric, size_bytes)
    guarded = soft_max(jnp.stack([best, bound]), axis=0, sharpness=GUARD)
    copied = size_bytes * table.copied * fabric.copy_byte_s
    return jnp.asarray(launch_s + guarded + copied)


def best_seconds(
    table: CountTable, fabric: Fabric, size_bytes: Numeric, *, frozen: bool = False
) -> Array:
    """Seconds of the best alternative, each of its stages by what its library picks.

    A library picks by its own estimate, which is off by the factor ``choice`` of an
    algorithm or a protocol; what it picked then takes the time that it takes.
    """
    table = by_size(table, fabric, size_bytes)
    times = candidate_seconds(table, fabric, size_bytes)
    protocols = times.shape[1]
    valid = table.valid[:, None] * _sent(table, fabric)
    names = table.stage_names
    group = np.array([names.index(c.stage) for c in table.candidates])
    stages = soft_min_groups(
        times.reshape(-1),
        valid.reshape(-1),
        np.repeat(group, protocols),
        len(names),
        believed_bias(table, fabric),
        frozen=frozen,
    )
    whole = jnp.sum(table.stages * stages, axis=1)
    return soft_min_groups(whole, table.allowed, np.zeros(whole.shape[0], int), 1)[0]


def candidate_estimates(
    table: CountTable, fabric: Fabric, size_bytes: Numeric
) -> Array:
    """Log seconds that the library expects of each candidate, best protocol, (C,).

    The log of the time where the fabric has no factor ``choice``; infinite where a
    rule excludes it.
    """
    left = by_size(table, fabric, size_bytes)
    logs = jnp.log(candidate_seconds(table, fabric, size_bytes))
    logs = jnp.where(_sent(table, fabric) > 0, logs, jnp.inf)
    bias = believed_bias(table, fabric)
    logs = logs if bias is None else logs + bias.reshape(logs.shape)
    least = jnp.min(logs, axis=1)
    return least if left is table else jnp.where(left.valid > 0, least, jnp.inf)


def believed_bias(table: CountTable, fabric: Fabric) -> Array | None:
    """Log of the library's estimate over the time, (C Q,); None where it is right."""
    if not any(name.endswith(".choice") for name in fabric.factors.names):
        return None
    by_candidate = jnp.log(candidate_factors(table, fabric, ("choice",))[0])
    by_protocol = jnp.log(protocol_factors(fabric)[2])
    return (by_candidate[:, None] + by_protocol).reshape(-1)


def _owner(table: CountTable) -> np.ndarray:
    """Candidate that each phase belongs to, (P,)."""
    owner = np.zeros(len(table.flows), int)
    for row, candidate in enumerate(table.candidates):
        owner[list(candidate.phases)] = row
    return owner


def _sent(table: CountTable, fabric: Fabric) -> np.ndarray:
    """1 where a candidate can be sent in a protocol, (C, Q)."""
    return np.array(
        [
            [float(not c.protocols or name in c.protocols) for name in fabric.protocols]
            for c in table.candidates
        ],
        np.float32,
    )

"""Counts x prices: the seconds of every candidate at once, and the choice among them.

Time is linear in the prices but in three places, each homogeneous of degree one:
parallel parts and streams take the (smooth) maximum, a segmented stream adds the cross
term of its best segment, ``2 sqrt(latency x transfer)``, and a memory stream beside the
links counts where it is the slower. So doubling every price doubles the time, and
price x derivative, summed over the prices, is the time (Euler): that is how a
prediction is taken apart into terms.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from chex import Numeric
from jax import Array

from fabricmodel.fabric import FACTOR_KINDS, LINK_PRICES, Fabric, Level
from fabricmodel.timing.bounds import bound_seconds
from fabricmodel.timing.factors import (
    candidate_factors,
    level_factors,
    protocol_factors,
)
from fabricmodel.timing.rules import by_size
from fabricmodel.timing.scale import Scale, scale_of, scaled_counts
from fabricmodel.timing.selection import GUARD, over, soft_max, soft_min_groups
from fabricmodel.timing.table import CountTable


def level_prices(levels: Sequence[Level]) -> tuple[Array, Array]:
    """Price vectors of the levels, of events and of bytes: (L, 4, ...), (L, 2, ...).

    In the order of ``timing.scale.scaled_counts``.
    """
    # stacked apart: cut out of one array, their derivatives would be padded and added
    return _stacked(levels, LINK_PRICES[:4]), _stacked(levels, LINK_PRICES[4:])


def _stacked(levels: Sequence[Level], fields: Sequence[str]) -> Array:
    """Stack some prices of the levels: (L, F, ...)."""
    rows = [
        jnp.asarray(getattr(level, field), float)
        for level in levels
        for field in fields
    ]
    prices = jnp.stack(jnp.broadcast_arrays(*rows))
    return prices.reshape(len(levels), len(fields), *prices.shape[1:])


def phase_seconds(
    table: CountTable,
    fabric: Fabric,
    size_bytes: Numeric,
    scale: Scale | None = None,
) -> Array:
    """Seconds of each phase in each protocol, (P, Q, ...), by its flow."""
    row, order, seconds = _by_flow(table, fabric, size_bytes, scale)
    return seconds[np.argsort(order)][row]


def _by_flow(
    table: CountTable, fabric: Fabric, size_bytes: Numeric, scale: Scale | None
) -> tuple[np.ndarray, np.ndarray, Array]:
    """Seconds of distinct phases, flow after flow.

    Before them the distinct phase of each, and those phases in that order.

    A phase is combined in its own way alone: each way has its roots and powers, and
    adds up as early as it can, so that few arrays hold a number for each level.
    """
    kept, row = _distinct(table, fabric)
    of_kept = np.asarray(table.flows)[kept]
    order = np.argsort(of_kept, kind="stable")
    flows, sizes = np.unique(of_kept, return_counts=True)
    taken = kept[order]
    scale = scale_of(fabric.levels) if scale is None else scale
    events, moved = (
        jnp.moveaxis(part[taken], 1, 0) for part in scaled_counts(table, scale)
    )
    axes = jnp.ndim(size_bytes)
    reduced, memory_rounds, memory_bytes = (
        over(table.sides[taken, column], 1 + axes) for column in range(3)
    )
    # (L or 1, P, Q, ...): what an algorithm and a protocol cost against the counts
    by_candidate = candidate_factors(table, fabric, FACTOR_KINDS[:2])
    owner, by_protocol = _owner(table)[taken], protocol_factors(fabric)
    latency_factor, transfer_factor = (
        over((by_candidate[part][:, None] * by_protocol[part])[owner][None], 3 + axes)
        for part in range(2)
    )
    by_level = [level_factors(table, fabric, kind) for kind in FACTOR_KINDS[:2]]
    factors = [
        factor if own is None else factor * over(own[:, owner], 3 + axes)
        for factor, own in zip((latency_factor, transfer_factor), by_level, strict=True)
    ]
    prices = level_prices(fabric.levels)
    found, start = [], 0
    for flow, count in zip(flows.tolist(), sizes.tolist(), strict=True):
        rows = slice(start, start + count)
        start += count
        links = _flow_seconds(
            flow,
            _Part(counts=events[:, rows], prices=prices[0], factor=factors[0][:, rows]),
            _Part(
                counts=moved[:, rows],
                prices=prices[1],
                factor=size_bytes * factors[1][:, rows],
            ),
        )
        reduction = (size_bytes * reduced[rows] * fabric.reduce_byte_s)[:, None]
        if flow == "stream":
            memory = (
                memory_rounds[rows] * fabric.memory_round_s
                + size_bytes * memory_bytes[rows] * fabric.memory_byte_s
            )[:, None] * transfer_factor[0, rows]
            found.append(soft_max(jnp.stack([links, memory + reduction]), axis=0))
        else:
            found.append(links + reduction)
    return row, order, jnp.concatenate(found)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Part:
    """Latency or transfer of phases.

    Counts (L, P, E), prices (L, E, ...), factors (L or 1, P, Q, ...): levels first and
    cases last, so that combining levels is arithmetic on long rows of cases.
    """

    counts: Array
    prices: Array
    factor: Array | np.ndarray

    def by_level(self) -> Array:
        """Seconds on each level, (L, P, Q, ...)."""
        seconds = jnp.einsum("lpe,le...->lp...", self.counts, self.prices)
        return jnp.asarray(
            self.factor * over(seconds[:, :, None], jnp.ndim(self.factor))
        )

    def chain(self) -> Array:
        """Sum over the levels, (P, Q, ...)."""
        if self.factor.shape[0] > 1:
            return jnp.sum(self.by_level(), axis=0)
        seconds = jnp.einsum("lpe,le...->p...", self.counts, self.prices)
        factor = self.factor[0]
        return jnp.asarray(factor * over(seconds[:, None], jnp.ndim(factor)))


def _flow_seconds(flow: str, latency: _Part, transfer: _Part) -> Array:
    """Seconds on the links of phases of one flow, (P, Q, ...)."""
    if flow == "parallel":
        return soft_max(latency.by_level() + transfer.by_level(), axis=0)
    chain = latency.chain()
    if flow == "sequential":
        return chain + transfer.chain()
    fullest = jnp.asarray(soft_max(transfer.by_level(), axis=0))
    if flow == "stream":
        return chain + fullest
    cross = chain * fullest
    some = cross > 0
    cross = jnp.where(some, 2.0 * jnp.sqrt(jnp.where(some, cross, 1.0)), 0.0)
    return chain + fullest + cross


def candidate_seconds(
    table: CountTable,
    fabric: Fabric,
    size_bytes: Numeric,
    scale: Scale | None = None,
) -> Array:
    """Seconds of each candidate in each protocol, (C, Q, ...): its phases in turn.

    ``scale`` is that of the fabric's levels, where it is known beforehand. Many
    cases of one shape are quickest at once: (n,) sizes, and prices of () or (n,).
    """
    row, order, seconds = _by_flow(table, fabric, size_bytes, scale)
    owner = np.zeros((len(table.candidates), len(order)), np.float32)
    for at, candidate in enumerate(table.candidates):
        np.add.at(owner[at], row[list(candidate.phases)], 1.0)
    return jnp.tensordot(jnp.asarray(owner[:, order]), seconds, 1)


def collective_seconds(
    table: CountTable,
    fabric: Fabric,
    size_bytes: Numeric,
    launch_s: Numeric,
    scale: Scale | None = None,
    *,
    frozen: bool = False,
) -> Array:
    """Seconds of a collective: the launch, and the best way, never below the bound.

    On top what a rank copies of its own share, from what it sends to what it receives.

    ``frozen`` as in ``timing.selection``: the same seconds, and derivatives that say
    what they are made of. ``scale`` as in ``candidate_seconds``.
    """
    best = best_seconds(table, fabric, size_bytes, scale, frozen=frozen)
    bound = bound_seconds(table.bounds, fabric, size_bytes)
    guarded = soft_max(jnp.stack([best, bound]), axis=0, sharpness=GUARD)
    copied = size_bytes * table.copied * fabric.copy_byte_s
    return jnp.asarray(launch_s + guarded + copied)


def best_seconds(
    table: CountTable,
    fabric: Fabric,
    size_bytes: Numeric,
    scale: Scale | None = None,
    *,
    frozen: bool = False,
) -> Array:
    """Seconds of the best alternative, each of its stages by what its library picks.

    A library picks by its own estimate, which is off by the factor ``choice`` of an
    algorithm or a protocol; what it picked then takes the time that it takes.
    """
    table = by_size(table, fabric, size_bytes)
    times = candidate_seconds(table, fabric, size_bytes, scale)
    protocols = times.shape[1]
    axes = jnp.ndim(size_bytes)
    sent = over(_sent(table, fabric), 2 + axes)
    valid = over(table.valid, 1 + axes)[:, None] * sent
    names = table.stage_names
    group = np.array([names.index(c.stage) for c in table.candidates])
    stages = soft_min_groups(
        _joined(times),
        _joined(valid),
        np.repeat(group, protocols),
        len(names),
        believed_bias(table, fabric),
        frozen=frozen,
    )
    whole = jnp.sum(over(table.stages, 2 + axes) * stages, axis=1)
    return soft_min_groups(whole, table.allowed, np.zeros(whole.shape[0], int), 1)[0]


def candidate_estimates(
    table: CountTable,
    fabric: Fabric,
    size_bytes: Numeric,
    scale: Scale | None = None,
) -> Array:
    """Log seconds that the library expects of each candidate, best protocol, (C,).

    The log of the time where the fabric has no factor ``choice``; infinite where a
    rule excludes it.
    """
    left = by_size(table, fabric, size_bytes)
    logs = jnp.log(candidate_seconds(table, fabric, size_bytes, scale))
    logs = jnp.where(_sent(table, fabric) > 0, logs, jnp.inf)
    bias = believed_bias(table, fabric)
    logs = logs if bias is None else logs + bias.reshape(logs.shape)
    least = jnp.min(logs, axis=1)
    return least if left is table else jnp.where(left.valid > 0, least, jnp.inf)


def believed_bias(table: CountTable, fabric: Fabric) -> Array | None:
    """Log of the library's estimate over the time, (C Q, ...); None if it is right."""
    if not any(name.endswith(".choice") for name in fabric.factors.names):
        return None
    by_candidate = jnp.log(candidate_factors(table, fabric, ("choice",))[0])
    by_protocol = jnp.log(protocol_factors(fabric)[2])
    return _joined(by_candidate[:, None] + by_protocol)


def _joined(array: Array | np.ndarray) -> Array:
    """Join candidates and protocols: (C Q, ...)."""
    return jnp.reshape(array, (-1, *array.shape[2:]))


def _distinct(table: CountTable, fabric: Fabric) -> tuple[np.ndarray, np.ndarray]:
    """Phases that differ, (D,), and which of them each phase is, (P,).

    Candidates share many: an all_reduce is made of a reduce_scatter and an all_gather.
    Told apart by their counts, where those are numbers, and by their factors.
    """
    every = np.arange(len(table.flows))
    if not isinstance(table.levels, np.ndarray) or table.levels.ndim > 3:
        return every, every
    stems = {name.rsplit(".", 1)[0] for name in fabric.factors.names}
    known = {stem.rsplit(".", 1)[-1] for stem in stems}
    owner = _owner(table)
    found: dict[tuple, int] = {}
    row = []
    for at, flow in enumerate(table.flows):
        own = table.candidates[owner[at]].algorithm in known
        counts = table.levels[at].tobytes(), table.sides[at].tobytes()
        key = (flow, owner[at] if own else -1, *counts)
        row.append(found.setdefault(key, at))
    kept, back = np.unique(row, return_inverse=True)
    return kept, back


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

"""The collectives of many layouts, counted once per distinct case and priced at once.

What a price is made of comes from the collective model itself: its time is homogeneous
of degree one in the prices, so price x derivative, by kind of price, adds up to the
time (Euler). Four kinds are told apart: latency and bytes, inside a scale-up domain
and outside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from fabricmodel._pytree import pytree
from fabricmodel.fabric import Fabric, Level
from fabricmodel.fitting.cases import QUICK
from fabricmodel.timing.price import collective_seconds
from fabricmodel.timing.table import CountTable, count_table
from fabricmodel.training.groups import Group, group, spanned
from fabricmodel.training.traffic import Traffic

KINDS = ("inner_latency", "inner_bytes", "outer_latency", "outer_bytes")
"""What a collective's seconds are paid for; ``outer`` is the outermost level."""

_LATENCY = ("round_s", "hop_s", "message_s", "jitter_s")
_BYTES = ("byte_s", "crowd_byte_s")


@pytree
class Spent:
    """Seconds of each collective of a step, a call, taken apart.

    Attributes:
      seconds: (..., 4) by ``KINDS``, of all calls together.
      doublings: (...,) doublings of the units of the outermost level that one
        communicator spans.
    """

    seconds: np.ndarray | Array
    doublings: np.ndarray | Array


def price(
    fabric: Fabric, ranks: np.ndarray, wanted: Mapping[str, Traffic]
) -> dict[str, Spent]:
    """Price every collective of a batch of layouts on their part of a fabric.

    Equal questions (collective, communicator, size) are asked once.

    Args:
      fabric: one fabric; its members do not matter, its capacities do.
      ranks: (R,) of each job.
      wanted: as ``traffic`` lists it, with leaves that broadcast to (R,).

    Returns:
      By name: seconds of a step, (R, 4), and doublings (R,). Counting is done in
      numpy; the prices may be traced, so seconds differentiate in every one of them.
    """
    rows = len(ranks)
    bare = _anonymous(fabric)
    found: dict[str, Spent] = {}
    asked: dict[str, list[tuple[str, np.ndarray, Group, np.ndarray, np.ndarray]]] = {}
    for name, each in wanted.items():
        size, calls, stride, members = (
            np.broadcast_to(np.asarray(value, float), (rows,))
            for value in (each.size_bytes, each.calls, each.stride, each.size)
        )
        at = np.flatnonzero((calls > 0) & (members > 1) & (size > 0))
        place = group(fabric, ranks[at], stride[at], members[at])
        asked.setdefault(each.collective, []).append(
            (name, at, place, size[at], calls[at])
        )
        found[name] = Spent(seconds=np.zeros((rows, 4)), doublings=np.zeros(rows))
    for collective, parts in asked.items():
        sizes = np.concatenate([size for _, _, _, size, _ in parts])
        if not len(sizes):
            continue
        places = jax.tree.map(
            lambda *leaves: np.concatenate(leaves),
            *[place for _, _, place, _, _ in parts],
        )
        seconds = _once_each(bare, collective, places, sizes)
        start = 0
        for name, at, place, size, calls in parts:
            mine = seconds[start : start + len(size)]
            start += len(size)
            spans = np.log2(np.maximum(place.members[:, -1], 1.0))
            found[name] = Spent(
                seconds=_spread(rows, at, calls[:, None] * mine),
                doublings=_spread(rows, at, spans),
            )
    return found


def _spread(rows: int, at: np.ndarray, values: np.ndarray | Array):
    """Put values where their rows are, 0 elsewhere."""
    shape = (rows, *values.shape[1:])
    if isinstance(values, Array):
        return jnp.zeros(shape, values.dtype).at[at].set(values)
    whole = np.zeros(shape)
    whole[at] = values
    return whole


def _anonymous(fabric: Fabric) -> Fabric:
    """Drop names that tell no algorithm apart, so that programs are shared."""
    levels = tuple(
        dataclasses.replace(level, name=f"l{at}", link=f"l{at}")
        if not level.domain and not fabric.factors.names
        else level
        for at, level in enumerate(fabric.levels)
    )
    return dataclasses.replace(fabric, name="", levels=levels, spread={})


def _once_each(
    fabric: Fabric, collective: str, places: Group, sizes: np.ndarray
) -> np.ndarray | Array:
    """Seconds of one call, (n, 4); equal rows are priced once."""
    columns = np.column_stack(
        [places.members, places.uplinks, places.crossing, sizes[:, None]]
    )
    first, back = _distinct(columns)
    unique = columns[first]
    depth = len(fabric.levels)
    parts = [unique[:, depth * k : depth * (k + 1)] for k in range(3)]
    shapes = np.column_stack(parts[:2])
    one_each, which = _distinct(shapes)
    counted = _counted(fabric, collective, shapes[one_each])
    tables = jax.tree.map(lambda *leaves: np.stack(leaves)[which], *counted)
    case = (
        tables,
        Group(members=parts[0], uplinks=parts[1], crossing=parts[2]),
        unique[:, -1],
    )
    launch = jnp.asarray(fabric.launch_s.get(collective, 0.0))
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(fabric)):
        return _each_part(fabric, launch, *case)[back]
    priced = _parts(fabric, launch, *_filled(case, len(unique)))
    return np.asarray(priced)[: len(unique)][back]


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each distinct row stands first, and which of them every row is.

    ``np.unique`` of an axis compares whole rows; of numbered columns it is ten times
    faster.
    """
    code = np.zeros(len(rows), int)
    for column in rows.T:
        if np.any(column != column[0]):
            values, at = np.unique(column, return_inverse=True)
            code = np.unique(code * len(values) + at, return_inverse=True)[1]
    _, first, back = np.unique(code, return_index=True, return_inverse=True)
    return first, back


def _counted(fabric: Fabric, collective: str, shapes: np.ndarray) -> list[CountTable]:
    """Count table of each shape: members, then links, of every level.

    Counts know no price, and counting in numpy is what a search would spend its time
    on: a process counts each shape once.
    """
    free = dict.fromkeys((*_LATENCY, *_BYTES), 0.0)
    shape_of = Fabric(
        name="",
        strategies=fabric.strategies,
        algorithms=fabric.algorithms,
        protocols=fabric.protocols,
        levels=tuple(dataclasses.replace(level, **free) for level in fabric.levels),
    )
    leaves, kind = jax.tree.flatten(shape_of)
    key = (collective, kind, np.array([float(leaf) for leaf in leaves]).tobytes())
    depth = len(fabric.levels)
    found = []
    for shape in shapes:
        mine = (*key, shape.tobytes())
        table = _COUNTED.get(mine)
        if table is None:
            place = Group(
                members=shape[:depth], uplinks=shape[depth:], crossing=np.ones(depth)
            )
            with np.errstate(divide="ignore", invalid="ignore"):
                table = count_table(spanned(shape_of, place), collective)
            if len(_COUNTED) >= COUNTED_AT_MOST:
                _COUNTED.clear()
            _COUNTED[mine] = table
        found.append(table)
    return found


COUNTED_AT_MOST = 2**14
"""Shapes that are remembered: some 2 kB each."""

_COUNTED: dict[Any, CountTable] = {}


def padded(rows: int) -> int:
    """Rows up to 64, 512, 4096, …: few sizes, few programs to compile.

    >>> padded(3), padded(65)
    (64, 512)
    """
    size = 64
    while size < rows:
        size *= 8
    return size


def _filled(case: Any, rows: int) -> Any:
    """Repeat the last row of every leaf up to a padded number of rows."""
    extra = padded(rows) - rows
    return jax.tree.map(
        lambda leaf: np.concatenate([leaf, np.repeat(leaf[-1:], extra, axis=0)]), case
    )


def _each_part(
    fabric: Fabric,
    launch: Array,
    tables: CountTable,
    places: Group,
    sizes: np.ndarray | Array,
) -> Array:
    """Seconds by kind of each case, (n, 4)."""

    def one(table: CountTable, place: Group, size: Array) -> Array:
        here = spanned(fabric, place)

        def seconds(logs: Array) -> Array:
            return collective_seconds(table, _scaled(here, logs), size, launch)

        total, parts = jax.value_and_grad(seconds)(jnp.zeros(4))
        other = jnp.maximum(total - jnp.sum(parts) - launch, 0.0)
        return parts + jnp.stack([launch, other, 0.0 * launch, 0.0 * launch])

    return jax.vmap(one)(tables, places, jnp.asarray(sizes))


_parts = jax.jit(_each_part, compiler_options=QUICK)


def _scaled(fabric: Fabric, logs: Array) -> Fabric:
    """Multiply the prices of each kind by the exponential of its number."""
    last = len(fabric.levels) - 1

    def scale(level: Level, at: int) -> Level:
        outer = 2 if at == last and last > 0 else 0
        factors = {
            **dict.fromkeys(_LATENCY, jnp.exp(logs[outer])),
            **dict.fromkeys(_BYTES, jnp.exp(logs[outer + 1])),
        }
        return dataclasses.replace(
            level, **{key: getattr(level, key) * by for key, by in factors.items()}
        )

    levels = tuple(scale(level, at) for at, level in enumerate(fabric.levels))
    return dataclasses.replace(fabric, levels=levels)


def by_cause(wanted: Mapping[str, Traffic], names: Sequence[str]) -> dict[str, str]:
    """Map the name of each collective to its cause."""
    return {name: wanted[name].cause for name in names}

"""The time of one collective: launch, the best candidate, never below the bound."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from chex import Numeric
from jax import Array

from fabricmodel.algorithms.registry import COLLECTIVES, reduces_in_network
from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric, Factors
from fabricmodel.timing.bounds import bound_counts, bound_seconds
from fabricmodel.timing.price import collective_seconds
from fabricmodel.timing.table import count_table, topology


def collective_time(fabric: Fabric, collective: str, size_bytes: Numeric) -> Array:
    """Predict the seconds that a collective takes on a whole fabric, at its prices.

    T = launch + min over algorithms (counts . prices), the minimum soft in log time
    (``timing.selection``), and at least ``collective_bound``. An all_reduce never
    costs more than a reduce_scatter and an all_gather.

    Args:
      fabric: all of its members take part; scalar leaves broadcast with
        ``size_bytes``, the vector of factors belongs to the whole (``jax.vmap`` it).
      collective: one of ``all_reduce all_gather reduce_scatter all_to_all broadcast
        reduce gather scatter send_recv``; static under ``jit``.
      size_bytes: bytes of the full vector, in the convention of nccl-tests.

    Returns:
      Seconds, of the broadcast shape. Differentiable in every price and in the size.

    Raises:
      FabricError: for a collective that is not on the list.

    >>> from fabricmodel.fabric import Level
    >>> net = Level(name="net", kind="switch", members=4.0, capacity=4.0,
    ...             round_s=1e-6, byte_s=1e-9)
    >>> fabric = Fabric(name="four hosts", levels=(net,))
    >>> f"{float(collective_time(fabric, 'all_gather', 4e6)):.4f}"
    '0.0030'
    """
    check_collective(collective)
    return _each(time_s, fabric, collective, as_float(size_bytes))


def collective_bound(fabric: Fabric, collective: str, size_bytes: Numeric) -> Array:
    """Return the physical lower bound of the same question, in seconds.

    See ``fabricmodel.timing.bounds`` for what it holds.

    >>> from fabricmodel.fabric import Level
    >>> net = Level(name="net", kind="switch", members=4.0, byte_s=1e-9)
    >>> fabric = Fabric(name="four hosts", levels=(net,))
    >>> f"{float(collective_bound(fabric, 'all_gather', 4e6)):.6f}"
    '0.003000'
    """
    check_collective(collective)
    return _each(bound_s, fabric, collective, as_float(size_bytes))


def check_collective(collective: str) -> None:
    """Refuse a collective that nobody knows."""
    if collective not in COLLECTIVES:
        raise FabricError(
            "collective", f"unknown: {collective!r}", f"Use one of {COLLECTIVES}"
        )


def as_float(size_bytes: Numeric) -> Numeric:
    """Make sizes floats before JAX sees them: 4 GiB overflows its integers."""
    if isinstance(size_bytes, jax.Array):
        whole = not jnp.issubdtype(size_bytes.dtype, jnp.floating)
        return size_bytes.astype(float) if whole else size_bytes
    if isinstance(size_bytes, (int, float)):
        return float(size_bytes)
    return np.asarray(size_bytes, dtype=np.float64)


def time_s(fabric: Fabric, collective: str, size_bytes: Numeric) -> Array:
    """Seconds of a collective of one size on one shape; the traced body."""
    table = count_table(fabric, collective)
    launch_s = fabric.launch_s.get(collective, 0.0)
    return collective_seconds(table, fabric, size_bytes, launch_s)


def bound_s(fabric: Fabric, collective: str, size_bytes: Numeric) -> Array:
    """Bound on one size and one shape, launch included; the traced body."""
    counts = bound_counts(
        fabric.levels,
        topology(fabric.levels),
        collective,
        in_network=reduces_in_network(set(fabric.strategies)),
    )
    launch_s = fabric.launch_s.get(collective, 0.0)
    return jnp.asarray(launch_s + bound_seconds(counts, fabric, size_bytes))


@partial(jax.jit, static_argnames=("collective", "function"))
def _each(
    function: Callable[[Fabric, str, Numeric], Array],
    fabric: Fabric,
    collective: str,
    size_bytes: Numeric,
) -> Array:
    """Apply a scalar function to every case of the broadcast leaves and sizes.

    The vector of factors belongs to the fabric as a whole and is no axis of cases.
    Sizes alone go through together, behind every other axis (``timing.price``).
    """
    factors = fabric.factors
    plain = dataclasses.replace(fabric, factors=Factors())
    leaves, tree = jax.tree.flatten((plain, size_bytes))
    leaves = [jnp.asarray(leaf, float) for leaf in leaves]
    shape = jnp.broadcast_shapes(*(leaf.shape for leaf in leaves))
    axes = [0 if leaf.shape else None for leaf in leaves]
    if not any(axis == 0 for axis in axes):
        return jnp.asarray(function(fabric, collective, size_bytes))
    if not any(axis == 0 for axis in axes[:-1]):
        return function(fabric, collective, leaves[-1].reshape(-1)).reshape(shape)
    spread = [
        jnp.broadcast_to(leaf, shape).reshape(-1) if leaf.shape else leaf
        for leaf in leaves
    ]

    def one(*values: Array) -> Array:
        case, size = jax.tree.unflatten(tree, values)
        case = dataclasses.replace(case, factors=factors)
        return function(case, collective, size)

    return jax.vmap(one, in_axes=axes)(*spread).reshape(shape)

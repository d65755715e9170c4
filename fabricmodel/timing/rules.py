"""Algorithms that a library takes above a size, however long they then take.

MPI libraries switch by tables: MPICH runs all_gather as a ring from a total size on,
whether that has 100 steps or 10,000. Where a fabric's factors name such a size,
``DOMAIN.ALGORITHM.above_bytes``, that algorithm is the only one there, and none below.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from chex import Numeric
from jax import Array

from fabricmodel.fabric import RULE_KIND, Fabric
from fabricmodel.timing.factors import factor_names, products
from fabricmodel.timing.selection import over
from fabricmodel.timing.table import CountTable


def by_size(table: CountTable, fabric: Fabric, size_bytes: Numeric) -> CountTable:
    """Leave the candidates that a library's rules allow at a size.

    A rule has no say where it leaves nothing: for an algorithm that was forced, or
    a shape that one side does not admit.

    Args:
      table: of one shape.
      fabric: whose factors hold the rules; without any the table stays as it is.
      size_bytes: of the full vector.

    >>> from fabricmodel.fabric import Factors, Level
    >>> from fabricmodel.timing.table import count_table
    >>> net = Level(name="net", kind="switch", members=8.0, capacity=8.0)
    >>> rule = Factors(names=("net.ring.above_bytes",), values=(8e4,))
    >>> fabric = Fabric(name="", levels=(net,), factors=rule)
    >>> table = count_table(fabric, "all_gather")
    >>> [c.algorithm for c in table.candidates]
    ['ring', 'recursive_doubling', 'bruck', 'direct']
    >>> by_size(table, fabric, 1e3).valid.tolist()
    [0.0, 1.0, 1.0, 1.0]
    >>> by_size(table, fabric, 1e6).valid.tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    # the halves that an all_reduce may be made of are no calls of their own
    whole = any(c.stage[1] == "all_reduce" for c in table.candidates)
    stems = [
        ()
        if whole and c.stage[1] != "all_reduce"
        else factor_names(c.stage, c.algorithm)
        for c in table.candidates
    ]
    known = {f"{stem}.{RULE_KIND}" for pair in stems for stem in pair}
    if not known & set(fabric.factors.names):
        return table
    ruled = np.array(
        [
            any(f"{x}.{RULE_KIND}" in fabric.factors.names for x in pair)
            for pair in stems
        ]
    )
    axes = 1 + jnp.ndim(size_bytes)
    sizes = over(products(fabric, stems, RULE_KIND), axes)
    least = jnp.where(over(ruled, axes), sizes, jnp.inf)
    past = jnp.asarray(size_bytes >= jnp.min(least, axis=0))
    names = table.stage_names
    member = np.array([[c.stage == name for c in table.candidates] for name in names])
    usable = jnp.asarray(table.valid) > 0
    # (S,) whether a stage can run what the rule names, and whether anything else
    can = jnp.any(member & ruled & usable, axis=1)
    other = jnp.any(member & ~ruled & usable, axis=1)
    at = np.argmax(member, axis=0)
    above, below = over(ruled | ~can[at], axes), over(~ruled | ~other[at], axes)
    kept = jnp.where(past, above, below)
    return dataclasses.replace(
        table,
        valid=jnp.where(kept, over(table.valid, axes), 0.0),
        allowed=_ways(table, past, can, other),
    )


def _ways(table: CountTable, past: Array, can: Array, other: Array) -> Array:
    """Alternatives that run what the rule names above its size, and the rest below."""
    runs, allowed = jnp.asarray(table.stages) > 0, jnp.asarray(table.allowed) > 0
    able = allowed & jnp.any(runs & can, axis=1)
    bound = allowed & jnp.any(runs & can & ~other, axis=1)
    above = able | ~jnp.any(able)
    below = ~bound | ~jnp.any(allowed & ~bound)
    axes = 1 + past.ndim
    way = jnp.where(past, over(above, axes), over(below, axes))
    return jnp.where(way, over(jnp.asarray(table.allowed), axes), 0.0)

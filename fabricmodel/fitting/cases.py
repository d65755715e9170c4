"""Questions put to a model: a size, a shape and the algorithms allowed, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fabricmodel._pytree import pytree, static
from fabricmodel.fabric import Fabric
from fabricmodel.placement import place
from fabricmodel.timing.bounds import bound_seconds
from fabricmodel.timing.factors import factor_names
from fabricmodel.timing.forcing import force
from fabricmodel.timing.price import candidate_estimates, collective_seconds
from fabricmodel.timing.scale import Scale, scale_of
from fabricmodel.timing.table import CountTable, count_table

T = TypeVar("T")
Leaf = np.ndarray | Array

QUICK: dict[str, str | bool] = {"xla_backend_optimization_level": "0"}
"""For programs that run a few times: compiling them costs more than running them."""
if jax.__version_info__ < (0, 10):  # twice as quick; later ones have no such choice
    QUICK["xla_cpu_use_fusion_emitters"] = False


@pytree
class Cases:
    """Rows of one collective, with the counts of their shapes.

    Attributes:
      collective: of all of them.
      sizes: (R,) bytes.
      scale: leaves of shape (R, ...): what the shapes make of the counts.
      tables: leaves of shape (R, ...): what each candidate counts there.
    """

    collective: str = static()
    sizes: Leaf
    scale: Scale
    tables: CountTable


def cases(
    fabric: Fabric,
    collective: str,
    size_bytes: np.ndarray,
    ranks: np.ndarray,
    ranks_per_node: np.ndarray | None = None,
    algorithms: Sequence[str] | None = None,
    sides: Sequence[str] | None = None,
) -> Cases:
    """Place every row on the fabric and count, once per distinct shape.

    Args:
      fabric: whose capacities are the limits.
      collective: one collective.
      size_bytes, ranks: (R,).
      ranks_per_node: (R,), NaN where unknown.
      algorithms: for each row the one that was forced, or "" where the library chose.
      sides: for each row the sides of its torus (``4x4x2``), or "".

    Raises:
      FabricError: where ranks do not divide into the fabric.
    """
    local = np.full(len(ranks), np.nan) if ranks_per_node is None else ranks_per_node
    named = [""] * len(ranks) if sides is None else sides
    forced = [""] * len(ranks) if algorithms is None else algorithms
    keys = [
        (count, None if np.isnan(inside) else inside, shape, algorithm)
        for count, inside, shape, algorithm in zip(
            ranks.tolist(), local.tolist(), named, forced, strict=True
        )
    ]
    shapes = {
        key: place(fabric, key[0], ranks_per_node=key[1], sides=key[2])
        for key in dict.fromkeys(keys)
    }
    order = {key: i for i, key in enumerate(shapes)}
    index = np.array([order[key] for key in keys])
    with np.errstate(divide="ignore", invalid="ignore"):
        asked = sorted(set(forced))
        counted = [
            force(count_table(shape, collective, asked), algorithm)
            for (*_, algorithm), shape in shapes.items()
        ]
        scales = [scale_of(shape.levels) for shape in shapes.values()]
    tables, scale = (
        jax.tree.map(lambda *leaves: np.stack(leaves)[index], *each)
        for each in (counted, scales)
    )
    return Cases(
        collective=collective,
        sizes=np.asarray(size_bytes, float),
        scale=scale,
        tables=tables,
    )


def seconds(fabric: Fabric, rows: Cases, *, frozen: bool = False) -> Array:
    """Predict each row at the fabric's prices, (R,); ``frozen`` as in ``timing``."""
    launch = fabric.launch_s.get(rows.collective, 0.0)

    def one(table: CountTable, scale: Scale, size: Leaf) -> Array:
        return collective_seconds(table, fabric, size, launch, scale, frozen=frozen)

    return jax.vmap(one)(rows.tables, rows.scale, rows.sizes)


def estimates(fabric: Fabric, rows: Cases) -> Array:
    """Log seconds that the library expects of each candidate, (R, C)."""

    def one(table: CountTable, scale: Scale, size: Leaf) -> Array:
        return candidate_estimates(table, fabric, size, scale)

    return jax.vmap(one)(rows.tables, rows.scale, rows.sizes)


def bounds(fabric: Fabric, rows: Cases) -> Array:
    """Physical bound of each row at the fabric's prices, (R,)."""
    launch = fabric.launch_s.get(rows.collective, 0.0)

    def one(table: CountTable, size: Leaf) -> Array:
        return jnp.asarray(launch + bound_seconds(table.bounds, fabric, size))

    return jax.vmap(one)(rows.tables, rows.sizes)


def factor_stems(rows: Cases) -> list[tuple[str, str]]:
    """Name the factors that these rows could teach: (shared, own) per candidate."""
    return [factor_names(c.stage, c.algorithm) for c in rows.tables.candidates]


def pad_rows(tree: T) -> T:
    """Repeat the last row of every leaf up to a power of two of rows.

    So that few programs are compiled, whatever the number of rows.

    >>> pad_rows(np.array([1.0, 2.0, 3.0])).tolist()
    [1.0, 2.0, 3.0, 3.0]
    """

    def pad(leaf: np.ndarray) -> np.ndarray:
        leaf = np.asarray(leaf)
        extra = (1 << max(len(leaf) - 1, 0).bit_length()) - len(leaf)
        return np.concatenate([leaf, np.repeat(leaf[-1:], extra, axis=0)])

    return jax.tree.map(pad, tree)

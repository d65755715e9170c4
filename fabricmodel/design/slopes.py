"""What a collective takes, and what it would gain from each price: case by case."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fabricmodel.design.chunks import in_pieces
from fabricmodel.errors import FabricError
from fabricmodel.fabric import ENGINE_PRICES, LINK_PRICES, RULE_KIND, Fabric, Factors
from fabricmodel.timing.collective import as_float, check_collective
from fabricmodel.timing.price import collective_seconds
from fabricmodel.timing.table import count_table

PIECE = 2**11
"""Sizes of a piece: some hundred rows of them, for the candidates, stay in cache."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slopes:
    """Times, and their derivatives by every price and by the size.

    Attributes:
      time_s: (n,) seconds.
      by: derivative by name, (n,) each: ``LEVEL.PRICE`` of every level,
        ``reduce_byte_s`` and the fabric's other prices, ``launch_s``, its factors by
        their names, and ``size_bytes``.
    """

    time_s: np.ndarray
    by: Mapping[str, np.ndarray]


def collective_slopes(
    fabric: Fabric,
    collective: str,
    size_bytes: np.ndarray,
    *,
    piece: int = PIECE,
    workers: int | None = None,
) -> Slopes:
    """Time a collective of many sizes on a fabric, with all derivatives of each.

    As ``jax.vmap(jax.value_and_grad(...))`` of ``collective_time``, and several times
    faster: the shape is counted once, all sizes of a piece are priced together, and
    pieces stay in cache (``in_pieces``). A size stands in every formula beside a price
    by the byte, so that the derivative by it needs no differentiation: the sum of those
    prices x derivatives, over the size.

    Args:
      fabric: one, of numbers; its rules of sizes (``above_bytes``) are not
        differentiated.
      collective: as of ``collective_time``.
      size_bytes: (n,) bytes of the full vector, above zero.
      piece: sizes at a time.
      workers: as of ``in_pieces``.

    Raises:
      FabricError: for an unknown collective, or a fabric that holds arrays of cases.

    >>> from fabricmodel.fabric import Level
    >>> net = Level(name="net", kind="switch", members=4.0, capacity=4.0,
    ...             round_s=1e-6, byte_s=1e-9)
    >>> fabric = Fabric(name="four hosts", levels=(net,))
    >>> found = collective_slopes(fabric, "all_gather", np.array([4e6]))
    >>> f"{found.time_s[0]:.4f} {found.by['net.byte_s'][0]:.4g}"
    '0.0030 3e+06'
    """
    check_collective(collective)
    try:
        prices = {name: float(price) for name, price in _prices(fabric, collective)}
        shape, tree = jax.tree.flatten(_stripped(fabric))
        program = _program(tree, tuple(map(float, shape)), collective)
    except (TypeError, jax.errors.ConcretizationTypeError):
        raise FabricError(
            "fabric", "holds arrays or tracers", "Give one fabric of numbers at a time"
        ) from None
    values = jnp.asarray(list(prices.values()), float)
    sizes = np.asarray(as_float(np.ravel(size_bytes)), values.dtype)
    found = in_pieces(
        lambda part: program(values, part), [sizes], piece=piece, workers=workers
    )
    names = ("size_bytes", *prices)
    return Slopes(time_s=found[0], by=dict(zip(names, found[1:], strict=True)))


def _prices(fabric: Fabric, collective: str) -> list[tuple[str, Any]]:
    """Every price that a collective may depend on, by name."""
    named = zip(fabric.factors.names, fabric.factors.values, strict=True)
    return [
        *(
            (f"{level.name}.{field}", getattr(level, field))
            for level in fabric.levels
            for field in LINK_PRICES
        ),
        *((field, getattr(fabric, field)) for field in ENGINE_PRICES),
        ("launch_s", fabric.launch_s.get(collective, 0.0)),
        *((name, value) for name, value in named if not name.endswith(RULE_KIND)),
    ]


def _stripped(fabric: Fabric) -> Fabric:
    """Leave a fabric's shape and its rules, which no derivative reaches."""
    levels = tuple(
        dataclasses.replace(level, **dict.fromkeys(LINK_PRICES, 0.0))
        for level in fabric.levels
    )
    rules = tuple(
        float(value) if name.endswith(RULE_KIND) else 1.0
        for name, value in zip(fabric.factors.names, fabric.factors.values, strict=True)
    )
    return dataclasses.replace(
        fabric,
        levels=levels,
        factors=Factors(names=fabric.factors.names, values=rules),
        launch_s={},
        spread={},
        switches=(),
        **dict.fromkeys(ENGINE_PRICES, 0.0),
    )


def _priced(fabric: Fabric, prices: Mapping[str, Array]) -> Fabric:
    """Put (m,) prices into a stripped fabric."""
    levels = tuple(
        dataclasses.replace(
            level,
            **{field: prices[f"{level.name}.{field}"] for field in LINK_PRICES},
        )
        for level in fabric.levels
    )
    one = prices["launch_s"]
    values = [
        prices[name] if name in prices else jnp.full_like(one, value)
        for name, value in zip(fabric.factors.names, fabric.factors.values, strict=True)
    ]
    return dataclasses.replace(
        fabric,
        levels=levels,
        factors=Factors(
            names=fabric.factors.names, values=jnp.stack(values) if values else ()
        ),
        **{field: prices[field] for field in ENGINE_PRICES},
    )


@lru_cache(maxsize=64)
def _program(
    tree: Any, shape: tuple[float, ...], collective: str
) -> Callable[[Array, Array], Array]:
    """Compile, once for each shape: rows of time, slope by size, slopes by price."""
    fabric: Fabric = jax.tree.unflatten(tree, shape)
    names = [name for name, _ in _prices(fabric, collective)]
    by_byte = [name for name in names if name.endswith("byte_s")]
    with np.errstate(divide="ignore", invalid="ignore"):
        table = count_table(fabric, collective)

    @jax.jit
    def rows(values: Array, size_bytes: Array) -> Array:
        def seconds(prices: dict[str, Array]) -> Array:
            priced = _priced(fabric, prices)
            return collective_seconds(table, priced, size_bytes, prices["launch_s"])

        # a price for each case, so that what comes back is not summed over them
        each = {
            name: jnp.broadcast_to(value, size_bytes.shape)
            for name, value in zip(names, values, strict=True)
        }
        time_s, back = jax.vjp(seconds, each)
        (slopes,) = back(jnp.ones_like(time_s))
        bytewise = sum(slopes[name] * each[name] for name in by_byte)
        parts = [time_s, bytewise / size_bytes, *(slopes[name] for name in names)]
        return jnp.stack(parts)

    return rows

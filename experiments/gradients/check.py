"""Derivatives of predictions by every price, against finite differences.

In log coordinates, double precision: f = log seconds of counts x prices. The gradient
of each case is finite in every price, those of zero included, and along random
directions d of signs

    grad f . d = (f(x + h d) - f(x - h d)) / 2h,  h = 2e-6, then 2e-7,

within a tolerance fixed beforehand. Where neither step agrees, the two one-sided
differences say whether the point is a kink (the largest of several bounds, two of
which are equal): the derivative has to lie between them. Any other case is a fault.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fabricmodel import load_fabric
from fabricmodel.algorithms.registry import COLLECTIVES
from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric
from fabricmodel.fitting.cases import QUICK, Cases, cases, pad_rows, seconds
from fabricmodel.fitting.parameters import prices, with_prices
from fabricmodel.placement import place

STEPS = (2e-6, 2e-7)
"""In log price. The sharpest curve, a p-norm of 1024, bends by 1e-6 over the first."""
TOLERANCE = 1e-5
"""Of a derivative along a direction of signs; in all, those of a time add up to 1."""
RANKS = (2, 3, 4, 8, 16, 24, 32, 64, 72, 144, 256, 576, 1024, 4096, 9216, 65_536)
_SCATTER = 0.7  # of random prices about the catalogue's, in log


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """What one collective on one structure of fabric showed.

    Attributes:
      fabric: the first catalogue name of the structure.
      collective: asked.
      prices: compared, factors included.
      cases: sizes x shapes x points.
      derivatives: directional ones that were compared.
      worst: largest difference of those away from kinks.
      kinks: directions on which the two sides differ, the derivative between them.
      faults: neither; or a gradient that is not finite.
    """

    fabric: str
    collective: str
    prices: int
    cases: int
    derivatives: int
    worst: float
    kinks: int
    faults: int


def structures(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Group catalogue fabrics that the same programs price, by the first of each.

    >>> found = structures(("trn1-instance", "hgx-h100", "hgx-h200"))
    >>> list(found)
    ['trn1-instance', 'hgx-h100']
    """
    groups: dict[object, list[str]] = {}
    for name in names:
        fabric = anonymous(load_fabric(name))
        key = jax.tree.structure(fabric), tuple(sorted(prices(fabric)))
        groups.setdefault(key, []).append(name)
    return {group[0]: tuple(group) for group in groups.values()}


def anonymous(fabric: Fabric) -> Fabric:
    """Drop the names that no factor refers to, and number the link classes."""
    links = dict.fromkeys(level.link or level.name for level in fabric.levels)
    number = {link: f"link{i}" for i, link in enumerate(links)}
    levels = tuple(
        dataclasses.replace(
            level,
            name=level.name if fabric.factors.names else f"level{i}",
            link=number[level.link or level.name],
        )
        for i, level in enumerate(fabric.levels)
    )
    return dataclasses.replace(fabric, name="", spread={}, switches=(), levels=levels)


def check(
    names: tuple[str, ...],
    *,
    collectives: tuple[str, ...] = COLLECTIVES,
    rows: int = 32,
    points: int = 3,
    directions: int = 8,
    seed: int = 0,
) -> Iterator[Found]:
    """Compare on every collective of some fabrics, one answer at a time.

    Args:
      names: catalogue fabrics.
      collectives: to ask.
      rows: cases of random size (1 B to 64 GiB) and shape, of each collective.
      points: of price: the catalogue's, and random ones about it.
      directions: random signs of every price, at each point.
      seed: of them all.
    """
    for name in names:
        fabric = anonymous(load_fabric(name))
        counts = _fitting(fabric)
        for collective in collectives:
            rng = np.random.default_rng([seed, *collective.encode()])
            sizes = 2.0 ** rng.uniform(0.0, 36.0, rows)
            asked = cases(fabric, collective, sizes, rng.choice(counts, rows))
            found = _compare(fabric, pad_rows(asked), rows, points, directions, rng)
            yield Found(fabric=name, collective=collective, **found)
        # programs of hundreds of structures would fill the memory
        _slopes.clear_cache()  # pyright: ignore[reportAttributeAccessIssue]


def _fitting(fabric: Fabric) -> np.ndarray:
    """Numbers of ranks that divide into a fabric."""

    def fits(ranks: int) -> bool:
        try:
            place(fabric, float(ranks))
        except FabricError:
            return False
        return True

    return np.array([float(ranks) for ranks in RANKS if fits(ranks)])


def _compare(
    fabric: Fabric,
    asked: Cases,
    rows: int,
    points: int,
    directions: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    named = {**prices(fabric), **_factors(fabric)}
    names, catalogue = tuple(named), np.log([float(x) for x in named.values()])
    found: dict[str, Any] = dict(derivatives=0, worst=0.0, kinks=0, faults=0)
    for point in range(points):
        moved = _SCATTER * rng.uniform(-1.0, 1.0, len(names))
        at = catalogue + (moved if point else 0.0)
        signs = rng.choice([-1.0, 1.0], (directions, len(names)))
        value, slope, finite = _ask(at[None], fabric, names, asked)
        found["faults"] += int(np.sum(~finite[0, :rows]))
        middle, ours = value[0, :rows, None], slope[0, :rows] @ signs.T
        agreed = np.zeros(ours.shape, bool)
        off = np.full(ours.shape, np.inf)
        low, high = off, -off
        for step in STEPS:
            around = np.concatenate([at + step * signs, at - step * signs])
            values = _ask(around, fabric, names, asked)[0][:, :rows].T
            up, down = values[:, :directions], values[:, directions:]
            off = np.minimum(off, np.abs((up - down) / (2.0 * step) - ours))
            agreed = off <= TOLERANCE
            sides = (up - middle) / step, (middle - down) / step
            low, high = np.minimum(*sides), np.maximum(*sides)
        apart = high - low > TOLERANCE
        between = (ours >= low - TOLERANCE) & (ours <= high + TOLERANCE)
        kink = ~agreed & apart & between
        found["derivatives"] += ours.size
        found["worst"] = max(
            found["worst"], float(np.max(off, where=agreed, initial=0))
        )
        found["kinks"] += int(np.sum(kink))
        found["faults"] += int(np.sum(~agreed & ~kink))
    return {"prices": len(names), "cases": points * rows, **found}


def _factors(fabric: Fabric) -> dict[str, float]:
    values = np.asarray(fabric.factors.values, float).tolist()
    return dict(zip(fabric.factors.names, values, strict=True))


def _ask(
    logs: np.ndarray, fabric: Fabric, names: tuple[str, ...], asked: Cases
) -> tuple[np.ndarray, ...]:
    """Log seconds (B, R), slopes (B, R, n), whether those and the rest are finite."""
    with jax.enable_x64(True):
        found = [_slopes(at, fabric, names, asked) for at in logs]
    return tuple(
        np.stack([np.asarray(part) for part in parts])
        for parts in zip(*found, strict=True)
    )


@partial(jax.jit, static_argnames="names", compiler_options=QUICK)
def _slopes(
    logs: Array, fabric: Fabric, names: tuple[str, ...], asked: Cases
) -> tuple[Array, Array, Array]:
    def log_time(logs: Array, fabric: Fabric, row: Cases) -> Array:
        one = jax.tree.map(lambda leaf: leaf[None], row)
        return jnp.log(seconds(with_prices(fabric, names, jnp.exp(logs)), one))[0]

    each = jax.value_and_grad(log_time, argnums=(0, 1))
    rowwise = jax.vmap(each, in_axes=(None, None, 0))
    value, (slope, rest) = rowwise(logs, fabric, asked)
    finite = jnp.isfinite(value)
    for leaf in (slope, *jax.tree.leaves(rest)):
        finite &= jnp.all(jnp.isfinite(leaf.reshape(len(finite), -1)), axis=1)
    return value, slope, finite

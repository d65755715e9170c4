"""Random prices and shapes on catalogue fabrics, priced many at a time.

One compiled program serves a structure and a collective, so every sweep has the same
number of rows: properties are checked by changing the leaves, never the shapes.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import numpy as np

from fabricmodel import Fabric, collective_bound, collective_time, load_fabric
from fabricmodel.fabric import ENGINE_PRICES, LINK_PRICES, RULE_KIND, Factors
from fabricmodel.fitting.cases import QUICK

ROWS = 1024

# Fabrics of one structure: they differ in their prices and capacities alone.
STRUCTURES = {
    "instances": ("trn1-ultracluster", "trn2-instance-cluster"),
    "ultraservers": ("trn2-ultracluster",),
    "nodes": ("h100-infiniband", "gb200-nvl72"),
    "cluster": ("generic-cluster",),
    "ring": ("trn2-flat-ring",),
    "torus": ("trn2-torus-3d",),
    "switch": ("generic-node", "generic-network"),
    "six sides": ("generic-torus",),
}
COSTLY = {  # these alone, there
    "six sides": ("all_to_all", "scatter"),
    "cluster": ("all_reduce", "all_gather"),
}
WHOLE = [structure for structure in STRUCTURES if structure not in COSTLY]


def plain(fabric: Fabric) -> Fabric:
    """Drop the names, so that fabrics of one structure share their programs.

    And the sizes at which a library switches whatever that costs: it is then not sound.
    """
    levels = tuple(
        dataclasses.replace(level, name=f"level {i}", link=f"link {i}", in_node=False)
        for i, level in enumerate(fabric.levels)
    )
    kept = [
        (name, value)
        for name, value in zip(fabric.factors.names, fabric.factors.values, strict=True)
        if not name.endswith(RULE_KIND)
    ]
    factors = Factors(
        names=tuple(name for name, _ in kept), values=tuple(value for _, value in kept)
    )
    return dataclasses.replace(
        fabric, name="", spread={}, switches=(), levels=levels, factors=factors
    )


def stack(fabrics: list[Fabric]) -> Fabric:
    """Put fabrics of one structure into one record, a row for each.

    Their factors are the same, and no axis of rows.
    """
    factors = plain(fabrics[0]).factors
    assert all(plain(fabric).factors == factors for fabric in fabrics)
    bare = [dataclasses.replace(plain(fabric), factors=Factors()) for fabric in fabrics]
    flat = [jax.tree.map(float, fabric) for fabric in bare]
    rows = jax.tree.map(lambda *leaves: np.array(leaves), *flat)
    return dataclasses.replace(rows, factors=factors)


def prices(fabric: Fabric, change: Callable) -> Fabric:
    """Change every price, level by level; shapes and factors stay.

    Args:
      fabric: any.
      change: takes a price's name and its value, and returns the new one.
    """
    levels = tuple(
        dataclasses.replace(
            level,
            **{field: change(field, getattr(level, field)) for field in LINK_PRICES},
        )
        for level in fabric.levels
    )
    kinds = list(fabric.launch_s)  # one launch for all of them, as in the catalogue
    launch = dict.fromkeys(kinds, change("launch_s", fabric.launch_s[kinds[0]]))
    engine = {field: change(field, getattr(fabric, field)) for field in ENGINE_PRICES}
    return dataclasses.replace(fabric, levels=levels, launch_s=launch, **engine)


@functools.cache
def random_cases(structure: str) -> tuple[Fabric, np.ndarray]:
    """Draw fabrics and sizes, the same ones each time.

    Prices lie within e^1.5 of the catalogue's, each level's own, and so do the factors,
    which all rows share; sizes from 1 byte to 64 GiB; each level has any number of
    members, rings part-used too.
    """
    rng = np.random.default_rng(list(structure.encode()))
    named = [load_fabric(name) for name in STRUCTURES[structure]]
    fabric = stack([named[i % len(named)] for i in range(ROWS)])
    fabric = prices(fabric, lambda _, price: price * _scatter(rng))
    factors = dataclasses.replace(
        fabric.factors,
        values=tuple(value * _scatter(rng)[0] for value in fabric.factors.values),
    )
    levels = []
    for level in fabric.levels:
        if level.grows:
            members = np.floor(2.0 ** rng.uniform(0.0, 12.0, ROWS))
            capacity = members
        else:
            members = np.floor(rng.uniform(1.0, level.capacity + 1.0))
            whole = rng.random(ROWS) < 0.5
            members = np.where(whole, level.capacity, members)
            capacity = level.capacity
        levels.append(dataclasses.replace(level, members=members, capacity=capacity))
    fabric = dataclasses.replace(fabric, levels=tuple(levels), factors=factors)
    return fabric, 2.0 ** rng.uniform(0.0, 36.0, ROWS)


def _scatter(rng: np.random.Generator) -> np.ndarray:
    return np.exp(rng.uniform(-1.5, 1.5, ROWS))


@functools.partial(jax.jit, static_argnames="collective", compiler_options=QUICK)
def _answers(fabric: Fabric, collective: str, sizes: np.ndarray):
    return (
        collective_time(fabric, collective, sizes),
        collective_bound(fabric, collective, sizes),
    )


def answers(
    fabric: Fabric, collective: str, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the times and their bounds."""
    time, bound = _answers(fabric, collective, sizes)
    return np.asarray(time), np.asarray(bound)


def times(fabric: Fabric, collective: str, sizes: np.ndarray) -> np.ndarray:
    return answers(fabric, collective, sizes)[0]


@functools.cache
def grown(structure: str) -> tuple[Fabric, np.ndarray, list[str]]:
    """Return a structure's fabrics at every power of two of chips, and some sizes.

    2 to 131,072 chips and 1 B to 16 GiB, as one batch padded to the usual rows.
    """
    fabrics, sizes, labels = [], [], []
    for name in STRUCTURES[structure]:
        for chips in 2 ** np.arange(1, 18):
            for size in (1.0, 1e4, 1e7, 2.0**34):
                fabrics.append(_loaded(name, int(chips)))
                sizes.append(size)
                labels.append(f"{name}, {chips} chips, {size:g} bytes")
    extra = ROWS - len(sizes)
    fabrics += fabrics[-1:] * extra
    labels += labels[-1:] * extra
    return stack(fabrics), np.array(sizes + sizes[-1:] * extra), labels


@functools.cache
def _loaded(name: str, chips: int) -> Fabric:
    if name == "gb200-nvl72":  # racks of 72 hold no powers of two
        chips = chips if chips <= 64 else chips // 64 * 72
    return load_fabric(name, chips=chips)

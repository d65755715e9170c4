"""The learnable prices of a fabric as one vector, each with its belief.

A parameter is ``(log price - log catalogue price) / spread``: zero at the catalogue,
standard normal a priori. Levels of one link class share theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from chex import Numeric
from jax import Array

from fabricmodel._pytree import pytree, static
from fabricmodel.algorithms import arrays as xp
from fabricmodel.fabric import (
    ENGINE_PRICES,
    LINK_PRICES,
    RULE_KIND,
    Fabric,
    Factors,
    is_factor,
)

DEFAULT_SPREAD = 0.5
"""Of a price whose catalogue entry states no range."""

FACTOR_SPREAD = {"latency": 0.5, "transfer": 0.3, "choice": 0.3}
"""Of what an algorithm costs against its counts, over all collectives."""

OWN_FACTOR_SPREAD = {"latency": 0.2, "transfer": 0.1, "choice": 0.2}
"""Of one collective against the others of the same algorithm."""


@pytree
class Parameters:
    """Names, catalogue values and spreads of what a fit may move, in order.

    Attributes:
      names: ``LINK.PRICE``, ``PRICE``, or a key of ``Fabric.factors``.
      centre: (n,) catalogue values, SI.
      spread: (n,) log standard deviations of the belief in them.
    """

    names: tuple[str, ...] = static()
    centre: np.ndarray | Array
    spread: np.ndarray | Array

    def apply(self, fabric: Fabric, theta: np.ndarray | Array) -> Fabric:
        """Put the prices of a parameter vector, of numpy or of JAX, into a fabric."""
        return with_prices(
            fabric, self.names, self.centre * xp.exp(self.spread * theta)
        )


def prices(fabric: Fabric) -> dict[str, Numeric]:
    """Return every non-zero price of a fabric, by name.

    >>> from fabricmodel.fabric import Level
    >>> net = Level(name="net", kind="switch", link="efa", round_s=2.0, byte_s=0.5)
    >>> prices(Fabric(name="f", levels=(net,)))
    {'efa.round_s': 2.0, 'efa.byte_s': 0.5}
    """
    found: dict[str, Numeric] = {}
    for level in fabric.levels:
        for field in LINK_PRICES:
            name = f"{level.link or level.name}.{field}"
            if name not in found and float(getattr(level, field)) > 0:
                found[name] = getattr(level, field)
    launches = {float(value) for value in fabric.launch_s.values()}
    if launches and max(launches) > 0:
        found["launch_s"] = max(launches)
    for field in ENGINE_PRICES:
        if float(getattr(fabric, field)) > 0:
            found[field] = getattr(fabric, field)
    return found


def with_prices(
    fabric: Fabric, names: Sequence[str], values: np.ndarray | Array
) -> Fabric:
    """Replace prices by name; the names that end in a factor's kind are factors.

    Args:
      fabric: whose other prices stay.
      names: as ``prices`` gives them, or factors; one that the fabric has no use for
        is passed over.
      values: (n,) in the order of the names.
    """
    at = [i for i, name in enumerate(names) if is_factor(name)]
    others = [i for i, name in enumerate(names) if not is_factor(name)]
    each = xp.unstack(values[np.array(others, int)])
    found = dict(zip((names[i] for i in others), each, strict=True))
    levels = tuple(
        dataclasses.replace(
            level,
            **{
                field: found[f"{level.link or level.name}.{field}"]
                for field in LINK_PRICES
                if f"{level.link or level.name}.{field}" in found
            },
        )
        for level in fabric.levels
    )
    engine = {field: found[field] for field in ENGINE_PRICES if field in found}
    launch = fabric.launch_s
    if "launch_s" in found:
        launch = dict.fromkeys(launch, found["launch_s"])
    factors = fabric.factors
    if at:
        factors = Factors(
            names=tuple(names[i] for i in at), values=values[np.array(at)]
        )
    return dataclasses.replace(
        fabric, levels=levels, launch_s=launch, factors=factors, **engine
    )


def parameters(fabric: Fabric, factors: Iterable[str] = ()) -> Parameters:
    """List what can be learned: every price, and the named algorithms' factors.

    Args:
      fabric: with concrete prices; ``fabric.spread`` holds the beliefs' widths.
      factors: ``DOMAIN.ALGORITHM`` or ``COLLECTIVE.DOMAIN.ALGORITHM``.
    """
    values = [float(value) for value in np.asarray(fabric.factors.values)]
    known = dict(zip(fabric.factors.names, values, strict=True))
    names, centre, spread = [], [], []
    for name, value in prices(fabric).items():
        names.append(name)
        centre.append(float(value))
        spread.append(float(fabric.spread.get(name, DEFAULT_SPREAD)))
    rules = [name for name in known if name.endswith(f".{RULE_KIND}")]
    for name in rules:
        names.append(name)
        centre.append(known[name])
        spread.append(float(fabric.spread.get(name, DEFAULT_SPREAD)))
    believed = [name.rsplit(".", 1)[0] for name in known if name not in rules]
    for stem in dict.fromkeys([*factors, *believed]):
        widths = FACTOR_SPREAD if stem.count(".") == 1 else OWN_FACTOR_SPREAD
        for part, width in widths.items():
            names.append(f"{stem}.{part}")
            centre.append(float(known.get(f"{stem}.{part}", 1.0)))
            spread.append(float(fabric.spread.get(f"{stem}.{part}", width)))
    return Parameters(
        names=tuple(names), centre=np.array(centre), spread=np.array(spread)
    )

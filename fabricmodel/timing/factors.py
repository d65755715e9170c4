"""What an algorithm and a protocol cost against their counts."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from fabricmodel.fabric import FACTOR_KINDS, Fabric
from fabricmodel.timing.table import CountTable


def factor_names(stage: tuple[str, str], algorithm: str) -> tuple[str, str]:
    """Name the factors of an algorithm: shared by its collectives, and its own.

    >>> factor_names(("neuronlink", "all_gather"), "mesh")
    ('neuronlink.mesh', 'all_gather.neuronlink.mesh')
    """
    domain, collective = stage
    return f"{domain}.{algorithm}", f"{collective}.{domain}.{algorithm}"


def candidate_factors(
    table: CountTable, fabric: Fabric, kinds: Sequence[str]
) -> list[Array]:
    """Factors of each candidate, (C, ...), one array for each kind."""
    stems = [factor_names(c.stage, c.algorithm) for c in table.candidates]
    return [products(fabric, stems, kind) for kind in kinds]


def level_factors(table: CountTable, fabric: Fabric, kind: str) -> Array | None:
    """Factors on the levels of one domain alone, (L, C, Q, ...), or None.

    Of protocols, and of algorithms that span every level.
    """
    domains = [level.domain or level.name for level in fabric.levels]
    stems = [
        (
            f"{domain}.{protocol}",
            *([f"{domain}.{c.algorithm}"] * (c.stage[0] == "flat")),
        )
        for domain in domains
        for c in table.candidates
        for protocol in fabric.protocols
    ]
    named = {f"{name}.{kind}" for stem in stems for name in stem}
    if named.isdisjoint(fabric.factors.names):
        return None
    found = products(fabric, stems, kind)
    shape = len(domains), len(table.candidates), len(fabric.protocols)
    return found.reshape(*shape, *found.shape[1:])


def protocol_factors(fabric: Fabric) -> list[Array]:
    """Factors of each protocol, (Q, ...): latency, transfer, choice."""
    stems = [(f"protocol.{name}",) for name in fabric.protocols]
    return [products(fabric, stems, kind) for kind in FACTOR_KINDS]


def products(fabric: Fabric, stems: Sequence[Sequence[str]], kind: str) -> Array:
    """Product of the factors of one kind that each row of stems names, (rows, ...)."""
    names = fabric.factors.names
    own = np.zeros((len(stems), len(names)), np.float32)
    for row, several in enumerate(stems):
        for stem in several:
            if f"{stem}.{kind}" in names:
                own[row, names.index(f"{stem}.{kind}")] = 1.0
    values = jnp.asarray(fabric.factors.values, float)
    if not own.any():
        return jnp.ones((len(stems), *values.shape[1:]))
    return jnp.exp(own @ jnp.log(values))

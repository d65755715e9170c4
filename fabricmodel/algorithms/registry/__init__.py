"""Which algorithms there are: family, collective, name, and a record of each.

A new algorithm is one function in the file of its family and one entry in that
family's table here. An ``automatic`` one is a candidate wherever its family runs; any
other takes part only where a fabric's ``strategies``, a measurement's label or a caller
names it. The soft minimum runs over the automatic ones, so near-duplicates do not
belong among them.
"""

from __future__ import annotations

from collections.abc import Iterator

from fabricmodel.algorithms.registry.flat import FLAT
from fabricmodel.algorithms.registry.flat_named import FLAT_NAMED
from fabricmodel.algorithms.registry.innetwork import ON_SWITCH, OVER_NODES
from fabricmodel.algorithms.registry.neuronlink import NEURONLINK
from fabricmodel.algorithms.registry.record import Algorithm, Count, Table, merged
from fabricmodel.algorithms.registry.spanning import FLAT_SPANNING
from fabricmodel.algorithms.registry.torus import TORUS
from fabricmodel.algorithms.registry.torus_named import TORUS_NAMED
from fabricmodel.units import COLLECTIVES

__all__ = [
    "ALGORITHMS",
    "COLLECTIVES",
    "SPANNING",
    "Algorithm",
    "Count",
    "Table",
    "algorithms",
    "every_algorithm",
    "known_names",
    "reduces_in_network",
]

ALGORITHMS: dict[str, Table] = {
    "flat": merged(FLAT, FLAT_NAMED, ON_SWITCH),
    "torus": merged(TORUS, TORUS_NAMED),
    "neuronlink": NEURONLINK,
}
"""By the family of the levels that an algorithm runs on."""

SPANNING: Table = merged(FLAT_SPANNING, OVER_NODES)
"""Those that span every level at once."""


def algorithms(family: str, collective: str) -> dict[str, Algorithm]:
    """Return the algorithms of a family for a collective, by name.

    >>> sorted(algorithms("neuronlink", "all_gather"))
    ['kangaring', 'mesh', 'rdh', 'ring']
    """
    return ALGORITHMS[family][collective]


def every_algorithm() -> Iterator[tuple[str, str, str, Algorithm]]:
    """Yield (family, collective, name, record); the family of the last is spanning."""
    for family, table in (ALGORITHMS | {"spanning": SPANNING}).items():
        for collective, named in table.items():
            for name, algorithm in named.items():
                yield family, collective, name, algorithm


def known_names() -> frozenset[str]:
    """Every name that a label, a caller or a fabric may use."""
    return frozenset(name for _, _, name, _ in every_algorithm())


def reduces_in_network(names: frozenset[str] | set[str]) -> bool:
    """Whether one of the named algorithms reduces or copies inside the network.

    ``DOMAIN.ALGORITHM`` names an algorithm, too.

    >>> reduces_in_network({"ring"})
    False
    """
    plain = {name.rpartition(".")[2] for name in names}
    return any(
        algorithm.in_network and name in plain
        for _, _, name, algorithm in every_algorithm()
    )

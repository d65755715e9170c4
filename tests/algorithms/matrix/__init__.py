"""The whole registry against the executing oracle: every algorithm, every shape.

The registry is walked, so an algorithm that nothing here executes is a failure.
"""

from matrix.flat import FLAT
from matrix.neuronlink import NEURONLINK
from matrix.record import Family, Line, Seen, compare, differences, every_line
from matrix.spanning import SPANNING
from matrix.torus import TORUS, shifted

FAMILIES = (FLAT, TORUS, NEURONLINK, SPANNING)

__all__ = [
    "FAMILIES",
    "FLAT",
    "NEURONLINK",
    "SPANNING",
    "TORUS",
    "Family",
    "Line",
    "Seen",
    "compare",
    "differences",
    "every_line",
    "shifted",
]

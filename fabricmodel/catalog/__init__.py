"""Named fabrics and chips: data files with a source for every figure; their loader."""

from fabricmodel.catalog.chips import Chip, Price, list_chips, load_chip
from fabricmodel.catalog.entries import Entry
from fabricmodel.catalog.figures import Figure
from fabricmodel.catalog.loader import list_fabrics, load_entry, load_fabric
from fabricmodel.catalog.show import compare, describe, listing

__all__ = [
    "Chip",
    "Entry",
    "Figure",
    "Price",
    "compare",
    "describe",
    "list_chips",
    "list_fabrics",
    "listing",
    "load_chip",
    "load_entry",
    "load_fabric",
]

"""Named fabrics: data files with a source for every figure, and their loader."""

from fabricmodel.catalog.loader import list_fabrics, load_fabric

__all__ = ["list_fabrics", "load_fabric"]

"""Figures from plain tables, or of a fabric: each function returns a matplotlib Figure.

They need the extra ``fabricmodel[experiments]``, imported only when one is called,
and touch none of matplotlib's global state.
"""

from fabricmodel.plots.chips import scaling, shares
from fabricmodel.plots.fabrics import fabric_diagram
from fabricmodel.plots.figures import save
from fabricmodel.plots.quality import fit_quality, reliability

__all__ = ["fabric_diagram", "fit_quality", "reliability", "save", "scaling", "shares"]

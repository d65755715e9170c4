"""Figures from plain tables: each function takes rows and returns a matplotlib Figure.

They need the extra ``fabricmodel[experiments]``, imported only when one is called,
and touch none of matplotlib's global state.
"""

from fabricmodel.plots.chips import scaling, shares
from fabricmodel.plots.figures import save
from fabricmodel.plots.quality import fit_quality, reliability

__all__ = ["fit_quality", "reliability", "save", "scaling", "shares"]

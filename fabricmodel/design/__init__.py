"""Sweeps over many cases: a grid of named axes, answered chunk by chunk."""

from fabricmodel.design.collectives import collective_cases
from fabricmodel.design.sweep import Sweep, sweep

__all__ = ["Sweep", "collective_cases", "sweep"]

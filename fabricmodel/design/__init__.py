"""Sweeps over many cases: a grid of named axes, answered chunk by chunk."""

from fabricmodel.design.chunks import in_pieces
from fabricmodel.design.collectives import collective_cases
from fabricmodel.design.devices import across_devices, whole
from fabricmodel.design.slopes import Slopes, collective_slopes
from fabricmodel.design.sweep import Sweep, sweep

__all__ = [
    "Slopes",
    "Sweep",
    "across_devices",
    "collective_cases",
    "collective_slopes",
    "in_pieces",
    "sweep",
    "whole",
]

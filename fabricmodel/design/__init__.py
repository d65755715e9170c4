"""Sweeps over many cases: a grid of named axes, answered chunk by chunk."""

from fabricmodel.design.collectives import collective_cases
from fabricmodel.design.devices import across_devices, whole
from fabricmodel.design.sweep import Sweep, sweep

__all__ = ["Sweep", "across_devices", "collective_cases", "sweep", "whole"]

"""Pricing without a compiler, for the many shapes of a catalogue."""

import numpy as np
import pytest
import scipy.special

from fabricmodel.timing import bounds, collective, price, scale, selection


@pytest.fixture
def on_numpy(monkeypatch):
    """Run the library's own pricing code on numpy.

    Compiling a program for each of hundreds of shapes would take minutes.
    """
    for module in (price, bounds, collective, selection, scale):
        monkeypatch.setattr(module, "jnp", np)
    monkeypatch.setattr(selection, "ndtri", scipy.special.ndtri)
    for name in ("_least", "_picked", "soft_max"):  # their values, without derivatives
        plain = getattr(selection, name).fun
        for module in (price, scale, selection):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, plain)
    with np.errstate(divide="ignore", invalid="ignore"):
        yield

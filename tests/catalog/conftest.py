"""Pricing without a compiler, for the many shapes of a catalogue."""

import types

import numpy as np
import pytest
import scipy.special

from fabricmodel.timing import bounds, collective, price, selection


@pytest.fixture
def on_numpy(monkeypatch):
    """Run the library's own pricing code on numpy.

    Compiling a program for each of hundreds of shapes would take minutes.
    """
    for module in (price, bounds, collective, selection):
        monkeypatch.setattr(module, "jnp", np)
    monkeypatch.setattr(selection, "logsumexp", scipy.special.logsumexp)
    monkeypatch.setattr(selection, "ndtri", scipy.special.ndtri)
    still = types.SimpleNamespace(lax=types.SimpleNamespace(stop_gradient=lambda x: x))
    monkeypatch.setattr(selection, "jax", still)
    with np.errstate(divide="ignore", invalid="ignore"):
        yield

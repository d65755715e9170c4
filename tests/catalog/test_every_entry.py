"""Every entry of the catalogue, every collective, from 2 chips to 1,000,000."""

import numpy as np
import pytest

from fabricmodel import FabricError, collective_bound, collective_time, list_fabrics
from fabricmodel.algorithms.registry import COLLECTIVES
from fabricmodel.catalog.loader import load_entry
from fabricmodel.placement import place
from fabricmodel.timing import collective

SCALES = (2, 256, 5_000, 1_000_000)
SIZES = (1.0, 1e6, 2.0**34)


def nearest(entry, chips):
    """Place a number of chips, or the number that the refusal asks for instead."""
    ranks = chips * entry.ranks_per_chip
    try:
        return place(entry.fabric, ranks)
    except FabricError as error:
        offered = [int(word) for word in error.remedy.split() if word.isdigit()]
        assert offered, error
        if "at most" in error.remedy:
            assert "is full at" in error.remedy
            assert offered[0] < ranks
            return None
        return place(entry.fabric, offered[-1])


@pytest.mark.parametrize("name", list_fabrics())
def test_every_collective_at_every_scale(name, on_numpy):
    entry = load_entry(name)
    reached = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        for chips in SCALES:
            placed = nearest(entry, chips)
            if placed is None:
                break
            reached = chips
            for kind in COLLECTIVES:
                times = []
                for size in SIZES:
                    seconds = float(collective.time_s(placed, kind, size))
                    bound = float(collective.bound_s(placed, kind, size))
                    assert seconds >= bound * (1 - 1e-9), (chips, kind, size)
                    assert 1e-7 < seconds < 1e6, (chips, kind, size)
                    times.append(seconds)
                assert times == sorted(times)
    outer = entry.fabric.levels[-1]
    endless = outer.grows and not float(outer.limit)
    assert reached == 1_000_000 if endless else 2 <= reached < 1_000_000


def test_numpy_gives_what_jax_gives(on_numpy, monkeypatch):
    entry = load_entry("gaudi2-roce")
    placed = place(entry.fabric, 5_120)
    with np.errstate(divide="ignore", invalid="ignore"):
        here = [
            (
                collective.time_s(placed, kind, 1e6),
                collective.bound_s(placed, kind, 1e6),
            )
            for kind in ("all_gather", "all_to_all")
        ]
    monkeypatch.undo()
    for kind, (seconds, bound) in zip(("all_gather", "all_to_all"), here, strict=True):
        assert collective_time(placed, kind, 1e6) == pytest.approx(seconds, rel=1e-4)
        assert collective_bound(placed, kind, 1e6) == pytest.approx(bound, rel=1e-4)

"""A million random cases: no algorithm goes below what is physically possible."""

import dataclasses

import numpy as np
import pytest

from experiments import check_bounds
from experiments.bounds import check as bound_check
from fabricmodel.algorithms.counts import Dim
from fabricmodel.algorithms.registry import ALGORITHMS, algorithms

CASES = 1_000_000


def test_a_million_cases():
    found = list(bound_check.check(CASES))
    assert sum(f.cases for f in found) >= CASES
    assert not [f for f in found if f.below]
    # Some algorithms are optimal: the bound is not met by a wide margin everywhere.
    optimal = {f.name for f in found if f.nearest < 1.001}
    assert {"flat/all_gather/ring", "torus/all_gather/hamiltonian"} <= optimal


@pytest.mark.parametrize("field", ["bytes", "rounds"])
def test_too_little_is_caught(field, monkeypatch):
    """An algorithm that counts a tenth less of anything goes below."""
    record = ALGORITHMS["flat"]["all_gather"]["ring"]

    def cheap(dims, size):
        (counts,) = record.count(dims, size)
        (level,) = counts.levels
        less = dataclasses.replace(level, **{field: 0.0 * getattr(level, field)})
        if field == "bytes":
            less = dataclasses.replace(level, bytes=0.9 * level.bytes)
        return (dataclasses.replace(counts, levels=(less,)),)

    changed = dataclasses.replace(record, count=cheap)
    monkeypatch.setitem(ALGORITHMS["flat"]["all_gather"], "ring", changed)
    found = {f.name: f for f in bound_check.check(10_000)}
    assert found["flat/all_gather/ring"].below > 0


def test_bound_by_hand():
    """Eight ranks on a switch of 1 GB/s, 8 GB: 2 x 7/8 x 8 s; half where it adds."""
    dims = [Dim(kind="switch", members=8.0, capacity=8.0)]
    one = np.ones((1, 1))
    prices = bound_check.Prices(
        round_s=1e-6 * one,
        hop_s=0 * one,
        message_s=0 * one,
        byte_s=1e-9 * one,
        reduce_byte_s=np.zeros(1),
        memory_round_s=np.zeros(1),
        memory_byte_s=np.zeros(1),
    )
    size = np.array([8e9])
    for in_network, expected in ((False, 14.0), (True, 7.0)):
        for bound in (bound_check.physical, bound_check.library):
            found = bound(
                "flat", "all_reduce", dims, prices, size, in_network=in_network
            )
            assert found[0] == pytest.approx(expected)
    ring = algorithms("flat", "all_reduce")["ring"].count(dims, 1.0)
    time = bound_check.seconds(ring, prices, size)
    assert time[0] == pytest.approx(14.0 + 14e-6)


def test_the_command(tmp_path):
    assert check_bounds.main(["--cases", "1000", "--out", str(tmp_path / "o")]) == 0
    assert "0 below" in (tmp_path / "o" / "report.md").read_text()

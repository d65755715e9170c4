"""What a rank copies of its own share."""

from __future__ import annotations

import dataclasses

import pytest

from fabricmodel.fabric import Fabric, Level
from fabricmodel.timing.collective import collective_time

NET = Level(
    name="net", kind="switch", members=8.0, capacity=8.0, round_s=1e-6, byte_s=1e-11
)
BARE = Fabric(name="", levels=(NET,))
COPIES = dataclasses.replace(BARE, copy_byte_s=2e-12)


@pytest.mark.parametrize(
    ("collective", "share"),
    [
        ("all_reduce", 1 / 8),
        ("all_gather", 1 / 8),
        ("reduce_scatter", 1 / 8),
        ("all_to_all", 1 / 8),
        ("gather", 1 / 8),
        ("scatter", 1 / 8),
        ("broadcast", 0.0),
        ("reduce", 0.0),
        ("send_recv", 0.0),
    ],
)
def test_an_eighth_of_the_vector_where_eight_share_it(collective, share):
    size = 1e9
    bare, whole = (float(collective_time(x, collective, size)) for x in (BARE, COPIES))
    assert whole - bare == pytest.approx(share * size * 2e-12, rel=1e-2, abs=1e-8)


def test_bus_bandwidth_rises_with_the_ranks_as_measured():
    """NCCL's all_gather in a node: 150, 192 and 205 GB/s on 2, 4 and 8 A100.

    One GPU copies at 478 GB/s beside links of 219 GB/s: both from the two ends, so
    that the middle is the test (aiconfigurator's collector, 512 MiB).
    """
    fabric = dataclasses.replace(BARE, copy_byte_s=1 / 478e9)
    for ranks, measured in ((2, 150.0), (4, 191.6), (8, 205.2)):
        level = dataclasses.replace(
            NET, members=float(ranks), capacity=float(ranks), byte_s=1 / 219e9
        )
        here = dataclasses.replace(fabric, levels=(level,))
        seconds = float(collective_time(here, "all_gather", 2.0**29))
        bus = 2.0**29 / seconds * (ranks - 1) / ranks / 1e9
        assert bus == pytest.approx(measured, rel=0.03)

"""Libraries that switch by a size alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fabricmodel.fabric import Fabric, Factors, Level
from fabricmodel.fitting.cases import cases, seconds
from fabricmodel.fitting.fit import fit
from fabricmodel.measurements import Measurements
from fabricmodel.timing.choices import switches
from fabricmodel.timing.collective import collective_time

NODE = Level(
    name="node", kind="switch", members=4.0, capacity=4.0, round_s=1e-6, byte_s=1e-11
)
NET = Level(
    name="net", kind="switch", grows=True, members=8.0, capacity=8.0, uplinks=1.0,
    round_s=5e-6, byte_s=1e-10,
)  # fmt: skip
ABOVE = 1e5


def cluster(*strategies: str, above: float | None = ABOVE) -> Fabric:
    rule = Factors()
    if above is not None:
        rule = Factors(names=("flat.flat_ring.above_bytes",), values=(above,))
    return Fabric(name="", strategies=strategies, levels=(NODE, NET), factors=rule)


RULED, STAGED = cluster("staged", "flat_ring"), cluster("staged", above=None)
RING = cluster("flat_ring", above=None)


@pytest.mark.parametrize("size", [1e2, 9.9e4])
def test_below_the_size_the_others_alone(size):
    want = float(collective_time(STAGED, "all_gather", size))
    assert float(collective_time(RULED, "all_gather", size)) == pytest.approx(want)


@pytest.mark.parametrize("size", [1.01e5, 1e9])
def test_above_it_the_ring_however_dear(size):
    want = float(collective_time(RING, "all_gather", size))
    assert float(collective_time(RULED, "all_gather", size)) == pytest.approx(want)
    if size < 1e6:  # 31 steps, where 5 would do
        assert want > 4 * float(collective_time(STAGED, "all_gather", size))


def test_without_a_rule_the_best_of_both():
    free = cluster("staged", "flat_ring", above=None)
    for size in (1e3, 1e5, 1e9):
        both = [float(collective_time(x, "all_gather", size)) for x in (STAGED, RING)]
        assert float(collective_time(free, "all_gather", size)) == pytest.approx(
            min(both), rel=0.03
        )


def test_a_rule_of_one_collective_leaves_the_others_alone():
    own = Factors(names=("all_gather.flat.flat_ring.above_bytes",), values=(ABOVE,))
    fabric = dataclasses.replace(RULED, factors=own)
    free = cluster("staged", "flat_ring", above=None)
    for kind, same in (("all_gather", False), ("reduce_scatter", True)):
        got, want = (float(collective_time(x, kind, 1.2e5)) for x in (fabric, free))
        assert (got == pytest.approx(want)) is same


def flat(above: float | None) -> Fabric:
    rule = Factors()
    if above is not None:
        rule = Factors(names=("net.ring.above_bytes",), values=(above,))
    net = dataclasses.replace(NET, members=1.0, capacity=1.0, uplinks=0.0)
    return Fabric(name="", levels=(net,), factors=rule)


def test_a_forced_algorithm_has_no_rule():
    sizes, ranks = np.array([1e3, 1e6]), np.array([32.0, 32.0])
    for name in ("ring", "bruck"):
        got, want = (
            [float(x) for x in seconds(fabric, rows)]
            for fabric in (flat(ABOVE), flat(None))
            for rows in [cases(fabric, "all_gather", sizes, ranks, None, [name] * 2)]
        )
        assert got == pytest.approx(want)


def test_the_switch_is_where_the_rule_says():
    level = dataclasses.replace(NET, uplinks=0.0)
    fabric = dataclasses.replace(flat(ABOVE), levels=(level,))
    found = [x for x in switches(fabric, "all_gather") if x.above == "ring"]
    assert len(found) == 1
    assert found[0].size_bytes == pytest.approx(ABOVE, rel=0.05)


def test_a_fit_finds_the_size():
    """Sizes in octaves tell it to within the gap between the two that they lie in."""
    truth = flat(3e5)
    believed = dataclasses.replace(flat(8e4), spread={"net.ring.above_bytes": 1.4})
    sizes = 2.0 ** np.arange(10, 25)
    rows = []
    for ranks in (8.0, 16.0, 32.0):
        level = dataclasses.replace(NET, uplinks=0.0, members=ranks)
        here = dataclasses.replace(truth, levels=(level,))
        times = np.asarray(collective_time(here, "all_gather", sizes))
        rows += [
            {"ranks": int(ranks), "collective": "all_gather", "size_bytes": s,
             "time_us": 1e6 * t}
            for s, t in zip(sizes, times, strict=True)
        ]  # fmt: skip
    model = fit(believed, Measurements.from_records(rows))
    far = model.predict("all_gather", sizes, 256.0).median_s
    step = sizes[np.argmax(np.diff(np.log(far))) + 1]
    assert step == pytest.approx(2.0**19)

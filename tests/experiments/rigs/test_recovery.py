"""Prices, regimes and odd links that were planted come back out of the fit."""

import dataclasses

import numpy as np
import pytest

from experiments.rigs import oddlink, regimes
from experiments.rigs.events import Prices, Regime
from experiments.rigs.graph import graph
from experiments.rigs.prices import count, fit
from experiments.rigs.table import Cell, Fabric, scales

FABRIC = Fabric(
    rig="netns_tun", variant="", delay_s=5e-3, rate_Bps=2.5e6, packet_bytes=1448.0
)
TRUTH = Prices(
    overhead_s=3e-4, delay_s=5e-3, byte_s=4.2e-7, wake_s=3e-5, handshake_s=5e-3
)
SIZES = (1024.0, 16384.0, 65536.0, 262144.0)
RING = (("all_reduce", "ring"), ("send_recv", "shift+1"))


def _cells(topologies, kinds, regime=Regime(), odd=(1.0, 1.0), truth=TRUTH):  # noqa: B008
    noise = np.random.default_rng(0)
    found = []
    for topology in topologies:
        for collective, algorithm in kinds:
            for size in SIZES:
                cell = Cell(
                    fabric=FABRIC, wiring=graph(topology), odd=odd, algorithm=algorithm,
                    collective=collective, size_bytes=size, times_s=(1.0,), rows=(),
                )  # fmt: skip
                counts = count(cell, truth, regime, scales(cell, FABRIC, truth.delay_s))
                exact = float(counts @ truth.vector())
                time_s = exact * float(np.exp(0.003 * noise.standard_normal()))
                found.append(dataclasses.replace(cell, times_s=(time_s,)))
    return found


RINGS = ("ring2", "ring3", "ring4")


def test_planted_prices_are_recovered():
    found = fit(FABRIC, _cells(RINGS, (*RING, ("all_reduce", "recursive_doubling"))))
    truth = TRUTH.overhead_s + TRUTH.wake_s + TRUTH.delay_s
    assert found.round_s == pytest.approx(truth, rel=0.01)
    assert found.prices.byte_s == pytest.approx(TRUTH.byte_s, rel=0.01)
    assert found.prices.delay_s == pytest.approx(TRUTH.delay_s, rel=0.03)


def test_an_outlier_has_no_pull():
    cells = _cells(RINGS, RING)
    spoilt = [dataclasses.replace(cells[0], times_s=(10 * cells[0].time_s,))]
    found, clean = fit(FABRIC, [*spoilt, *cells[1:]]), fit(FABRIC, cells)
    assert found.prices.byte_s == pytest.approx(clean.prices.byte_s, rel=0.01)


@pytest.mark.parametrize("kind", ["ready", "request"])
def test_a_planted_handshake_and_its_switch_are_found(kind):
    # On more than one hop "request" waits for its trip and "ready" does not.
    kinds = (*RING, ("all_reduce", "recursive_doubling"))
    planted = Regime(handshake=kind, eager_bytes=30_000.0)
    cells = _cells(RINGS, kinds, planted)
    found = regimes.choose(FABRIC, cells, None)
    assert found.regime.handshake != "none"
    trips = {"ready": 1, "request": 2}
    paid = trips[found.regime.handshake] * found.prices.handshake_s
    assert paid == pytest.approx(trips[kind] * TRUTH.handshake_s, rel=0.1)
    gap = regimes.switch(found)
    assert gap.largest_eager_bytes < 30_000.0 <= gap.smallest_shaken_bytes


def test_a_handshake_is_not_taken_for_slow_software():
    # Rings alone: each message pays one delay more, which an overhead would explain.
    wire = fit(FABRIC, _cells(RINGS, RING))
    cells = _cells(RINGS, RING, Regime(handshake="ready"))
    found = regimes.choose(FABRIC, cells, wire)
    assert found.regime.handshake != "none"
    assert found.round_s == pytest.approx(wire.round_s, rel=0.05)


def test_a_planted_bucket_is_found():
    cells = _cells(RINGS, RING, Regime(bucket_bytes=3000.0))
    found = regimes.choose(FABRIC, cells, None)
    assert found.regime.bucket_bytes == pytest.approx(3000.0, abs=500.0)


def test_plain_messages_stay_plain():
    assert regimes.choose(FABRIC, _cells(RINGS, RING), None).regime == Regime()


PAIRS = tuple(("ping_pong", f"pair{a}-{b}") for a, b in graph("ring4").edges)


@pytest.mark.parametrize("odd", [(1.0, 0.5), (3.0, 1.0)])
def test_the_odd_link_is_named(odd):
    fitted = fit(FABRIC, _cells(RINGS, RING))
    finding = oddlink.find(_cells(("ring4_slowlink2-3",), PAIRS, odd=odd), fitted)
    assert finding.equal() == ((2, 3),)
    best = finding.suspects[0]
    assert best.delay == pytest.approx(odd[0], rel=0.05)
    assert best.byte == pytest.approx(1.0 / odd[1], rel=0.05)


def test_no_odd_link_is_named_where_there_is_none():
    fitted = fit(FABRIC, _cells(RINGS, RING))
    finding = oddlink.find(_cells(("ring4",), PAIRS), fitted)
    assert finding.named(None) is None
    assert finding.say((1, 2)) == "no odd link"


def test_links_that_are_used_alike_are_said_to_be_equal():
    fitted = fit(FABRIC, _cells(RINGS, RING))
    cells = _cells(("ring4_slowlink1-2",), RING[1:], odd=(1.0, 0.5))
    finding = oddlink.find(cells, fitted)
    assert len(finding.equal()) == 4
    assert "can't tell" in finding.say((1, 2))


def test_a_shorter_link_keeps_the_software_of_a_hop():
    (cell,) = _cells(("star4",), (("send_recv", "shift+1"),))[:1]
    short = dataclasses.replace(
        cell, fabric=dataclasses.replace(FABRIC, delay_s=2.5e-3)
    )
    for delay, byte in scales(short, FABRIC, 5.2e-3).values():
        assert delay * 5.2e-3 == pytest.approx(2.5e-3 + 0.2e-3)
        assert byte == 1.0

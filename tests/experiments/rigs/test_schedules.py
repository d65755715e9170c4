"""Graphs, schedules and the event model, against independent oracles."""

import itertools
import math
from collections import Counter

import networkx as nx
import numpy as np
import pytest

import fabricmodel as fm
from experiments.rigs.events import NAMES as NAMES_OF_PRICES
from experiments.rigs.events import Prices, Regime, critical_path
from experiments.rigs.graph import graph
from experiments.rigs.schedules import SCHEDULES, SHAPES, schedule
from experiments.rigs.steps import Step
from fabricmodel.algorithms import flat
from fabricmodel.algorithms.counts import Dim, total

PRICES = Prices(overhead_s=1e-4, delay_s=5e-3, byte_s=4e-7)
NAMES = ("ring2", "ring3", "ring8", "line4", "star4", "full4", "torus2x4", "torus3x3")


def _seconds(program, topology, prices=PRICES, **options) -> float:
    wiring = graph(topology)
    return float(critical_path(program, wiring, prices, **options) @ prices.vector())


@pytest.mark.parametrize("name", NAMES)
def test_routes_are_shortest_paths_of_an_independent_graph(name):
    wiring = graph(name)
    oracle = nx.Graph(wiring.edges)
    lengths = dict(nx.all_pairs_shortest_path_length(oracle))
    for (start, end), path in wiring.routes().items():
        assert len(path) == lengths[start][end]
        assert path[0][0] == start and path[-1][1] == end
        assert all(oracle.has_edge(a, b) for a, b in path)
        assert all(a[1] == b[0] for a, b in itertools.pairwise(path))


@pytest.mark.parametrize(
    ("name", "sides"), [("torus3x3", (3, 3)), ("torus2x4", (2, 4))]
)
def test_a_torus_is_the_periodic_grid(name, sides):
    grid = nx.grid_2d_graph(*sides, periodic=True)
    wanted = {
        tuple(sorted((a[0] * sides[1] + a[1], b[0] * sides[1] + b[1])))
        for a, b in grid.edges
        if a != b
    }
    assert {tuple(sorted(edge)) for edge in graph(name).edges} == wanted


@pytest.mark.parametrize("name", ["ring", "ring4x2", "ring4_slowlink0-2", "cube3"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(fm.FabricError):
        graph(name)


@pytest.mark.parametrize(("collective", "algorithm"), SCHEDULES)
@pytest.mark.parametrize("sides", [(2,), (3,), (6,), (8,), (2, 4), (3, 3)])
def test_every_message_sent_is_received_and_every_program_ends(
    collective, algorithm, sides
):
    made = schedule(collective, algorithm, math.prod(sides))
    if made is None:
        assert (collective, algorithm) in SHAPES
        return
    program = made(sides, 65536.0)
    sent, got, awaited = Counter(), Counter(), Counter()
    for rank, steps in enumerate(program):
        for step in steps:
            sent.update((rank, to, size) for to, size in step.sends)
            got.update((source, rank, size) for source, size in step.receives)
            got.update((source, rank, size) for source, size in step.posts)
            awaited.update((source, rank, size) for source, size in step.receives)
            awaited.update((source, rank, size) for source, size in step.awaits)
    assert sent == got == awaited
    name = f"torus{'x'.join(map(str, sides))}" if len(sides) > 1 else f"ring{sides[0]}"
    assert _seconds(program, name) > PRICES.delay_s


@pytest.mark.parametrize("ranks", [2, 3, 4, 8])
@pytest.mark.parametrize("collective", ["all_reduce", "all_gather", "reduce_scatter"])
def test_ring_counts_are_those_of_the_library(ranks, collective):
    size = 1e6
    made = SCHEDULES[collective, "ring"]((ranks,), size)
    counts = critical_path(made, graph(f"ring{ranks}"), PRICES)
    function = getattr(flat, f"ring_{collective}")
    (level,) = total(function([Dim(kind="ring", members=float(ranks))], size)).levels
    assert counts[0] == pytest.approx(float(level.rounds))
    assert counts[1] == pytest.approx(float(level.rounds))
    assert counts[2] == pytest.approx(float(level.bytes))


def test_two_hops_are_cut_through_by_one_packet():
    program = schedule("ping_pong", "pair0-2", 4)
    assert program is not None
    # There and back, each: two delays, the message once, one packet once more.
    wanted = 2 * (1e-4 + 2 * 5e-3 + (1e5 + 1448.0) * 4e-7)
    assert _seconds(program((4,), 1e5), "line4") == pytest.approx(wanted)


def test_messages_that_share_a_link_queue():
    # 0 and 1 both send to 2 along the line: the link 1-2 carries both.
    size = 1e5
    program = [
        [Step(sends=((2, size),))],
        [Step(sends=((2, size),))],
        [Step(receives=((0, size), (1, size)))],
        [],
    ]
    # The one from 0 comes second: it reaches node 1 after a delay and a packet, when
    # the other still has the rest of its bytes before it.
    wanted = 1e-4 + 5e-3 + 2 * size * 4e-7
    assert _seconds(program, "line4") == pytest.approx(wanted)


@pytest.mark.parametrize(("kind", "trips"), [("ready", 1), ("request", 2)])
def test_a_handshake_adds_its_trips_from_its_size_on(kind, trips):
    prices = Prices(overhead_s=1e-4, delay_s=5e-3, byte_s=4e-7, handshake_s=6e-3)
    regime = Regime(handshake=kind, eager_bytes=65536.0)
    for size, paid in ((65535.0, 0), (65536.0, trips)):
        program = SCHEDULES["send_recv", "shift+1"]((3,), size)
        plain = _seconds(program, "ring3", prices)
        shaken = _seconds(program, "ring3", prices, regime=regime)
        told = 1e-4 if paid and kind == "ready" else 0.0  # telling is posting, too
        assert shaken - plain == pytest.approx(paid * 6e-3 + told, abs=2e-6)


def test_a_note_of_a_handshake_queues_behind_data():
    size, prices = 1e5, Prices(
        overhead_s=1e-4, delay_s=5e-3, byte_s=4e-7, handshake_s=6e-3
    )  # fmt: skip
    regime = Regime(handshake="ready", eager_bytes=2 * size)
    program = [
        [Step(sends=((2, 2 * size),)), Step(receives=((1, size),))],
        [Step(sends=((0, size),))],
        [Step(receives=((0, 2 * size),))],
        [],
    ]
    # Rank 2 tells 0 by way of 1, whose link to 0 is taken by 40 ms of its own.
    told = 1e-4 + size * 4e-7 + 4e-7 + 6e-3
    wanted = told + 2 * 5e-3 + (2 * size + 1448.0) * 4e-7
    found = _seconds(program, "line4", prices, regime=regime)
    assert found == pytest.approx(wanted)


FREE = Prices(overhead_s=0.0, delay_s=5e-3, byte_s=4e-7, handshake_s=5e-3)
READY = Regime(handshake="ready")


@pytest.mark.parametrize("n", [2, 3, 4, 8])
def test_psum_through_gloo_waits_for_every_receiver(n):
    psum = SCHEDULES["all_reduce", "xla_gloo_default"]
    small = _seconds(psum((n,), 8.0), f"ring{n}", FREE, regime=READY)
    # Two trips in each of 2 (n - 1) steps: published for n = 8 as 147.4 ms at 5 ms.
    assert small == pytest.approx(2 * (n - 1) * 2 * 5e-3, rel=1e-3)
    # With long messages two in flight hide that, but at both ends of both halves.
    size = n * 1e6
    large = _seconds(psum((n,), size), f"ring{n}", FREE, regime=READY)
    wanted = 4 * 5e-3 + 2 * (n - 1) / n * size * 4e-7
    assert large == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("n", "vectors"), [(2, 1), (4, 3.5), (8, 7.5), (3, 2.5), (6, 3 + 1 + 1 + 2 / 3)]
)
def test_psum_scatter_through_gloo_moves_what_halving_moves(n, vectors):
    # n = 4: everyone halves, 3/4; ranks 1 and 2 swap. 8: 7/8 each, four of them swap.
    # 3: 0 and 1 halve, 2 sends both halves, 1/6 and 1/3 are dealt on.
    # 6: a block of 4 and a block of 2 that hands on its halves; 2/3 dealt.
    program = SCHEDULES["reduce_scatter", "xla_gloo_default"]((n,), 1.2e6)
    sizes = [b for rank in program for step in rank for _, b in step.sends]
    assert sum(b for b in sizes if b > 4.0) == pytest.approx(vectors * 1.2e6)


def test_psum_scatter_through_gloo_ends_when_its_note_has_come():
    program = SCHEDULES["reduce_scatter", "xla_gloo_default"]((2,), 1e5)
    found = _seconds(program, "ring2", FREE, regime=READY)
    assert found == pytest.approx(2 * 5e-3 + (5e4 + 4.0) * 4e-7)


def test_messages_of_a_step_are_posted_one_after_another():
    three = ((1, 8.0), (2, 8.0), (3, 8.0))
    program = [[Step(sends=three)], *([[Step(receives=((0, 8.0),))]] * 3)]
    found = _seconds(program, "full4")
    assert found == pytest.approx(3 * 1e-4 + 5e-3 + 8.0 * 4e-7)


def test_a_bucket_lends_its_bytes_after_every_pause():
    program = SCHEDULES["all_reduce", "ring"]((4,), 40_000.0)
    plain = _seconds(program, "ring4")
    lent = _seconds(program, "ring4", regime=Regime(bucket_bytes=3000.0))
    assert plain - lent == pytest.approx(6 * 3000.0 * 4e-7)


def test_an_odd_link_is_as_dear_as_it_is_said_to_be():
    program = SCHEDULES["send_recv", "shift+1"]((4,), 1e5)
    plain = _seconds(program, "ring4")
    scale = {(1, 2): (3.0, 2.0)}
    odd = _seconds(program, "ring4", scale=scale)
    assert odd - plain == pytest.approx(2 * 5e-3 + 1e5 * 4e-7)


def test_a_receive_without_a_send_is_reported():
    program = [[Step(receives=((1, 8.0),))], []]
    with pytest.raises(fm.FabricError, match="waits for ever"):
        _seconds(program, "ring2")


def test_time_grows_with_every_price_and_scales_with_all():
    program = SCHEDULES["all_to_all", "flood"]((2, 4), 1e5)
    base = _seconds(program, "torus2x4")
    vector = PRICES.vector()
    twice = Prices(**dict(zip(NAMES_OF_PRICES, (2 * vector).tolist(), strict=True)))
    assert _seconds(program, "torus2x4", twice) == pytest.approx(2 * base)
    assert np.isfinite(base)

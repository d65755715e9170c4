"""Times worked out by hand, with ordinary arithmetic and no JAX.

Sizes and prices are such that the bound, which joins the time as a smooth maximum,
stays well below it and so adds nothing.
"""

import dataclasses
from functools import partial
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sweeps import QUICK

from fabricmodel import (
    Fabric,
    FabricError,
    Level,
    collective_bound,
    collective_time,
    load_fabric,
    place,
)
from fabricmodel.fabric import Factors
from fabricmodel.timing.forcing import force
from fabricmodel.timing.price import collective_seconds
from fabricmodel.timing.scale import tier_hops
from fabricmodel.timing.selection import (
    GUARD,
    SHARPNESS,
    TEMPERATURE,
    slowest_of,
    soft_max,
    soft_min_groups,
)
from fabricmodel.timing.table import count_table


@partial(jax.jit, static_argnums=(1, 3), compiler_options=QUICK)
def forced(fabric, collective, size, algorithm):
    table = force(count_table(fabric, collective), algorithm or "")
    launch = fabric.launch_s.get(collective, 0.0)
    return collective_seconds(table, fabric, size, launch)


US, GBPS = 1e-6, 1e-9
TWICE = 2.0**-TEMPERATURE  # of two equal alternatives
SIDES = 2.0 ** (1 / SHARPNESS)  # of two equal parallel parts


def near(value):
    return pytest.approx(value, rel=1e-6)


def seconds(fabric, collective, size, algorithm=None):
    """Price one algorithm, wherever it has a say."""
    return float(forced(fabric, collective, size, algorithm))


def slowest(ranks):
    """Expected largest of N standard normal delays (Blom)."""
    return NormalDist().inv_cdf(1 - 0.625 / (ranks + 0.25))


def level(kind, members, **prices):
    shape = {"name": "net", "members": float(members), "capacity": float(members)}
    return Level(**{**shape, "kind": kind, **prices})


def fabric(*levels, **kwargs):
    launch = {
        kind: 5 * US for kind in ("all_gather", "all_reduce", "all_to_all", "send_recv")
    }
    return Fabric(name="by hand", levels=levels, launch_s=launch, **kwargs)


def test_ring_all_gather_on_a_switch():
    """Four members: three rounds, one join, three quarters of the vector."""
    net = level("switch", 4, round_s=2 * US, jitter_s=0.4 * US, byte_s=0.1 * GBPS)
    size = 4e4
    rounds, join = 3 * 2 * US, slowest(4) * 0.4 * US
    expected = 5 * US + rounds + join + 0.75 * size * 0.1 * GBPS
    assert seconds(fabric(net), "all_gather", size, "ring") == near(expected)


def test_a_level_gets_dearer_by_every_doubling_of_its_members():
    net = level("switch", 8, round_s=20 * US, byte_s=GBPS, crowd_byte_s=0.1 * GBPS)
    size = 1e4
    expected = 5 * US + 7 * 20 * US + 7 / 8 * size * (1 + 3 * 0.1) * GBPS
    assert seconds(fabric(net), "all_gather", size, "ring") == near(expected)


def test_switch_tiers_lengthen_every_round():
    """64 nodes of 8 uplinks: 512 ends need two tiers of 64 ports, two more hops."""
    net = level("switch", 64, uplinks=8.0, radix=64.0, round_s=2 * US, hop_s=1 * US)
    assert seconds(fabric(net), "all_gather", 1.0, "ring") == near(
        5 * US + 63 * (2 + 2 * 1) * US
    )


@pytest.mark.parametrize(
    ("members", "uplinks", "hops"),
    [(2, 1, 0), (64, 1, 0), (65, 1, 2), (2048, 1, 2), (2049, 1, 4), (64, 32, 2)],
)
def test_tier_hops(members, uplinks, hops):
    """t tiers of 64-port switches hold 2 x 32^t ends."""
    numbers = (jnp.array(float(x)) for x in (members, uplinks, 64))
    assert float(tier_hops(*numbers)) == hops


def test_direct_all_to_all_on_a_clique():
    """Five members: one round of four messages, each on a link of its own."""
    net = level("clique", 5, round_s=3 * US, message_s=0.5 * US, byte_s=0.2 * GBPS)
    size = 1e4
    expected = 5 * US + 3 * US + 3 * 0.5 * US + size / 5 * 0.2 * GBPS
    assert seconds(fabric(net), "all_to_all", size, "direct") == near(expected)


def test_segments_down_a_chain():
    """Five in a row: four rounds fill it, S bytes stream, the best segment between."""
    net = level("switch", 5, round_s=1 * US, byte_s=GBPS)
    chain, stream = 4 * US, 1000 * GBPS
    plain = Fabric(name="", levels=(net,), reduce_byte_s=0.5 * GBPS)
    expected = chain + stream + 2 * (chain * stream) ** 0.5
    assert seconds(plain, "broadcast", 1000.0, "chain") == near(expected)
    adding = 1000 * 0.5 * GBPS
    assert seconds(plain, "reduce", 1000.0, "chain") == near(expected + adding)


def test_all_reduce_in_stages_on_two_levels():
    """Nodes of 4 with one uplink, 8 of them: scatter, reduce on a quarter, gather.

    Only rings. The all_reduce of 8 nodes equals its scatter and its gather, so two
    alternatives agree.
    """
    node = level("switch", 4, name="node", round_s=1 * US, byte_s=0.01 * GBPS)
    net = level("switch", 8, name="net", round_s=10 * US, byte_s=0.1 * GBPS)
    net = dataclasses.replace(net, uplinks=1.0)
    size = 1e6
    inside = 3 * 1 * US + 0.75 * size * 0.01 * GBPS  # each way
    between = 7 * 10 * US + 7 / 8 * (size / 4) * 4 * 0.1 * GBPS  # 4 ranks on the link
    adding = (0.75 * size + 7 / 8 * size / 4) * 0.002 * GBPS
    expected = 5 * US + TWICE * (2 * inside + 2 * between + adding)
    both = fabric(node, net, reduce_byte_s=0.002 * GBPS)
    assert seconds(both, "all_reduce", size, "ring") == near(expected)


def test_flat_ring_through_two_levels():
    """Two nodes of 8: 14 rounds inside, one between; the uplinks set the pace.

    A unit's 8 links carry one ring each, an eighth of the vector.
    """
    node = level("switch", 8, name="node", round_s=1 * US, byte_s=0.001 * GBPS)
    net = level("switch", 2, name="net", round_s=6 * US, jitter_s=0.5 * US)
    net = dataclasses.replace(
        net, uplinks=8.0, byte_s=0.1 * GBPS, crowd_byte_s=0.02 * GBPS
    )
    size = 1e6
    chain = 14 * 1 * US + 6 * US + slowest(16) * 0.5 * US
    stream = 15 / 16 * size / 8 * 0.12 * GBPS
    found = collective_time(
        fabric(node, net, strategies=("flat_ring",)), "all_gather", size
    )
    assert float(found) == near(5 * US + chain + stream)


def test_all_to_all_on_a_ring():
    """Six around: nine links' worth of vector through 12 links is 6/8 S on each."""
    net = level("ring", 6, family="torus", round_s=2 * US, hop_s=1 * US)
    net = dataclasses.replace(net, message_s=0.1 * US, byte_s=0.1 * GBPS)
    size = 1e4
    expected = 5 * US + (2 + 2 * 1 + 4 * 0.1) * US + size * 6 / 8 * 0.1 * GBPS
    assert float(collective_time(fabric(net), "all_to_all", size)) == near(expected)


def test_neuronlink_mesh_on_a_trn2_instance():
    """16 chips of 4 ranks; one round inside a chip, one between, both ways.

    Inside: a message to each of 15 other chips' ranks, three quarters of the vector.
    Between: the longest way is four links, 14 more messages, half the vector on the
    busiest link of each side of four. The mesh's transfer is 1.5 times its counts.
    """
    size = 1e5
    us = 1e-6
    inside = (0.8 + 15 * 0.05) * us + 1.5 * 0.75 * size / 200e9
    between = (3.4 + 3 * 0.3 + 14 * 0.05 + slowest(64) * 0.05) * us
    between = SIDES * (between + 1.5 * 0.5 * size / 128e9)
    adding = (3 / 4 + 15 / 16 / 4) * size / 800e9
    expected = 1.5 * us + TWICE * (2 * inside + 2 * between + adding)
    trn2 = load_fabric("trn2-instance")
    assert seconds(trn2, "all_reduce", size, "mesh") == near(expected)


def test_factors_multiply_latency_and_transfer():
    net = level("switch", 4, round_s=20 * US, byte_s=0.1 * GBPS)
    size = 1e5
    names = ("net.ring.latency", "all_gather.net.ring.latency", "net.ring.transfer")
    dearer = fabric(net, factors=Factors(names=names, values=(2.0, 1.5, 3.0)))
    expected = 5 * US + 3.0 * 60 * US + 3.0 * 0.75 * size * 0.1 * GBPS
    assert seconds(dearer, "all_gather", size, "ring") == near(expected)


def test_bound_of_an_all_reduce():
    """All but a quarter in and out of each rank, or the sum itself."""
    net = level("switch", 4, round_s=1 * US, byte_s=GBPS)
    size = 1e6
    assert float(collective_bound(fabric(net), "all_reduce", size)) == near(
        5 * US + 2 * 0.75 * size * GBPS
    )
    slow = fabric(net, reduce_byte_s=4 * GBPS)
    assert float(collective_bound(slow, "all_reduce", size)) == near(
        5 * US + 0.75 * size * 4 * GBPS
    )
    assert float(collective_bound(slow, "all_gather", 1.0)) == near(5 * US + US)


def test_one_rank_alone_has_only_the_launch():
    lone = fabric(level("switch", 1, round_s=1 * US, byte_s=GBPS))
    assert float(collective_time(lone, "all_reduce", 1e9)) == near(5 * US)
    assert float(collective_bound(lone, "all_reduce", 1e9)) == near(5 * US)


def test_no_bytes_cost_the_latency():
    net = level("switch", 2, round_s=2 * US, byte_s=GBPS)
    assert seconds(fabric(net), "send_recv", 0.0) == near(
        5 * US + 2 * US * 2.0 ** (1 / GUARD)  # the bound is the same round
    )


def test_sizes_beyond_32_bits_and_their_types_agree():
    cluster = place(load_fabric("generic-network"), 8)
    as_float = float(collective_time(cluster, "send_recv", 2.0**33))
    assert float(collective_time(cluster, "send_recv", 2**33)) == as_float
    assert float(collective_time(cluster, "send_recv", np.int64(2**33))) == as_float
    many = collective_time(cluster, "send_recv", np.array([[2**33], [2**10]]))
    assert many.shape == (2, 1)
    assert float(many[0, 0]) == near(as_float)


def test_sizes_and_leaves_broadcast():
    unit = load_fabric("generic-network")
    (net,) = unit.levels
    counts = np.array([[1.0], [2.0], [4.0]])
    several = (dataclasses.replace(net, members=counts),)
    sizes = np.array([1e3, 1e8])
    found = collective_time(
        dataclasses.replace(unit, levels=several), "all_to_all", sizes
    )
    assert found.shape == (3, 2)
    for row, ranks in zip(found, counts.ravel(), strict=True):
        one = collective_time(place(unit, ranks), "all_to_all", sizes)
        np.testing.assert_allclose(row, one, rtol=1e-12)


@pytest.mark.parametrize("function", [collective_time, collective_bound])
def test_unknown_collective(function):
    with pytest.raises(FabricError, match=r"all_redcue.*all_reduce"):
        function(load_fabric("trn2-instance"), "all_redcue", 1.0)


@pytest.mark.parametrize("function", [collective_time, collective_bound])
def test_factors_as_a_vector(function):
    """As its docstring has them, and as a fitted fabric holds them."""
    trn2 = load_fabric("trn2-instance")
    values = np.array(trn2.factors.values)
    vector = dataclasses.replace(
        trn2, factors=dataclasses.replace(trn2.factors, values=values)
    )
    sizes = np.array([1e3, 1e6])
    found = function(vector, "all_gather", sizes)
    np.testing.assert_allclose(found, function(trn2, "all_gather", sizes))
    assert function(vector, "all_gather", 1e6).shape == ()


# The choice among candidates


def test_soft_minimum():
    """Never above the least; two equal ones count as 2 % less; others don't exist."""
    times = jnp.array([3.0, 3.0, 300.0, 0.0])
    group, valid = np.array([0, 0, 0, 1]), jnp.array([1.0, 1.0, 1.0, 1.0])
    least, free = soft_min_groups(times, valid, group, 2)
    assert float(least) == near(3.0 * TWICE)
    assert 0.97 < TWICE < 0.98
    assert float(free) < 1e-20
    one, none = soft_min_groups(times, jnp.array([1.0, 0.0, 0.0, 0.0]), group, 2)
    assert float(one) == near(3.0)
    assert float(none) > 1e20


def test_soft_maximum():
    parts = jnp.array([[2.0, 2.0], [0.0, 0.0], [1e-9, 1.0]])
    most = soft_max(parts, axis=1)
    np.testing.assert_allclose(most, [2.0 * SIDES, 0.0, 1.0], rtol=1e-12)
    assert np.all(most >= parts.max(axis=1))


def test_slowest_of_many():
    for ranks in (2, 64, 1000, 131_072):
        assert float(slowest_of(float(ranks))) == near(slowest(ranks))
    assert abs(float(slowest_of(1.0))) < 1e-9

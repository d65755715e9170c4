"""Protocols as candidates, and libraries that choose by a mistaken estimate."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fabricmodel import Fabric, Level, collective_time, switches
from fabricmodel.fabric import Factors
from fabricmodel.timing.selection import soft_min_groups

N, ALPHA, BETA = 8.0, 1e-6, 1e-9
NET = Level(
    name="net", kind="switch", members=N, capacity=N, round_s=ALPHA, byte_s=BETA
)


def ring(**factors):
    names = tuple(name.replace("__", ".") for name in factors)
    return Fabric(
        name="",
        levels=(NET,),
        strategies=("flat_ring",),
        protocols=("ll", "simple") if factors else ("",),
        factors=Factors(names=names, values=tuple(factors.values())),
    )


def seconds(size, latency=1.0, transfer=1.0):
    """All_gather on a ring by hand: N - 1 rounds, (N - 1)/N of the bytes."""
    return (N - 1) * (latency * ALPHA + transfer * BETA * size / N)


@pytest.mark.parametrize("size", [64.0, 4096.0, 1e8])
def test_the_better_protocol_counts(size):
    both = ring(protocol__ll__transfer=2.0, protocol__simple__latency=4.0)
    expected = min(seconds(size, transfer=2.0), seconds(size, latency=4.0))
    found = float(collective_time(both, "all_gather", size))
    assert found == pytest.approx(expected, rel=2e-3)


def test_one_protocol_without_factors_changes_nothing():
    plain = float(collective_time(ring(), "all_gather", 1e6))
    assert plain == pytest.approx(seconds(1e6), rel=2e-3)


def with_switch():
    """NVLS beside a ring, in two protocols: the switch adds in Simple alone."""
    names = ("protocol.ll.transfer", "protocol.simple.latency")
    return Fabric(
        name="",
        levels=(NET,),
        strategies=("staged", "net.nvls"),
        algorithms=("all_reduce.ring", "all_gather.ring", "reduce_scatter.ring"),
        protocols=("ll", "simple"),
        factors=Factors(names=names, values=(2.0, 4.0)),
    )


@pytest.mark.parametrize("size", [64.0, 1e6, 1e9])
def test_a_switch_adds_in_one_protocol_alone(size):
    ll_ring = 2 * seconds(size, transfer=2.0)
    simple_ring = 2 * seconds(size, latency=4.0)
    nvls = 2 * 4 * ALPHA + (N + 1) / N * BETA * size
    found = float(collective_time(with_switch(), "all_reduce", size))
    expected = min(ll_ring, simple_ring, nvls)
    assert found == pytest.approx(expected, rel=2e-2)
    in_ll = 2 * ALPHA + 2 * (N + 1) / N * BETA * size
    assert (in_ll < 0.9 * expected) == (size == 64.0)  # it would have won there


def test_a_library_has_what_it_names():
    """Others of the family, which are quicker here, are not in its choice."""
    small = 64.0
    named = dataclasses.replace(with_switch(), strategies=("staged",))
    found = float(collective_time(named, "all_gather", small))
    assert found == pytest.approx(seconds(small, transfer=2.0), rel=2e-3)
    other = dataclasses.replace(named, algorithms=("all_reduce.ring",))
    assert float(collective_time(other, "all_gather", small)) < 0.5 * found


def test_a_factor_of_a_spanning_algorithm_on_one_domain():
    """Twice as dear inside the nodes, and there alone."""
    node = dataclasses.replace(NET, name="node", in_node=True)
    other = dataclasses.replace(NET, round_s=0.0, byte_s=0.0, members=2.0, capacity=2.0)
    fabric = Fabric(name="", levels=(node, other), strategies=("flat_ring",))
    plain = float(collective_time(fabric, "all_gather", 1e8))
    for domain, times in (("node", 2.0), ("net", 1.0)):
        factors = Factors(names=(f"{domain}.flat_ring.transfer",), values=(2.0,))
        dearer = dataclasses.replace(fabric, factors=factors)
        found = float(collective_time(dearer, "all_gather", 1e8))
        assert found == pytest.approx(times * plain, rel=1e-3)


def test_a_mistaken_library_takes_the_time_of_what_it_picked():
    """It takes Simple for 100 times dearer than it is, and stays with LL."""
    wrong = ring(
        protocol__ll__transfer=2.0,
        protocol__simple__latency=4.0,
        protocol__simple__choice=100.0,
    )
    found = float(collective_time(wrong, "all_gather", 1e8))
    assert found == pytest.approx(seconds(1e8, transfer=2.0), rel=1e-4)


def test_the_switch_moves_with_the_estimate():
    fabric = Fabric(name="", levels=(NET,))
    before = switches(fabric, "all_reduce", smallest_bytes=1.0)[0]
    dearer = Factors(names=("net.one_shot.choice",), values=(1.5,))
    after = switches(dataclasses.replace(fabric, factors=dearer), "all_reduce")
    assert before.below == "one_shot"
    assert (
        not after
        or after[0].below != "one_shot"
        or (after[0].size_bytes < before.size_bytes)
    )


def test_bias_keeps_the_minimum_homogeneous_and_its_gradient_true():
    times = jnp.array([1.0, 1.05, 3.0])
    bias = jnp.array([0.2, 0.0, -0.1])
    valid, group = jnp.ones(3), np.zeros(3, int)

    def least(t):
        return soft_min_groups(t, valid, group, 1, bias)[0]

    assert float(least(7.0 * times)) == pytest.approx(7.0 * float(least(times)), 1e-5)
    slope = jax.grad(least)(times)
    step = 1e-3
    for i in range(2):
        up, down = times.at[i].add(step), times.at[i].add(-step)
        assert float(slope[i]) == pytest.approx(
            (float(least(up)) - float(least(down))) / (2 * step), abs=2e-2
        )
    # Euler: the parts add up to the whole, in both kinds of derivative
    assert float(slope @ times) == pytest.approx(float(least(times)), rel=1e-4)


def test_a_frozen_choice_has_the_same_time_and_no_negative_part():
    times, bias = jnp.array([1.0, 1.34]), jnp.array([0.3, 0.0])
    valid, group = jnp.ones(2), np.zeros(2, int)

    def least(t, frozen):
        return soft_min_groups(t, valid, group, 1, bias, frozen=frozen)[0]

    assert float(least(times, True)) == pytest.approx(float(least(times, False)), 1e-6)
    true, frozen = (jax.grad(least)(times, flag) for flag in (False, True))
    assert float(true.min()) < 0 < float(frozen.min())
    assert float(frozen @ times) == pytest.approx(float(least(times, True)), rel=1e-5)

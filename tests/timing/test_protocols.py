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

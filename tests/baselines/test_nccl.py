"""NCCL's tuning model against values worked by hand from its formulas."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fabricmodel import FabricError
from fabricmodel.baselines.nccl import Communicator, dgx, nccl_choice, nccl_seconds
from fabricmodel.baselines.nccl_constants import DEFAULTS

ONE = dgx("hopper", 1)
FOUR = dgx("hopper", 4)


def near(value):
    return pytest.approx(value, rel=1e-6)


def seconds(communicator, collective, size, algorithm, protocol, **more):
    times = nccl_seconds(communicator, collective, size, **more)
    return float(times[algorithm, protocol])


# (communicator, collective, size, algorithm, protocol, latency us, bandwidth GB/s)
BY_HAND = [
    # 14 steps of 0.6; half of 320 GB/s, more than LL's 141; x 8/14
    (ONE, "all_reduce", 2**20, "Ring", "LL", 6.6 + 14 * 0.6, 141 * 8 / 14),
    # 0.92 of 320, less than 16 channels of 36.7
    (ONE, "all_reduce", 2**20, "Ring", "LL128", 14 + 14 * 1.9, 0.92 * 320 * 8 / 14),
    (ONE, "all_reduce", 2**20, "Ring", "Simple", 8.4 + 14 * 3.4, 320 * 8 / 14),
    (ONE, "all_gather", 2**20, "Ring", "Simple", 8.4 + 7 * 3.4, 320 * 8 / 7),
    # 2 x 7 steps down and up the chain; 0.92 x 320 / 3.8; halved; 2^14 x 64 B: x 0.5
    (
        ONE, "all_reduce", 2**20, "Tree", "LL",
        6.8 + 14 * 0.6, 0.5 * 0.92 * 320 / 3.8 * 0.5,
    ),
    (
        ONE, "all_reduce", 2**20, "Tree", "LL128",
        14 + 14 * 1.25, 0.5 * 0.92 * 320 * 7 / 9 * 0.6,
    ),
    # 20 x 0.85 x 15/16 x 2 a channel
    (ONE, "all_reduce", 2**20, "NVLS", "Simple", 25.0, 16 * 31.875 * 8 / 14),
    (ONE, "reduce_scatter", 2**20, "NVLS", "Simple", 25.0, 16 * 15.9375 * 7 / 8),
    # 62 steps, 6 of them across; posting costs 3 x 1 us, less than 3.4; plateau 1.4
    (
        FOUR, "all_reduce", 2**20, "Ring", "Simple",
        1.4 * (8.4 + 56 * 3.4 + 6 * 14.0), 384 * 32 / 62,
    ),
    # below 64 B a rank and channel there is no plateau
    (
        FOUR, "all_reduce", 2**14, "Ring", "Simple",
        8.4 + 56 * 3.4 + 6 * 14.0, 384 * 32 / 62,
    ),
    # posting 1 us is more than 0.6; above one node LL is limited by the processor
    (FOUR, "all_reduce", 2**20, "Ring", "LL", 6.6 + 56 * 1.0 + 6 * 2.7, 20.4 * 32 / 62),
    (
        FOUR, "all_reduce", 2**24, "Tree", "Simple",
        8.4 + 2 * (7 * 4.0 + 2 * 14.0), 0.5 * 0.92 * 384 * 0.7,
    ),
    # min(24 x 0.85 x 15/16 x 2, 24, 45.5)
    (
        FOUR, "all_reduce", 2**24, "NVLSTree", "Simple",
        25.0 + 4 * 20.9, 384 * 32 / 62,
    ),
    (FOUR, "broadcast", 2**24, "Ring", "Simple", 8.4 + 14.0, 384 * 32 / 32),
]  # fmt: skip


@pytest.mark.parametrize(
    ("communicator", "collective", "size", "algorithm", "protocol", "lat", "bw"),
    BY_HAND,
)
def test_by_hand(communicator, collective, size, algorithm, protocol, lat, bw):
    ours = seconds(communicator, collective, size, algorithm, protocol)
    assert ours == near(lat * 1e-6 + size / (bw * 1e9))


def test_one_rank_a_node_shows_the_network():
    """The tree's step over the network; PAT exists, with its linear term."""
    alone = dataclasses.replace(FOUR, ranks=64.0, nodes=64.0)
    ring = seconds(alone, "all_gather", 0.0, "Ring", "LL")
    assert ring == near((6.6 + 63 * 5.0) * 1e-6)
    pat = seconds(alone, "all_gather", 0.0, "PAT", "Simple")
    assert pat == near((8.0 + 6 * 14.0 / 3.5 + 2.8 * 64) * 1e-6)
    assert ("PAT", "Simple") not in nccl_seconds(FOUR, "all_gather", 1.0)


def test_plugin_latency_counts_twice_for_simple():
    slow = dataclasses.replace(FOUR, nic_latency_us=2.0)
    extra = {
        protocol: seconds(slow, "all_gather", 0.0, "Ring", protocol)
        - seconds(FOUR, "all_gather", 0.0, "Ring", protocol)
        for protocol in ("LL", "Simple")
    }
    assert extra["LL"] == near(3 * 2e-6)
    assert extra["Simple"] == near(3 * 4e-6)


def test_operations_are_batched_except_in_a_ring():
    twenty = {"operations": 20.0}
    ring = seconds(ONE, "all_gather", 0.0, "Ring", "LL", **twenty)
    assert ring == near(20 * (6.6 + 7 * 0.6) * 1e-6)
    tree = seconds(ONE, "all_reduce", 0.0, "Tree", "LL", **twenty)
    assert tree == near(2 * (6.8 + 14 * 0.6) * 1e-6)


def test_collnet():
    """A network that adds: direct and chain, and NVLS across nodes."""
    sharp = dataclasses.replace(FOUR, collnet=True)
    times = nccl_seconds(sharp, "all_reduce", 0.0)
    direct = 2 * (1.0 * 3.7 + 0.4 * 7) + 31.0
    assert float(times["CollNetDirect", "Simple"]) == near(direct * 1e-6)
    chain = 2 * 7 * 2.8 + 30.0
    assert float(times["CollNetChain", "Simple"]) == near(chain * 1e-6)
    assert float(times["NVLS", "Simple"]) == near((25.0 + 18.0) * 1e-6)
    assert ("NVLS", "Simple") not in nccl_seconds(FOUR, "all_reduce", 0.0)
    factor = 8 / 16 - (8 / 16 - 1) / 2
    large = 2.0**30
    bandwidth = 384 / factor * 0.85 * 0.5
    moved = seconds(sharp, "all_reduce", large, "CollNetDirect", "Simple")
    assert moved - direct * 1e-6 == near(large / (bandwidth * 1e9))


def test_choice_goes_from_latency_to_bandwidth():
    found = nccl_choice(FOUR, "all_reduce", 2.0 ** np.arange(8, 34))
    assert found["protocol"][0] == "LL" and found["protocol"][-1] == "Simple"
    assert found["algorithm"][0] == "Tree"
    assert np.all(np.diff(found["seconds"]) > 0)


def test_differentiable_in_every_constant_that_acts():
    def total(constants):
        times = nccl_seconds(FOUR, "all_reduce", 2.0**24, constants=constants)
        return jnp.sum(jnp.stack(list(times.values())))

    slopes = jax.grad(total)(DEFAULTS)
    leaves = jax.tree.leaves(slopes)
    assert all(np.all(np.isfinite(leaf)) for leaf in leaves)
    assert np.all(np.asarray(slopes.base_us)[:2] > 0)
    assert float(slopes.ll_max_GBps[0][2]) < 0


def test_unknown_collective_is_refused():
    with pytest.raises(FabricError, match="all_to_all"):
        nccl_seconds(ONE, "all_to_all", 1.0)
    with pytest.raises(FabricError, match="volta"):
        dgx("volta", 1)


def test_pci_has_no_ll128():
    host = Communicator(
        generation="ampere", link="pci", nvls=False, ranks=4.0, nodes=1.0,
        channels=2.0, intra_GBps=12.0, inter_GBps=12.0,
    )  # fmt: skip
    times = nccl_seconds(host, "all_reduce", 0.0)
    assert ("Ring", "LL128") not in times
    assert float(times["Ring", "Simple"]) == near((8.4 + 6 * 5.7) * 1e-6)

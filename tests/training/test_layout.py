"""Layouts refused with the reason; memory and traffic against published formulas."""

import numpy as np
import pytest

import fabricmodel as fm
from fabricmodel.errors import FabricModelError
from fabricmodel.training.groups import group
from fabricmodel.training.layout import Layout, check, memory_bytes
from fabricmodel.training.models import load_model
from fabricmodel.training.traffic import traffic
from fabricmodel.training.workload import workload

GPT = workload(load_model("gpt3-175b"), sequence=2048.0)
LLAMA = workload(load_model("llama3.1-8b"), sequence=8192.0)
MIXTRAL = workload(load_model("mixtral-8x7b"), sequence=4096.0)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Layout(pp=5.0), "32 layers do not divide"),
        (Layout(tp=6.0), "32 heads do not divide"),
        (Layout(cp=3.0), "tokens of a sequence"),
        (Layout(ep=3.0), "experts do not divide"),
        (Layout(dp=8.0, zero=3.0, shard=3.0), "data-parallel ranks do not divide"),
        (Layout(pp=4.0, virtual=2.0, microbatches=6.0), "rounds of 4"),
        (Layout(tp=0.0), "layout.tp: 0"),
        (Layout(dp=1.0), "needs 181 GB a rank of 80 GB"),
    ],
)
def test_invalid_layouts_say_why(layout, message):
    with pytest.raises(FabricModelError, match=message):
        check(LLAMA, layout, heads=32.0, kv_heads=8.0, memory=80e9)


def test_a_published_layout_passes():
    cut = Layout(tp=4.0, pp=8.0, dp=16.0, microbatches=64.0, virtual=12.0)
    check(GPT, cut, heads=96.0, kv_heads=96.0, memory=80e9)


def test_state_is_18_bytes_a_parameter_and_shrinks_with_each_stage():
    base = Layout(dp=64.0, microbatch=1e-9)
    held = [
        float(memory_bytes(LLAMA, Layout(**{**vars(base), "zero": z})))
        for z in (0.0, 1.0, 2.0, 3.0)
    ]
    size = float(LLAMA.parameters)
    per = np.array(held) / size
    np.testing.assert_allclose(
        per, [18.0, 6.0 + 12 / 64, 2.0 + 16 / 64, 18 / 64], rtol=1e-6
    )


def test_activations_follow_korthikanti():
    """Sequence parallel, selective: s b h L 34 / t, for one stage (equation 6)."""
    cut = Layout(tp=8.0, dp=1.0, microbatch=4.0)
    none = Layout(tp=8.0, dp=1.0, microbatch=1e-12)
    kept = float(memory_bytes(GPT, cut) - memory_bytes(GPT, none))
    assert kept == pytest.approx(34 * 2048 * 4 * 12288 * 96 / 8)


def test_groups_fill_the_node_first():
    fabric = fm.load_fabric("h100-infiniband")
    place = group(fabric, 1024.0, stride=np.array([1.0, 4.0, 8.0, 1.0]),
                  size=np.array([8.0, 32.0, 16.0, 64.0]))  # fmt: skip
    assert place.members.tolist() == [[8, 1], [2, 16], [1, 16], [8, 8]]
    # a communicator of 2 of 8 ranks has 2 of the node's 8 adapters
    assert place.uplinks[:, 1].tolist() == [8.0, 2.0, 1.0, 8.0]


def test_strided_groups_share_the_links_of_a_torus():
    fabric = fm.load_fabric("trn2-ultracluster")
    place = group(fabric, 256.0, stride=8.0, size=2.0)
    assert place.members.tolist() == [1, 2, 1, 1, 1]
    assert place.crossing.tolist()[1] == 2.0


@pytest.mark.parametrize("ranks", [64.0, 512.0, 4096.0])
@pytest.mark.parametrize("stride", [1.0, 2.0, 16.0])
def test_a_group_has_all_its_members(ranks, stride):
    fabric = fm.load_fabric("trn2-ultracluster")
    for size in (2.0, 4.0, 16.0):
        if stride * size <= ranks:
            place = group(fabric, ranks, stride, size)
            assert np.prod(place.members) == size


def test_tensor_parallel_traffic_is_megatrons():
    """Narayanan et al. 2021, section 3.2: 8 b s h (t-1)/t a layer, in elements."""
    cut = Layout(tp=8.0, dp=1.0, microbatch=2.0)
    found = traffic(GPT, cut)
    sent = sum(
        float(found[n].size_bytes * found[n].calls) * 7 / 8
        for n in ("tp_gather", "tp_scatter")
    )
    assert sent == pytest.approx(2.0 * 8 * (2 * 2048 * 12288) * 7 / 8 * 96)


def test_gradients_once_a_step_or_once_a_layer():
    weights = float(LLAMA.parameters)
    once = traffic(LLAMA, Layout(dp=8.0, microbatches=4.0, zero=1.0))
    assert float(once["dp_scatter"].size_bytes) == 2.0 * weights
    assert float(once["dp_gather"].calls) == 1.0
    each = traffic(LLAMA, Layout(dp=8.0, microbatches=4.0, zero=3.0))
    total = float(each["dp_gather"].size_bytes * each["dp_gather"].calls)
    assert total == pytest.approx(2.0 * weights * 2 * 4)
    plain = traffic(LLAMA, Layout(dp=8.0, zero=0.0))
    assert (
        float(plain["dp_reduce"].calls) == 1.0 and float(plain["dp_scatter"].calls) == 0
    )


def test_experts_are_exchanged_and_reduced_apart():
    cut = Layout(dp=32.0, ep=8.0, microbatch=1.0, zero=1.0)
    found = traffic(MIXTRAL, cut)
    assert float(found["ep"].size_bytes) == 2 * 4096 * 4096 * 2.0
    assert float(found["ep"].calls) == 4 * 32
    experts = float(MIXTRAL.expert_parameters)
    assert float(found["expert_dp_scatter"].size_bytes) == pytest.approx(
        2 * experts / 8
    )
    assert float(found["expert_dp_scatter"].size) == 4.0


def test_hybrid_sharding_reduces_between_copies():
    cut = Layout(dp=64.0, zero=3.0, shard=16.0)
    found = traffic(LLAMA, cut)
    assert float(found["dp_gather"].size) == 16.0
    assert float(found["dp_copies"].size) == 4.0
    assert float(found["dp_copies"].stride) == 16.0
    assert float(found["dp_copies"].size_bytes) == pytest.approx(
        2.0 * float(LLAMA.parameters) / 16
    )


def test_exchanged_contexts_carry_queries_results_keys_and_values():
    """Ulysses with 8 of 32 heads for keys: 2 (H + H_kv) a token, both ways."""
    cut = Layout(cp=4.0, ring=0.0)
    found = traffic(LLAMA, cut)["cp_exchange"]
    sent = float(found.size_bytes * found.calls)
    assert sent == pytest.approx(2.0 * (8192 / 4) * 2 * 2 * (4096 + 1024) * 32)


def test_sharded_gradients_are_reduced_for_each_microbatch():
    found = traffic(LLAMA, Layout(dp=8.0, microbatches=4.0, zero=2.0))
    assert float(found["dp_scatter"].calls) == 4.0
    assert float(found["dp_gather"].calls) == 1.0

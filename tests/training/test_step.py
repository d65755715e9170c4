"""A step's terms: hand values, bounds, gradients, published shapes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import fabricmodel as fm
from fabricmodel.training.layout import Layout
from fabricmodel.training.models import load_model
from fabricmodel.training.pricing import KINDS, price
from fabricmodel.training.step import Habits, Machine, communication, step_terms
from fabricmodel.training.traffic import CAUSES, traffic
from fabricmodel.training.workload import workload

FABRIC = fm.load_fabric("h100-infiniband")
MACHINE = Machine(linear_flops=794e12, plain_flops=794e12, memory_Bps=3.35e12)
GPT = workload(load_model("gpt3-175b"), sequence=2048.0)
CUT = Layout(
    tp=np.full(4, 4.0), pp=np.full(4, 8.0), dp=np.array([4.0, 8.0, 16.0, 64.0]),
    microbatches=64.0, virtual=12.0,
)  # fmt: skip


def terms_of(layout=CUT, habits=None, machine=MACHINE, work=GPT):
    wanted = traffic(work, layout)
    spent = price(FABRIC, np.atleast_1d(layout.ranks), wanted)
    causes = {name: each.cause for name, each in wanted.items()}
    return step_terms(work, layout, machine, habits or Habits(), spent, causes), spent


@pytest.fixture(scope="module")
def priced():
    return terms_of()


def test_prices_come_from_the_collective_model(priced):
    """One all_gather over four ranks of a node, as ``collective_time`` prices it."""
    wanted = traffic(GPT, CUT)["tp_gather"]
    four = dataclasses.replace(FABRIC.levels[0], members=4.0)
    one = dataclasses.replace(FABRIC.levels[1], members=1.0, uplinks=8.0)
    fabric = dataclasses.replace(FABRIC, levels=(four, one))
    each = fm.collective_time(fabric, "all_gather", float(wanted.size_bytes))
    total = float(np.sum(priced[1]["tp_gather"].seconds[0]))
    assert total == pytest.approx(float(each) * float(np.max(wanted.calls)), rel=1e-3)


def test_growth_with_data_parallel_ranks(priced):
    step = np.asarray(sum(priced[0].values()))
    assert np.all(np.diff(step) > 0)
    assert step[-1] / step[0] - 1 < 0.10  # published: 2.2 % in bf16, 128 to 2,048


def test_bubble_is_that_of_interleaved_1f1b(priced):
    terms = {name: np.asarray(value) for name, value in priced[0].items()}
    inner = sum(terms[k] for k in ("matrix", "memory", "overhead", "tp", "cp", "ep"))
    np.testing.assert_allclose(terms["bubble"], inner * 7 / (12 * 64), rtol=1e-6)


def test_matrix_work_by_hand():
    habits = Habits(
        matrix=0.5, attention=1.0, narrow=0.0, half_tokens=0.0, half_depth=0.0
    )
    terms, _ = terms_of(habits=habits)
    tokens = 64 * 2048 / 32
    linear = 6.0 * float(GPT.matrix_parameters) + 6.0 * float(GPT.head_parameters)
    attention = 3.5 * 4 * 1024 * 12288 * 96
    expected = tokens * (linear / (0.5 * 794e12) + attention / 794e12)
    assert float(terms["matrix"][0]) == pytest.approx(expected)


def test_overlap_lies_between_its_bounds(priced):
    """max(C, M) <= what computation and communication take <= C + M."""
    for hidden in (0.0, 0.5, 1.0):
        habits = Habits(hidden=dict.fromkeys(CAUSES, hidden))
        terms, spent = terms_of(habits=habits)
        causes = {name: each.cause for name, each in traffic(GPT, CUT).items()}
        paid = communication(habits, spent, causes)
        for cause in CAUSES:
            exposed, whole = np.asarray(terms[cause]), np.asarray(paid[cause])
            assert np.all(exposed <= whole * (1 + 1e-6) + 1e-12)
            assert np.all(exposed >= whole * (1 - hidden) * (1 - 1e-6))


def test_more_of_anything_costs_more(priced):
    base = np.asarray(sum(priced[0].values()))
    slower = dataclasses.replace(MACHINE, memory_Bps=1e12)
    worse = [
        terms_of(machine=slower)[0],
        terms_of(habits=Habits(matrix=0.6))[0],
        terms_of(habits=Habits(jitter=0.01))[0],
        terms_of(habits=Habits(dearness=dict.fromkeys(KINDS, 2.0)))[0],
    ]
    for terms in worse:
        assert np.all(np.asarray(sum(terms.values())) > base)


def test_halving_bytes_of_linear_work_leaves_the_plain_part():
    fast = dataclasses.replace(MACHINE, linear_flops=2 * 794e12)
    bf16 = np.asarray(sum(terms_of()[0].values()))
    fp8 = np.asarray(sum(terms_of(machine=fast)[0].values()))
    assert np.all((bf16 / fp8 > 1.2) & (bf16 / fp8 < 2.0))


def test_gradients_in_log_coordinates(priced):
    causes = {name: each.cause for name, each in traffic(GPT, CUT).items()}
    start = Habits()

    def log_step(logs):
        habits = dataclasses.replace(
            start,
            matrix=start.matrix * jnp.exp(logs[0]),
            memory=start.memory * jnp.exp(logs[1]),
            crowding=start.crowding * jnp.exp(logs[2]),
            jitter=start.jitter * jnp.exp(logs[3]),
            layer_s=start.layer_s * jnp.exp(logs[4]),
        )
        terms = step_terms(GPT, CUT, MACHINE, habits, priced[1], causes)
        return jnp.log(sum(terms.values()))

    check_grads(log_step, (jnp.zeros(5),), order=1, modes=["rev"], rtol=1e-4)


def test_traffic_has_its_own_precision():
    """FP8 on the wire halves the bytes, and leaves the matrix work as it was."""
    narrow = dataclasses.replace(CUT, activation_bytes=1.0, weight_bytes=1.0)
    full, half = traffic(GPT, CUT), traffic(GPT, narrow)
    for name in ("tp_gather", "tp_scatter", "pp", "cp_ring", "dp_gather"):
        np.testing.assert_allclose(full[name].size_bytes, 2 * half[name].size_bytes)
    np.testing.assert_array_equal(
        full["dp_scatter"].size_bytes, half["dp_scatter"].size_bytes
    )


def test_differentiable_in_sizes_that_no_layout_depends_on():
    def seconds(width):
        work = dataclasses.replace(GPT, width=width)
        wanted = traffic(work, Layout(dp=8.0))
        terms = step_terms(work, Layout(dp=8.0), MACHINE, Habits(), {}, {})
        return sum(terms.values()) + 1e-12 * wanted["tp_gather"].size_bytes

    slope = jax.grad(seconds)(12288.0)
    assert np.isfinite(slope) and slope > 0

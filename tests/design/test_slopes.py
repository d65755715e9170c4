"""Times and slopes of many sizes at once are those of each size by itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fabricmodel as fm
from fabricmodel.design import collective_slopes, in_pieces
from fabricmodel.design.slopes import _program
from fabricmodel.fabric import LINK_PRICES, Factors, Level
from fabricmodel.timing.price import collective_seconds
from fabricmodel.timing.table import count_table

SIZES = 2.0 ** np.linspace(4.0, 36.0, 33)


def ruled() -> fm.Fabric:
    """Two protocols, a library that is mistaken, and one that switches by size."""
    levels = (
        Level(name="node", kind="clique", members=8.0, capacity=8.0, round_s=2e-6,
              hop_s=1e-7, message_s=2e-7, jitter_s=3e-8, byte_s=3e-12),
        Level(name="net", kind="switch", members=6.0, capacity=8.0, uplinks=4.0,
              radix=4.0, round_s=1e-5, hop_s=6e-7, message_s=1e-6, jitter_s=2e-7,
              byte_s=4e-11, crowd_byte_s=1e-12),
    )  # fmt: skip
    factors = {
        "node.ring.latency": 1.3, "all_gather.net.ring.transfer": 0.8,
        "protocol.ll.latency": 0.4, "protocol.ll.transfer": 2.1,
        "net.ll.transfer": 1.2, "net.bruck.choice": 1.5, "net.ring.above_bytes": 3e6,
    }  # fmt: skip
    return fm.Fabric(
        name="ruled", levels=levels, protocols=("ll", "simple"),
        strategies=("staged", "flat_ring"), reduce_byte_s=2e-12, copy_byte_s=1e-12,
        launch_s={"all_gather": 4e-6},
        factors=Factors(names=tuple(factors), values=tuple(factors.values())),
    )  # fmt: skip


def one_by_one(fabric, collective):
    """Differentiate each size by itself, by all that the fabric holds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        table = count_table(fabric, collective)
    launch = fabric.launch_s.get(collective, 0.0)

    def seconds(fabric, launch, size):
        return collective_seconds(table, fabric, size, launch)

    each = jax.value_and_grad(seconds, argnums=(0, 1, 2))
    args = jax.tree.map(float, (fabric, launch))
    return jax.jit(jax.vmap(each, in_axes=(None, None, 0)))(*args, jnp.asarray(SIZES))


FABRICS = {
    "ruled": ruled,
    "trn2-ultracluster": lambda: fm.load_fabric("trn2-ultracluster", chips=100_000),
}


@pytest.mark.parametrize(
    ("name", "collective"),
    [("ruled", "all_gather"), ("trn2-ultracluster", "all_reduce")],
)
def test_slopes_are_those_of_each_size(name, collective):
    with jax.enable_x64(True):
        fabric = FABRICS[name]()
        time_s, (by_fabric, by_launch, by_size) = one_by_one(fabric, collective)
        found = collective_slopes(fabric, collective, SIZES, piece=8)
    expected = {"size_bytes": by_size, "launch_s": by_launch}
    for level, slopes in zip(fabric.levels, by_fabric.levels, strict=True):
        for field in LINK_PRICES:
            expected[f"{level.name}.{field}"] = getattr(slopes, field)
    for field in ("reduce_byte_s", "copy_byte_s", "memory_round_s", "memory_byte_s"):
        expected[field] = getattr(by_fabric, field)
    for at, factor in enumerate(fabric.factors.names):
        expected[factor] = by_fabric.factors.values[at]
    expected.pop("net.ring.above_bytes", None)
    assert set(found.by) == set(expected)
    np.testing.assert_allclose(found.time_s, time_s, rtol=1e-12)
    for price, slope in expected.items():
        scale = np.max(np.abs(slope))
        np.testing.assert_allclose(
            found.by[price], slope, rtol=1e-9, atol=1e-13 * scale, err_msg=price
        )
    assert np.ptp(found.by["size_bytes"]) > 0


def test_sizes_together_are_those_of_each_alone():
    with jax.enable_x64(True):
        fabric = ruled()
        for ask in (fm.collective_time, fm.collective_bound):
            together = ask(fabric, "all_reduce", SIZES.reshape(3, 11))
            alone = [float(ask(fabric, "all_reduce", size)) for size in SIZES]
            np.testing.assert_allclose(np.ravel(together), alone, rtol=1e-13)


def test_workers_and_other_cases_change_nothing():
    sizes = SIZES.astype(np.float32)
    once = collective_slopes(ruled(), "all_gather", sizes, piece=16, workers=1)
    for again in (
        collective_slopes(ruled(), "all_gather", sizes, piece=16, workers=3),
        collective_slopes(ruled(), "all_gather", sizes[:17], piece=16),
    ):
        for name, slope in {"time_s": again.time_s, **again.by}.items():
            known = once.time_s if name == "time_s" else once.by[name]
            np.testing.assert_array_equal(slope, known[: len(slope)])


def test_prices_are_no_reason_to_compile_again():
    fabric = ruled()
    dearer = dataclasses.replace(fabric, reduce_byte_s=1e-11)
    collective_slopes(fabric, "all_gather", SIZES, piece=16)
    compiled = _program.cache_info().misses
    collective_slopes(dearer, "all_gather", SIZES, piece=16)
    assert _program.cache_info().misses == compiled


@pytest.mark.parametrize("columns", [[], [np.ones(0)], [np.ones(3), np.ones(4)]])
def test_columns_of_different_lengths_are_refused(columns):
    with pytest.raises(fm.FabricModelError, match="columns: lengths"):
        in_pieces(jax.jit(lambda *x: jnp.stack(x)), columns)


@pytest.mark.parametrize("out", [np.empty((2, 3)), np.empty((1, 3), int)])
def test_answers_go_where_they_fit_alone(out):
    double = jax.jit(lambda x: 2.0 * x[None])
    columns = [np.arange(3.0)]
    with pytest.raises(fm.FabricModelError, match="out:"):
        in_pieces(double, columns, out=out)
    with jax.enable_x64(True):
        mine = np.empty((1, 3))
        assert in_pieces(double, columns, out=mine, piece=2) is mine
    assert mine.tolist() == [[0.0, 2.0, 4.0]]


def test_a_fabric_of_many_is_refused():
    many = dataclasses.replace(ruled(), copy_byte_s=np.ones(3))
    with pytest.raises(fm.FabricModelError, match="fabric: holds arrays"):
        collective_slopes(many, "all_gather", SIZES)
    with pytest.raises(fm.FabricModelError, match="collective: unknown"):
        collective_slopes(ruled(), "all_scatter", SIZES)

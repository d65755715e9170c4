"""Derivatives in every price, and the transformations that they go through."""

import dataclasses
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sweeps import QUICK, prices

from fabricmodel import Fabric, collective_bound, collective_time, load_fabric, place

STEP = 1e-4  # of the central difference in log price
CASES = [
    ("trn2-instance", 64, "all_gather"),
    ("trn2-instance", 64, "all_reduce"),
    ("trn2-ultracluster", 65_536, "all_reduce"),
    ("trn2-torus-3d", 4096, "all_to_all"),
    ("h100-infiniband", 64, "all_gather"),
    ("trn2-flat-ring", 24, "reduce_scatter"),
    ("generic-network", 24, "broadcast"),
]
SIZES = (1.0, 1e5, 1e7, 1e10)


def leaves(fabric: Fabric) -> tuple[Fabric, list[str]]:
    """Return the fabric with float leaves, and the path of each."""
    fabric = jax.tree.map(float, fabric)
    paths = jax.tree_util.tree_flatten_with_path(fabric)[0]
    return fabric, [jax.tree_util.keystr(path) for path, _ in paths]


def is_price(path: str) -> bool:
    return "spread" not in path and ("_s" in path or ".factors" in path)


@partial(jax.jit, static_argnums=1, compiler_options=QUICK)
def slopes(fabric: Fabric, collective: str, size):
    return jax.value_and_grad(collective_time)(fabric, collective, size)


@partial(jax.jit, static_argnums=1, compiler_options=QUICK)
def times_of(rows: Fabric, collective: str, size):
    return jax.vmap(lambda fabric: collective_time(fabric, collective, size))(rows)


@pytest.mark.parametrize(("name", "ranks", "collective"), CASES)
def test_gradient_in_every_price(name, ranks, collective):
    """Central differences in log coordinates; price x slope adds up to the time.

    The second is Euler's: the time is homogeneous in the prices, factors aside.
    """
    fabric, paths = leaves(place(load_fabric(name), ranks))
    values, tree = jax.tree.flatten(fabric)
    moved = [i for i, path in enumerate(paths) if is_price(path) and values[i] > 0]
    factor = [".factors" in path for path in paths]
    count = len(moved)
    assert count >= 6
    for size in SIZES:
        time, gradient = slopes(fabric, collective, size)
        steps = jax.tree.leaves(gradient)
        assert np.all(np.isfinite(steps)), size
        ours = np.array([steps[i] * values[i] for i in moved]) / time
        terms = [share for i, share in zip(moved, ours, strict=True) if not factor[i]]
        assert sum(terms) == pytest.approx(1.0, rel=1e-9)
        assert min(terms) >= -1e-12
        shifts = np.zeros((len(values), 2 * count))
        shifts[moved, np.arange(count)] = STEP
        shifts[moved, np.arange(count) + count] = -STEP
        rows = [v * np.exp(shift) for v, shift in zip(values, shifts, strict=True)]
        around = np.log(times_of(jax.tree.unflatten(tree, rows), collective, size))
        theirs = (around[:count] - around[count:]) / (2 * STEP)
        np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=1e-4)


def test_slope_in_the_size_is_a_price_per_byte():
    fabric = place(load_fabric("generic-network"), 24)
    slope = jax.jit(jax.grad(partial(collective_time, fabric, "broadcast")))
    flat, steep = float(slope(1.0)), float(slope(1e11))
    assert flat >= 0
    difference = collective_time(fabric, "broadcast", np.array([1e11, 1.001e11]))
    assert steep == pytest.approx(float(difference[1] - difference[0]) / 1e8, rel=1e-3)


def test_finite_at_zero_prices_and_one_member():
    """Where a logarithm or a root would have none."""
    fabric, _ = leaves(place(load_fabric("trn2-instance"), 1))
    assert np.all(np.isfinite(jax.tree.leaves(slopes(fabric, "all_gather", 1e6))))
    free = prices(load_fabric("trn2-instance"), lambda _, price: 0.0)
    free = jax.tree.map(float, free)
    time, gradient = slopes(free, "all_gather", 1e6)
    assert float(time) == pytest.approx(0.0, abs=1e-12)
    assert np.all(np.isfinite(jax.tree.leaves(gradient)))


def test_vmap_jit_and_grad_compose():
    fabric = jax.tree.map(float, place(load_fabric("generic-network"), 24))
    sizes = jnp.array([1e3, 1e6, 1e9])

    def total(case):
        each = jax.vmap(lambda size: collective_time(case, "broadcast", size))
        return jnp.sum(each(sizes))

    composed = jax.jit(jax.grad(total), compiler_options=QUICK)(fabric)
    parts = [slopes(fabric, "broadcast", size)[1] for size in sizes]
    summed = jax.tree.map(lambda *leaf: sum(leaf), *parts)
    for ours, theirs in zip(
        jax.tree.leaves(composed), jax.tree.leaves(summed), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-18)
    whole = collective_time(fabric, "broadcast", sizes)
    each = [float(collective_time(fabric, "broadcast", s)) for s in (1e3, 1e6, 1e9)]
    np.testing.assert_allclose(whole, each, rtol=1e-12)


def test_one_compilation_serves_every_scale_and_size():
    """Members and prices are traced: new ones, and new sizes, trace nothing anew."""
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def ask(fabric, size):
        return (
            collective_time(fabric, "all_to_all", size),
            collective_bound(fabric, "all_to_all", size),
        )

    unit = load_fabric("trn2-instance-cluster")
    found = []
    for chips in (4, 16, 64, 1024, 131_072):
        fabric = jax.tree.map(float, load_fabric("trn2-instance-cluster", chips=chips))
        for size in (1.0, 2.0**20, 2.0**34):
            found.append(float(ask(fabric, size)[0]))
    assert len(set(found)) == len(found)
    dearer = jax.tree.map(float, prices(unit, lambda _, price: 3 * price))
    assert float(ask(dearer, 1e6)[0]) == pytest.approx(
        3 * float(ask(jax.tree.map(float, unit), 1e6)[0]), rel=1e-9
    )


def test_collective_time_itself_is_compiled_once():
    """The public function, not only a caller's jit of it."""
    from fabricmodel.timing import collective

    before = collective._each._cache_size()  # pyright: ignore
    for chips in (16, 32, 4096):
        fabric = load_fabric("trn2-instance-cluster", chips=chips)
        for size in (1e3, 1e9):
            collective_time(dataclasses.replace(fabric), "send_recv", size)
    assert collective._each._cache_size() <= before + 1  # pyright: ignore

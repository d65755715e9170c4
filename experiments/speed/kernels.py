"""The calls that the benchmark times: one formula, a whole choice, a cluster, layouts.

"All gradients" are those of each case by itself: the derivative of its time by every
price and by its size, so that N cases return N rows of them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from chex import Numeric

import fabricmodel as fm
from experiments.speed.clock import Call, copying
from fabricmodel.algorithms.counts import Dim
from fabricmodel.algorithms.registry import algorithms
from fabricmodel.design import (
    collective_cases,
    collective_slopes,
    in_pieces,
    sweep,
)
from fabricmodel.fabric import Fabric, Level
from fabricmodel.timing.price import collective_seconds
from fabricmodel.timing.table import CountTable, count_table
from fabricmodel.training import (
    evaluate,
    load_habits,
    load_model,
    load_platform,
    search,
    workload,
)

CHIPS = 100_000
RING_PRICES = {"round_s": 1e-6, "hop_s": 1e-7, "byte_s": 1e-11, "reduce_byte_s": 1e-12}
TORUS = (16, 16, 16)
VALUE_BYTES = 12
"""Of one case of the ring in float32: a size and a number of ranks in, a time out."""

_RING = algorithms("flat", "all_reduce")["ring"]


def sizes(cases: int) -> np.ndarray:
    """Spread sizes over 1 KiB to 8 GiB, evenly in their logarithm."""
    return (2.0 ** np.linspace(10.0, 33.0, cases)).astype(np.float32)


def ring_seconds(prices: Mapping[str, Numeric], size: Numeric, ranks: Numeric):
    """Time of a ring all_reduce, counts x prices; of numpy or JAX by its arguments.

    >>> round(float(ring_seconds(RING_PRICES, 4e6, 4.0)) * 1e6, 3)
    69.0
    """
    dim = Dim(kind="ring", members=ranks, capacity=ranks)
    seconds = 0.0
    for phase in _RING.count((dim,), size):
        level = phase.levels[0]
        seconds = seconds + (
            level.rounds * prices["round_s"]
            + level.hops * prices["hop_s"]
            + level.bytes * prices["byte_s"]
            + phase.reduced_bytes * prices["reduce_byte_s"]
        )
    return seconds


def numpy_ring_seconds(
    prices: Mapping[str, np.float32], size: np.ndarray, ranks: np.ndarray
) -> np.ndarray:
    """Write the same out by hand, as a person would in numpy."""
    others = ranks - np.float32(1)
    part = others / ranks * size
    return (
        np.float32(2) * others * prices["round_s"]
        + part * (np.float32(2) * prices["byte_s"] + prices["reduce_byte_s"])
    )  # fmt: skip


def ring(cases: int) -> dict[str, Call]:
    """One formula on many cases: value, gradients, numpy, and a copy of its bytes."""
    size = sizes(cases)
    ranks = np.random.default_rng(0).integers(2, 4096, cases).astype(np.float32)
    plain = {name: np.float32(price) for name, price in RING_PRICES.items()}
    prices = jax.tree.map(jnp.asarray, plain)
    asked = jnp.asarray(size), jnp.asarray(ranks)
    value = jax.jit(ring_seconds)
    each = jax.value_and_grad(ring_seconds, argnums=(0, 1))
    gradient = jax.jit(jax.vmap(each, in_axes=(None, 0, 0)))
    rows = jax.jit(lambda *columns: jax.tree.leaves(gradient(prices, *columns)))
    kept = np.empty(
        (len(prices) + 2, cases), jax.eval_shape(value, prices, *asked).dtype
    )
    summed = jax.jit(jax.value_and_grad(lambda *a: jnp.sum(ring_seconds(*a))))
    return {
        "value": lambda: value(prices, *asked),
        "value_and_grad": lambda: gradient(prices, *asked),
        "value_and_grad_in_pieces": lambda: in_pieces(rows, [size, ranks], out=kept),
        "summed_value_and_grad": lambda: summed(prices, *asked),
        "numpy": lambda: numpy_ring_seconds(plain, size, ranks),
        "copy": copying(VALUE_BYTES * cases),
    }


def torus(*, every_algorithm: bool) -> Fabric:
    """Make a torus of three sides, with the library's own choice or every algorithm."""
    names = sorted(algorithms("torus", "all_reduce")) if every_algorithm else []
    levels = tuple(
        Level(
            name=name, kind="ring", family="torus", domain="torus", members=float(n),
            capacity=float(n), round_s=1e-6, hop_s=1e-7, message_s=1e-7, jitter_s=1e-8,
            byte_s=2e-11, crowd_byte_s=1e-13,
        )
        for name, n in zip("xyz", TORUS, strict=True)
    )  # fmt: skip
    return Fabric(
        name="torus", strategies=("staged", *names), levels=levels, reduce_byte_s=1e-12
    )


def torus_table(fabric: Fabric) -> CountTable:
    """Count the candidates of an all_reduce, once for every size and price."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return count_table(fabric, "all_reduce")


def candidate_set(cases: int, *, every_algorithm: bool) -> dict[str, Call]:
    """Choose on a torus: every candidate priced for each size."""
    fabric = torus(every_algorithm=every_algorithm)
    table, size = torus_table(fabric), sizes(cases)
    value = jax.jit(lambda fabric, size: collective_seconds(table, fabric, size, 0.0))
    return {
        "value": lambda: value(fabric, size),
        "value_and_grad": lambda: collective_slopes(fabric, "all_reduce", size),
    }


def cluster(cases: int) -> dict[str, Call]:
    """All_reduce over 100,000 Trainium2 chips: the time; with interval and terms."""
    fabric = fm.load_fabric("trn2-ultracluster", chips=CHIPS)
    model = fm.prior_model(fabric)
    ranks = float(np.prod([float(level.members) for level in fabric.levels]))
    size = sizes(cases)
    return {
        "time": lambda: fm.collective_time(fabric, "all_reduce", size),
        "terms": lambda: model.predict("all_reduce", size, ranks=ranks).terms,
    }


def layouts(chips: int) -> tuple[dict[str, Call], int, int]:
    """Time every layout of a 70B model; the calls, layouts tried, and those valid."""
    platform, habits = load_platform("h100"), load_habits("h100")
    model = load_model("llama3.1-70b")
    work = workload(model, sequence=8192.0)
    found = search(platform, model, work, chips, 2 * chips, habits)
    calls = {
        "search": lambda: search(platform, model, work, chips, 2 * chips, habits),
        "evaluate": lambda: evaluate(platform, work, found.layout, habits),
    }
    return calls, found.tried, len(found.step_s)


def swept(cases: int, folder: str) -> tuple[float, float]:
    """Sweep all_reduce over an UltraCluster: seconds of the clock, and of the answers.

    The difference is the grid and the Parquet files.
    """
    counts = [256.0 * k for k in range(1, 9)]
    axes = {
        "fabric": ["trn2-ultracluster"],
        "collective": ["all_reduce"],
        "ranks": counts,
        "size_bytes": sizes(max(cases // len(counts), 1)).astype(float),
    }
    spent = 0.0

    def timed(case: dict[str, np.ndarray]) -> dict[str, Any]:
        nonlocal spent
        began = time.perf_counter()
        answers = collective_cases(case)
        spent += time.perf_counter() - began
        return answers

    first = {name: axes[name][:1] for name in ("fabric", "collective", "ranks")}
    with tempfile.TemporaryDirectory() as compiled:  # leaves the programs behind
        sweep(timed, axes | first, compiled, name="warm")
    spent = 0.0
    began = time.perf_counter()
    sweep(timed, axes, folder, name="timed")
    return time.perf_counter() - began, spent

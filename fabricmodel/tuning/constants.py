"""A fitted model in the words of NCCL's own tuning model: its table of constants.

NCCL's constants are latencies by algorithm and protocol and bandwidths a channel may
reach. A few factors move them (Ring's and Tree's launch, step over NVLink and step over
the network, what LL and a tree's channel may reach), until the model's best protocol of
each algorithm takes the time that ours predicts for it: least squares in log time over
sizes and communicators, with the vendor's values as prior.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fabricmodel.baselines.nccl import Communicator, nccl_seconds
from fabricmodel.baselines.nccl_constants import (
    ALGORITHMS,
    DEFAULTS,
    LINKS,
    PROTOCOLS,
    Constants,
)
from fabricmodel.errors import FabricError
from fabricmodel.fitting.model import FittedModel
from fabricmodel.tuning.nccl import SIZES, candidates

_MOVED = ("Ring", "Tree")
_PRIOR_SD = 1.0  # of a factor's logarithm
_STEPS = 400
_NAMES = {"ring": "Ring", "tree": "Tree"}
# By the names of ncclTunerConstants in NCCL's tuner API.
_FIELDS = {
    "baseLatencies": "base_us",
    "hwLatencies": "link_us",
    "llMaxBws": "ll_max_GBps",
    "perChMaxRingLL128Bws": "ring_ll128_GBps",
    "perChMaxTreeBws": "tree_GBps",
    "perChMaxTreeLL128Bws": "tree_ll128_GBps",
    "perChMaxNVLSTreeBws": "nvls_tree_GBps",
}


def constants_of(
    model: FittedModel,
    collective: str,
    communicators: Sequence[Communicator],
    sizes: np.ndarray = SIZES,
) -> Constants:
    """Find the constants by which NCCL's model comes nearest to a fitted one.

    Args:
      model: fitted, or from the catalogue.
      collective: one that both rings and trees can run, so all_reduce.
      communicators: the ranks and nodes to compare on.
      sizes: bytes.

    Raises:
      FabricError: where the model can't price a ring nor a tree.
    """
    wanted: list[tuple[Communicator, str, np.ndarray]] = []
    for one in communicators:
        for name, counted in candidates(model, collective, int(one.ranks)).items():
            if name in _NAMES:
                guess = model.predict(collective, sizes, one.ranks, algorithm=counted)
                wanted.append((one, _NAMES[name], np.log(guess.median_s)))
    if not wanted:
        raise FabricError(
            "model", "its fabric runs neither rings nor trees", "Use all_reduce"
        )

    def loss(factors: jax.Array) -> jax.Array:
        moved = _apply(factors)
        total = jnp.mean((factors / _PRIOR_SD) ** 2)
        for one, algorithm, log_s in wanted:
            times = nccl_seconds(one, collective, sizes, constants=moved)
            mine = [jnp.log(t) for (name, _), t in times.items() if name == algorithm]
            nearest = jnp.min(jnp.stack(mine), axis=0)
            total += 10.0 * jnp.mean((nearest - log_s) ** 2)
        return total

    with jax.enable_x64(True):
        start = jnp.zeros(3 * len(_MOVED) + 2)
        factors = _minimise(loss, start)
        return jax.tree.map(np.asarray, _apply(factors))


def _minimise(loss: Any, start: jax.Array) -> jax.Array:
    """Adam with a falling step: few unknowns, and kinks where protocols change."""
    optimiser = optax.adam(optax.cosine_decay_schedule(0.1, _STEPS))
    slope = jax.grad(loss)

    @jax.jit
    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        point, state = carry
        updates, state = optimiser.update(slope(point), state)
        return (optax.apply_updates(point, updates), state), None

    carry = (start, optimiser.init(start))
    (point, _), _ = jax.lax.scan(step, carry, None, length=_STEPS)
    return point


def _apply(factors: jax.Array) -> Constants:
    """Multiply the vendor's constants by the exponentials of the factors."""
    by = jnp.exp(factors)
    base, link = jnp.asarray(DEFAULTS.base_us), jnp.asarray(DEFAULTS.link_us)
    for index, name in enumerate(_MOVED):
        at = ALGORITHMS.index(name)
        base = base.at[at].multiply(by[3 * index])
        link = link.at[LINKS.index("nvlink"), at].multiply(by[3 * index + 1])
        link = link.at[LINKS.index("net"), at].multiply(by[3 * index + 2])
    return dataclasses.replace(
        DEFAULTS,
        base_us=base,
        link_us=link,
        ll_max_GBps=jnp.asarray(DEFAULTS.ll_max_GBps) * by[-2],
        tree_GBps=jnp.asarray(DEFAULTS.tree_GBps) * by[-1],
    )


def write_constants(path: str | os.PathLike[str], constants: Constants) -> None:
    """Write them as JSON, under the names of NCCL's ``ncclTunerConstants``."""
    table: dict[str, Any] = {
        field: np.asarray(getattr(constants, name)).round(4).tolist()
        for field, name in _FIELDS.items()
    }
    table["axes"] = {
        "baseLatencies": [ALGORITHMS, PROTOCOLS],
        "hwLatencies": [LINKS, ALGORITHMS, PROTOCOLS],
        "units": "us, GB/s of 1e9 bytes",
    }
    pathlib.Path(path).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")

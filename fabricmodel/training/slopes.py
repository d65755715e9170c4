"""What a step would gain from anything being cheaper: d(step) / d(any price)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fabricmodel.fabric import Fabric
from fabricmodel.fitting.cases import QUICK
from fabricmodel.training.layout import Layout
from fabricmodel.training.platforms import Platform
from fabricmodel.training.pricing import price
from fabricmodel.training.step import Habits, Machine, step_terms
from fabricmodel.training.traffic import traffic
from fabricmodel.training.workload import Workload

LEVEL_PRICES = (
    "round_s", "hop_s", "message_s", "jitter_s", "byte_s", "crowd_byte_s",
)  # fmt: skip
OTHER_PRICES = ("reduce_byte_s", "memory_round_s", "memory_byte_s")


def step_seconds(
    fabric: Fabric,
    machine: Machine,
    work: Workload,
    layout: Layout,
    habits: Habits,
) -> Array:
    """Seconds of a step, (n,), differentiable in the fabric's prices and all rates.

    Args:
      fabric: prices may be traced; its shape and the layout are plain numbers.
      machine, habits: may be traced.
      work, layout: what is trained and how it is cut, leaves of shape (n,) or plain.
    """
    wanted = traffic(work, layout)
    spent = price(fabric, np.atleast_1d(np.asarray(layout.ranks, float)), wanted)
    causes = {name: each.cause for name, each in wanted.items()}
    terms = step_terms(work, layout, machine, habits, spent, causes)
    return sum(terms.values(), start=jnp.zeros(()))


def price_slopes(
    platform: Platform,
    work: Workload,
    layout: Layout,
    habits: Habits,
    precision: str = "bf16",
) -> dict[str, np.ndarray]:
    """Per cent of a step's time for each per cent of a price, d log T / d log price.

    In seconds per unit of the price, multiply by step / price. Prices of the fabric
    are named as in the catalogue (``nvlink.byte_s``, ``launch.all_reduce``), rates of
    a rank ``machine.FIELD``; a faster rate shortens the step, so theirs are negative.

    >>> from fabricmodel.training import load_habits, load_model, load_platform
    >>> from fabricmodel.training import workload
    >>> work = workload(load_model("llama3.1-8b"), sequence=8192.0)
    >>> found = price_slopes(load_platform("h100"), work, Layout(dp=64.0, zero=3.0),
    ...                      load_habits("h100"))
    >>> dearest = max((k for k in found if "." in k), key=lambda k: abs(found[k][0]))
    >>> dearest, bool(found["infiniband.byte_s"][0] > 0)
    ('machine.linear_flops', True)
    """
    fabric, machine = platform.fabric, platform.machine(precision)
    names = [
        *(f"{lvl.name}.{key}" for lvl in fabric.levels for key in LEVEL_PRICES),
        *OTHER_PRICES,
        *(f"launch.{kind}" for kind in fabric.launch_s),
        "machine.linear_flops",
        "machine.plain_flops",
        "machine.memory_Bps",
    ]
    rows = np.size(layout.ranks)

    def log_step(logs: Array) -> Array:
        by = dict(zip(names, jnp.exp(logs), strict=True))
        seconds = step_seconds(
            _dearer(fabric, by), _faster(machine, by), work, layout, habits
        )
        return jnp.broadcast_to(jnp.log(seconds), (rows,))

    slope = jax.jit(jax.jacrev(log_step), compiler_options=QUICK)
    slopes = np.asarray(slope(jnp.zeros(len(names))))
    return {name: slopes[:, at] for at, name in enumerate(names)}


def _dearer(fabric: Fabric, by: Mapping[str, Array]) -> Fabric:
    """Multiply every price by its factor."""
    levels = tuple(
        dataclasses.replace(
            level,
            **{
                key: getattr(level, key) * by[f"{level.name}.{key}"]
                for key in LEVEL_PRICES
            },
        )
        for level in fabric.levels
    )
    return dataclasses.replace(
        fabric,
        levels=levels,
        launch_s={k: v * by[f"launch.{k}"] for k, v in fabric.launch_s.items()},
        **{key: getattr(fabric, key) * by[key] for key in OTHER_PRICES},
    )


def _faster(machine: Machine, by: Mapping[str, Array]) -> Machine:
    return dataclasses.replace(
        machine,
        **{
            key: getattr(machine, key) * by[f"machine.{key}"]
            for key in ("linear_flops", "plain_flops", "memory_Bps")
        },
    )

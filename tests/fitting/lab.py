"""A small cluster whose true prices are known."""

import dataclasses

import jax
import numpy as np

from fabricmodel import Fabric, Level, place
from fabricmodel.timing.collective import time_s

NOISE = 0.03
RANKS = (2, 4, 16, 64)
SIZES = tuple(float(size) for size in 2.0 ** np.arange(10, 31, 2.5))
QUESTIONS = [("all_to_all", ""), ("all_gather", ""), ("all_gather", "ring")]

_quick = jax.jit(
    time_s,
    static_argnums=(1, 3),
    compiler_options={"xla_backend_optimization_level": "0"},
)


def lab(scale: float = 0.0) -> Fabric:
    """Nodes of four over a network; ``scale`` moves every price from the catalogue's.

    Some go up and some down, by as many standard deviations of the belief.
    """

    def price(value: float, sign: float) -> float:
        return value * float(np.exp(0.5 * scale * sign))

    node = Level(
        name="node",
        kind="switch",
        link="bus",
        in_node=True,
        members=4.0,
        capacity=4.0,
        round_s=price(2e-6, 1.0),
        byte_s=price(2e-11, 0.8),
    )
    net = Level(
        name="net",
        kind="switch",
        link="cable",
        grows=True,
        uplinks=2.0,
        round_s=price(1e-5, -1.0),
        jitter_s=price(5e-7, 0.5),
        byte_s=price(1e-10, 0.6),
    )
    kinds = ("all_to_all", "all_gather", "all_reduce")
    launch = dict.fromkeys(kinds, price(4e-6, -0.7))
    return Fabric(name="lab", levels=(node, net), launch_s=launch)  # pyright: ignore


def true_time(collective: str, size: float, ranks: int, algorithm: str = "") -> float:
    """What the lab really takes, noise aside."""
    fabric = dataclasses.replace(place(lab(1.0), ranks), name="")
    fabric = jax.tree.map(float, fabric)
    return float(_quick(fabric, collective, size, algorithm or None))

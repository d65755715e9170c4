"""A small cluster whose true prices are known."""

import numpy as np

from fabricmodel import Fabric, Level, prior_model

NOISE = 0.03
RANKS = (2, 4, 16, 64)
SIZES = tuple(float(size) for size in 2.0 ** np.arange(10, 31, 2.5))
QUESTIONS = [("all_to_all", ""), ("all_gather", ""), ("all_gather", "ring")]


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
    guess = prior_model(lab(1.0)).predict(collective, size, ranks, algorithm=algorithm)
    return float(guess.median_s)

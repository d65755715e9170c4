"""Fits that several tests look at, each made once."""

import dataclasses

import jax
import numpy as np
import pytest

from fabricmodel import (
    Fabric,
    Level,
    Measurements,
    fit,
    load_fabric,
    load_reference,
    place,
)
from fabricmodel.timing.collective import time_s

NOISE = 0.03
RANKS = (2, 4, 8, 16, 32, 64)
SIZES = tuple(float(size) for size in 2.0 ** np.arange(10, 31, 2))
QUESTIONS = [("all_reduce", ""), ("all_gather", ""), ("all_gather", "ring")]

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
    kinds = ("all_reduce", "all_gather")
    launch = dict.fromkeys(kinds, price(4e-6, -0.7))
    return Fabric(name="lab", levels=(node, net), launch_s=launch)


def true_time(collective: str, size: float, ranks: int, algorithm: str = "") -> float:
    """What the lab really takes, noise aside."""
    fabric = dataclasses.replace(place(lab(1.0), ranks), name="")
    fabric = jax.tree.map(float, fabric)
    return float(_quick(fabric, collective, size, algorithm or None))


@pytest.fixture(scope="session")
def measured() -> Measurements:
    rng = np.random.default_rng(7)
    rows = [
        {
            "series": "lab",
            "ranks": ranks,
            "collective": collective,
            "algorithm": algorithm,
            "size_bytes": size,
            "time_us": 1e6
            * true_time(collective, size, ranks, algorithm)
            * rng.lognormal(sigma=NOISE),
        }
        for collective, algorithm in QUESTIONS
        for ranks in RANKS
        for size in SIZES
    ]
    return Measurements.from_records(rows)


@pytest.fixture(scope="session")
def model(measured):
    """The lab's prices from its measurements."""
    return fit(lab(), measured)


@pytest.fixture(scope="session")
def trn1():
    return load_reference("trn1_scaling_allreduce_nccom")


@pytest.fixture(scope="session")
def trn2_model():
    return fit(load_fabric("trn2-instance"), load_reference("trn2_48xl_nccom_r64"))

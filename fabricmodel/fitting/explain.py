"""Times with their slopes, and what they are made of: the compiled part of a model."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fabricmodel.fabric import Fabric
from fabricmodel.fitting.cases import QUICK, Cases, bounds, seconds
from fabricmodel.fitting.parameters import Parameters, with_prices

_TERMS = {
    "round_s": "latency",
    "hop_s": "latency",
    "message_s": "latency",
    "jitter_s": "stragglers",
    "byte_s": "bandwidth",
    "crowd_byte_s": "contention",
}


def explain(
    fabric: Fabric,
    known: Parameters,
    theta: np.ndarray,
    price_names: tuple[str, ...],
    rows: Cases,
) -> tuple[Array, Array, Array, Array]:
    """Times, their bounds, their log slopes by parameter, and their terms by price.

    The choice among algorithms counts as made. Time is homogeneous in the prices, so
    ``price dT/dprice`` are its terms (Euler).
    """
    logs = jnp.asarray(np.log(known.centre) + known.spread * theta)
    plain, names = _anonymous(fabric, known.names)
    time, bound, slopes = _slopes(logs, plain, names, rows)
    at = np.array([known.names.index(name) for name in price_names], int)
    return time, bound, slopes * known.spread, (slopes[:, at] * time[:, None]).T


def _anonymous(
    fabric: Fabric, names: tuple[str, ...]
) -> tuple[Fabric, tuple[str, ...]]:
    """Number the link classes, so that fabrics of one shape share their programs."""
    links = dict.fromkeys(level.link or level.name for level in fabric.levels)
    number = {link: f"link{i}" for i, link in enumerate(links)}
    levels = tuple(
        dataclasses.replace(level, link=number[level.link or level.name])
        for level in fabric.levels
    )
    renamed = []
    for name in names:
        link, _, price = name.rpartition(".")
        renamed.append(f"{number[link]}.{price}" if link in number else name)
    plain = dataclasses.replace(fabric, name="", spread={}, levels=levels)
    return plain, tuple(renamed)


@partial(jax.jit, static_argnames="names", compiler_options=QUICK)
def _slopes(
    logs: Array, fabric: Fabric, names: tuple[str, ...], rows: Cases
) -> tuple[Array, Array, Array]:
    """Seconds, the bound, and the derivative of their logarithm by each log price."""

    def log_time(logs: Array, row: Cases) -> tuple[Array, Array]:
        one = jax.tree.map(lambda leaf: leaf[None], row)
        priced = with_prices(fabric, names, jnp.exp(logs))
        return jnp.log(seconds(priced, one, frozen=True))[0], bounds(priced, one)[0]

    slope = jax.vmap(jax.value_and_grad(log_time, has_aux=True), in_axes=(None, 0))
    (logged, bound), slopes = slope(logs, rows)
    return jnp.exp(logged), bound, slopes


def grouped(
    names: tuple[str, ...], terms: np.ndarray, shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Add terms up under the names a person uses: ``efa latency``, ``launch``."""
    plain = {
        "launch_s": "launch",
        "reduce_byte_s": "reduction",
        "copy_byte_s": "own copy",
        "memory_round_s": "memory",
        "memory_byte_s": "memory",
    }
    grouped: dict[str, np.ndarray] = {}
    for name, term in zip(names, terms, strict=True):
        if name in plain:
            label = plain[name]
        else:
            link, price = name.rsplit(".", 1)
            label = f"{link} {_TERMS[price]}"
        grouped[label] = grouped.get(label, np.zeros(shape)) + term.reshape(shape)
    return grouped

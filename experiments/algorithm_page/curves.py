"""Times of every algorithm against size, on one plain fabric a family."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from fabricmodel import Fabric, Level
from fabricmodel.algorithms.registry import every_algorithm, known_names
from fabricmodel.timing.price import candidate_seconds
from fabricmodel.timing.table import count_table

SIZES = 2.0 ** np.arange(10, 31)
"""1 KiB to 1 GiB."""

US = 1e-6
GBPS = 1e-9


QUICK = {"xla_backend_optimization_level": "0"}  # each program runs once


def _level(
    name: str,
    kind: str,
    members: int,
    *,
    round_s: float = 2 * US,
    byte_s: float = GBPS / 50,
    uplinks: float = 0.0,
    family: str = "flat",
    domain: str = "",
) -> Level:
    """A level at prices of the usual size."""
    return Level(
        name=name,
        kind=kind,
        family=family,
        domain=domain,
        members=float(members),
        capacity=float(members),
        uplinks=uplinks,
        round_s=round_s,
        hop_s=0.2 * US,
        message_s=0.05 * US,
        byte_s=byte_s,
    )


def _torus(family: str) -> list[Level]:
    return [
        _level(axis, "ring", 4, family=family, domain=family) for axis in ("x", "y")
    ]


def fabrics() -> dict[str, Fabric]:
    """Return a fabric for each family: 16 ranks, 4x4, 4x4 chips of 4, 8 nodes of 8."""
    node = _level("node", "switch", 8, byte_s=GBPS / 400, round_s=1 * US)
    net = _level("net", "switch", 8, uplinks=8.0, round_s=10 * US)
    chip = _level(
        "chip", "clique", 4, family="neuronlink", domain="neuronlink", byte_s=GBPS / 400
    )
    levels = {
        "flat": (_level("net", "switch", 16),),
        "torus": tuple(_torus("torus")),
        "neuronlink": (chip, *_torus("neuronlink")),
        "spanning": (node, net),
    }
    return {
        family: Fabric(
            name=family,
            levels=own,
            reduce_byte_s=GBPS / 1000,
            memory_byte_s=GBPS / 700,
        )
        for family, own in levels.items()
    }


def curves() -> dict[tuple[str, str, str], np.ndarray]:
    """Seconds at ``SIZES`` by (family, collective, name)."""
    found: dict[tuple[str, str, str], np.ndarray] = {}
    asked = sorted(known_names())
    shapes = fabrics()
    kinds = dict.fromkeys((f, c) for f, c, _, _ in every_algorithm())
    with jax.enable_x64(True):
        for family, collective in kinds:
            fabric = shapes[family]
            with np.errstate(divide="ignore", invalid="ignore"):
                table = count_table(fabric, collective, asked)

            def price(size, table=table, fabric=fabric):
                return candidate_seconds(table, fabric, size).min(axis=1)

            times = np.asarray(
                jax.jit(jax.vmap(price), compiler_options=QUICK)(jnp.asarray(SIZES))
            )
            for column, candidate in enumerate(table.candidates):
                spans = candidate.stage[0] == "flat"
                if candidate.stage[1] != collective or spans != (family == "spanning"):
                    continue
                found[family, collective, candidate.algorithm] = times[:, column]
    return found

"""Which algorithm is the cheapest where, and at which sizes the choice changes."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fabricmodel.fabric import Fabric
from fabricmodel.timing.collective import check_collective
from fabricmodel.timing.price import candidate_estimates
from fabricmodel.timing.table import CountTable, count_table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Switch:
    """A size at which the cheapest algorithm changes.

    Attributes:
      stage: the domain and the collective that it runs there.
      size_bytes: of the full vector.
      below, above: the algorithms on either side.
    """

    stage: tuple[str, str]
    size_bytes: float
    below: str
    above: str


def switches(
    fabric: Fabric,
    collective: str,
    smallest_bytes: float = 1024.0,
    largest_bytes: float = 2.0**33,
) -> list[Switch]:
    """List the sizes at which each stage of a collective changes its algorithm.

    By the library's own estimate, where the fabric says that it is off. Found on a
    grid of 16 sizes an octave, between which log times are taken as
    straight. Only stages that the collective itself runs are listed: an all_reduce's
    own, rather than the reduce_scatter and all_gather that it may be made of.

    >>> from fabricmodel.fabric import Level
    >>> net = Level(name="net", kind="switch", members=8.0, capacity=8.0,
    ...             round_s=1e-5, byte_s=1e-9)
    >>> [(s.below, s.above) for s in switches(Fabric(name="", levels=(net,)),
    ...                                       "all_reduce")][0]
    ('one_shot', 'two_shot')
    """
    check_collective(collective)
    octaves = np.log2(largest_bytes / smallest_bytes)
    sizes = smallest_bytes * 2.0 ** np.linspace(0.0, octaves, int(octaves * 16) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        table = count_table(fabric, collective)
    names, valid = table.candidates, np.asarray(table.valid)
    logs = np.asarray(_grid(table, fabric, jnp.asarray(sizes, float)))
    logs = np.where(valid[None, :] > 0, logs, np.inf)
    found = []
    for stage in dict.fromkeys(name.stage for name in names):
        if stage[1] != collective:
            continue
        at = [i for i, name in enumerate(names) if name.stage == stage]
        best = np.argmin(logs[:, at], axis=1)
        for i in np.flatnonzero(best[1:] != best[:-1]):
            below, above = at[best[i]], at[best[i + 1]]
            gap = logs[i : i + 2, above] - logs[i : i + 2, below]
            part = gap[0] / (gap[0] - gap[1]) if np.all(np.isfinite(gap)) else 0.5
            found.append(
                Switch(
                    stage=stage,
                    size_bytes=float(sizes[i] * (sizes[i + 1] / sizes[i]) ** part),
                    below=names[below].algorithm,
                    above=names[above].algorithm,
                )
            )
    return found


@jax.jit
def _grid(table: CountTable, fabric: Fabric, sizes: Array) -> Array:
    return jax.vmap(lambda size: candidate_estimates(table, fabric, size))(sizes)

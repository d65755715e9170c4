"""Runs as arrays: workloads, layouts, rates and priced collectives, row by row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeVar

import jax
import numpy as np

from fabricmodel._pytree import pytree, static
from fabricmodel.training.layout import Layout
from fabricmodel.training.platforms import sliced
from fabricmodel.training.pricing import Spent, price
from fabricmodel.training.runs import Run
from fabricmodel.training.step import Machine
from fabricmodel.training.traffic import traffic
from fabricmodel.training.workload import Workload

T = TypeVar("T")


@pytree
class Batch:
    """Rows of steps with everything that does not depend on a platform's habits.

    Attributes:
      work, layout, machine: leaves of shape (R,).
      spent: by collective, (R, 4) seconds at the fabric's prices.
      causes: of the collectives.
    """

    work: Workload
    layout: Layout
    machine: Machine
    spent: Mapping[str, Spent]
    causes: tuple[tuple[str, str], ...] = static()

    @property
    def cause_of(self) -> dict[str, str]:
        """Cause by the name of the collective."""
        return dict(self.causes)


def batch(runs: Sequence[Run]) -> Batch:
    """Stack usable runs, and price their collectives fabric by fabric.

    Args:
      runs: of which each has work, layout and platform.
    """
    work = stack([_known(run.work) for run in runs])
    layout = stack([_known(run.layout) for run in runs])
    machine = stack([_known(run.platform).machine(run.precision) for run in runs])
    wanted = traffic(work, layout)
    ranks = np.asarray(layout.ranks, float)
    spent = {
        name: Spent(seconds=np.zeros((len(runs), 4)), doublings=np.zeros(len(runs)))
        for name in wanted
    }
    for fabric, at in _fabrics(runs):
        rows = {
            name: dataclasses.replace(
                each,
                **{
                    field: np.broadcast_to(getattr(each, field), ranks.shape)[at]
                    for field in ("size_bytes", "calls", "stride", "size")
                },
            )
            for name, each in wanted.items()
        }
        for name, found in price(fabric, ranks[at], rows).items():
            np.asarray(spent[name].seconds)[at] = found.seconds
            np.asarray(spent[name].doublings)[at] = found.doublings
    causes = tuple((name, each.cause) for name, each in wanted.items())
    return Batch(work=work, layout=layout, machine=machine, spent=spent, causes=causes)


def _known(value: T | None) -> T:
    if value is None:
        raise ValueError("an unusable run has no place in a batch")
    return value


def stack(records: Sequence[T]) -> T:
    """Stack records of numbers, field by field.

    >>> stack([Machine(linear_flops=1.0, plain_flops=2.0, memory_Bps=3.0)] * 2)
    Machine(linear_flops=array([1., 1.]), plain_flops=array([2., 2.]), \
memory_Bps=array([3., 3.]), ranks_per_node=array([8., 8.]), \
engines=array([1., 1.]))
    """
    return jax.tree.map(
        lambda *leaves: np.stack([np.asarray(leaf, float) for leaf in leaves]), *records
    )


def _fabrics(runs: Sequence[Run]):
    """Yield each fabric that occurs, cut to its slices, and the rows that run on it."""
    kinds: dict[tuple[str, str, int], list[int]] = {}
    for at, run in enumerate(runs):
        platform = _known(run.platform)
        domain = int(run.domain) if len(platform.fabric.levels) > 2 else 0
        kinds.setdefault((platform.name, platform.chip.name, domain), []).append(at)
    for (_, _, domain), rows in kinds.items():
        fabric = _known(runs[rows[0]].platform).fabric
        held = np.prod([float(level.capacity) for level in fabric.levels[:-1]])
        if 1 <= domain < held:
            fabric = sliced(fabric, domain)
        yield fabric, np.asarray(rows)

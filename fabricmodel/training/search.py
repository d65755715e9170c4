"""Every valid layout of a model on so many chips, timed at once; the best of them."""

from __future__ import annotations

import dataclasses
from functools import partial
from itertools import product

import jax
import numpy as np

from fabricmodel.errors import FabricModelError
from fabricmodel.training.layout import Layout, memory_bytes
from fabricmodel.training.numeric import Numeric
from fabricmodel.training.platforms import Platform
from fabricmodel.training.pricing import Spent, padded, price
from fabricmodel.training.step import Habits, Machine, step_terms
from fabricmodel.training.traffic import traffic
from fabricmodel.training.workload import Transformer, Workload

HEADROOM = 0.98
"""Share of a chip's memory that a layout may plan with."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """Valid layouts with their times, fastest first.

    Attributes:
      layout: leaves of shape (n,).
      step_s: (n,) seconds of a step.
      terms: (n,) seconds of each term.
      tried: layouts that were looked at, valid or not.
    """

    layout: Layout
    step_s: np.ndarray
    terms: dict[str, np.ndarray]
    tried: int

    def best(self) -> Layout:
        """Return the fastest."""
        return take(self.layout, 0)


def take(layout: Layout, at: int | np.ndarray) -> Layout:
    """Pick rows of a batch of layouts; one row becomes plain numbers."""
    picked = jax.tree.map(lambda leaf: np.asarray(leaf)[at], layout)
    if isinstance(at, int):
        picked = jax.tree.map(float, picked)
    return picked


def valid_layouts(
    model: Transformer,
    work: Workload,
    ranks: int,
    sequences: int,
    memory: float,
    *,
    largest_tp: int = 64,
) -> tuple[Layout, int]:
    """List every layout that divides, and fits in memory; and how many were tried.

    Tensor, context and expert degrees are powers of two; context parallelism by a ring
    or, where the heads divide, by all_to_alls; pipeline stages divide the layers, or
    the layers and the two of embedding and head; microbatches of 1, 2 and 4 sequences;
    plain pipelines and the most interleaved; nothing sharded (ZeRO-0), the optimiser
    (1), gradients too (2), weights too (3, without a pipeline), the weights over all
    replicas or over each power of two of them from 8 on (hybrid); with and without
    recomputing.

    Args:
      model, work: what is trained.
      ranks: of the job.
      sequences: of a step.
      memory: bytes of a rank.
      largest_tp: beyond which tensor parallelism is not tried.
    """
    layers = float(np.asarray(model.layers))
    experts = int(float(np.asarray(model.experts)))
    powers = [2**k for k in range(12)]
    tps = [t for t in powers if t <= largest_tp and float(model.heads) % t == 0]
    stages = [
        p
        for p in range(1, int(layers) + 1)
        if (layers % p == 0 or (layers + 2) % p == 0) and ranks % p == 0
    ]
    cps = [c for c in powers if c <= 32 and float(work.sequence) % (2 * c) == 0]
    eps = [e for e in powers if e <= experts and experts % e == 0]
    rows = []
    for tp, pp, cp in product(tps, stages, cps):
        if ranks % (tp * pp * cp):
            continue
        dp = ranks // (tp * pp * cp)
        if sequences % dp:
            continue
        local = sequences // dp
        depth = layers if layers % pp == 0 else layers + 2
        pieces = [v for v in range(2, int(depth // pp) + 1) if depth % (pp * v) == 0]
        for ep, microbatch in product(eps, (1, 2, 4)):
            if local % microbatch or (dp * cp * tp) % ep:
                continue
            count = local // microbatch
            virtuals = [1]
            if pp > 1 and pieces and count % pp == 0:
                virtuals.append(pieces[-1])
            exchanges = cp > 1 and float(model.heads) / tp % cp == 0
            rings = (1, 0) if exchanges else (1,)
            rows += [
                (tp, cp, pp, dp, ep, microbatch, count, virtual, *kept, again, ring)
                for virtual, kept, again, ring in product(
                    virtuals, _kept_whole(pp, dp * cp), (0.0, 1.0), rings
                )
            ]
    if not rows:
        return Layout(tp=np.zeros(0)), 0
    names = (
        "tp", "cp", "pp", "dp", "ep", "microbatch", "microbatches", "virtual", "zero",
        "shard", "recompute", "ring",
    )  # fmt: skip
    columns = np.array(rows, float).T
    layout = Layout(**dict(zip(names, columns, strict=True)))
    layout = jax.tree.map(
        lambda leaf: np.broadcast_to(np.asarray(leaf, float), columns[0].shape), layout
    )
    fits = np.asarray(memory_bytes(work, layout)) <= HEADROOM * memory
    return take(layout, np.flatnonzero(fits)), len(rows)


def _kept_whole(pp: int, replicas: int) -> list[tuple[int, int]]:
    """Stages of ZeRO with the ranks that share one copy, 0 for all of them.

    A pipeline that shards its weights gathers every layer for every microbatch: never
    faster. One replica has nothing to share.
    """
    if replicas == 1:
        return [(0, 0)]
    stages = [(0, 0), (1, 0), (2, 0)]
    if pp == 1:
        shared = [2**k for k in range(3, 12) if 2**k < replicas]
        stages += [(3, 0), *((3, n) for n in shared if replicas % n == 0)]
    return stages


def evaluate(
    platform: Platform,
    work: Workload,
    layout: Layout,
    habits: Habits,
    precision: str = "bf16",
) -> dict[str, np.ndarray]:
    """Seconds of each term of a batch of layouts.

    Args:
      platform, habits: the machine; leaves of habits may have a leading axis of draws.
      work: what is trained; layout: leaves of shape (n,).
      precision: of the matrix products.
    """
    rows = np.size(layout.ranks)
    layout = _filled(layout, rows)
    ranks = np.asarray(layout.ranks, float)
    wanted = traffic(work, layout)
    spent = price(platform.fabric, ranks, wanted)
    causes = {name: each.cause for name, each in wanted.items()}
    machine = platform.machine(precision)
    terms = _terms(work, layout, machine, habits, spent, causes=tuple(causes.items()))
    return {name: _kept(value, rows) for name, value in terms.items()}


def _filled(layout: Layout, rows: int) -> Layout:
    """Repeat the last layout up to a padded number of them: few programs."""
    size = padded(rows)

    def fill(leaf: Numeric) -> np.ndarray:
        whole = np.broadcast_to(np.asarray(leaf, float), (rows,))
        return np.concatenate([whole, np.repeat(whole[-1:], size - rows)])

    return jax.tree.map(fill, layout)


def _kept(value: Numeric, rows: int) -> np.ndarray:
    """Drop the repeated layouts; a term that is the same for all is spread out."""
    whole = np.asarray(value)
    if whole.shape[-1:] not in ((padded(rows),), (1,)):
        whole = whole[..., None]
    if whole.shape[-1] == 1:
        whole = np.broadcast_to(whole, (*whole.shape[:-1], rows))
    return whole[..., :rows]


@partial(jax.jit, static_argnames="causes")
def _terms(
    work: Workload,
    layout: Layout,
    machine: Machine,
    habits: Habits,
    spent: dict[str, Spent],
    causes: tuple[tuple[str, str], ...],
) -> dict[str, jax.Array]:
    return step_terms(work, layout, machine, habits, spent, dict(causes))


def search(
    platform: Platform,
    model: Transformer,
    work: Workload,
    chips: int,
    sequences: int,
    habits: Habits,
    *,
    precision: str = "bf16",
) -> Found:
    """Time every valid layout of a model on so many chips.

    Args:
      platform, habits: the machine.
      model, work: what is trained.
      chips: of the job; sequences: of a step.
      precision: of the matrix products.

    Raises:
      FabricModelError: where no layout divides and fits.
    """
    ranks = int(chips * platform.ranks_per_chip)
    memory = float(np.asarray(platform.chip.memory_bytes)) / platform.ranks_per_chip
    layout, tried = valid_layouts(model, work, ranks, sequences, memory)
    if not np.size(layout.tp):
        raise FabricModelError(
            "layout",
            f"none of {tried} divides and fits: {chips} chips of "
            f"{platform.chip.name}, {sequences} sequences",
            "Use more chips, or another number of sequences",
        )
    terms = evaluate(platform, work, layout, habits, precision)
    step_s = np.sum([*terms.values()], axis=0)
    order = np.argsort(step_s)
    return Found(
        layout=take(layout, order),
        step_s=step_s[order],
        terms={
            name: np.broadcast_to(v, step_s.shape)[order] for name, v in terms.items()
        },
        tried=tried,
    )

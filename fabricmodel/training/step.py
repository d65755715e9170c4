"""The time of a training step, made of named terms; differentiable in all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
from jax import Array

from fabricmodel._pytree import pytree
from fabricmodel.timing.selection import slowest_of
from fabricmodel.training.layout import STATE_BYTES, Layout
from fabricmodel.training.numeric import Numeric
from fabricmodel.training.pricing import KINDS, Spent
from fabricmodel.training.traffic import CAUSES
from fabricmodel.training.workload import (
    ELEMENTWISE_BYTES,
    LOGIT_BYTES,
    SCORE_BYTES,
    WHOLE_BYTES,
    Workload,
)

TERMS = (
    "matrix", "memory", "overhead", "optimiser", *CAUSES, "bubble", "straggler",
)  # fmt: skip
"""What a step is made of; communication is what is left exposed."""


@pytree
class Machine:
    """Rates of one rank.

    Attributes:
      linear_flops: of matrix products, in the precision of the run.
      plain_flops: of attention and the output layer, which stay in bf16.
      memory_Bps: of its memory.
      ranks_per_node: ranks that slow down together.
      engines: matrix engines that share a product tile by tile: the multiprocessors of
        a GPU, 1 of a systolic array.
    """

    linear_flops: Numeric
    plain_flops: Numeric
    memory_Bps: Numeric
    ranks_per_node: Numeric = 8.0
    engines: Numeric = 1.0


TILE = 128.0
"""Rows and columns that a matrix engine takes at once: of the systolic arrays of TPU
and NeuronCore, and the usual tile of a GPU's kernels."""


@pytree
class Habits:
    """How a machine and its software work: all that a fit learns of a platform.

    Attributes:
      matrix: share of the roof that large matrix products reach.
      attention: share of the roof that attention reaches.
      recompute: seconds of a recomputed forward pass, against those of the first.
      memory: memory-bound traffic, against ``ELEMENTWISE_BYTES``.
      layer_s: seconds of each layer and microbatch that no work explains.
      expert_s: the same of each layer with experts, on top.
      step_s: seconds of each step that no work explains.
      narrow: what the last, unfilled round of tiles costs, against half a round: half
        a tile's columns on one engine, half a tile of each engine on many.
      half_depth: width at which products that sum over it are half as efficient, for
        each tile of a result costs its start and its end too.
      half_tokens: tokens of a product at which it is half as efficient; half_expert:
        columns of an expert's.
      hidden: share of each cause's communication that runs beside computation, where
        there is enough of it, by cause; net of interference, by which computation
        beside communication slows down: step times tell the difference alone.
      dearness: of each kind of communication, against the fabric's prices, by kind.
      crowding: by how much an outer byte gets dearer with each doubling of the units
        that a communicator spans.
      jitter: standard deviation of a step between nodes, as a share of it.
    """

    matrix: Numeric = 0.75
    attention: Numeric = 0.5
    recompute: Numeric = 1.0
    memory: Numeric = 1.0
    layer_s: Numeric = 5e-5
    expert_s: Numeric = 2e-4
    step_s: Numeric = 5e-3
    narrow: Numeric = 1.0
    half_depth: Numeric = 100.0
    half_expert: Numeric = 600.0
    half_tokens: Numeric = 128.0
    hidden: Mapping[str, Numeric] = dataclasses.field(
        default_factory=lambda: {
            "tp": 0.4,
            "cp": 0.7,
            "ep": 0.3,
            "pp": 0.8,
            "dp": 0.8,
            "copies": 0.3,
        }
    )
    dearness: Mapping[str, Numeric] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(KINDS, 1.0)
    )
    crowding: Numeric = 0.02
    jitter: Numeric = 0.003


def step_terms(
    work: Workload,
    layout: Layout,
    machine: Machine,
    habits: Habits,
    spent: Mapping[str, Spent],
    causes: Mapping[str, str],
) -> dict[str, Array]:
    """Seconds of each term of a step; their sum is the step.

    With m microbatches on P stages of v pieces each, C seconds of computation on a
    rank and M_x seconds of communication of cause x:

    - C = matrix work / (roof x efficiency) + memory-bound bytes / bandwidth
      + layers x overhead; a product of R tokens and N columns on E engines leaves half
      a round of its tiles empty, 128 (1 + (E - 1) 128 / R) / 2 columns of N;
    - exposed_x = M_x - hidden_x min(M_x, C_x): what runs beside computation is hidden,
      as far as there is computation, so max(C, M) <= step <= C + M; the corner of the
      minimum is rounded (``beside``). Gradients that are exchanged once a step (ZeRO
      below 2) find the computation of one round of P microbatches;
    - bubble = (P - 1) / (v m) x (C + exposed of tp, cp, ep) (Narayanan et al. 2021);
    - straggler = jitter x b_N x all of the above, b_N the expected largest of N
      standard normal nodes.

    Args:
      work, layout, machine, habits: broadcast with each other.
      spent: seconds of each collective, as ``pricing.price`` gives them.
      causes: of the names in ``spent``.
    """
    per_rank = layout.tp * layout.cp * layout.pp
    tokens = layout.tokens(work) / layout.dp / per_rank
    wave = layout.microbatch * work.sequence / layout.cp
    matrices, head, attention = work.forward_flops()
    again = layout.recompute * habits.recompute
    columns = work.columns / layout.tp
    rows = wave * work.experts_per_token * layout.ep / work.experts
    mixed = jnp.asarray(work.experts) > 1.0
    unfilled = 0.5 * TILE * (1.0 + (machine.engines - 1.0) * TILE / rows)
    half = jnp.where(mixed, habits.half_expert, habits.narrow * unfilled)
    size = (1.0 + half / columns) * (1.0 + habits.half_tokens / rows)
    size = size * (1.0 + habits.half_depth / work.width)
    linear = (2.0 + work.trained + again) * matrices * size / machine.linear_flops
    plain = 3.0 * head / machine.plain_flops
    loose = 1.0 - layout.fused_attention
    scores_again = jnp.maximum(layout.recompute_attention, again)
    square = 2.0 * (3.0 + scores_again)  # the masked half too
    passes = loose * square + (1.0 - loose) * (3.5 + again)
    attend = passes * attention / (machine.plain_flops * habits.attention)
    matrix = tokens * ((linear + plain) / habits.matrix + attend)
    on_each = WHOLE_BYTES * (layout.tp - 1.0) * (1.0 - layout.sequence_parallel)
    elementwise = (ELEMENTWISE_BYTES + on_each) * work.width * work.layers
    elementwise = elementwise * (1.0 + again / 3.0)
    elementwise = elementwise + loose * score_bytes(work, scores_again)
    routing = 40.0 * work.width * work.layers * (work.experts_per_token - 1.0)
    held = held_parameters(work, layout)
    reads = 6.0 * held * layout.microbatches
    logits = LOGIT_BYTES * work.head_parameters / work.width
    memory = habits.memory * (tokens * (elementwise + routing + logits) + reads)
    memory = memory / machine.memory_Bps
    stages = work.layers / layout.pp
    each_s = habits.layer_s + jnp.where(mixed, habits.expert_s, 0.0)
    overhead = each_s * stages * layout.microbatches
    overhead = overhead * (1.0 + again / 3.0)
    computing = matrix + memory + overhead
    paid = communication(habits, spent, causes)
    wave_share = jnp.minimum(layout.pp / layout.microbatches, 1.0)
    room = {
        **dict.fromkeys(CAUSES, computing),
        "dp": computing * jnp.where(layout.zero >= 2.0, 1.0, wave_share),
        "copies": computing * wave_share,
    }
    hidden = {**habits.hidden, "tp": habits.hidden["tp"] * layout.overlap_tp}
    exposed = {
        cause: paid[cause] - hidden[cause] * beside(paid[cause], room[cause])
        for cause in CAUSES
    }
    inner = computing + exposed["tp"] + exposed["cp"] + exposed["ep"]
    bubble = inner * (layout.pp - 1.0) / (layout.virtual * layout.microbatches)
    share = jnp.where(layout.zero >= 1.0, layout.sharing, 1.0)
    state = STATE_BYTES["optimiser"] * 2.0 + STATE_BYTES["gradients"]
    optimiser = state * held * work.trained / share / machine.memory_Bps + habits.step_s
    terms = {
        "matrix": matrix, "memory": memory, "overhead": overhead,
        "optimiser": optimiser, **exposed, "bubble": bubble,
    }  # fmt: skip
    nodes = jnp.maximum(layout.ranks / machine.ranks_per_node, 1.0)
    terms["straggler"] = habits.jitter * slowest_of(nodes) * sum(terms.values())
    return {name: jnp.asarray(value) for name, value in terms.items()}


def score_bytes(work: Workload, again: Numeric) -> Numeric:
    """Memory traffic of a token's attention scores in all layers, where not fused.

    heads x sequence of them a layer, masked or not: no kernel skips half a square.
    """
    passes = SCORE_BYTES["forwards"] * (1.0 + again) + SCORE_BYTES["backwards"]
    return passes * work.heads * work.sequence * work.layers


def beside(communication: Numeric, computation: Numeric) -> Array:
    """Seconds that could run at the same time: the less of the two, its corner rounded.

    (M^-8 + C^-8)^(-1/8): never more than either, and 8 % less where they are equal,
    for neither is spread over a step evenly. Without the corner every gradient is
    smooth, and a fit can end.

    >>> [round(float(beside(m, 1.0)), 3) for m in (0.0, 0.5, 1.0, 2.0)]
    [0.0, 0.5, 0.917, 1.0]
    """
    less = jnp.minimum(communication, computation)
    more = jnp.maximum(communication, computation)
    ratio = less / jnp.where(more > 0, more, 1.0)
    return less * (1.0 + ratio**8) ** (-1.0 / 8.0)


def held_parameters(work: Workload, layout: Layout) -> Numeric:
    """Parameters that a rank computes with, before any sharding of their state."""
    dense = (work.parameters - work.expert_parameters) / layout.tp
    return (dense + work.expert_parameters / layout.ep) / layout.pp


def communication(
    habits: Habits, spent: Mapping[str, Spent], causes: Mapping[str, str]
) -> dict[str, Array]:
    """Seconds of communication of each cause, hidden or not."""
    total: dict[str, Array] = {cause: jnp.zeros(()) for cause in CAUSES}
    for name, each in spent.items():
        crowd = 1.0 + habits.crowding * each.doublings
        parts = [
            habits.dearness[kind] * each.seconds[..., at]
            for at, kind in enumerate(KINDS)
        ]
        parts[-1] = parts[-1] * crowd
        total[causes[name]] = total[causes[name]] + sum(parts)
    return total

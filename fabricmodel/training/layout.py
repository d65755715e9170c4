"""How a job is cut over its ranks, what each keeps in memory, and what can't be."""

from __future__ import annotations

import dataclasses

import numpy as np

from fabricmodel._pytree import pytree
from fabricmodel.algorithms import arrays as xp
from fabricmodel.errors import FabricModelError
from fabricmodel.training.numeric import Numeric
from fabricmodel.training.workload import Workload

STATE_BYTES = {"weights": 2.0, "gradients": 4.0, "optimiser": 12.0}
"""Of a parameter in mixed precision: bf16 weights, fp32 gradients, and fp32 master
weights with two moments of Adam (Rajbhandari et al. 2020, arXiv 1910.02054)."""

ACTIVATION_BYTES = 34.0
"""Kept of a token and a layer, per unit of width, with fused attention (Korthikanti
et al. 2022, arXiv 2205.05198, equation 1 without its quadratic term)."""

SCORE_BYTES_KEPT = 5.0
"""Kept of each score of attention that is not fused: its quadratic term."""


@pytree
class Layout:
    """One way to cut a job; numbers, so that a batch of them is the same record.

    Ranks are laid out tensor parallel innermost, then context, data and pipeline
    outermost, each on the fabric's innermost levels that are left. Experts are spread
    over ranks of the data and context groups.

    Attributes:
      tp, cp, pp, dp: tensor, context, pipeline and data parallel degrees; their
        product is the number of ranks.
      ep: expert parallel degree, folded inside the others.
      microbatch: sequences that a data-parallel rank takes at once.
      microbatches: how many of them make a step.
      virtual: pieces of the model that each pipeline rank holds (interleaved 1F1B).
      zero: 0 plain data parallel; 1 optimiser, 2 gradients too, 3 weights too are
        sharded over the data-parallel ranks (FSDP is 3).
      shard: data-parallel ranks that share one copy, where fewer than all (hybrid
        sharding); 0 for all of them.
      sequence_parallel: 1 where tensor parallelism splits the rest of a layer too.
      recompute: share of the forward work done again backwards; 1 full, 0 none.
      recompute_attention: 1 where attention alone is done again (selective); a fused
        kernel always does so.
      fused_attention: 1 where one kernel keeps the scores on the chip
        (FlashAttention), 0 where each step writes them to memory.
      overlap_tp: 1 where the software may run tensor parallelism's collectives beside
        computation (how much, is a habit), 0 where they wait for each other.
      gradient_bytes: of a gradient on the way; 2 bf16, 4 fp32.
      weight_bytes, activation_bytes: of a gathered weight and an activation on the
        way; 2 bf16, 1 in FP8: traffic has its own precision, whatever the products'.
      ring: 1 where context parallelism passes keys around a ring, 0 all-to-all.
    """

    tp: Numeric = 1.0
    cp: Numeric = 1.0
    pp: Numeric = 1.0
    dp: Numeric = 1.0
    ep: Numeric = 1.0
    microbatch: Numeric = 1.0
    microbatches: Numeric = 1.0
    virtual: Numeric = 1.0
    zero: Numeric = 1.0
    shard: Numeric = 0.0
    sequence_parallel: Numeric = 1.0
    recompute: Numeric = 0.0
    recompute_attention: Numeric = 0.0
    fused_attention: Numeric = 1.0
    overlap_tp: Numeric = 1.0
    gradient_bytes: Numeric = 2.0
    weight_bytes: Numeric = 2.0
    activation_bytes: Numeric = 2.0
    ring: Numeric = 1.0

    @property
    def ranks(self) -> Numeric:
        """Ranks that take part."""
        return self.tp * self.cp * self.pp * self.dp

    @property
    def replicas(self) -> Numeric:
        """Ranks that hold the same weights: context and data parallel ones."""
        return self.dp * self.cp

    @property
    def sharing(self) -> Numeric:
        """Ranks over which a sharded state is spread."""
        return xp.where(xp.asarray(self.shard) > 0, self.shard, self.replicas)

    def tokens(self, work: Workload) -> Numeric:
        """Tokens of a step."""
        return self.microbatch * self.microbatches * self.dp * work.sequence


def memory_bytes(work: Workload, layout: Layout) -> Numeric:
    """Bytes that the fullest rank keeps: weights, gradients, optimiser, activations.

    The first pipeline stage holds the activations of ``pp`` microbatches, a share
    ``(pp - 1) / (pp virtual)`` more when interleaved (Narayanan et al. 2021). With
    recomputing, a layer keeps its input alone. Where layers do not divide into stages,
    the first and the last have one less (Grattafiori et al. 2024).

    >>> from fabricmodel.training.models import load_model
    >>> from fabricmodel.training.workload import workload
    >>> work = workload(load_model("llama3.1-8b"), sequence=8192.0)
    >>> cut = Layout(tp=8.0, dp=2.0, microbatches=16.0)
    >>> f"{memory_bytes(work, cut) / 1e9:.0f} GB"
    '17 GB'
    """
    dense = (work.parameters - work.expert_parameters) / (layout.tp * layout.pp)
    spread = xp.maximum(layout.ep, 1.0)
    routed = work.expert_parameters / (spread * layout.pp)
    zero, share = xp.asarray(layout.zero), layout.sharing
    routed_share = xp.maximum(share * layout.tp / spread, 1.0)
    state = 0.0
    for held, over in ((dense, share), (routed, routed_share)):
        for stage, kind in ((3, "weights"), (2, "gradients"), (1, "optimiser")):
            whole = held * STATE_BYTES[kind]
            whole = whole * (1.0 if kind == "weights" else work.trained)
            state = state + xp.where(zero >= stage, whole / over, whole)
    tokens = layout.microbatch * work.sequence / layout.cp
    split = xp.where(xp.asarray(layout.sequence_parallel) > 0, layout.tp, 1.0)
    scores = SCORE_BYTES_KEPT * work.heads * work.sequence / work.width
    loose = (1.0 - layout.fused_attention) * (1.0 - layout.recompute_attention)
    whole = ACTIVATION_BYTES + loose * scores
    kept = whole * (1.0 - layout.recompute) + 2.0 * layout.recompute
    uneven = xp.mod(work.layers, layout.pp) > 0
    layers = work.layers / layout.pp
    layers = xp.where(uneven, xp.maximum(layers - 1.0, 1.0), layers)
    wave = xp.minimum(layout.pp, layout.microbatches)
    wave = wave + xp.where(
        xp.asarray(layout.virtual) > 1, (layout.pp - 1.0) / layout.virtual, 0.0
    )
    activations = kept * work.width * tokens * layers * wave / split
    return state + activations


def check(
    work: Workload,
    layout: Layout,
    *,
    heads: float | None = None,
    kv_heads: float | None = None,
    memory: float | None = None,
) -> None:
    """Refuse a layout that no framework could run, with the reason.

    Args:
      work, layout: one case, no batch.
      heads, kv_heads: of the model, where their divisibility matters.
      memory: bytes of a rank, where the model must fit.

    Raises:
      FabricModelError: naming the degree, the value and what would do.

    >>> from fabricmodel.training.models import load_model
    >>> from fabricmodel.training.workload import workload
    >>> work = workload(load_model("llama3.1-8b"), sequence=8192.0)
    >>> check(work, Layout(pp=5.0))
    Traceback (most recent call last):
    fabricmodel.errors.FabricModelError: layout.pp: 32 layers do not divide into 5 x 1 \
stages. Use a divisor of 32.
    """
    for field in dataclasses.fields(layout):
        value = float(xp.asarray(getattr(layout, field.name)))
        size = field.name.endswith("_bytes")  # half a byte in FP4
        least = 0.5 if size else 0.0 if field.name in _MAY_BE_ZERO else 1.0
        whole = size or field.name == "recompute" or value.is_integer()
        if not (np.isfinite(value) and value >= least and whole):
            raise FabricModelError(
                f"layout.{field.name}",
                f"{value:g}",
                f"Give a {'' if size else 'whole '}number of at least {least:g}",
            )
    rules = [
        ("pp", work.layers, layout.pp * layout.virtual, "layers",
         f"{layout.pp:g} x {layout.virtual:g} stages"),
        ("tp", heads, layout.tp, "heads", f"{layout.tp:g} tensor ranks"),
        ("tp", work.width, layout.tp, "columns", f"{layout.tp:g} tensor ranks"),
        ("cp", work.sequence, 2.0 * layout.cp, "tokens of a sequence",
         f"2 x {layout.cp:g} pieces of a causal mask"),
        ("ep", work.experts, layout.ep, "experts", f"{layout.ep:g} ranks"),
        ("ep", layout.replicas * layout.tp, layout.ep, "ranks that could hold experts",
         f"groups of {layout.ep:g}"),
        ("shard", layout.replicas, layout.sharing, "data-parallel ranks",
         f"groups of {float(layout.sharing):g}"),
    ]  # fmt: skip
    for field, amount, parts, what, into in rules:
        if amount is None or (field == "cp" and layout.cp == 1):
            continue
        if field == "pp" and (float(amount) + 2.0) % float(parts) == 0:
            continue  # the embedding and the head stand in for a layer each
        if float(amount) % float(parts):
            raise FabricModelError(
                f"layout.{field}",
                f"{float(amount):g} {what} do not divide into {into}",
                f"Use a divisor of {float(amount):g}",
            )
    if kv_heads is not None and max(layout.tp, kv_heads) % min(layout.tp, kv_heads):
        raise FabricModelError(
            "layout.tp",
            f"{layout.tp:g} ranks and {kv_heads:g} key heads do not divide",
            "Use a divisor or a multiple of the key heads",
        )
    if layout.virtual > 1 and layout.microbatches % layout.pp:
        raise FabricModelError(
            "layout.microbatches",
            f"{layout.microbatches:g} microbatches do not fill rounds of {layout.pp:g}",
            "Interleaving needs a multiple of pp",
        )
    needed = float(memory_bytes(work, layout))
    if memory is not None and needed > memory:
        raise FabricModelError(
            "layout",
            f"needs {needed / 1e9:.0f} GB a rank of {memory / 1e9:.0f} GB",
            "Raise tp, pp, zero or recompute, or lower microbatch",
        )


_MAY_BE_ZERO = (
    "zero", "shard", "sequence_parallel", "recompute", "recompute_attention",
    "fused_attention", "overlap_tp", "ring",
)  # fmt: skip

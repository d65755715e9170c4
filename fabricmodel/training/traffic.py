"""Which collectives a layout runs in a step, of which size, how often and where."""

from __future__ import annotations

from collections.abc import Mapping

from fabricmodel._pytree import pytree, static
from fabricmodel.algorithms import arrays as xp
from fabricmodel.training.layout import Layout
from fabricmodel.training.numeric import Numeric
from fabricmodel.training.workload import Workload

CAUSES = ("tp", "cp", "ep", "pp", "dp", "copies")
"""Tensor, context, expert, pipeline and data parallelism; and, between the copies of a
hybrid-sharded job, the all_reduce of their gradients."""


@pytree
class Traffic:
    """One collective of a step.

    Attributes:
      cause: which parallelism asks for it.
      collective: what it is.
      size_bytes: of the full vector, in the convention of nccl-tests.
      calls: how often each rank takes part in it in a step.
      stride, size: of its communicators, in ranks.
    """

    cause: str = static()
    collective: str = static()
    size_bytes: Numeric
    calls: Numeric
    stride: Numeric
    size: Numeric


def traffic(work: Workload, layout: Layout) -> Mapping[str, Traffic]:
    """List the collectives of a step, by name.

    b sequences of s tokens a microbatch, m microbatches, L/P layers on a stage, bytes
    of an activation a, of a weight w and of a gradient g as the layout has them (2
    each where nothing else is said, 1 in FP8):

    - ``tp``: 4 all_gathers and 4 reduce_scatters of a b s/c H for each layer and
      microbatch (Korthikanti et al. 2022), or 4 all_reduces without sequence
      parallelism; recomputing repeats the two of each that are forwards.
    - ``cp``: a ring passes keys and values of 2 a b s/c H_kv/t along c - 1 times
      forwards and twice that backwards; or 8 all_to_alls, half of them of queries and
      results (a b s/c H_q/t), half of keys and values (a b s/c H_kv/t).
    - ``ep``: 2 all_to_alls forwards and 2 backwards of k b s/(c t) H a.
    - ``pp``: a b s/c H/t to a neighbour, forwards and backwards, ``virtual`` times for
      each microbatch.
    - ``dp``: plain, one all_reduce of g W; sharded, a reduce_scatter of g W and an
      all_gather of w W once a step; with sharded gradients the reduce_scatter for each
      microbatch, since no rank keeps a sum; with sharded weights two all_gathers and
      one reduce_scatter of each layer for each microbatch. W are the weights of a rank;
      experts have communicators of their own. Hybrid sharding adds an all_reduce of
      the shards between its copies.

    All calls of one kind have one size, so a batch of layouts is a batch of sizes.
    """
    tokens = layout.microbatch * work.sequence / layout.cp
    layers = xp.asarray(work.layers / layout.pp)
    each = layers * layout.microbatches
    again = 1.0 + 0.5 * xp.asarray(layout.recompute)
    hidden = layout.activation_bytes * tokens * work.width
    split = xp.asarray(layout.sequence_parallel) > 0
    is_split = xp.where(xp.asarray(layout.tp) > 1, 1.0, 0.0)
    ring = xp.asarray(layout.ring) > 0
    on_context = xp.where(xp.asarray(layout.cp) > 1, 1.0, 0.0)
    keys = 2.0 * layout.activation_bytes * tokens * work.kv_width / layout.tp
    heads = (work.attention_width + work.kv_width) / 2.0
    exchanged = layout.activation_bytes * tokens * heads
    experts = xp.where(xp.asarray(layout.ep) > 1, 1.0, 0.0)
    routed = work.experts_per_token * hidden / layout.tp
    reach = layout.tp * layout.cp * layout.dp / xp.maximum(layout.ep, 1.0)
    stages = xp.where(xp.asarray(layout.pp) > 1, 1.0, 0.0)
    found = {
        "tp_gather": Traffic(
            cause="tp", collective="all_gather", size_bytes=hidden,
            calls=is_split * xp.where(split, 4.0, 0.0) * again * each,
            stride=1.0, size=layout.tp,
        ),
        "tp_scatter": Traffic(
            cause="tp", collective="reduce_scatter", size_bytes=hidden,
            calls=is_split * xp.where(split, 4.0, 0.0) * again * each,
            stride=1.0, size=layout.tp,
        ),
        "tp_reduce": Traffic(
            cause="tp", collective="all_reduce", size_bytes=hidden,
            calls=is_split * xp.where(split, 0.0, 4.0) * again * each,
            stride=1.0, size=layout.tp,
        ),
        "cp_ring": Traffic(
            cause="cp", collective="send_recv", size_bytes=keys,
            calls=on_context * xp.where(ring, 3.0, 0.0) * (layout.cp - 1.0) * each,
            stride=layout.tp, size=layout.cp,
        ),
        "cp_exchange": Traffic(
            cause="cp", collective="all_to_all", size_bytes=exchanged / layout.tp,
            calls=on_context * xp.where(ring, 0.0, 8.0) * each,
            stride=layout.tp, size=layout.cp,
        ),
        "ep": Traffic(
            cause="ep", collective="all_to_all", size_bytes=routed,
            calls=experts * 4.0 * again * each,
            stride=xp.minimum(layout.tp * layout.cp, xp.maximum(reach, 1.0)),
            size=layout.ep,
        ),
        "pp": Traffic(
            cause="pp", collective="send_recv", size_bytes=hidden / layout.tp,
            calls=stages * 2.0 * layout.microbatches * layout.virtual,
            stride=layout.tp * layout.cp * layout.dp, size=xp.minimum(layout.pp, 2.0),
        ),
    }  # fmt: skip
    return found | _data_parallel(work, layout)


def _data_parallel(work: Workload, layout: Layout) -> dict[str, Traffic]:
    """Gradients and weights: of what all ranks share, and of what experts hold."""
    spread = xp.maximum(xp.asarray(layout.ep), 1.0)
    dense = (work.parameters - work.expert_parameters) / (layout.tp * layout.pp)
    routed = work.expert_parameters / (spread * layout.pp)
    zero = xp.asarray(layout.zero)
    layers = xp.maximum(xp.asarray(work.layers / layout.pp), 1.0)
    found: dict[str, Traffic] = {}
    kinds = {
        "dp": (dense, xp.asarray(layout.replicas * 1.0), layout.tp),
        "expert_dp": (
            routed,
            xp.maximum(layout.replicas * layout.tp / spread, 1.0),
            xp.maximum(layout.tp, 1.0) * spread,
        ),
    }
    for name, (held, copies, stride) in kinds.items():
        share = xp.where(
            xp.asarray(layout.shard) > 0,
            xp.maximum(
                xp.minimum(layout.sharing * copies / layout.replicas, copies), 1.0
            ),
            copies,
        )
        some = xp.where((held > 0) & (copies > 1), 1.0, 0.0)
        sharded, full = some * (zero >= 1), zero >= 3
        pieces = xp.where(full, layers, 1.0)
        each = xp.where(full, layers * layout.microbatches, 1.0)
        hybrid = xp.where(share < copies, 1.0, 0.0)
        reduced = layout.gradient_bytes * held * work.trained
        renewed = xp.where(xp.asarray(work.trained) > 0.5, each, 0.0)
        common = {"cause": "dp", "stride": stride}
        plain = some * (zero < 1)
        found[f"{name}_scatter"] = Traffic(
            collective="reduce_scatter", size_bytes=reduced / pieces,
            calls=sharded * xp.where(zero >= 2, layout.microbatches * pieces, 1.0),
            size=share, **common,
        )  # fmt: skip
        found[f"{name}_gather"] = Traffic(
            collective="all_gather", size_bytes=layout.weight_bytes * held / pieces,
            calls=sharded * xp.where(full, 2.0 * each, renewed),
            size=share, **common,
        )  # fmt: skip
        found[f"{name}_reduce"] = Traffic(
            collective="all_reduce", size_bytes=reduced,
            calls=plain, size=copies, **common,
        )  # fmt: skip
        found[f"{name}_copies"] = Traffic(
            cause="copies", collective="all_reduce",
            size_bytes=reduced / share,
            calls=sharded * hybrid, size=copies / share, stride=stride * share,
        )  # fmt: skip
    return found

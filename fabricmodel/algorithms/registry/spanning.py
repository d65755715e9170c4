"""Algorithms that span every level of a fabric at once, instead of stage by stage."""

from __future__ import annotations

from functools import partial

from fabricmodel.algorithms.hierarchical import (
    flat_direct,
    flat_ring,
    flat_tree,
)
from fabricmodel.algorithms.registry.record import Table, entry

NCCL = "NCCL's tuning model (src/graph/tuning.cc)"
JEAUGEY = "Jeaugey, NCCL 2.4 (2019); Sanders, Speck and Träff (2009)"

_auto = partial(entry, automatic=True)

_RING = r"\sum_l (n_l - 1) U_l\,\alpha_l + \max_l \frac{N-1}{N}\frac{S\beta_l}{u_l}"
_CHAIN = (
    r"T = \left(\sqrt{\sum_l (n_l - 1) U_l\,\alpha_l}"
    r" + \sqrt{\max_l S\beta_l/u_l}\right)^2"
)
_CHAIN_SAYS = "A pipelined chain along the ring through every rank"
_TREE = (
    r"T = \left(\sqrt{2\left[\sum_{l<L}(n_l-1)\alpha_l"
    r" + \lceil\log_2 n_L\rceil\alpha_L\right]}"
    r" + \sqrt{2\max_l S\beta_l/u_l}\right)^2"
)
_REDUCED = r" + \frac{N-1}{N}S\gamma"
_RING_SAYS = "One ring through every rank, unit by unit; the dearest level paces it"
_TREE_SAYS = "Two trees over the outermost level, chains inside its units, pipelined"

FLAT_SPANNING: Table = {
    "all_reduce": {
        "flat_ring": _auto(
            partial(flat_ring, "all_reduce"),
            "T = 2[" + _RING + "]" + _REDUCED,
            NCCL,
            summary=_RING_SAYS,
        ),
        "flat_tree": _auto(
            partial(flat_tree, "all_reduce"),
            _TREE + r" + 2S\gamma",
            JEAUGEY,
            summary=_TREE_SAYS,
        ),
    },
    "all_gather": {
        "flat_ring": _auto(
            partial(flat_ring, "all_gather"), "T = " + _RING, NCCL, summary=_RING_SAYS
        )
    },
    "reduce_scatter": {
        "flat_ring": _auto(
            partial(flat_ring, "reduce_scatter"),
            "T = " + _RING + _REDUCED,
            NCCL,
            summary=_RING_SAYS,
        )
    },
    "broadcast": {
        "flat_ring": _auto(
            partial(flat_ring, "broadcast"), _CHAIN, NCCL, summary=_CHAIN_SAYS
        )
    },
    "reduce": {
        "flat_ring": _auto(
            partial(flat_ring, "reduce"),
            _CHAIN + r" + S\gamma",
            NCCL,
            summary=_CHAIN_SAYS,
        )
    },
    "all_to_all": {
        "flat_direct": _auto(
            partial(flat_direct, "all_to_all"),
            r"T = \max_l\left[\alpha_l"
            r" + (n_l-1) p_l \frac{S}{N}\beta_l\frac{p_l}{u_l}\right]",
            NCCL,
            summary="Everyone sends to everyone at once, over every level",
        )
    },
}

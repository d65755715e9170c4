"""Algorithms that span every level of a fabric at once, instead of stage by stage."""

from __future__ import annotations

from functools import partial

from fabricmodel.algorithms.hierarchical import flat_ring, flat_tree
from fabricmodel.algorithms.registry.record import Table, entry

NCCL = "NCCL's tuning model (src/graph/tuning.cc)"
JEAUGEY = "Jeaugey, NCCL 2.4 (2019); Sanders, Speck and Träff (2009)"

_auto = partial(entry, automatic=True)

_RING = r"\sum_l (n_l - 1) U_l\,\alpha_l + \max_l \frac{N-1}{N}\frac{S\beta_l}{u_l}"
_TREE = (
    r"T = \left(\sqrt{%s\left[\sum_{l<L}(n_l-1)\alpha_l"
    r" + \lceil\log_2 n_L\rceil\alpha_L\right]}"
    r" + \sqrt{%s\max_l S\beta_l/u_l}\right)^2"
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
            _TREE % (2, 2) + r" + S\gamma",
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
        "flat_tree": _auto(
            partial(flat_tree, "broadcast"),
            _TREE % ("", ""),
            JEAUGEY,
            summary=_TREE_SAYS,
        )
    },
    "reduce": {
        "flat_tree": _auto(
            partial(flat_tree, "reduce"),
            _TREE % ("", "") + r" + S\gamma",
            JEAUGEY,
            summary=_TREE_SAYS,
        )
    },
}

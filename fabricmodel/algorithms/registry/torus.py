"""Algorithms on a torus or mesh: consecutive ring and line dimensions."""

from __future__ import annotations

from functools import partial

from fabricmodel.algorithms import torus
from fabricmodel.algorithms.registry.record import Table, entry

JAIN = "Jain and Sabharwal (2010)"
COUNTED = "Counted link by link"
BISECTION = "Counted link by link; meets the bisection bound"
SIDES = "any sides, rings or lines"

_auto = partial(entry, supported=SIDES, automatic=True)

_REDUCED = r" + \frac{N-1}{N} S\gamma"
_STEPS = r"\sum_i (n_i - 1)\,\alpha"
_BUCKET = r"\frac{N-1}{2N}S\beta"
_PORTS = r"\sum_{p} \max_i \left(\frac{S}{2D} \lambda_{i,p} \beta_i\right)"
_ROUTED = (
    r"T = \alpha + (d-1)h + (N-2)o + S\max_i g(n_i)\beta_i,\quad"
    r" g(n) = \frac{n}{8}\ \mathrm{or}\ \frac{n^2-1}{8n}"
)
_TREE = r"T = \left(\sqrt{d\alpha} + \sqrt{S\beta}\right)^2"
_SCATTER = (
    r"T = \alpha + (d-1)h + (N-2)o"
    r" + \max_i \frac{(n_i-1)S}{2DN}\beta_i\sum_j\prod_{k\,>_j\,i}n_k"
)

TORUS: Table = {
    "all_reduce": {
        "bucket": _auto(
            torus.bucket_all_reduce,
            r"T = 2" + _STEPS + " + 2" + _BUCKET + _REDUCED,
            JAIN,
        ),
        "multiport_bucket": _auto(
            torus.multiport_bucket_all_reduce,
            r"T = 2\sum_p \max_i (n_i - 1)\alpha + 2" + _PORTS + _REDUCED,
            JAIN,
        ),
        "routed": _auto(
            torus.routed_all_reduce,
            _ROUTED.replace("T = ", "T = 2[").replace(r",\quad", r"]" + _REDUCED + ","),
            BISECTION,
        ),
    },
    "all_gather": {
        "bucket": _auto(
            torus.bucket_all_gather, "T = " + _STEPS + " + " + _BUCKET, JAIN
        ),
        "multiport_bucket": _auto(
            torus.multiport_bucket_all_gather,
            r"T = \sum_p \max_i (n_i - 1)\alpha + " + _PORTS,
            JAIN,
        ),
        "routed": _auto(torus.routed_all_gather, _ROUTED, BISECTION),
    },
    "reduce_scatter": {
        "bucket": _auto(
            torus.bucket_reduce_scatter,
            "T = " + _STEPS + " + " + _BUCKET + _REDUCED,
            JAIN,
        ),
        "multiport_bucket": _auto(
            torus.multiport_bucket_reduce_scatter,
            r"T = \sum_p \max_i (n_i - 1)\alpha + " + _PORTS + _REDUCED,
            JAIN,
        ),
        "routed": _auto(
            torus.routed_reduce_scatter,
            _ROUTED.replace(r",\quad", _REDUCED + r",\quad"),
            BISECTION,
        ),
    },
    "all_to_all": {"routed": _auto(torus.routed_all_to_all, _ROUTED, BISECTION)},
    "broadcast": {
        "tree": _auto(torus.tree_broadcast, _TREE, "Counted; a spanning tree")
    },
    "reduce": {
        "tree": _auto(
            torus.tree_reduce, _TREE + r" + 2DS\gamma", "Counted; a spanning tree"
        )
    },
    "gather": {"routed": _auto(torus.routed_scatter, _SCATTER, COUNTED)},
    "scatter": {"routed": _auto(torus.routed_scatter, _SCATTER, COUNTED)},
    "send_recv": {
        "neighbour": _auto(
            torus.neighbour_send_recv, r"T = \alpha + S\beta", "Hockney (1994)"
        )
    },
}

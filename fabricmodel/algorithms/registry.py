"""Which algorithms there are: family, collective, name, and the function that counts.

A new algorithm is one function in the file of its family and one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chex import Numeric

from fabricmodel.algorithms import flat, neuronlink, torus
from fabricmodel.algorithms.counts import Dim, Phases
from fabricmodel.units import COLLECTIVES as COLLECTIVES

Count = Callable[[Sequence[Dim], Numeric], Phases]

_TORUS: dict[str, dict[str, Count]] = {
    "all_reduce": {
        "bucket": torus.bucket_all_reduce,
        "multiport_bucket": torus.multiport_bucket_all_reduce,
        "routed": torus.routed_all_reduce,
    },
    "all_gather": {
        "bucket": torus.bucket_all_gather,
        "multiport_bucket": torus.multiport_bucket_all_gather,
        "routed": torus.routed_all_gather,
    },
    "reduce_scatter": {
        "bucket": torus.bucket_reduce_scatter,
        "multiport_bucket": torus.multiport_bucket_reduce_scatter,
        "routed": torus.routed_reduce_scatter,
    },
    "all_to_all": {"routed": torus.routed_all_to_all},
    "broadcast": {"tree": torus.tree_broadcast},
    "reduce": {"tree": torus.tree_reduce},
    "gather": {"routed": torus.routed_scatter},
    "scatter": {"routed": torus.routed_scatter},
    "send_recv": {"neighbour": torus.neighbour_send_recv},
}

ALGORITHMS: dict[str, dict[str, dict[str, Count]]] = {
    "flat": {
        "all_reduce": {
            "ring": flat.ring_all_reduce,
            "recursive_doubling": flat.recursive_doubling_all_reduce,
            "halving_doubling": flat.halving_doubling_all_reduce,
            "double_tree": flat.double_tree_all_reduce,
            "one_shot": flat.one_shot_all_reduce,
            "two_shot": flat.two_shot_all_reduce,
        },
        "all_gather": {
            "ring": flat.ring_all_gather,
            "recursive_doubling": flat.recursive_doubling_all_gather,
            "bruck": flat.bruck_all_gather,
            "direct": flat.direct_all_gather,
        },
        "reduce_scatter": {
            "ring": flat.ring_reduce_scatter,
            "recursive_halving": flat.recursive_halving_reduce_scatter,
            "bruck": flat.bruck_reduce_scatter,
            "direct": flat.direct_reduce_scatter,
        },
        "all_to_all": {
            "direct": flat.direct_all_to_all,
            "bruck": flat.bruck_all_to_all,
        },
        "broadcast": {
            "binomial": flat.binomial_broadcast,
            "chain": flat.chain_broadcast,
            "scatter_all_gather": flat.scatter_all_gather_broadcast,
        },
        "reduce": {
            "binomial": flat.binomial_reduce,
            "chain": flat.chain_reduce,
            "reduce_scatter_gather": flat.reduce_scatter_gather_reduce,
        },
        "gather": {"binomial": flat.binomial_scatter, "direct": flat.direct_scatter},
        "scatter": {"binomial": flat.binomial_scatter, "direct": flat.direct_scatter},
        "send_recv": {"neighbour": flat.neighbour_send_recv},
    },
    "torus": _TORUS,
    "neuronlink": {
        "all_reduce": {
            "mesh": neuronlink.mesh_all_reduce,
            "single_step_mesh": neuronlink.single_step_mesh_all_reduce,
            "rdh": neuronlink.rdh_all_reduce,
            "kangaring": neuronlink.kangaring_all_reduce,
            "ring": neuronlink.ring_all_reduce,
        },
        "all_gather": {
            "mesh": neuronlink.mesh_all_gather,
            "rdh": neuronlink.rdh_all_gather,
            "kangaring": neuronlink.kangaring_all_gather,
            "ring": neuronlink.ring_all_gather,
        },
        "reduce_scatter": {
            "mesh": neuronlink.mesh_reduce_scatter,
            "rdh": neuronlink.rdh_reduce_scatter,
            "kangaring": neuronlink.kangaring_reduce_scatter,
            "ring": neuronlink.ring_reduce_scatter,
        },
        "all_to_all": {"mesh": neuronlink.mesh_all_to_all},
        **{
            kind: _TORUS[kind]
            for kind in ("broadcast", "reduce", "gather", "scatter", "send_recv")
        },
    },
}


def algorithms(family: str, collective: str) -> dict[str, Count]:
    """Return the counting functions of a family for a collective, by name.

    >>> sorted(algorithms("neuronlink", "all_gather"))
    ['kangaring', 'mesh', 'rdh', 'ring']
    """
    return ALGORITHMS[family][collective]

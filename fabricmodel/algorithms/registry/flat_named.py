"""Further algorithms on a switch or clique, run only where something names them."""

from __future__ import annotations

from functools import partial

from fabricmodel.algorithms import exchange, rings, trees
from fabricmodel.algorithms.registry.record import Table, entry

TRG = "Thakur, Rabenseifner and Gropp (2005)"
BRUCK = "Bruck et al. (1997)"
CHAN = "Chan, Heimlich, Purkayastha and van de Geijn (2007)"
PAT = "Jeaugey, PAT (2025); NCCL 2.23"
MPI = "Open MPI, coll/base"

_HALF = r"\frac{N-1}{N}S\beta"
_REDUCED = r" + \frac{N-1}{N}S\gamma"
_TWO_WAY = (
    r"\left\lceil\frac{N-1}{2}\right\rceil\alpha"
    r" + \left\lfloor\frac{N-1}{2}\right\rfloor o"
    r" + \frac{N-1}{N}S\beta"
)
_CHANNELS = r"(N-1)(\alpha + (c-1)o) + " + _HALF
_LOG = r"\lceil\log_2 N\rceil\alpha + " + _HALF
_RADIX = r"\sum_k \min\left(r-1, \left\lceil\frac{N}{r^k}\right\rceil - 1\right)\alpha"
_KNOMIAL = r"\sum_j \min\left(k-1, \left\lceil\frac{N}{k^j}\right\rceil - 1\right)"
_BINARY = r"T = \left(\sqrt{\lceil\log_2 N\rceil\alpha} + \sqrt{2S\beta}\right)^2"

FLAT_NAMED: Table = {
    "all_reduce": {
        "two_way_ring": entry(
            rings.two_way_all_reduce, f"T = 2[{_TWO_WAY}]{_REDUCED}", "Counted"
        ),
        "ring_channels": entry(
            rings.channels_all_reduce,
            f"T = 2[{_CHANNELS}]{_REDUCED}",
            "NCCL's channels",
        ),
    },
    "all_gather": {
        "two_way_ring": entry(rings.two_way_all_gather, f"T = {_TWO_WAY}", "Counted"),
        "ring_channels": entry(
            rings.channels_all_gather, f"T = {_CHANNELS}", "NCCL's channels"
        ),
        "neighbour_exchange": entry(
            rings.neighbour_exchange_all_gather,
            r"T = \frac{N}{2}\alpha + " + _HALF,
            "Chen, Zhang, Zhang and Yuan (2005)",
            "even N",
        ),
        "pat": entry(rings.pat_all_gather, f"T = {_LOG}", PAT),
        "bruck_4": entry(
            partial(exchange.bruck_all_gather, radix=4),
            f"T = {_RADIX} + {_HALF}",
            BRUCK,
            summary="Bruck of radix 4: what is known goes to three others in turn.",
        ),
    },
    "reduce_scatter": {
        "two_way_ring": entry(
            rings.two_way_reduce_scatter, f"T = {_TWO_WAY}{_REDUCED}", "Counted"
        ),
        "ring_channels": entry(
            rings.channels_reduce_scatter,
            f"T = {_CHANNELS}{_REDUCED}",
            "NCCL's channels",
        ),
        "pat": entry(rings.pat_reduce_scatter, f"T = {_LOG}{_REDUCED}", PAT),
        "folded_halving": entry(
            rings.folded_reduce_scatter,
            r"T = (\lfloor\log_2 N\rfloor + 2f)\alpha"
            r" + \left(\frac{P-1+q}{N} + f\frac{N+1}{N}\right)S\beta"
            r" + \left(\frac{P-1+q}{N} + f\right)S\gamma,\quad"
            r" q = \sum_{2^k < P}\min(2^k, N-P)",
            TRG,
        ),
        "bruck_4": entry(
            partial(exchange.bruck_reduce_scatter, radix=4),
            f"T = {_RADIX} + {_HALF}{_REDUCED}",
            BRUCK,
            summary="Bruck of radix 4 run backwards, reducing.",
        ),
    },
    "all_to_all": {
        "pairwise": entry(
            exchange.pairwise_all_to_all, r"T = (N-1)\alpha + " + _HALF, TRG
        ),
        "bruck_4": entry(
            partial(exchange.bruck_all_to_all, radix=4),
            f"T = {_RADIX}" + r" + b_4(N)\frac{S}{N}\beta",
            BRUCK,
            summary="Bruck of radix 4: a block moves once for every digit but 0.",
        ),
    },
    "broadcast": {
        "knomial": entry(
            trees.knomial_broadcast, "T = " + _KNOMIAL + r"(\alpha + S\beta)", MPI
        ),
        "binary_tree": entry(trees.binary_tree_broadcast, _BINARY, CHAN),
        "linear": entry(
            trees.linear_broadcast, r"T = \alpha + (N-2)o + (N-1)S\beta", MPI
        ),
    },
    "reduce": {
        "knomial": entry(
            trees.knomial_reduce,
            "T = " + _KNOMIAL + r"(\alpha + S\beta + S\gamma)",
            MPI,
        ),
        "binary_tree": entry(trees.binary_tree_reduce, _BINARY + r" + 2S\gamma", CHAN),
        "linear": entry(
            trees.linear_reduce, r"T = \alpha + (N-2)o + (N-1)S(\beta + \gamma)", MPI
        ),
    },
}

"""Algorithms on one dimension: a switch or a clique."""

from __future__ import annotations

from functools import partial

from fabricmodel.algorithms import exchange, flat
from fabricmodel.algorithms.registry.record import Table, entry

TRG = "Thakur, Rabenseifner and Gropp (2005)"
PATARASUK = "Patarasuk and Yuan (2009)"
BRUCK = "Bruck et al. (1997)"
SANDERS = "Sanders, Speck and Träff (2009)"
CHAN = "Chan, Heimlich, Purkayastha and van de Geijn (2007)"
POWERS = "N a power of two"

_auto = partial(entry, automatic=True)

_HALF = r"\frac{N-1}{N} S\beta"
_RING = r"T = (N-1)\alpha + " + _HALF
_TREE = r"T = \lceil \log_2 N \rceil (\alpha + S\beta)"
_LOG = r"T = \lceil \log_2 N \rceil \alpha + " + _HALF
_DIRECT = r"T = \alpha + (N-2)o + " + _HALF
_CHAIN = r"T = \left(\sqrt{(N-1)\alpha} + \sqrt{S\beta}\right)^2"
_REDUCED = r" + \frac{N-1}{N} S\gamma"

FLAT: Table = {
    "all_reduce": {
        "ring": _auto(
            flat.ring_all_reduce,
            r"T = 2(N-1)\alpha + 2\frac{N-1}{N}S\beta" + _REDUCED,
            PATARASUK,
        ),
        "recursive_doubling": _auto(
            flat.recursive_doubling_all_reduce,
            r"T = (\lfloor \log_2 N \rfloor + 2f)(\alpha + S\beta)"
            r" + (\lfloor \log_2 N \rfloor + f) S\gamma,\quad"
            r" f = [N \neq 2^k]",
            TRG,
        ),
        "halving_doubling": _auto(
            flat.halving_doubling_all_reduce,
            r"T = 2(\lfloor \log_2 N \rfloor + f)\alpha"
            r" + 2\left(\frac{P-1}{P} + f\right)S\beta"
            r" + \left(\frac{P-1}{P} + f\right)S\gamma,\quad"
            r" P = 2^{\lfloor \log_2 N \rfloor},\ f = [N \neq P]",
            TRG,
        ),
        "double_tree": _auto(
            flat.double_tree_all_reduce,
            r"T = \left(\sqrt{2\lceil \log_2 N \rceil\alpha}"
            r" + \sqrt{2S\beta}\right)^2 + S\gamma",
            SANDERS,
        ),
        "one_shot": _auto(
            flat.one_shot_all_reduce,
            r"T = \alpha + (N-2)o + (N-1)S(\beta + \gamma)",
            "AWS Neuron documentation, single-step mesh",
        ),
        "two_shot": _auto(
            flat.two_shot_all_reduce,
            r"T = 2\alpha + 2(N-2)o + 2\frac{N-1}{N}S\beta" + _REDUCED,
            "AWS Neuron documentation, mesh",
        ),
    },
    "all_gather": {
        "ring": _auto(flat.ring_all_gather, _RING, PATARASUK),
        "recursive_doubling": _auto(
            flat.recursive_doubling_all_gather, _LOG, TRG, POWERS
        ),
        "bruck": _auto(flat.bruck_all_gather, _LOG, BRUCK),
        "direct": _auto(flat.direct_all_gather, _DIRECT, TRG),
    },
    "reduce_scatter": {
        "ring": _auto(flat.ring_reduce_scatter, _RING + _REDUCED, PATARASUK),
        "recursive_halving": _auto(
            flat.recursive_halving_reduce_scatter, _LOG + _REDUCED, TRG, POWERS
        ),
        "bruck": _auto(flat.bruck_reduce_scatter, _LOG + _REDUCED, BRUCK),
        "direct": _auto(flat.direct_reduce_scatter, _DIRECT + _REDUCED, TRG),
    },
    "all_to_all": {
        "ring": entry(
            flat.ring_all_to_all,
            r"T = \frac{N(N-1)}{2}\left(\alpha + \frac{S}{N}\beta\right)",
            "ASTRA-sim 2.0, ring all-to-all",
        ),
        "direct": _auto(flat.direct_all_to_all, _DIRECT, TRG),
        "bruck": _auto(
            exchange.bruck_all_to_all,
            r"T = \lceil \log_2 N \rceil \alpha + b(N)\frac{S}{N}\beta,\quad"
            r" b(N) = \textrm{bits set in } 0 \ldots N-1",
            BRUCK,
        ),
    },
    "broadcast": {
        "binomial": _auto(flat.binomial_broadcast, _TREE, TRG),
        "chain": _auto(flat.chain_broadcast, _CHAIN, CHAN),
        "scatter_all_gather": _auto(
            flat.scatter_all_gather_broadcast,
            r"T = (\lceil \log_2 N \rceil + N - 1)\alpha + 2\frac{N-1}{N}S\beta",
            TRG,
        ),
    },
    "reduce": {
        "binomial": _auto(
            flat.binomial_reduce,
            r"T = \lceil \log_2 N \rceil (\alpha + S\beta + S\gamma)",
            TRG,
        ),
        "chain": _auto(flat.chain_reduce, _CHAIN + r" + S\gamma", CHAN),
        "reduce_scatter_gather": _auto(
            flat.reduce_scatter_gather_reduce,
            r"T = (\lceil \log_2 N \rceil + N - 1)\alpha + 2\frac{N-1}{N}S\beta"
            + _REDUCED,
            TRG,
        ),
    },
    "gather": {
        "binomial": _auto(flat.binomial_scatter, _LOG, TRG),
        "direct": _auto(flat.direct_scatter, _DIRECT, TRG),
    },
    "scatter": {
        "binomial": _auto(flat.binomial_scatter, _LOG, TRG),
        "direct": _auto(flat.direct_scatter, _DIRECT, TRG),
    },
    "send_recv": {
        "neighbour": _auto(
            flat.neighbour_send_recv, r"T = \alpha + S\beta", "Hockney (1994)"
        )
    },
}

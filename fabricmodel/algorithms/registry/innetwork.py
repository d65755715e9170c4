"""Algorithms in which switches add and copy; none is in every library's choice."""

from __future__ import annotations

from functools import partial

from fabricmodel.algorithms import innetwork
from fabricmodel.algorithms.registry.record import Table, entry

NVLS = "Ishii and Wells, Hot Chips 34 (2022); NCCL's NVLS"
GRAHAM = "Graham et al. (2016)"
SWITCH = "any N on a switch"

SIMPLE = ("simple",)  # switches add whole words, without flags between them

_nvls = partial(entry, source=NVLS, supported=SWITCH, in_network=True, protocols=SIMPLE)
_sharp = partial(
    entry, source=GRAHAM, supported=SWITCH, in_network=True, protocols=SIMPLE
)

_TREE = r"T = \alpha + 2(d-1)h + S\beta"

ON_SWITCH: Table = {
    "all_reduce": {
        "nvls": _nvls(innetwork.nvls_all_reduce, r"T = 2\alpha + \frac{N+1}{N}S\beta"),
        "sharp": _sharp(innetwork.sharp_all_reduce, _TREE),
    },
    "all_gather": {"nvls": _nvls(innetwork.nvls_all_gather, r"T = \alpha + S\beta")},
    "reduce_scatter": {
        "nvls": _nvls(innetwork.nvls_reduce_scatter, r"T = \alpha + S\beta")
    },
    "broadcast": {"sharp": _sharp(innetwork.sharp_broadcast, _TREE)},
    "reduce": {"sharp": _sharp(innetwork.sharp_reduce, _TREE)},
}

OVER_NODES: Table = {
    "all_reduce": {
        "nvls_tree": entry(
            innetwork.nvls_tree_all_reduce,
            r"T = \left(\sqrt{2\alpha_1 + 2\lceil\log_2 X\rceil\alpha_2}"
            r" + \sqrt{\max\left(\frac{p+1}{p}S\beta_1,"
            r"\ \frac{2S}{p}\beta_2\right)}\right)^2"
            r" + \frac{S}{p}\gamma",
            "NCCL 2.18, NVLSTree",
            "any p on a switch, any X nodes",
            in_network=True,
            protocols=SIMPLE,
        )
    }
}

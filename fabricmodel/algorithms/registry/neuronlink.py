"""NeuronLink's own algorithms: chips on a torus, several ranks inside each."""

from __future__ import annotations

from functools import partial

from fabricmodel.algorithms import neuronlink
from fabricmodel.algorithms.registry.record import Table, entry
from fabricmodel.algorithms.registry.torus import TORUS

AWS = "AWS Neuron documentation, intra-node collective communications"

_auto = partial(entry, source=AWS, automatic=True)
_CUBES = "sides of 2, or closed ones of 4"

_C = r"C = \prod n_i,\ r = N/C"
_RING = r"(N-1)\alpha + \max\left(\frac{C-1}{cC}S\beta,\ \frac{a(N-1)}{4N}S\mu\right)"
_KANGA = (
    r"\left(\frac{N}{2}-1\right)\alpha"
    r" + \max\left(\frac{N-2}{cN}S\beta,\ \frac{a(N-1)}{4N}S\mu\right)"
)
_MESH = (
    r"2\alpha + (d-1)h + (C-2)o + S\max_i g(n_i)\beta_i + \frac{r-1}{r}S\beta_{chip}"
)
_RDH = (
    r"(1+\log_2 C)\alpha"
    r" + \sum_{k<\log_2 C}\max_i\left(w_{ik}\beta_i\right)\frac{2^k}{N}S"
    r" + \frac{r-1}{r}S\beta_{chip}"
)
_PAIRS = "an even number of ranks a chip, two chips or more"
_REDUCED = r" + \frac{N-1}{N}S\gamma"


def _halves(formula: str, supported: str = "any sides, any r") -> dict[str, dict]:
    """Arguments of all_gather, reduce_scatter and all_reduce of one algorithm."""
    return {
        "all_gather": {"formula": "T = " + formula, "supported": supported},
        "reduce_scatter": {
            "formula": "T = " + formula + _REDUCED,
            "supported": supported,
        },
        "all_reduce": {
            "formula": "T = 2[" + formula + "]" + _REDUCED,
            "supported": supported,
        },
    }


def _three(name: str, formula: str, supported: str = "any sides, any r") -> Table:
    """The three collectives of one algorithm of the module ``neuronlink``."""
    return {
        kind: {name: _auto(getattr(neuronlink, f"{name}_{kind}"), **arguments)}
        for kind, arguments in _halves(formula, supported).items()
    }


_MESHES = _three("mesh", _MESH)
_RDHS = _three("rdh", _RDH, _CUBES)
_KANGARINGS = _three("kangaring", _KANGA, _PAIRS)
_RINGS = _three("ring", _RING)

NEURONLINK: Table = {
    kind: _MESHES[kind] | _RDHS[kind] | _KANGARINGS[kind] | _RINGS[kind]
    for kind in ("all_reduce", "all_gather", "reduce_scatter")
}
NEURONLINK["all_reduce"]["single_step_mesh"] = _auto(
    neuronlink.single_step_mesh_all_reduce,
    r"T = \alpha + (d-1)h + (N-2)o + rNS\max_i g(n_i)\beta_i + (N-1)S\gamma",
)
NEURONLINK["all_to_all"] = {
    "mesh": _auto(
        neuronlink.mesh_all_to_all,
        r"T = 2\alpha + (d-1)h + rS\max_i g(n_i)\beta_i + \frac{r-1}{r}S\beta_{chip}",
    )
}
_SCATTER = _auto(
    neuronlink.direct_scatter,
    r"T = \max\left(\alpha + (d-1)h + (N-2)o"
    r" + \max_i \frac{(n_i-1)S}{2DC}\beta_i\sum_j\prod_{k\,>_j\,i}n_k,"
    r"\ \alpha_{chip} + \frac{r-1}{N}S\beta_{chip}\right)",
    source="Counted link by link",
    supported="any sides, any r",
)
NEURONLINK["gather"] = NEURONLINK["scatter"] = {"routed": _SCATTER}
_TREE = (
    r"T = \left(\sqrt{d\alpha + r_1\alpha_{chip}}"
    r" + \sqrt{S\max(\beta, \beta_{chip})}\right)^2"
)
NEURONLINK["broadcast"] = {
    "tree": _auto(
        neuronlink.tree_broadcast,
        _TREE.replace("r_1", ""),
        source="Counted; a spanning tree",
        supported="any sides, any r",
    )
}
NEURONLINK["reduce"] = {
    "tree": _auto(
        neuronlink.tree_reduce,
        _TREE.replace("r_1", "(r-1)") + r" + (2D+1)S\gamma",
        source="Counted; a spanning tree",
        supported="any sides, any r",
    )
}
NEURONLINK["send_recv"] = TORUS["send_recv"]

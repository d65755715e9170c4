"""Further algorithms on a torus, run only where something names them."""

from __future__ import annotations

from functools import partial

from fabricmodel.algorithms import butterfly, torus_rings
from fabricmodel.algorithms.butterfly import PORTS
from fabricmodel.algorithms.registry.record import Algorithm, Table, entry

JAIN = "Jain and Sabharwal (2010)"
SWING = "De Sensi et al., Swing (2024)"
BINE = "De Sensi et al., Bine trees (2025)"
TRG = "Thakur, Rabenseifner and Gropp (2005), with the congestion of a torus counted"
CUBES = "sides that are powers of two"
CLOSED = "closed sides that are powers of two"

_SUFFIX = {"one": "_1port", "sides": "_sides", "all": ""}
_SAYS = {
    "one": "on one port",
    "sides": "on one port a side",
    "all": "on every port",
}
_REDUCED = r" + \frac{N-1}{N}S\gamma"
_SEEN = r"\log_2 N\,\alpha + \max_i \sum_s \ell_i(d_s)\frac{S}{2^{s+1}c}\beta_i"
_WHOLE = (
    r"T = \log_2 N\,(\alpha + S\gamma)"
    r" + \max_i\sum_s \ell_i(d_s)\frac{S}{c}\beta_i"
)
_PASSED_ON = r"T = \log_2 N\,\alpha + \max_i \sum_{s \to i}\frac{S}{2^{s+1}c}\beta_i"
_TREE = r"T = \log_2 N\left(\alpha + \frac{S}{c}\beta\right)"
_STEPS = r"\sum_i (n_i - 1)\alpha"
_FREE = _STEPS + r" + \max_i \frac{S\beta_i}{2D}\sum_j\frac{n_i - 1}{\prod_{j \to i} n}"
_CYCLES = r"(N-1)\alpha + \frac{N-1}{N}\frac{S}{2D}\beta"


def _halves(
    module: object, stem: str, formula: str, source: str, supported: str
) -> dict[str, Algorithm]:
    """all_gather, reduce_scatter and all_reduce of one algorithm."""
    formulas = {
        "all_gather": f"T = {formula}",
        "reduce_scatter": f"T = {formula}{_REDUCED}",
        "all_reduce": f"T = 2[{formula}]{_REDUCED}",
    }
    return {
        kind: entry(getattr(module, f"{stem}_{kind}"), text, source, supported)
        for kind, text in formulas.items()
    }


def _on_ports(algorithm: Algorithm, ports: str) -> Algorithm:
    """The same on so many ports."""
    return entry(
        partial(algorithm.count, **{"ports": ports}),
        algorithm.formula,
        algorithm.source,
        algorithm.supported,
        summary=algorithm.summary.rstrip(".") + f" ({_SAYS[ports]}).",
    )


def _table() -> Table:
    table: Table = {
        kind: {}
        for kind in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")
    }
    sides = "any sides, rings or lines"
    plain = {
        "bucket_1port": _halves(
            torus_rings,
            "one_way_bucket",
            _STEPS + r" + \frac{N-1}{N}S\beta",
            JAIN,
            sides,
        ),
        "free_bucket": _halves(torus_rings, "free_bucket", _FREE, JAIN, sides),
        "hamiltonian": _halves(
            torus_rings, "hamiltonian", _CYCLES, "Foregger (1978)", "all sides closed"
        ),
    }
    ported = {
        "swing": _halves(butterfly, "swing", _SEEN, SWING, CLOSED),
        "bine": _halves(butterfly, "swing", _SEEN, BINE, CLOSED),
        "torus_doubling": _halves(butterfly, "doubling", _SEEN, TRG, CUBES),
    }
    latency = {
        "swing_latency": (butterfly.swing_latency_all_reduce, SWING, CLOSED),
        "bine_latency": (butterfly.swing_latency_all_reduce, BINE, CLOSED),
        "torus_doubling_latency": (butterfly.doubling_latency_all_reduce, TRG, CUBES),
    }
    rooted = {
        "broadcast": (butterfly.bine_broadcast, _TREE),
        "reduce": (butterfly.bine_reduce, _TREE + r" + \log_2 N\,S\gamma"),
        "scatter": (butterfly.bine_scatter, _PASSED_ON),
        "gather": (butterfly.bine_scatter, _PASSED_ON),
    }
    for name, kinds in plain.items():
        for kind, algorithm in kinds.items():
            table[kind][name] = algorithm
    for ports in PORTS:
        end = _SUFFIX[ports]
        for name, kinds in ported.items():
            for kind, algorithm in kinds.items():
                table[kind][name + end] = _on_ports(algorithm, ports)
        for name, (count, source, supported) in latency.items():
            whole = entry(count, _WHOLE, source, supported)
            table["all_reduce"][name + end] = _on_ports(whole, ports)
        for kind, (count, formula) in rooted.items():
            tree = entry(count, formula, BINE, CLOSED)
            table.setdefault(kind, {})["bine" + end] = _on_ports(tree, ports)
    table["send_recv"] = {
        "shift": entry(
            torus_rings.shift,
            r"T = \alpha + (d-1)h + \min(d, n-d)S\beta",
            "Counted link by link",
            sides,
        )
    }
    return {kind: named for kind, named in table.items() if named}


TORUS_NAMED: Table = _table()

"""What a log calls an algorithm, in the registry's words."""

from __future__ import annotations

import re

from fabricmodel.algorithms.registry import known_names

_KNOWN = known_names()

_OTHER_NAMES = {
    "hier": "",
    "nvlstree": "nvls_tree",
    "tree": "flat_tree",
    "rabenseifner": "halving_doubling",
    "allgather_reduce": "",
    "sparbit": "bruck",
    "k_bruck": "bruck",
    "modified_bruck": "bruck",
    "neighbor": "neighbour_exchange",
    "recursive_halving": "folded_halving",
    "recursive_distance_doubling": "folded_halving",
    "binary": "binary_tree",
    "split_binary": "binary_tree",
    "in_order": "binary_tree",
    "scatter_allgather": "scatter_all_gather",
    "scatter_allgather_ring": "scatter_all_gather",
    "ring_segmented": "ring",
    "ring_pass": "ring",
    "pipelinedring": "ring",
    "dissemination": "recursive_doubling",
    "nwaydissemination": "recursive_doubling",
}
"""Open MPI's, PICO's and NCCL's names; those that mean one thing."""

_BY_COLLECTIVE = {
    ("rabenseifner", "reduce"): "reduce_scatter_gather",
    ("tree", "broadcast"): "flat_tree",
}
for _kind in ("all_to_all", "gather", "scatter", "all_gather", "reduce_scatter"):
    for _name in ("linear", "linear_sync", "linear_synch", "linear_nb"):
        _BY_COLLECTIVE[_name, _kind] = "direct"

# Bine trees where any rank reaches any other: the partners of doubling and halving.
_BINE_ON_A_SWITCH = {
    "all_gather": "bruck",
    "reduce_scatter": "folded_halving",
    "all_to_all": "bruck",
    "gather": "binomial",
    "scatter": "binomial",
}
_BINE_BY_SIZE = {
    ("lat", "all_reduce"): "recursive_doubling",
    ("bdw", "all_reduce"): "halving_doubling",
    ("block", "all_reduce"): "halving_doubling",
    ("lat", "broadcast"): "binomial",
    ("bdw", "broadcast"): "scatter_all_gather",
    ("lat", "reduce"): "binomial",
    ("bdw", "reduce"): "reduce_scatter_gather",
}

# Swing's and Bine's own library on a torus: family, variant, layer, segment, ports.
_ON_A_TORUS = re.compile(r"(bine|swing|recdoub|ring)_(.+)_(?:utofu|mpi)_(?:\d+)_(\d+)$")
_TORUS_STEMS = {"bine": "bine", "swing": "swing", "recdoub": "torus_doubling"}


def algorithm_of(label: str, collective: str = "") -> str:
    """Return the registry's name for a label, or "" where the library chose.

    Some labels mean different algorithms in different collectives.

    >>> algorithm_of("KangaRing"), algorithm_of("NCCL default selection")
    ('kangaring', '')
    >>> algorithm_of("BINE-B_CONT-UTOFU-0-6"), algorithm_of("RECDOUB-L-UTOFU-0-1")
    ('bine', 'torus_doubling_latency_1port')
    >>> algorithm_of("linear_ompi", "gather"), algorithm_of("linear_ompi", "reduce")
    ('direct', 'linear')
    """
    plain = re.sub(r"[\s-]+", "_", label.strip().lower())
    torus = _ON_A_TORUS.match(plain)
    if torus:
        return _torus_name(*torus.groups())
    plain = re.sub(r"_(ompi|over)(_any_even|_\d+)?$", "", plain)
    plain = re.sub(r"(_nocompute)?(_test|_nbsend)?$", "", plain)
    if plain.startswith("bine_"):
        return _bine_name(plain, collective)
    plain = _BY_COLLECTIVE.get((plain, collective), _OTHER_NAMES.get(plain, plain))
    return plain if plain in _KNOWN else ""


def _torus_name(family: str, variant: str, ports: str) -> str:
    """A ring is a bucket; one port, one a side (2 or 3 of them), or all."""
    ending = {"1": "_1port", "2": "_sides", "3": "_sides"}.get(ports, "")
    if family == "ring":
        return "bucket_1port" if ports == "1" else "multiport_bucket"
    latency = "_latency" if variant == "l" else ""
    name = f"{_TORUS_STEMS[family]}{latency}{ending}"
    return name if name in _KNOWN else ""


def _bine_name(plain: str, collective: str) -> str:
    """Bine on a switch or dragonfly, where the distance costs nothing."""
    for word in ("lat", "bdw", "block"):
        if plain.startswith(f"bine_{word}"):
            found = _BINE_BY_SIZE.get((word, collective))
            if found:
                return found
    return _BINE_ON_A_SWITCH.get(collective, "")


def forced(label: str) -> str:
    """Tell labels that force an algorithm from those under which the library chose.

    Two labels that the registry does not know are different algorithms all the same.

    >>> forced("bine_lat_over"), forced("default-linear")
    ('bine_lat_over', 'default-linear')
    >>> forced("default_ompi"), forced("MPI library default"), forced("default-default")
    ('', '', '')
    """
    plain = label.strip().lower()
    if re.match(r"default-(?!default)", plain):  # one of a vendor's own, by name
        return plain
    return "" if "default" in plain or plain in ("auto", "none") else plain

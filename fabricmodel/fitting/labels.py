"""What a log calls an algorithm, in the registry's words."""

from __future__ import annotations

from fabricmodel.algorithms.registry import known_names

_KNOWN = known_names()

_OTHER_NAMES = {
    "rabenseifner": "halving_doubling",
    "hier": "",
    "pairwise": "direct",
    "linear": "direct",
}


def algorithm_of(label: str) -> str:
    """Return the registry's name for a label, or "" where the library chose.

    >>> algorithm_of("KangaRing"), algorithm_of("NCCL default selection")
    ('kangaring', '')
    """
    plain = label.strip().lower().replace("-", "_")
    plain = plain.removesuffix("_ompi")
    plain = _OTHER_NAMES.get(plain, plain)
    return plain if plain in _KNOWN else ""


def forced(label: str) -> str:
    """Tell labels that force an algorithm from those under which the library chose.

    Two labels that the registry does not know are different algorithms all the same.

    >>> forced("bine_lat_over"), forced("default_ompi"), forced("MPI library default")
    ('bine_lat_over', '', '')
    """
    plain = label.strip().lower()
    return "" if "default" in plain or plain in ("auto", "none") else plain

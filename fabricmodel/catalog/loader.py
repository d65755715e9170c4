"""Load a fabric by its catalogue name, or from a user's file of the same schema."""

from __future__ import annotations

import os
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from fabricmodel.catalog.entries import Entry, read_entries
from fabricmodel.catalog.figures import nearest, parse_toml, read_text
from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric
from fabricmodel.placement import place, room


def load_fabric(name: str | os.PathLike[str], chips: int | None = None) -> Fabric:
    """Load a fabric by its catalogue name or from a TOML file of the same schema.

    Args:
      name: see ``list_fabrics()``; or a path to a file with one fabric in it, which
        may extend one of the catalogue.
      chips: how many chips the fabric has. Its inner levels are filled first, the
        outermost grows; a unit that is full is one of its cluster. Without it, one
        whole unit.

    Raises:
      FabricError: for an unknown name, a bad file (naming the key and the remedy), or
        chips that do not divide into the levels or exceed the last of them.

    >>> load_fabric("trn1-instance", chips=1024)
    Fabric 'trn1-ultracluster': 2 x 4 x 4 x 64 = 2,048 ranks, staged
      chip  clique of 2   1 link a rank   100 GB/s  0.8 us a round
      x     ring of 4     1 link a rank   48 GB/s   3.4 us a round
      y     ring of 4     1 link a rank   48 GB/s   3.4 us a round
      efa   switch of 64  8 links a unit  10 GB/s   20 us a round, 2 tiers of 64 ports
    """
    return load_sized(name, chips)[1]


def load_sized(
    name: str | os.PathLike[str], chips: int | None = None
) -> tuple[Entry, Fabric]:
    """Load the entry that holds so many chips, and its fabric of that size.

    The entry of the name, or that of its cluster where the chips exceed it.

    >>> load_sized("hgx-h200", chips=16)[0].title
    'HGX H200 nodes of 8 GPUs over a fat tree of InfiniBand NDR'
    """
    entry = load_entry(name)
    if chips is None:
        return entry, entry.fabric
    while entry.cluster and chips * entry.ranks_per_chip > room(entry.fabric):
        entry = load_entry(entry.cluster)
    return entry, place(entry.fabric, chips * entry.ranks_per_chip)


def list_fabrics() -> list[str]:
    """Return the names in the catalogue.

    >>> "trn1-instance" in list_fabrics()
    True
    """
    return sorted(_catalogue())


def load_entry(name: str | os.PathLike[str]) -> Entry:
    """Load a fabric with its title and its sources; see ``load_fabric``."""
    known = _catalogue()
    if isinstance(name, str) and name in known:
        return known[name]
    path = Path(name)
    if path.suffix != ".toml":
        raise FabricError(
            "fabric",
            f"{os.fspath(name)!r} is not in the catalogue",
            f"Name one of list_fabrics(), nearest {nearest(str(name), known)}, or a "
            "path to a .toml file",
        )
    entries = read_entries(read_text(path), str(path), _files().values())
    if len(entries) != 1:
        raise FabricError(
            str(path),
            f"holds {len(entries)} fabrics",
            "Keep one fabric to a file",
        )
    return next(iter(entries.values()))


@cache
def _texts() -> dict[str, str]:
    """Text of each file of the catalogue, by its name."""
    folder = resources.files("fabricmodel.catalog") / "data"
    files = sorted(folder.iterdir(), key=lambda item: item.name)
    return {
        file.name: file.read_text(encoding="utf-8")
        for file in files
        if file.name.endswith(".toml")
    }


@cache
def _files() -> dict[str, dict[str, Any]]:
    return {name: parse_toml(text, name) for name, text in _texts().items()}


@cache
def _catalogue() -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for name, text in _texts().items():
        entries |= read_entries(text, name)
    return entries

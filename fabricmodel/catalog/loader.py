"""Load a fabric by its catalogue name, or from a user's file of the same schema."""

from __future__ import annotations

import os
from functools import cache
from importlib import resources
from pathlib import Path

from fabricmodel.catalog.entries import Entry, read_entries
from fabricmodel.catalog.figures import nearest, read_text
from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric
from fabricmodel.placement import place


def load_fabric(name: str | os.PathLike[str], chips: int | None = None) -> Fabric:
    """Load a fabric by its catalogue name or from a TOML file of the same schema.

    Args:
      name: see ``list_fabrics()``; or a path to a file with one fabric in it.
      chips: how many chips the fabric has. Its inner levels are filled first, the
        outermost grows. Without it, one whole unit.

    Raises:
      FabricError: for an unknown name, a bad file (naming the key and the remedy), or
        chips that do not divide into the levels.

    >>> fabric = load_fabric("trn2-ultracluster", chips=65_536)
    >>> [level.members for level in fabric.levels]
    [4.0, 4.0, 4.0, 4.0, 1024.0]
    """
    entry = load_entry(name)
    if chips is None:
        return entry.fabric
    return place(entry.fabric, chips * entry.ranks_per_chip)


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
    entries = read_entries(read_text(path), str(path))
    if len(entries) != 1:
        raise FabricError(
            str(path),
            f"holds {len(entries)} fabrics",
            "Keep one fabric to a file",
        )
    return next(iter(entries.values()))


@cache
def _catalogue() -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    folder = resources.files("fabricmodel.catalog") / "data"
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if file.name.endswith(".toml"):
            entries |= read_entries(file.read_text(encoding="utf-8"), file.name)
    return entries

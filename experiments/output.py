"""Where results go, whole or not at all, and what they were made with."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from fabricmodel._files import whole_file


def machine() -> dict[str, str]:
    """Describe versions and machine, to stand beside every published number."""
    packages = ("fabricmodel", "jax", "jaxlib", "optax", "chex", "numpy")
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "system": platform.system(),
        **{name: _version(name) for name in packages},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def write_json(path: Path, data: Any) -> None:
    """Write a file in one step: it is there whole, or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        whole_file(path) as scratch,
        scratch.open("w", encoding="utf-8") as file,
    ):
        json.dump(data, file, indent=1, allow_nan=False)
        file.write("\n")


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a scratch folder whose files move to ``folder`` once all are written."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield scratch
        folder.mkdir(exist_ok=True)
        for item in scratch.iterdir():
            item.replace(folder / item.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a table in Markdown, without a line end after the last row.

    >>> print(markdown_table(["ranks", "time"], [[8, "12 us"]]))
    | ranks | time |
    |---|---|
    | 8 | 12 us |
    """
    names = list(head)
    body = [names, *([str(cell) for cell in row] for row in rows)]
    first, *others = (f"| {' | '.join(cells)} |" for cells in body)
    return "\n".join([first, f"|{'---|' * len(names)}", *others])


def duration(seconds: float) -> str:
    """Write a time with a unit a person would choose.

    >>> duration(1.234e-5), duration(0.0421), duration(3.0)
    ('12.3 us', '42.1 ms', '3 s')
    """
    for factor, unit in ((1e6, "us"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def span(median: float, low: float, high: float) -> str:
    """Write a median with its interval, in the median's unit.

    >>> span(3.67e-4, 2.01e-4, 6.7e-4), span(0.5, 0.2, 1.6)
    ('367 us (201 to 670)', '500 ms (200 to 1,600)')
    """
    number, unit = duration(median).split(" ")
    factor = {"us": 1e6, "ms": 1e3, "s": 1.0}[unit]
    ends = [_plain(bound * factor) for bound in (low, high)]
    return f"{number} {unit} ({ends[0]} to {ends[1]})"


def _plain(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def size(size_bytes: float) -> str:
    """Write a size in binary units.

    >>> size(1024), size(64 * 2**20), size(4 * 2**30)
    ('1 KiB', '64 MiB', '4 GiB')
    """
    for factor, unit in ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB")):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.3g} {unit}"
    return f"{size_bytes:.0f} B"

"""A grid of named axes, answered in chunks that go to disk as they are done."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
from jax.experimental import multihost_utils

from fabricmodel._files import whole_file
from fabricmodel.errors import FabricModelError
from fabricmodel.errors import at as place

CHUNK = 2**18
"""Cases of a chunk: a few megabytes a column, which stay in a core's cache."""

_MANIFEST = "sweep.json"

Axes = Mapping[str, Sequence[Any]]
Columns = dict[str, np.ndarray]
Question = Callable[[Columns], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """A finished sweep: its axes, and the Parquet files that hold the answers.

    Attributes:
      axes: values of each, outermost first; the last one runs fastest.
      folder: of the files, ``part-00000000.parquet`` and on, in the grid's order.
      evaluated: chunks that this call answered; the others were there already.
    """

    axes: Mapping[str, tuple[Any, ...]]
    folder: Path
    evaluated: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(len(values) for values in self.axes.values())

    def scan(self) -> pl.LazyFrame:
        """Return all rows, axes and answers, as a lazy frame: larger than memory."""
        return pl.scan_parquet(self.folder / "part-*.parquet")

    def cube(self, name: str) -> np.ndarray:
        """Return one answer as an array with a dimension for each axis."""
        column = self.scan().select(name).collect()[name]
        return column.to_numpy().reshape(self.shape)


def sweep(
    question: Question,
    axes: Axes,
    folder: str | os.PathLike[str],
    *,
    name: str = "",
    chunk: int = CHUNK,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Answer a question on every point of a grid, and keep the answers as Parquet.

    Chunks that are in the folder, whole, are not answered again, so that the same
    call goes on where a killed one stopped: a chunk is written beside its place, then
    moved there. Memory holds one chunk, whatever the grid.

    Under ``jax.distributed`` the processes take the chunks in turn, in a folder that
    all of them see, and each returns once all chunks are there.

    Args:
      question: from the columns of a chunk, (n,) each by the name of its axis, to
        columns of answers, (n,) each.
      axes: values by name, outermost first; numbers or text.
      folder: made if need be; holds one sweep.
      name: of the question, by which a folder knows it again; its module and function
        where it is left out.
      chunk: cases of a chunk.
      progress: told the chunks done and all of them, before the first and after each;
        of this process.

    Raises:
      FabricModelError: for an empty grid, a folder that holds another sweep, or answers
        of a wrong length or an axis's name.

    >>> import tempfile
    >>> def area(case):
    ...     return {"area": case["width"] * case["height"]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = sweep(area, {"width": [1.0, 2.0], "height": [3.0, 4.0]}, folder)
    ...     done.cube("area").tolist()
    [[3.0, 4.0], [6.0, 8.0]]
    """
    grid = _checked(axes, chunk)
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    _claim(home, {"question": name or _name(question), "chunk": chunk, "axes": grid})
    shape = tuple(len(values) for values in grid.values())
    columns = {key: pl.Series(key, values) for key, values in grid.items()}
    arrays = {key: _array(values) for key, values in grid.items()}
    points = math.prod(shape)
    numbers = range(jax.process_index(), -(-points // chunk), jax.process_count())
    evaluated = 0
    for done, number in enumerate(numbers):
        if progress is not None:
            progress(done, len(numbers))
        rows = min(chunk, points - number * chunk)
        part = home / f"part-{number:08d}.parquet"
        if _is_whole(part, rows):
            continue
        where = np.unravel_index(np.arange(rows) + number * chunk, shape)
        index = dict(zip(grid, where, strict=True))
        answers = question({key: arrays[key][at] for key, at in index.items()})
        case = [columns[key].gather(at) for key, at in index.items()]
        with whole_file(part) as scratch:
            _frame(pl.DataFrame(case), answers).write_parquet(scratch)
        evaluated += 1
    if progress is not None:
        progress(len(numbers), len(numbers))
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"sweep {home}")
    return Sweep(axes=grid, folder=home, evaluated=evaluated)


def _checked(axes: Axes, chunk: int) -> dict[str, tuple[Any, ...]]:
    """Turn the values into plain numbers and text, or say what is wrong with them."""
    if chunk < 1:
        raise FabricModelError("chunk", f"{chunk} cases", "Give at least 1")
    grid = {name: tuple(np.asarray(values).tolist()) for name, values in axes.items()}
    for name, values in grid.items():
        kinds = {type(value) for value in values}
        if not values or not kinds <= {int, float, str, bool}:
            raise FabricModelError(
                f"axes[{name!r}]", "no values", "Give numbers or text, at least one"
            )
        if any(isinstance(value, float) and math.isnan(value) for value in values):
            raise FabricModelError(f"axes[{name!r}]", "holds NaN", "Leave it out")
    if not grid:
        raise FabricModelError("axes", "none", "Name at least one")
    return grid


def _name(question: Question) -> str:
    """Name a function by its place; others have no name that outlives the process."""
    name = getattr(question, "__qualname__", "")
    if not name or "<lambda>" in name:
        raise FabricModelError(
            "question", "has no name to know it by again", "Give name="
        )
    return f"{question.__module__}.{name}"


def _claim(home: Path, wanted: dict[str, Any]) -> None:
    """Write down what the folder holds, or compare."""
    manifest = home / _MANIFEST
    text = json.dumps(wanted, indent=1)
    if not manifest.exists():
        if any(home.glob("part-*.parquet")):
            raise FabricModelError(
                place(home),
                f"parts of a sweep without {_MANIFEST}",
                "Use another folder",
            )
        with whole_file(manifest) as scratch:
            scratch.write_text(text, encoding="utf-8")
        return
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FabricModelError(
            place(manifest), f"no JSON: {error}", "Use another folder"
        ) from None
    different = [
        key for key, value in json.loads(text).items() if found.get(key) != value
    ]
    if different:
        raise FabricModelError(
            place(home),
            f"holds another sweep: its {' and '.join(different)} differ",
            "Use another folder",
        )


def _is_whole(part: Path, rows: int) -> bool:
    """Whether a chunk is there and all of it can be read."""
    if not part.exists():
        return False
    try:
        return pl.read_parquet(part).height == rows
    except (pl.exceptions.PolarsError, OSError):
        return False


def _array(values: Sequence[Any]) -> np.ndarray:
    """Make an array, of text by reference, for a case takes few different words."""
    return np.asarray(values, object if isinstance(values[0], str) else None)


def _frame(case: pl.DataFrame, answers: Mapping[str, Any]) -> pl.DataFrame:
    """Join axes and answers."""
    for name, values in answers.items():
        if name in case.columns:
            raise FabricModelError(
                f"answers[{name!r}]", "is the name of an axis", "Call it otherwise"
            )
        if np.shape(values) != (case.height,):
            raise FabricModelError(
                f"answers[{name!r}]",
                f"shape {np.shape(values)} for {case.height} cases",
                "Return one value for each case",
            )
    return case.with_columns(pl.Series(name, answers[name]) for name in answers)

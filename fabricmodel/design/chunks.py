"""Long columns of cases answered piece by piece: each piece in cache, on every core."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from fabricmodel.errors import FabricModelError

PIECE = 2**17
"""Cases of a piece: of one formula a few megabytes, which stay in cache."""


def in_pieces(
    program: Callable[..., Any],
    columns: Sequence[np.ndarray],
    *,
    piece: int = PIECE,
    workers: int | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Answer long columns in pieces, several at once, and put the answers together.

    XLA runs a program one array operation after another, so that on millions of cases
    every intermediate array goes out to memory and comes back. Pieces stay in a core's
    cache, and each core takes its own. The last one is filled up with its last case, so
    that one program serves all; an answer depends on no other case and no worker.

    Args:
      program: jitted; from the columns of a piece, (m,) each, to rows of answers, as
        one array (rows, m) or as several (m,).
      columns: (n,) each; numbers.
      piece: cases at a time, the least power of two that holds them where they are
        fewer.
      workers: threads; one for each core that this process may use by default.
      out: (rows, n) array to write to, which spares a loop the pages of a new one.

    Returns:
      (rows, n).

    Raises:
      FabricModelError: for columns of different lengths, or none, or empty ones, or an
        ``out`` of another shape or type.

    >>> in_pieces(jax.jit(lambda x, y: [x + y]), [np.ones(5), np.arange(5.0)],
    ...           piece=2).tolist()
    [[1.0, 2.0, 3.0, 4.0, 5.0]]
    """
    lengths = {len(column) for column in columns}
    if len(lengths) != 1 or 0 in lengths:
        raise FabricModelError(
            "columns", f"lengths {sorted(lengths)}", "Give one length, at least 1"
        )
    (cases,) = lengths
    piece = min(piece, 1 << (cases - 1).bit_length())

    def answer(start: int) -> Sequence[np.ndarray]:
        parts = [column[start : start + piece] for column in columns]
        extra = piece - len(parts[0])
        if extra:
            parts = [np.concatenate([x, np.repeat(x[-1:], extra)]) for x in parts]
        rows = program(*parts)
        whole = isinstance(rows, jax.Array)
        return list(np.asarray(rows) if whole else map(np.asarray, rows))

    first = answer(0)  # compiles
    shape, dtype = (len(first), cases), first[0].dtype
    found = np.empty(shape, dtype) if out is None else out
    if found.shape != shape or found.dtype != dtype:
        raise FabricModelError(
            "out", f"{found.dtype} of {found.shape}", f"Give {dtype} of {shape}"
        )

    def place(start: int, rows: Sequence[np.ndarray]) -> None:
        end = min(start + piece, cases)
        for row, part in zip(found, rows, strict=True):
            row[start:end] = part[: end - start]

    place(0, first)
    starts = range(piece, cases, piece)
    workers = min(workers or _cores(), len(starts))
    if workers <= 1:
        for start in starts:
            place(start, answer(start))
        return found

    def several(part: range) -> None:
        for start in part:
            place(start, answer(start))

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(several, [starts[at::workers] for at in range(workers)]))
    return found


def _cores() -> int:
    """Cores that this process may use, or all where the system does not tell."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS, nor on Windows
        return os.cpu_count() or 1

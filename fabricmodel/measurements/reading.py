"""Read files of any supported format, recognised by what they contain."""

from __future__ import annotations

import os
import pathlib
from typing import Protocol, TypeVar

from fabricmodel.errors import MeasurementError, at
from fabricmodel.measurements import (
    nccl_json,
    nccl_text,
    nccom_json,
    nccom_text,
    osu,
    pico,
    tidy_csv,
    tidy_parquet,
)
from fabricmodel.measurements.evidence import NOTHING, Given
from fabricmodel.measurements.table import Measurements
from fabricmodel.measurements.vocabulary import canonical_collective, check_count

Content = TypeVar("Content", str, bytes, contravariant=True)


class Format(Protocol[Content]):
    """What the module of one format offers."""

    @property
    def NAME(self) -> str:
        """What people call the format."""
        ...

    def matches(self, content: Content, /) -> bool:
        """Whether the content is of this format."""
        ...

    def read(
        self,
        content: Content,
        path: str,
        /,
        given: Given = NOTHING,
    ) -> Measurements:
        """Read it; raise MeasurementError if that can't be done."""
        ...


# In this order: a table's notes may quote the other formats. A new one goes here.
_BINARY: tuple[Format[bytes], ...] = (tidy_parquet,)
_TEXT: tuple[Format[str], ...] = (
    tidy_csv, pico, nccl_json, nccom_json, nccom_text, osu, nccl_text,
)  # fmt: skip


def supported_formats() -> tuple[str, ...]:
    """Names of the formats that ``read_measurements`` recognises.

    >>> supported_formats()[0]
    'tidy CSV'
    """
    return tuple(form.NAME for form in (*_TEXT, *_BINARY))


def read_measurements(
    *paths: str | os.PathLike[str],
    ranks: int | None = None,
    nodes: int | None = None,
    collective: str | None = None,
) -> Measurements:
    """Read benchmark logs or tidy tables into one table, in the order given.

    Rows that can't be used are listed in ``set_aside`` with file, line and reason.

    Args:
      paths: files; their format is recognised by content.
      ranks: number of ranks, for logs that neither state it nor let it be deduced.
      nodes: number of nodes, for logs that don't show it.
      collective: which collective ran, for logs that don't name it; aliases will do.

    Raises:
      MeasurementError: for a file that can't be read, is of no known format, holds no
        usable row or contradicts an argument. The message names file and remedy.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "t.csv")
    ...     _ = path.write_text("ranks,collective,size_bytes,time_us\\n8,ag,64,5\\n")
    ...     read_measurements(path)
    Measurements(1 row; all_gather; 8 ranks; 64 B; nothing set aside)
    """
    if not paths:
        raise MeasurementError("paths", "no file given", "Give one log or more")
    ranks, nodes = check_count("ranks", ranks), check_count("nodes", nodes)
    wanted = None if collective is None else canonical_collective(collective)
    given = Given(ranks=ranks, nodes=nodes, collective=wanted)
    tables = []
    for path in paths:
        name = os.fspath(path)
        tables.append(read_content(_load(name), name, given))
    return Measurements.concat(*tables)


def read_content(data: bytes, name: str, given: Given = NOTHING) -> Measurements:
    """Read a file's bytes with the first format that recognises them.

    Raises:
      MeasurementError: as ``read_measurements``; it names the file as ``name``.

    >>> read_content(b"ranks,collective,size_bytes,time_us\\n8,ag,64,5\\n", "t.csv")
    Measurements(1 row; all_gather; 8 ranks; 64 B; nothing set aside)
    """
    for form in _BINARY:
        if form.matches(data):
            return form.read(data, name, given)
    text = _decode(data, name)
    for form in _TEXT:
        if form.matches(text):
            return form.read(text, name, given)
    raise MeasurementError(
        at(name),
        "the format is unknown",
        f"Give one of: {', '.join(supported_formats())}",
    )


def _load(name: str) -> bytes:
    try:
        return pathlib.Path(name).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise MeasurementError(
            at(name), f"can't be read ({reason})", "Give the path of a readable file"
        ) from error


def _decode(data: bytes, name: str) -> str:
    if b"\0" in data:
        raise MeasurementError(
            at(name), "a binary file", "Give text, unpacked, in UTF-8 or ASCII"
        )
    # A byte that isn't UTF-8 may stand in a host name; it must not cost the log.
    text = data.decode("utf-8-sig", errors="replace")
    if not text.strip():
        raise MeasurementError(at(name), "the file is empty", "Run the benchmark again")
    return text

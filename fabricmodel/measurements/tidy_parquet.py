"""Reader for the tidy table as Parquet; as strict as the one for CSV."""

from __future__ import annotations

import io

import polars as pl

from fabricmodel.errors import MeasurementError, at
from fabricmodel.measurements.evidence import NOTHING, Given
from fabricmodel.measurements.parquet_process import parquet_to_ipc
from fabricmodel.measurements.table import Measurements
from fabricmodel.measurements.tidy_csv import check_header, read_frame

NAME = "tidy Parquet"
_MAGIC = b"PAR1"


def matches(data: bytes) -> bool:
    """Whether the bytes begin as every Parquet file does.

    >>> matches(b"PAR1...")
    True
    """
    return data.startswith(_MAGIC)


def read(
    data: bytes,
    path: str,
    given: Given = NOTHING,
) -> Measurements:
    """Read a tidy table from Parquet; in messages, "line" is the row plus one.

    Args:
      data: the file's bytes.
      path: its name, for messages.
      given: as for the tidy CSV.

    Raises:
      MeasurementError: for a damaged file, and as for the tidy CSV.

    >>> table = pl.DataFrame({"ranks": [8], "collective": ["allr"]})
    >>> table = table.with_columns(size_bytes=1024, time_us=6.5)
    >>> file = io.BytesIO()
    >>> table.write_parquet(file)
    >>> read(file.getvalue(), "t.parquet")
    Measurements(1 row; all_reduce; 8 ranks; 1.02 kB; nothing set aside)
    """
    frame = _load(data, path)
    check_header(frame.columns, at(path))
    lines = pl.int_range(2, pl.len() + 2, dtype=pl.Int64, eager=False)
    return read_frame(frame.with_columns(line=lines), path, given)


def _load(data: bytes, path: str) -> pl.DataFrame:
    """Let a process of its own parse the file: a damaged one may bring polars down."""
    try:
        return pl.read_ipc(io.BytesIO(parquet_to_ipc(data)))
    except ValueError as error:
        said = str(error).strip().split("\n")[-1][:200]
        raise MeasurementError(
            at(path), f"broken Parquet ({said})", "Write the file again"
        ) from error

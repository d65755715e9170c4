"""Reader for the tidy table as Parquet; as strict as the one for CSV."""

from __future__ import annotations

import io

import polars as pl

from fabricmodel.errors import MeasurementError, at
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
    ranks: int | None = None,
    nodes: int | None = None,
    collective: str | None = None,
) -> Measurements:
    """Read a tidy table from Parquet; in messages, "line" is the row plus one.

    Args:
      data: the file's bytes.
      path: its name, for messages.
      ranks, nodes, collective: as for the tidy CSV.

    Raises:
      MeasurementError: for a damaged file, and as for the tidy CSV.

    >>> table = pl.DataFrame({"ranks": [8], "collective": ["allr"]})
    >>> table = table.with_columns(size_bytes=1024, time_us=6.5)
    >>> file = io.BytesIO()
    >>> table.write_parquet(file)
    >>> read(file.getvalue(), "t.parquet")
    Measurements(1 row; all_reduce; 8 ranks; 1.02 kB; nothing set aside)
    """
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except Exception as error:  # the reader of a damaged file may raise anything
        what = " ".join(str(error).split())[:200]
        raise MeasurementError(
            at(path), f"broken Parquet ({what})", "Write the file again"
        ) from error
    except BaseException as error:  # polars panics derive from BaseException
        if type(error).__name__ != "PanicException":
            raise
        raise MeasurementError(
            at(path), "broken Parquet", "Write the file again"
        ) from error
    check_header(frame.columns, at(path))
    lines = pl.int_range(2, pl.len() + 2, dtype=pl.Int64, eager=False)
    return read_frame(frame.with_columns(line=lines), path, ranks, nodes, collective)

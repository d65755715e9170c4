"""Reader for the tidy table as CSV; strict, for a table is made with intent."""

from __future__ import annotations

import csv
import io

import polars as pl

from fabricmodel.errors import MeasurementError, at
from fabricmodel.measurements.logtext import aside
from fabricmodel.measurements.table import (
    COLUMNS,
    NUMBERS,
    REQUIRED,
    SCHEMA,
    Measurements,
    no_usable_row,
    unknown_column,
)
from fabricmodel.measurements.vocabulary import canonical_collective, find_collective

NAME = "tidy CSV"
_MAY_BE_ZERO = ("min_us", "p90_us")  # clocks that tick in microseconds give zeros


def matches(text: str) -> bool:
    """Whether the first line names at least two columns of the tidy table.

    >>> matches("ranks,collective,size_bytes,time_us")
    True
    """
    first = text.lstrip().split("\n", 1)[0]
    names = {name.strip().strip('"') for name in first.split(",")}
    return len(names & set(COLUMNS)) >= 2


def read(
    text: str,
    path: str,
    ranks: int | None = None,
    nodes: int | None = None,
    collective: str | None = None,
) -> Measurements:
    """Read a tidy CSV; rows of other collectives than the table's are set aside.

    Args:
      text: the CSV, with a header line.
      path: its name, for messages.
      ranks: must agree with the column of that name, if given; likewise the next two.
      nodes: see ``ranks``.
      collective: see ``ranks``.

    Raises:
      MeasurementError: for an unknown, repeated or missing column, a row of another
        length, a number that isn't one or isn't positive, or no usable row.

    >>> text = "ranks,collective,size_bytes,time_us\\n8,allr,1024,6.5\\n"
    >>> read(text, "t.csv")
    Measurements(1 row; all_reduce; 8 ranks; 1.02 kB; nothing set aside)
    """
    header, rows, lines = _parse(text, path)
    width = len(header)
    for row, line in zip(rows, lines, strict=True):
        if len(row) != width:
            raise MeasurementError(
                at(path, line),
                f"{len(row)} fields under {width} columns",
                "Complete the row, or quote the field that holds a comma",
            )
    frame = pl.DataFrame(rows, schema=dict.fromkeys(header, pl.String), orient="row")
    frame = frame.with_columns(line=pl.Series(lines, dtype=pl.Int64))
    names = {name: find_collective(name) for name in frame["collective"].unique()}
    frame = frame.with_columns(
        known=pl.col("collective").replace_strict(names, return_dtype=pl.String)
    )
    refused = tuple(
        aside(path, line, ",".join(rows[index]), f"collective {name!r} is unknown")
        for index, (line, name, known) in enumerate(
            frame.select("line", "collective", "known").iter_rows()
        )
        if known is None
    )
    frame = frame.filter(pl.col("known").is_not_null()).with_columns(collective="known")
    if frame.is_empty():
        raise no_usable_row(path, refused)
    frame = _check_numbers(frame, path)
    wanted = None if collective is None else canonical_collective(collective)
    for name, value in (("ranks", ranks), ("nodes", nodes), ("collective", wanted)):
        if value is not None and name in header:
            _check_agrees(frame, name, value, path)
    missing = {
        name: pl.lit("" if kind == pl.String else None, dtype=kind)
        for name, kind in SCHEMA.items()
        if name not in header
    }
    if nodes is not None and "nodes" in missing:
        missing["nodes"] = pl.lit(nodes, dtype=pl.Float64)
    frame = frame.with_columns(**missing).select(COLUMNS)
    return Measurements(frame=frame, set_aside=refused)


def _parse(text: str, path: str) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows and the line where each row ends.

    The csv module rather than polars: it counts lines, and doesn't fill a row that was
    cut off.
    """
    reader = csv.reader(io.StringIO(text), strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise MeasurementError(
            at(path, reader.line_num), f"broken CSV ({error})", "Repair the quotes"
        ) from error
    if not rows:
        raise MeasurementError(
            at(path), "no header line", "Give the CSV with its header"
        )
    header = [name.strip() for name in rows[0]]
    for name in header:
        if name not in COLUMNS:
            raise unknown_column(at(path, lines[0]), name)
        if header.count(name) > 1:
            raise MeasurementError(
                at(path, lines[0]), f"column {name!r} comes twice", "Keep one of them"
            )
    if missing := [name for name in REQUIRED if name not in header]:
        raise MeasurementError(
            at(path, lines[0]),
            f"no column {', '.join(missing)}",
            f"Add it; {', '.join(REQUIRED)} are required",
        )
    return header, rows[1:], lines[1:]


def _check_numbers(frame: pl.DataFrame, path: str) -> pl.DataFrame:
    """Turn the columns of numbers into floats; complain of the first bad value."""
    names = [name for name in NUMBERS if name in frame.columns]
    values = {
        name: frame[name].str.strip_chars().cast(pl.Float64, strict=False)
        for name in names
    }
    bad: list[tuple[int, str, str, str]] = []
    for name, number in values.items():
        usable = number.is_finite() & (
            number >= 0 if name in _MAY_BE_ZERO else number > 0
        )
        if name == "ranks":
            usable &= number == number.round()
        usable = usable.fill_null(False)
        if name not in REQUIRED:
            usable |= frame[name].str.strip_chars() == ""
        if not usable.all():
            row = (~usable).arg_true()[0]
            shown = frame[name][row]
            kind = "whole number" if name == "ranks" else "finite number"
            above = "of at least 0" if name in _MAY_BE_ZERO else "above 0"
            bad.append((frame["line"][row], name, shown, f"{kind} {above}"))
    if bad:
        line, name, shown, kind = min(bad)
        raise MeasurementError(
            at(path, line),
            f"{name} is {shown!r}, not a {kind}",
            "Correct the value or remove the row",
        )
    return frame.with_columns(**values)


def _check_agrees(frame: pl.DataFrame, name: str, value: int | str, path: str) -> None:
    other = frame.filter((pl.col(name) != value).fill_null(True))
    if len(other):
        raise MeasurementError(
            at(path, other["line"][0]),
            f"{name} is {other[name][0]}, the argument {name} says {value}",
            f"Leave {name} out, or select() afterwards",
        )

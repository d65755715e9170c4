"""Reader for the tidy table as CSV; strict, for a table is made with intent."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import polars as pl

from fabricmodel.errors import MeasurementError, at
from fabricmodel.measurements.evidence import NOTHING, Given
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
from fabricmodel.measurements.vocabulary import (
    SCHEDULES,
    canonical_collective,
    find_collective,
)

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
    given: Given = NOTHING,
) -> Measurements:
    """Read a tidy CSV; rows of other collectives than the table's are set aside.

    Args:
      text: the CSV, with a header line.
      path: its name, for messages.
      given: must agree with the columns of those names, where there are any.

    Raises:
      MeasurementError: for an unknown, repeated or missing column, a row of another
        length, a number that isn't one or isn't positive, or no usable row.

    >>> text = "ranks,collective,size_bytes,time_us\\n8,allr,1024,6.5\\n"
    >>> read(text, "t.csv")
    Measurements(1 row; all_reduce; 8 ranks; 1.02 kB; nothing set aside)
    """
    frame = _fast(text)
    if frame is None:
        frame = _thorough(text, path)
    else:
        check_header(frame.columns[:-1], at(path, 1))
    return read_frame(frame, path, given)


def read_frame(
    frame: pl.DataFrame,
    path: str,
    given: Given,
) -> Measurements:
    """Check a table of the right columns, and one more, ``line``; see ``read``."""
    header = [name for name in frame.columns if name != "line"]
    words = [name for name, kind in SCHEMA.items() if kind == pl.String]
    frame = frame.with_columns(
        pl.col(name).cast(pl.String).fill_null("") for name in words if name in header
    )
    frame = _scheduled(frame)
    names = {name: find_collective(name) for name in frame["collective"].unique()}
    known = pl.col("collective").replace_strict(names, return_dtype=pl.String)
    frame = frame.with_columns(known=known)
    refused = []
    for row in frame.filter(pl.col("known").is_null()).iter_rows(named=True):
        shown = ",".join("" if row[n] is None else str(row[n]) for n in header)
        reason = f"collective {row['collective']!r} is unknown"
        refused.append(aside(path, row["line"], shown, reason))
    frame = frame.filter(pl.col("known").is_not_null()).with_columns(collective="known")
    if frame.is_empty():
        raise no_usable_row(path, refused)
    frame = _check_numbers(frame, path)
    wanted = given.collective
    wanted = None if wanted is None else canonical_collective(wanted)
    for name, value in (
        ("ranks", given.ranks),
        ("nodes", given.nodes),
        ("collective", wanted),
    ):
        if value is not None and name in header:
            _check_agrees(frame, name, value, path)
    if given.nodes is not None and "nodes" not in header:
        frame = frame.with_columns(nodes=pl.lit(given.nodes, dtype=pl.Float64))
    return Measurements.from_frames([frame], refused)


def _scheduled(frame: pl.DataFrame) -> pl.DataFrame:
    """Call a hand-written schedule by its collective, and say that it is forced."""
    schedule = pl.col("collective").is_in(list(SCHEDULES))
    if not frame.select(schedule.any()).item():
        return frame
    label = pl.col("algorithm") if "algorithm" in frame.columns else pl.lit("")
    return frame.with_columns(
        algorithm=pl.when(schedule & (label == "")).then("collective").otherwise(label),
        collective=pl.col("collective").replace(SCHEDULES),
    )


def _fast(text: str) -> pl.DataFrame | None:
    """Parse a CSV of one line a row whose quotes and widths are in order, else None.

    polars reads tenfold faster than the csv module, but fills rows that were cut off
    and guesses about quotes; so each line is checked by a pattern first.
    """
    plain = text.replace("\r\n", "\n").removesuffix("\n")
    if "\r" in plain or "\x1f" in plain or not plain:
        return None
    header = [name.strip() for name in plain.split("\n", 1)[0].split(",")]
    if len(set(header) & set(COLUMNS)) < len(header) or len(plain) == len(header):
        return None
    data = io.BytesIO(plain.encode())
    lines = pl.read_csv(
        data,
        has_header=False,
        separator="\x1f",
        quote_char=None,
        schema={"": pl.String},
    )[""]
    field = r'(?:[^",]*|"(?:[^"]|"")*")'
    whole = lines.str.contains(f"^{field}(?:,{field}){{{len(header) - 1}}}$")
    blank = len(header) == 1 or (lines == "").any() or lines.null_count()
    if blank or not whole.all() or len(lines) != plain.count("\n") + 1:
        return None
    data.seek(0)
    frame = (
        pl.read_csv(
            data,
            has_header=False,
            skip_rows=1,
            schema=dict.fromkeys(header, pl.String),
        )
        if len(lines) > 1
        else pl.DataFrame(schema=dict.fromkeys(header, pl.String))
    )
    if len(frame) != len(lines) - 1:
        return None
    return frame.with_columns(line=pl.int_range(2, pl.len() + 2, dtype=pl.Int64))


def _thorough(text: str, path: str) -> pl.DataFrame:
    """Parse any CSV, with the line where each row ends; complain precisely."""
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
    check_header(header, at(path, lines[0]))
    for row, line in zip(rows[1:], lines[1:], strict=True):
        if len(row) != len(header):
            raise MeasurementError(
                at(path, line),
                f"{len(row)} fields under {len(header)} columns",
                "Complete the row, or quote the field that holds a comma",
            )
    schema = dict.fromkeys(header, pl.String)
    frame = pl.DataFrame(rows[1:], schema=schema, orient="row")
    return frame.with_columns(line=pl.Series(lines[1:], dtype=pl.Int64))


def check_header(header: Sequence[str], place: str) -> None:
    """Check the names of the columns.

    Raises:
      MeasurementError: where one is unknown, comes twice or is missing.
    """
    for name in header:
        if name not in COLUMNS:
            raise unknown_column(place, name)
        if header.count(name) > 1:
            raise MeasurementError(
                place, f"column {name!r} comes twice", "Keep one of them"
            )
    if missing := [name for name in REQUIRED if name not in header]:
        raise MeasurementError(
            place,
            f"no column {', '.join(missing)}",
            f"Add it; {', '.join(REQUIRED)} are required",
        )


def _check_numbers(frame: pl.DataFrame, path: str) -> pl.DataFrame:
    """Turn the columns of numbers into floats; complain of the first bad value."""
    names = [name for name in NUMBERS if name in frame.columns]
    text = [name for name in names if frame[name].dtype == pl.String]
    frame = frame.with_columns(pl.col(text).str.strip_chars().replace("", None))
    values = {name: frame[name].cast(pl.Float64, strict=False) for name in names}
    bad: list[tuple[int, str, str, str]] = []
    for name, number in values.items():
        usable = number.is_finite() & (
            number >= 0 if name in _MAY_BE_ZERO else number > 0
        )
        if name == "ranks":
            usable &= number == number.round()
        usable = usable.fill_null(False)
        if name not in REQUIRED:
            usable |= frame[name].is_null()
        if not usable.all():
            row = (~usable).arg_true()[0]
            shown = "" if frame[name][row] is None else str(frame[name][row])
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

"""Reader for the text of AWS nccom-test, all versions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fabricmodel.measurements.evidence import NOTHING, Given
from fabricmodel.measurements.logtext import aside, clean_lines, printed_number
from fabricmodel.measurements.nccom_command import Command, find_command
from fabricmodel.measurements.nccom_rows import (
    Table,
    check_succeeded,
    shows_failure,
    tidy_table,
)
from fabricmodel.measurements.table import Measurements, SetAside, whole_table
from fabricmodel.measurements.vocabulary import DTYPE_BYTES

NAME = "nccom-test text"
_HEADER = re.compile(r"size\(B\)\s+count\(elems\)\s.*\bbusbw\(")
_TYPES = "|".join(sorted(DTYPE_BYTES, key=len, reverse=True))
_START = re.compile(rf"(?<![0-9])[0-9]+\s+[0-9]+\s.*\b(?:{_TYPES})\b", re.ASCII)


def matches(text: str) -> bool:
    """Whether the text holds a table, a failure or a command of nccom-test.

    >>> matches("$ nccom-test -r 32 allr")
    True
    """
    return bool("nccom-test" in text or _HEADER.search(text) or shows_failure(text))


def read(
    text: str,
    path: str,
    given: Given = NOTHING,
) -> Measurements:
    """Read every table of a log; one row per size.

    Args:
      text: the log.
      path: its name, for messages and for the columns ``series`` and ``source``.
      given: ranks where neither a command line nor the bandwidths show them, nodes
        where no command line does, the collective: output alone shows all_reduce only.

    Raises:
      MeasurementError: for a failed test, a collective or a number of ranks that stays
        unknown or contradicts the arguments, or no usable row.

    >>> header = "size(B) count(elems) type time:avg(us) algbw(GB/s) busbw(GB/s)"
    >>> read(header + "\\n33554432 8388608 fp32 2754.15 12.18 22.84", "run.log")
    Measurements(1 row; series run; all_reduce; 16 ranks; 33.6 MB; nothing set aside)
    """
    check_succeeded(text, path)
    refused: list[SetAside] = []
    frames = [
        tidy_table(table, path, given, refused)
        for table in _tables(text, path, refused)
    ]
    return whole_table(path, frames, refused)


def _tables(text: str, path: str, refused: list[SetAside]) -> Iterator[Table]:
    """Cut a log into its tables; streams print one each.

    Lines that should have been rows go to ``refused``.
    """
    header: list[str] = []
    blank_last = False
    table: Table | None = None
    commands: list[Command] = []
    pending = ""
    for number, line in clean_lines(text):
        if "nccom-test" in line or pending:
            pending = f"{pending.removesuffix(chr(92))} {line}".strip()
            if line.endswith(chr(92)):
                continue  # a command goes on after a backslash
            command, pending = find_command(pending), ""
            if command is not None:
                commands.append(command)
                continue
        if "size(B)" in line and _HEADER.search(line):
            # Several commands above one table leave open which of them printed it.
            inherited = table.command if table else None
            if commands:
                same = all(command == commands[0] for command in commands)
                inherited = commands[0] if same else None
            if table is not None:
                yield table
            header = line[line.index("size(B)") :].split()
            blank_last = header[-1] == "algorithm"
            table, commands = Table(command=inherited, names=tuple(header), rows=[]), []
            continue
        if line.startswith("Avg bus bandwidth"):
            header = []
            continue
        tokens = line.split()
        if not tokens or not _is_row(line, tokens, bool(header)):
            continue
        if table is None or not header:
            reason = "a row without a header above it"
            refused.append(aside(path, number, line, reason))
        elif len(tokens) == len(header):
            table.rows.append((number, line, tokens))
        elif (
            blank_last
            and len(tokens) == len(header) - 1
            and printed_number(tokens[-1]) is not None
        ):
            table.rows.append((number, line, [*tokens, ""]))
        else:
            reason = f"not the {len(header)} columns of a whole row"
            refused.append(aside(path, number, line, reason))
    if table is not None:
        yield table


def _is_row(line: str, tokens: list[str], in_table: bool) -> bool:
    """Whether a line is, or was meant as, a row of results."""
    if in_table:
        if printed_number(tokens[0]) is not None:
            return True
        many = sum(printed_number(token) is not None for token in tokens) >= 4
        if many and "CCL INFO" not in line:  # rings are long lists of numbers too
            return True
    return bool(_START.search(line))

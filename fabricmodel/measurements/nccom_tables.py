"""The tables that nccom-test prints, or writes as JSON, row by row."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fabricmodel.errors import MeasurementError, at
from fabricmodel.measurements.logtext import aside, clean_lines, printed_number
from fabricmodel.measurements.nccom_command import Command, find_command
from fabricmodel.measurements.table import SetAside
from fabricmodel.measurements.vocabulary import DTYPE_BYTES

HEADER = re.compile(r"size\(B\)\s+count\(elems\)\s.*\bbusbw\(")
JSON_KEY = '"size(B)"'
FAILED_ROW = re.compile(r"Failure running neuron-bench")
_FAILED_RUN = re.compile(r"\b[1-9][0-9]* errors? found - test failed")
_TYPES = "|".join(sorted(DTYPE_BYTES, key=len, reverse=True))
_START = re.compile(rf"(?<![0-9])[0-9]+\s+[0-9]+\s.*\b(?:{_TYPES})\b", re.ASCII)
_KEY = re.compile(re.escape(JSON_KEY) + r"\s*:")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One row as printed: tokens by column name."""

    line: int
    text: str
    tokens: Mapping[str, str]

    @property
    def time_column(self) -> str:
        """Column of the time to use: the average where there is one."""
        names = [name for name in self.tokens if name.startswith("time")]
        first = [name for name in ("time:avg(us)", "time(us)") if name in names]
        middle = [name for name in names if name == "time:p50(us)"]
        return (first + middle + names + [""])[0]

    def bandwidth(self, name: str) -> str:
        """What stands under ``algbw(...)`` or ``busbw(...)``, "" without the column."""
        found = (text for key, text in self.tokens.items() if key.startswith(name))
        return next(found, "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """The rows under one header, and the command that stands above it, if one does."""

    command: Command | None
    rows: list[Row]


def parse_text(text: str, path: str, refused: list[SetAside]) -> Iterator[Table]:
    """Read the tables of a log one after another; streams print one each.

    Lines that should have been rows go to ``refused``.

    Raises:
      MeasurementError: where the tool reports a failure.
    """
    header: list[str] = []
    table: Table | None = None
    commands: list[Command] = []
    pending = ""
    for number, line in clean_lines(text):
        _check_succeeded(line, path, number)
        pending = f"{pending.removesuffix(chr(92))} {line}".strip()
        if line.endswith(chr(92)) and "nccom-test" in pending:
            continue  # a command goes on after a backslash
        command, pending = find_command(pending), ""
        if command is not None:
            commands.append(command)
        elif HEADER.search(line):
            # Several commands above one table leave open which of them printed it.
            inherited = table.command if table else None
            if commands:
                same = all(command == commands[0] for command in commands)
                inherited = commands[0] if same else None
            if table is not None:
                yield table
            table, commands = Table(command=inherited, rows=[]), []
            header = line[line.index("size(B)") :].split()
        elif line.startswith("Avg bus bandwidth"):
            header = []
        elif _is_row(line, bool(header)):
            tokens = line.split()
            blank = len(header) - len(tokens) == 1 and header[-1] == "algorithm"
            blank = blank and printed_number(tokens[-1]) is not None
            if table is None or not header:
                reason = "a row without a header above it"
                refused.append(aside(path, number, line, reason))
            elif len(tokens) == len(header) or blank:
                named = dict(zip(header, tokens, strict=False))
                table.rows.append(Row(line=number, text=line, tokens=named))
            else:
                reason = f"not the {len(header)} columns of a whole row"
                refused.append(aside(path, number, line, reason))
    if table is not None:
        yield table


def _is_row(line: str, in_table: bool) -> bool:
    """Whether a line is, or was meant as, a row of results."""
    numeric = [printed_number(token) is not None for token in line.split()]
    if in_table and numeric and (numeric[0] or sum(numeric) >= 4):
        return True
    return bool(_START.search(line))


def _check_succeeded(line: str, path: str, number: int) -> None:
    if FAILED_ROW.search(line) or _FAILED_RUN.search(line):
        raise MeasurementError(
            at(path, number),
            f"the test failed: {' '.join(line.split())[:100]}",
            "Run it again, or cut this run out of the log",
        )


def parse_json(text: str, path: str, refused: list[SetAside]) -> Iterator[Table]:
    """Read the lists of results in a JSON report, each as one table.

    Raises:
      MeasurementError: where the report is cut off or reports a failure.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        _check_succeeded(line, path, number)
    try:
        report = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise MeasurementError(
            at(path, line),
            f"the JSON report is truncated or broken ({error})",
            "Give the whole report of a run that finished",
        ) from error
    # The parser keeps no lines; results stand in the order of their first key.
    starts = iter([text.count("\n", 0, key.start()) + 1 for key in _KEY.finditer(text)])
    line = 1
    for results in _result_lists(report):
        rows = []
        for result in results:
            line = next(starts, line) if "size(B)" in result else line
            tokens = {name: _token(value) for name, value in result.items()}
            rows.append(Row(line=line, text=json.dumps(result), tokens=tokens))
        yield Table(command=Command.from_config(report), rows=rows)


def _token(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _result_lists(node: Any) -> Iterator[list[dict[str, Any]]]:
    """Lists of results wherever they stand: each stream has its own."""
    children = list(node.values()) if isinstance(node, dict) else node
    if not isinstance(children, list):
        return
    if any(isinstance(item, dict) and "size(B)" in item for item in children):
        yield [item if isinstance(item, dict) else {"?": item} for item in children]
        return
    for child in children:
        yield from _result_lists(child)

"""Reader for the JSON report of AWS nccom-test (``--report-to-json-file``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fabricmodel.measurements.evidence import NOTHING, Given
from fabricmodel.measurements.jsontext import (
    find_lists,
    key_lines,
    load_report,
    plain_token,
)
from fabricmodel.measurements.nccom_command import Command
from fabricmodel.measurements.nccom_rows import Table, check_succeeded, tidy_table
from fabricmodel.measurements.table import Measurements, SetAside, whole_table

NAME = "nccom-test JSON report"
_SIZE = "size(B)"


def matches(text: str) -> bool:
    """Whether the text is a report, or the first part of one.

    >>> matches('{"results": [{"size(B)": 1024, "type": "fp32"}]}')
    True
    """
    opens = text.lstrip().startswith(("{", "["))
    return opens and (f'"{_SIZE}"' in text or '"results"' in text)


def read(
    text: str,
    path: str,
    given: Given = NOTHING,
) -> Measurements:
    """Read every list of results in a report; one row per size.

    Args:
      text: the report.
      path: its name, for messages and for the columns ``series`` and ``source``.
      given: ranks where neither configuration nor bandwidths show them, nodes where the
        configuration doesn't, the collective: results alone show all_reduce only.

    Raises:
      MeasurementError: for a failed test, a truncated report, a collective or a number
        of ranks that stays unknown or contradicts the arguments, or no usable row.

    >>> row = '{"size(B)": 33554432, "type": "fp32", "time:avg(us)": 2754.15}'
    >>> read('{"results": [%s]}' % row, "r.json", Given(ranks=16, collective="allr"))
    Measurements(1 row; series r; all_reduce; 16 ranks; 33.6 MB; nothing set aside)
    """
    check_succeeded(text, path)
    report = load_report(text, path)
    refused: list[SetAside] = []
    frames = [
        tidy_table(table, path, given, refused) for table in _tables(report, text)
    ]
    return whole_table(path, frames, refused)


def _tables(report: Any, text: str) -> Iterator[Table]:
    """Each list of results as a table; a stream has its own."""
    lines = key_lines(text, _SIZE)
    line, command = 1, Command.from_config(report)
    for results in find_lists(report, _SIZE):
        names = tuple(dict.fromkeys(name for result in results for name in result))
        rows = []
        for result in results:
            line = next(lines, line) if _SIZE in result else line
            tokens = [plain_token(result.get(name, "")) for name in names]
            rows.append((line, json.dumps(result), tokens))
        yield Table(command=command, names=names, rows=rows)

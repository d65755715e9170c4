"""Reader for the JSON that nccl-tests writes (``-J FILE``, from 2.17 on).

One object a run: ``args``, ``env``, ``nccl_version``, ``devices`` (rank, group,
hostname, device_info), ``results`` (size, count, type, redop, root, and
``out_of_place`` and ``in_place``, each with time, alg_bw, bus_bw, nwrong) and
``out_of_bounds``. Keys may be spelt with or without underscores: only their letters
are compared. Several reports may stand in one file, one after another or in a list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from fabricmodel.errors import MeasurementError, at
from fabricmodel.measurements.evidence import NOTHING, Given
from fabricmodel.measurements.jsontext import plain_token
from fabricmodel.measurements.logtext import aside
from fabricmodel.measurements.nccl_rows import OPERATIONS, Row
from fabricmodel.measurements.nccl_runs import Run, tidy_rows
from fabricmodel.measurements.table import Measurements, SetAside, whole_table
from fabricmodel.measurements.vocabulary import DTYPE_BYTES

NAME = "nccl-tests JSON report"
_MARK = re.compile(r'"(out_?of_?place|in_?place|nccl_?version|bus_?bw)"', re.IGNORECASE)
_SIZE = re.compile(r'"size"\s*:')
_BINARY = re.compile(r"(\w+)_perf$")
_HALVES = ("outofplace", "inplace")


def matches(text: str) -> bool:
    """Whether the text is a report of nccl-tests, or the first part of one.

    >>> matches('{"version": "2.17.6", "nccl_version": 22703, "args": ["./all_')
    True
    """
    return text.lstrip().startswith(("{", "[")) and bool(_MARK.search(text))


def read(
    text: str,
    path: str,
    given: Given = NOTHING,
) -> Measurements:
    """Read every run in a report; two rows per size, out-of-place and in-place.

    Args:
      text: one report or several.
      path: its name, for messages and for the columns ``series`` and ``source``.
      given: ranks where the report lists no devices, the collective where the
        arguments don't name it; nodes beat the number of host names.

    Raises:
      MeasurementError: for a report that is cut off, ranks or a collective that stay
        unknown or contradict the arguments, or no usable row.

    >>> half = '{"time": 485.3, "alg_bw": 2.16, "bus_bw": 4.05, "nwrong": 0}'
    >>> row = '{"size": 1048576, "count": 262144, "type": "float", "redop": "sum", '
    >>> row += f'"root": -1, "out_of_place": {half}, "in_place": {half}}}'
    >>> text = '{"args": ["all_reduce_perf"], "results": [%s]}' % row
    >>> read(text, "r.json", Given(ranks=16))
    Measurements(2 rows; series r; all_reduce; 16 ranks; 1.05 MB; nothing set aside)
    """
    refused: list[SetAside] = []
    lines = _size_lines(text)
    runs = [
        _run(plain, path, lines, refused)
        for report in _reports(text, path)
        for plain in _runs(report)
    ]
    mentioned = {name for run in runs for name in run.binaries}
    frames = [
        tidy_rows(run, path, given, mentioned, lambda: text, refused) for run in runs
    ]
    return whole_table(path, frames, refused)


def _reports(text: str, path: str) -> Iterator[Any]:
    """One object after another: each process writes its own to the same file."""
    decoder, start = json.JSONDecoder(), 0
    while True:
        while start < len(text) and text[start].isspace():
            start += 1
        if start == len(text):
            return
        try:
            report, start = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            place = error.pos if isinstance(error, json.JSONDecodeError) else start
            raise MeasurementError(
                at(path, text.count("\n", 0, place) + 1),
                f"the JSON report is truncated or broken ({error})",
                "Give the whole report of a run that finished",
            ) from error
        if not isinstance(report, dict | list):
            raise MeasurementError(
                at(path, text.count("\n", 0, start) + 1),
                f"{json.dumps(report)[:40]} stands where a report should",
                "Remove it, or give the file as the benchmark wrote it",
            )
        yield report


def _plain(node: Any) -> dict[str, Any]:
    """An object under keys of lower-case letters alone; empty for anything else."""
    if not isinstance(node, Mapping):
        return {}
    return {re.sub(r"[^a-z0-9]", "", key.lower()): item for key, item in node.items()}


def _runs(report: Any) -> Iterator[dict[str, Any]]:
    """The runs of a report: itself, or those in its list."""
    for item in report if isinstance(report, list) else [report]:
        if isinstance(item, Mapping):
            yield _plain(item)


def _size_lines(text: str) -> Iterator[int]:
    """Lines of the results: the parser keeps none, but their sizes come in order."""
    line, start = 1, 0
    for key in _SIZE.finditer(text):
        line += text.count("\n", start, key.start())
        start = key.start()
        yield line


def _run(
    report: Mapping[str, Any], path: str, lines: Iterator[int], refused: list[SetAside]
) -> Run:
    run = Run(counts=True)
    arguments = report.get("args")
    for word in arguments if isinstance(arguments, list) else [arguments]:
        name = PurePath(word).name if isinstance(word, str) else ""
        if found := _BINARY.match(name):
            run.binaries.add(found[1])
    run.library = _version(report.get("ncclversion"))
    devices = report.get("devices")
    for device in map(_plain, devices if isinstance(devices, list) else []):
        rank, group = device.get("rank"), device.get("group", 0)
        if isinstance(rank, int) and isinstance(group, int):
            host, name = device.get("hostname", ""), device.get("deviceinfo", "")
            run.devices[rank] = (group, str(host), str(name))
    line, results = 1, report.get("results")
    for result in results if isinstance(results, list) else []:
        plain = _plain(result)
        line = next(lines, line) if "size" in plain else line
        row = _row(line, json.dumps(result), plain)
        if isinstance(row, Row):
            run.rows.append(row)
        else:
            refused.append(aside(path, line, json.dumps(result), row))
    verdict = _plain(report.get("outofbounds"))
    if verdict.get("okay") is False:
        run.failed, run.footer = True, (line, json.dumps(report["outofbounds"]))
    return run


def _row(line: int, text: str, result: Mapping[str, Any]) -> Row | str:
    """Read one result; a reason if it is a damaged one."""
    names = ("size", "count", "type")
    size, count, dtype = (plain_token(result.get(name)) for name in names)
    op, root = plain_token(result.get("redop")), plain_token(result.get("root"))
    if dtype not in DTYPE_BYTES:
        return f"type {dtype!r} is unknown"
    if op not in (*OPERATIONS, "", "N/A"):
        return f"redop {op!r} is unknown"
    tokens = []
    for half in _HALVES:
        plain = _plain(result.get(half))
        time = plain.get("time", plain.get("cputime"))
        algbw, busbw = (plain.get(name) for name in ("algbw", "busbw"))
        wrong = plain.get("nwrong", plain.get("wrong"))
        tokens += [plain_token(value) for value in (time, algbw, busbw, wrong)]
    return Row(
        line,
        text,
        size,
        count,
        dtype,
        op if op in OPERATIONS else None,
        root if re.fullmatch("-?[0-9]{1,9}", root) else None,
        *tokens,
    )


def _version(number: Any) -> str:
    """The library's version: 22703 is 2.27.3 from 2.9 on."""
    if isinstance(number, int) and number >= 20000:
        return f"NCCL {number // 10000}.{number // 100 % 100}.{number % 100}"
    return f"NCCL {number}" if isinstance(number, str) and number else ""

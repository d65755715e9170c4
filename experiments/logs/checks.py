"""Account for every row of some logs: used, set aside with a reason, or an error."""

from __future__ import annotations

import dataclasses
import random
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

import fabricmodel as fm
from experiments.logs.samples import RUINS, SAMPLES
from fabricmodel.measurements import Measurements, NoUsableRow, SetAside
from fabricmodel.measurements.evidence import Given

# What a person would call a row of nccl-tests or nccom-test: knows nothing of readers.
_LIKE_A_ROW = re.compile(
    r"(?<![0-9.])([0-9]+)[ \t]+[0-9]+[ \t]+"
    r"(?:float|half|double|bfloat16|u?int(?:8|32|64)|fp32|fp16|bf16|f8e4m3|f8e5m2)\b.*?[0-9]"
)
ROUNDS = 25
"""Samples of each format that ``check`` makes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Read:
    table: Measurements | None
    error: str
    set_aside: tuple[SetAside, ...] = ()


def _read(path: Path, given: Mapping[str, Any]) -> _Read:
    try:
        table = fm.read_measurements(path, **given)
        return _Read(table=table, error="", set_aside=table.set_aside)
    except NoUsableRow as error:
        return _Read(table=None, error=str(error), set_aside=error.set_aside)
    except fm.MeasurementError as error:
        return _Read(table=None, error=str(error))


def check_folder(
    folder: Path,
    given: Mapping[str, Any],
    expected: Mapping[str, tuple[int, int]],
    console: Console,
) -> list[dict[str, Any]]:
    """Read every file of a folder; what the caller says only where a log doesn't.

    A file's faults: a line that looks like a row is neither used nor listed; or its
    counts aren't the expected ones.

    Raises:
      MeasurementError: for a folder without files.
    """
    paths = sorted(path for path in folder.glob("*") if path.is_file())
    if not paths:
        raise fm.MeasurementError(str(folder), "no files", "Give a folder of logs")
    found = []
    for path in track(paths, "Reading", console=console, transient=True):
        read = _read(path, {})
        if read.table is None and any(value is not None for value in given.values()):
            again = _read(path, given)
            read = again if again.table is not None else read
        refused = read.set_aside
        used = 0 if read.table is None else len(read.table)
        faults = _lost(path, read)
        if path.name in expected and expected[path.name] != (used, len(refused)):
            rows, aside = expected[path.name]
            faults.append(f"{rows} rows and {aside} set aside were expected")
        found.append(
            {
                "file": path.name,
                "rows": used,
                "by_statistic": _by_statistic(read.table),
                "set_aside": [[row.line, row.reason] for row in refused],
                "error": read.error,
                "faults": faults,
            }
        )
        _show(console, found[-1])
    return found


def _by_statistic(table: Measurements | None) -> dict[str, int]:
    if table is None:
        return {}
    names = table.frame["statistic"].to_list()
    return {name: names.count(name) for name in sorted(set(names))}


def _lost(path: Path, read: _Read) -> list[str]:
    """Lines that look like a row of results and that nobody accounts for."""
    if read.table is None and not read.set_aside:
        return []  # the one error speaks for the whole file
    listed = {row.line for row in read.set_aside}
    sizes = set() if read.table is None else set(read.table.size_bytes.tolist())
    faults = []
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.split("\n"), start=1):
        row = _LIKE_A_ROW.search(line)
        if row and number not in listed and float(row[1]) not in sizes:
            faults.append(f"line {number} is neither used nor listed")
    return faults


def _show(console: Console, file: dict[str, Any]) -> None:
    counts = ", ".join(f"{n} {name}" for name, n in file["by_statistic"].items())
    console.print(
        f"[bold]{file['file']}[/]: {file['rows']} rows"
        f"{f' ({counts})' if counts else ''}, {len(file['set_aside'])} set aside",
        highlight=False,
    )
    if file["error"]:
        console.print(f"  error: {file['error']}", highlight=False, markup=False)
    for line, reason in file["set_aside"]:
        console.print(f"  line {line}: {reason}", highlight=False, markup=False)
    for fault in file["faults"]:
        console.print(f"  [red]fault:[/] {fault}", highlight=False)


def check_samples(console: Console) -> list[dict[str, Any]]:
    """Compare each row of samples with the truth; and ruins must each give an error."""
    found = [_check_ruins()]
    console.print(f"ruins: {len(RUINS)} files, {len(found[0]['faults'])} faults")
    for name, make in SAMPLES.items():
        faults = []
        rows = 0
        rounds = 3 if name == "parquet" else ROUNDS  # each costs a process
        for seed in range(rounds):
            sample = make(random.Random(seed))
            table = sample.form.read(
                sample.content, f"{name}.log", Given(**sample.given)
            )
            rows += len(table)
            wrong = rows_of(table) ^ sample.truth
            if wrong or table.set_aside:
                faults.append(f"seed {seed}: {sorted(wrong)[:2]} {table.set_aside[:2]}")
        found.append({"file": f"samples of {name}", "rows": rows, "faults": faults})
        console.print(f"{name}: {rounds} samples, {rows} rows, {len(faults)} faults")
    return found


def _check_ruins() -> dict[str, Any]:
    """A file without anything usable: one error, which names the file."""
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ruin.log")
        for name, content in RUINS.items():
            path.write_bytes(content)
            try:
                fm.read_measurements(path)
                faults.append(f"{name}: read without an error")
            except fm.MeasurementError as error:
                if str(path) not in str(error) or "\n" in str(error):
                    faults.append(f"{name}: not one clear error: {error}")
    return {"file": "ruins", "rows": 0, "faults": faults}


def rows_of(table: Measurements) -> set[tuple[str, int, float, float]]:
    """Rows as ``Sample.truth`` has them."""
    frame = table.frame.select(
        "collective", "ranks", "size_bytes", "time_us"
    ).iter_rows()
    return {
        (kind, int(ranks), size, round(time, 3)) for kind, ranks, size, time in frame
    }

"""Do the readers of logs hold what they promise?

``check``: read a folder of logs, or samples of one's own making whose truth is known,
and account for every line that looks like a row. ``fuzz``: damage samples at random; a
reader may refuse, with one clear error, but never crash, hang or say what no log said.
``speed``: megabytes a second.

    python -m experiments.readers check [FOLDER] [--ranks N] [--expect FILE]
    python -m experiments.readers fuzz --count 1000000 [--format nccl] [--jobs 2]
        [--minutes 60]
    python -m experiments.readers speed
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import fabricmodel as fm
from experiments.logs.checks import check_folder, check_samples
from experiments.logs.fuzz import fuzz
from experiments.logs.samples import SAMPLES
from experiments.logs.speed import LEAST_MBps, speed
from experiments.output import machine, write_json


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the three; 0 if all is well, 1 if not, 2 for bad arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.readers",
        description="Do the readers of logs hold what they promise?",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("check", help="account for every row of some logs")
    one.add_argument("folder", nargs="?", type=Path, help="else samples of known truth")
    one.add_argument("--ranks", type=int, help="for the logs that don't say")
    one.add_argument("--collective", help="for the logs that don't say")
    one.add_argument(
        "--expect",
        type=Path,
        metavar="CSV",
        help="columns file, rows, set_aside: what must come out",
    )
    two = commands.add_parser("fuzz", help="damage samples at random and read them")
    two.add_argument("--count", type=int, default=10_000, help="logs of each format")
    two.add_argument("--format", choices=sorted(SAMPLES), help="only this one")
    two.add_argument("--seed", type=int, default=0)
    two.add_argument("--jobs", type=int, default=1)
    two.add_argument(
        "--minutes", type=float, default=math.inf, help="stop then, in equal shares"
    )
    three = commands.add_parser("speed", help="megabytes a second of each reader")
    three.add_argument("--megabytes", type=float, default=50.0, help="size of the CSV")
    for each in (one, two, three):
        each.add_argument("--out", type=Path, default=Path("out/readers"))
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    try:
        good, result = _run(options, console)
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", highlight=False)
        return 2
    path = options.out / f"{options.command}.json"
    write_json(path, {"machine": machine(), **result})
    console.print(f"{path}: {'all is well' if good else 'NOT as promised'}")
    return 0 if good else 1


def _run(options: argparse.Namespace, console: Console) -> tuple[bool, dict[str, Any]]:
    if options.command == "check":
        if options.folder is None:
            found = check_samples(console)
        else:
            given = {"ranks": options.ranks, "collective": options.collective}
            expected = _expected(options.expect) if options.expect else {}
            found = check_folder(options.folder, given, expected, console)
        return all(not each["faults"] for each in found), {"files": found}
    if options.command == "fuzz":
        names = [options.format] if options.format else sorted(SAMPLES)
        share = 60.0 * options.minutes / len(names)
        runs = [
            fuzz(name, options.count, options.seed, options.jobs, console, share)
            for name in names
        ]
        return all(not run["faults"] for run in runs), {"formats": runs}
    rates = speed(options.megabytes, console)
    slow = [r for r in rates if r["MBps"] < LEAST_MBps[r["kind"]]]
    return not slow, {"readers": rates}


def _expected(path: Path) -> dict[str, tuple[int, int]]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return {
                row["file"]: (int(row["rows"]), int(row["set_aside"]))
                for row in csv.DictReader(stream)
            }
    except (OSError, KeyError, ValueError) as error:
        raise fm.MeasurementError(
            str(path), f"not a table of expectations ({error!r})",
            "Give a CSV with the columns file, rows, set_aside",
        ) from error  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

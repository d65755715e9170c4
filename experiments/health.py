"""Is this cluster as fast as its kind?

Compares measured times with what the catalogue expects of the fabric, before any fit.
The first line printed is the verdict; then come table, figure and evidence. The exit
status serves an acceptance script: 0 healthy, 1 unhealthy, 2 can't tell (the second
line says what to measure) or bad input (one message on standard error).

    python -m experiments.health --measurements LOG --fabric NAME|FILE [--ranks N]
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

import fabricmodel as fm
from experiments.output import duration, machine, markdown_table, size, whole_folder
from experiments.selection import add_options, select
from fabricmodel.fitting.fit import prior_model
from fabricmodel.fitting.recognise import recognise
from fabricmodel.health import Evidence, Point, Verdict, gather, judge
from fabricmodel.health.verdict import OUTLIER_Z
from fabricmodel.measurements.vocabulary import bus_factor

WIDTH = 118
"""Columns of the tables, where no terminal says how wide it is."""


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line, judge, print and write; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.health",
        description="Is this cluster as fast as its kind?",
        epilog="Exit status: 0 healthy, 1 unhealthy, 2 can't tell or bad input.",
    )
    add_options(parser, "series")
    parser.add_argument("--fabric", help="a catalogue name or a TOML file")
    parser.add_argument("--collective", help="only this one, or where a log is silent")
    parser.add_argument("--ranks", type=int, help="ranks, where a log doesn't say")
    parser.add_argument("--nodes", type=int, help="nodes, where a log doesn't say")
    parser.add_argument("--out", type=Path, default=Path("out/health"))
    options = parser.parse_args(argv)
    wide = None if sys.stdout.isatty() else WIDTH
    screen = Console(highlight=False, width=wide)
    errors = Console(stderr=True, highlight=False)
    try:
        times = _times(options)
        fabric = fm.load_fabric(options.fabric) if options.fabric else recognise(times)
        with errors.status(f"Expecting {len(times)} times of {fabric.name}"):
            points, found = gather(prior_model(fabric), times)
            verdict = judge(points, found)
    except fm.FabricModelError as error:
        errors.print(f"[red]error:[/] {error}", soft_wrap=True)
        return 2  # nothing can be told
    write(options.out, fabric.name, times, verdict, points, found)
    try:
        print(verdict.sentence)  # whole on one line, whatever the terminal's width
        if verdict.remedy:
            print(f"{verdict.remedy}.")
        screen.print(_points_table(points))
        screen.print(_evidence_table(found))
        print(f"Report and figure: {options.out / 'report.md'}", flush=True)
    except (BrokenPipeError, SystemExit):  # `| head -1` must not change the status
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return verdict.status


def _times(options: argparse.Namespace) -> fm.Measurements:
    """Read the logs; one name may say what a log doesn't, or select from a table."""
    try:
        times = fm.read_measurements(
            *options.measurements, ranks=options.ranks, nodes=options.nodes
        )
    except fm.MeasurementError:
        if options.collective is None:
            raise
        times = fm.read_measurements(
            *options.measurements,
            ranks=options.ranks,
            nodes=options.nodes,
            collective=options.collective,
        )
    return select(times, options)


def _bus_GBps(point: Point, seconds: float) -> float:
    return point.size_bytes / seconds * bus_factor(point.collective, point.ranks) / 1e9


_COLUMNS = (
    "collective", "ranks", "size", "measured", "expected (90 %)", "ratio",
    "bus GB/s", "of bound", "speaks for",
)  # fmt: skip


def _point_cells(point: Point) -> list[str]:
    low, high = duration(point.low_s), duration(point.high_s)
    return [
        point.collective,
        f"{point.ranks:,.0f}",
        size(point.size_bytes),
        duration(point.measured_s),
        f"{duration(point.expected_s)} ({low} to {high})",
        f"{point.measured_s / point.expected_s:.2f}",
        f"{_bus_GBps(point, point.measured_s):.3g}",
        f"{point.bound_s / point.measured_s:.0%}",
        "" if point.regime == "between" else point.regime,
    ]


def _points_table(points: Sequence[Point]) -> Table:
    table = Table(title="Measured against expected")
    for name in _COLUMNS:
        left = name in ("collective", "speaks for")
        table.add_column(name, justify="left" if left else "right")
    for point in points:
        table.add_row(*_point_cells(point))
    return table


_FINDINGS = (
    "kind", "ranks", "dominated by", "collectives", "ratio", "usual", "limit", "z",
)  # fmt: skip


def _finding_cells(one: Evidence) -> list[str]:
    return [
        one.kind,
        f"{one.ranks:,.0f}",
        f"{one.cause}, {one.share:.0%}",
        ", ".join(one.collectives),
        f"{one.ratio:.2f}",
        f"{one.limit(0.0):.2f}",
        f"{one.limit(OUTLIER_Z):.2f}",
        f"{one.z:+.1f}",
    ]


def _evidence_table(found: Sequence[Evidence]) -> Table:
    table = Table(title="Evidence: measured over expected, by kind of cost")
    for name in _FINDINGS:
        left = name in ("kind", "dominated by", "collectives")
        table.add_column(name, justify="left" if left else "right")
    for one in found:
        style = "bold red" if one.z > OUTLIER_Z else ""
        table.add_row(*_finding_cells(one), style=style)
    return table


def write(
    folder: Path,
    fabric: str,
    times: fm.Measurements,
    verdict: Verdict,
    points: Sequence[Point],
    found: Sequence[Evidence],
) -> None:
    """Write report, figure, JSON and CSV, all or none."""
    from fabricmodel import plots

    rows = [{**dataclasses.asdict(point), "regime": point.regime} for point in points]
    frame = pl.DataFrame([{k: v for k, v in r.items() if k != "terms"} for r in rows])
    with whole_folder(folder) as scratch:
        plots.save(plots.health(frame), scratch, "health")
        frame.write_csv(scratch / "health.csv")
        data = {
            "status": verdict.status,
            "verdict": verdict.sentence,
            "remedy": verdict.remedy,
            "fabric": fabric,
            "evidence": [
                {**dataclasses.asdict(e), "z": e.z, "limit": e.limit(OUTLIER_Z)}
                for e in found
            ],
            "machine": machine(),
            "set_aside": [str(row) for row in times.set_aside],
            "rows": rows,
        }
        (scratch / "health.json").write_text(json.dumps(data, indent=1) + "\n")
        (scratch / "report.md").write_text(
            _report(fabric, times, verdict, points, found)
        )


def _report(
    fabric: str,
    times: fm.Measurements,
    verdict: Verdict,
    points: Sequence[Point],
    found: Sequence[Evidence],
) -> str:
    text = io.StringIO()

    def say(line: str = "") -> None:
        text.write(f"{line}\n")

    say(f"# {verdict.sentence}")
    say()
    if verdict.remedy:
        say(f"{verdict.remedy}.\n")
    say(
        f"{len(times)} measurements against the catalogue's `{fabric}`, before any fit."
    )
    say("\n![measured over expected](health.png)\n")
    say("## Evidence\n")
    say(
        "Latency is the median ratio where four fifths of the expected time are launch "
        "and rounds; bandwidth the ratio of the slopes over the largest sizes. `usual` "
        "is what healthy machines of published logs show, `limit` what one in 200 of "
        "them exceeds. Sizes between the two are shown and not judged.\n"
    )
    say(markdown_table(_FINDINGS, [_finding_cells(one) for one in found]) + "\n")
    say("## Every size\n")
    say(markdown_table(_COLUMNS, [_point_cells(point) for point in points]) + "\n")
    if times.set_aside:
        say(f"## Set aside ({len(times.set_aside)})\n")
        for row in times.set_aside:
            say(f"- {row}")
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())

"""How far do machines that nobody complains of stray from the catalogue?

``experiments.health`` calls a machine unhealthy where it is slower than one in 200 of
its kind. This makes the two figures that it needs for each kind of cost: the usual
deviation from the catalogue's expectation, and its spread beyond the catalogue's own
belief. Medians throughout, so that a sick machine among the published ones, or a wrong
guess of its fabric, hardly moves them; every series counts once.

    python -m experiments.health_calibration --measurements TABLE [--machines CSV]

The machines (columns ``series`` and ``fabric``) that come with the project leave out
every series that its acceptance judges.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

import fabricmodel as fm
from experiments.output import machine, write_json
from fabricmodel.fitting.fit import prior_model
from fabricmodel.health import Surprise, gather

MACHINES = Path(__file__).with_name("data") / "health_machines.csv"
_NORMAL = 1.4826  # standard deviations in a median absolute deviation
_NOTHING = Surprise(bias=0.0, sd=0.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line, compare every series, print and write the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.health_calibration",
        description="How far do healthy machines stray from the catalogue?",
    )
    parser.add_argument("--measurements", nargs="+", required=True, metavar="TABLE")
    parser.add_argument("--machines", type=Path, default=MACHINES, metavar="CSV")
    parser.add_argument("--json", type=Path, default=Path("out/health/surprise.json"))
    options = parser.parse_args(argv)
    console = Console(stderr=True, highlight=False)
    try:
        times = fm.read_measurements(*options.measurements)
        rows = compare(times, _machines(options.machines), console)
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", soft_wrap=True)
        return 2
    found = {kind: surprise(rows, kind) for kind in ("latency", "bandwidth")}
    for kind, one in found.items():
        print(f"{kind}: bias {one['bias']:.2f}, sd {one['sd']:.2f} ({one['series']})")
    write_json(options.json, {"machine": machine(), **found, "rows": rows})
    return 0


def _machines(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return {row["series"]: row["fabric"] for row in csv.DictReader(stream)}
    except (OSError, KeyError) as error:
        raise fm.MeasurementError(
            str(path), f"no table of machines ({error!r})",
            "Give a CSV with the columns series, fabric",
        ) from error  # fmt: skip


def compare(
    times: fm.Measurements, machines: dict[str, str], console: Console
) -> list[dict[str, Any]]:
    """Log deviations of each series that the table holds, by kind of cost.

    Raises:
      FabricModelError: where the table holds none of them, or a fabric is unknown.
    """
    there = set(times.series.tolist())
    known = {name: fabric for name, fabric in machines.items() if name in there}
    if not known:
        raise fm.MeasurementError(
            "series", "none of the machines is in the table", "Give another --machines"
        )
    rows = []
    for name in track(sorted(known), "Comparing", console=console, transient=True):
        model = prior_model(fm.load_fabric(known[name]))
        _, found = gather(model, times.select(series=name), _NOTHING, _NOTHING)
        rows += [
            {
                "series": name,
                "kind": one.kind,
                "ranks": one.ranks,
                "log_ratio": math.log(one.ratio),
                "log_sd": one.log_sd,
            }
            for one in found
        ]
    return rows


def surprise(rows: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Bias and spread of one kind of cost, each series by its median."""
    by: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["kind"] == kind:
            pair = (row["log_ratio"], row["log_sd"])
            by.setdefault(row["series"], []).append(pair)
    if not by:
        return {"bias": math.nan, "sd": math.nan, "series": 0}
    middles = np.array([np.median([log for log, _ in pairs]) for pairs in by.values()])
    priors = np.array([np.median([sd for _, sd in pairs]) for pairs in by.values()])
    bias = float(np.median(middles))
    spread = _NORMAL * float(np.median(np.abs(middles - bias)))
    beyond = max(spread**2 - float(np.median(priors)) ** 2, 0.0)
    return {"bias": bias, "sd": math.sqrt(beyond), "series": len(by)}


if __name__ == "__main__":
    sys.exit(main())

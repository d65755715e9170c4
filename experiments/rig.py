"""A network whose truth is known: built, measured, fitted and compared right here.

Hosts are network namespaces, links a user-space relay of known delay and rate; small
socket collectives run over them, their prices are fitted from rings of 2 to 4, and the
other topologies are predicted. Needs Linux and root; nothing is left behind.

    python -m experiments.rig                  # the set of a CI job, in two minutes
    python -m experiments.rig --set odd        # rings with a slow and with a long link
    python -m experiments.rig --set levels     # two levels, fast inside, slow between
    python -m experiments.rig --set jax        # JAX through experiments.measure
    python -m experiments.rig --set openmpi    # Open MPI, its algorithms forced
    python -m experiments.rig --topology star4 --delay 2ms --rate 40
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import fabricmodel as fm
from experiments import validate_rig
from experiments.output import machine, whole_folder, write_json
from experiments.rigs import jax_runs, network, openmpi_runs, report, socket_runs
from experiments.rigs.network import Wire

RINGS = ("ring2", "ring3", "ring4")
SETS = {
    "ci": (*RINGS, "ring8", "torus2x2", "torus2x4", "torus3x3"),
    "odd": (*RINGS, "ring4_slowlink1-2", "ring4_longlink1-2"),
    "levels": (*RINGS, "twolevel2x4"),
    "jax": (*RINGS, "ring6"),
    "openmpi": (*RINGS, "ring6"),
}


def odd_wire(topology: str, wire: Wire) -> Wire | None:
    """What the odd links of a topology are set to: half the rate, or three delays."""
    slow = 2.0 if "slowlink" in topology else 4.0 if "twolevel" in topology else 1.0
    long = 3.0 if "longlink" in topology else 2.0 if "twolevel" in topology else 1.0
    if slow == long == 1.0:
        return None
    return Wire(delay_s=wire.delay_s * long, rate_Bps=wire.rate_Bps / slow)


def measure(
    topologies: Sequence[str], wire: Wire, repeats: int, console: Console
) -> list[dict[str, Any]]:
    """Build the topologies one after another, and run their collectives."""
    plans = [socket_runs.plan(name, wire, odd_wire(name, wire)) for name in topologies]
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    rows = []
    with Progress(*columns, console=console, transient=True) as bar:
        total = sum(socket_runs.count(plan, repeats) for plan in plans)
        task = bar.add_task("Measuring", total=total)
        for plan in plans:
            bar.update(task, description=f"Measuring {plan.topology}")
            rows += socket_runs.run(plan, repeats, step=lambda: bar.advance(task))
    return rows


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a rig's table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def wire_of(delay: str, rate: float) -> Wire:
    """Read a delay with its unit, and a rate in Mbit/s.

    >>> wire_of("5ms", 20.0)
    Wire(delay_s=0.005, rate_Bps=2500000.0)
    """
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
    number = delay.rstrip("mus")
    unit = delay[len(number) :]
    try:
        delay_s = float(number) * units[unit]
    except (ValueError, KeyError):
        delay_s = 0.0
    if not delay_s > 0:
        raise fm.FabricError("--delay", f"{delay!r}", "Write 5ms or 800us")
    if not rate > 0:
        raise fm.FabricError("--rate", f"{rate}", "Give Mbit/s above 0")
    return Wire(delay_s=delay_s, rate_Bps=rate * 1e6 / 8.0)


def main(argv: list[str] | None = None) -> int:
    """Build, measure, fit, compare, report; 3 where this machine can't."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.rig",
        description="Are prices and predictions right where the truth is known?",
    )
    parser.add_argument("--set", choices=SETS, default="ci")
    parser.add_argument("--topology", nargs="+", help="these after the rings of 2 to 4")
    parser.add_argument("--delay", default="5ms", help="of a link; 5ms")
    parser.add_argument("--rate", type=float, default=20.0, help="Mbit/s of a link")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("out/rig"))
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    if reason := network.why_not():
        console.print(f"The rig {reason}. Nothing was run.", highlight=False)
        return 3
    network.stop_on_terminate()
    begun = time.monotonic()
    try:
        wire = wire_of(options.delay, options.rate)
        names = (*RINGS, *options.topology) if options.topology else SETS[options.set]
        launcher = openmpi_runs.find() if options.set == "openmpi" else None
        with whole_folder(options.out) as folder:
            rows = measure(names, wire, options.repeats, console)
            if options.set == "jax":
                rows += jax_runs.measure(names, wire, console)
            if launcher is not None:
                with console.status("Open MPI"):
                    rows += openmpi_runs.measure(names, wire, launcher)
            measured_s = time.monotonic() - begun
            write_rows(folder / "rig.csv", rows)
            result = validate_rig.run(folder / "rig.csv", console)
            result["measured_s"] = measured_s
            result["machine"] = machine()
            write_json(folder / "result.json", result)
            report.write(folder, result)
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 2
    for line in validate_rig.summary(result):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(
        f"Measured in {measured_s:.0f} s. Report: {options.out / 'report.md'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How fast are the collectives of your own devices?

Times psum, all_gather, psum_scatter, all_to_all and ppermute over the axes of a mesh of
all JAX devices at hand, or over its first few devices, and writes the tidy table, every
repetition and what it was measured on. Interrupt it at any time: what is finished is
kept.

    python -m experiments.measure                          # this process's devices
    python -m experiments.measure --mesh data=2,model=4    # over the axes of a mesh
    python -m experiments.measure --spawn 4                # 4 CPU processes with gloo
    python -m experiments.measure --scale                  # and predict 100,000 chips

On a cluster start it once in every process, with --coordinator HOST:PORT --processes N
--process I, or with --distributed where JAX finds these out by itself (Slurm, Open MPI,
Kubernetes, Cloud TPU).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import fabricmodel as fm
from experiments import scale_to_100k
from experiments.output import duration, size, write_json
from fabricmodel.measurements.bench import machine, programs, rows, run

UNITS = {"": 1.0, "KiB": fm.KiB, "MiB": fm.MiB, "GiB": fm.GiB}


def sizes_of(text: str) -> list[float]:
    """Read ``1KiB..1MiB`` (factors of four) or ``8KiB,1MiB``.

    >>> sizes_of("1KiB..64KiB"), sizes_of("8,1MiB")
    ([1024.0, 4096.0, 16384.0, 65536.0], [8.0, 1048576.0])
    """
    ends = text.split("..")
    if len(ends) == 2:
        low, high = (_bytes(end) for end in ends)
        count = int(np.floor(np.log(high / low) / np.log(4.0) + 1e-9)) + 1
        return [low * 4.0**k for k in range(count)]
    return [_bytes(part) for part in text.split(",")]


def _bytes(text: str) -> float:
    number = text.strip().rstrip("BKMGi")
    unit = text.strip()[len(number) :].removesuffix("B")
    factor = UNITS.get(unit and f"{unit}B")
    try:
        found = float(number) * (factor or 0.0)
    except ValueError:
        found = 0.0
    if not (np.isfinite(found) and found > 0):
        what, remedy = f"{text!r} is no size", "Write 4KiB, 1MiB or 1KiB..64MiB"
        raise fm.MeasurementError("--sizes", what, remedy)
    return found


def mesh_of(text: str | None) -> Mesh:
    """Build a mesh ``data=2,model=4`` of all devices; one axis if none is given.

    Raises:
      MeasurementError: where the sides do not multiply to the devices.
    """
    devices = jax.devices()
    if not text:
        return Mesh(np.array(devices), ("x",))
    try:
        parts = [part.split("=") for part in text.split(",")]
        sides = {name.strip(): int(side) for name, side in parts}
    except ValueError:
        what, remedy = f"{text!r} is no mesh", "Write data=2,model=4"
        raise fm.MeasurementError("--mesh", what, remedy) from None
    if int(np.prod(list(sides.values()))) != len(devices):
        what = f"{text!r} does not hold {len(devices)} devices"
        remedy = "Give sides that multiply to the number of devices"
        raise fm.MeasurementError("--mesh", what, remedy)
    return jax.make_mesh(tuple(sides.values()), tuple(sides))


def points_of(
    mesh: Mesh,
    groups: Sequence[int],
    collectives: Sequence[str],
    sizes: Sequence[float],
) -> list[programs.Point]:
    """List what to time: every set of neighbouring axes, then groups of so many.

    Large sizes and groups come last, so that an early interrupt leaves a whole table.
    """
    names = list(mesh.shape)
    spans = [
        (mesh, tuple(names[a:b]))
        for a, b in itertools.combinations(range(len(names) + 1), 2)
        if np.prod([mesh.shape[name] for name in names[a:b]]) > 1
    ]
    devices = mesh.devices.flat[:]
    for count in groups:
        if not 2 <= count <= len(devices):
            what = f"{count} of {len(devices)} devices"
            raise fm.MeasurementError("--groups", what, "Give 2 to all of them")
        spans.append((Mesh(devices[:count], ("x",)), ("x",)))
    found = [
        programs.point(collective, size_bytes, axes, each)
        for size_bytes in sizes
        for each, axes in sorted(spans, key=lambda span: span[0].size)
        for collective in collectives
    ]
    unique = {(p.collective, p.size_bytes, p.axes, p.mesh): p for p in found}
    return list(unique.values())


def measure(
    points: Sequence[programs.Point],
    effort: run.Effort,
    folder: Path,
    series: str,
    console: Console,
) -> int:
    """Time the points; the first process writes after each of them, whole files."""
    chief = jax.process_index() == 0
    table: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    described = machine.describe()
    columns = (
        TextColumn("{task.description}"), BarColumn(),
        TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not chief) as bar:
        task = bar.add_task("Measuring", total=len(points))
        try:
            for timed in run.measure(points, effort):
                records.append(rows.record(timed))
                at = timed.point
                said = f"{at.collective} {size(at.size_bytes)} on {at.ranks}"
                if timed.times_s:
                    table.append(rows.row(timed, series))
                    said += f": {duration(timed.median_s)}"
                elif chief:
                    console.print(f"{said}: the ranks never started together")
                bar.update(task, advance=1, description=said)
                if chief and table:
                    _write(folder, table, records, described)
        except KeyboardInterrupt:
            if chief and table:  # it may have come between the two files
                _write(folder, table, records, described)
            console.print(f"Interrupted after {len(records)} of {len(points)} points")
    return len(records)


def _write(
    folder: Path,
    table: list[dict[str, Any]],
    records: list[dict[str, Any]],
    described: dict[str, Any],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    fm.Measurements.from_records(table).to_csv(folder / "times.csv")
    write_json(folder / "repetitions.json", {"machine": described, "points": records})


def spawn(count: int, arguments: Sequence[str]) -> int:
    """Run this program in so many local CPU processes, joined by gloo."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "experiments.measure", *arguments]
    command += ["--coordinator", f"127.0.0.1:{port}", "--processes", str(count)]
    children: list[subprocess.Popen[bytes]] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that finally runs
    try:
        for index in range(count):
            each = [*command, "--process", str(index)]
            children.append(subprocess.Popen(each, env=environment))
        return max(child.wait() for child in children)
    except KeyboardInterrupt:
        # The terminal has told the children too: they write what they have, and end.
        return max(child.wait(timeout=30) for child in children)
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(
        prog="python -m experiments.measure",
        description="How fast are the collectives of your own devices?",
    )
    made.add_argument("--mesh", help="axes of all devices, as data=2,model=4")
    made.add_argument("--groups", help="also the first so many devices, as 2,4,8")
    made.add_argument("--collectives", default=",".join(programs.OPERATIONS))
    made.add_argument("--sizes", default="1KiB..16MiB", help="1KiB..16MiB or 8KiB,1MiB")
    made.add_argument(
        "--budget", type=float, default=2.0, help="seconds for each point"
    )
    made.add_argument("--tolerance", type=float, default=0.02, help="of the median")
    made.add_argument("--series", help="name of the series; the host's if not given")
    made.add_argument("--out", type=Path, default=Path("out/measure"))
    made.add_argument("--scale", action="store_true", help="fit, and predict 100,000")
    made.add_argument("--fabric", help="for --scale: a catalogue name or a TOML file")
    made.add_argument(
        "--spawn", type=int, metavar="N", help="N CPU processes with gloo"
    )
    made.add_argument("--distributed", action="store_true", help="join a cluster's job")
    made.add_argument("--coordinator", metavar="HOST:PORT")
    made.add_argument("--bind", metavar="HOST:PORT", help="of the coordinator itself")
    made.add_argument("--processes", type=int, metavar="N")
    made.add_argument("--process", type=int, metavar="I")
    return made


def main(argv: list[str] | None = None) -> int:
    """Join the job, measure, and go on to the prediction if asked to."""
    arguments = sys.argv[1:] if argv is None else argv
    options = parser().parse_args(arguments)
    console = Console(stderr=True)
    if options.spawn:
        kept = _without(arguments, "--spawn", 1)
        status = spawn(options.spawn, _without(kept, "--scale", 0))
    else:
        status = _measure_here(options, console)
    chief = not options.process
    if status == 0 and options.scale and chief:
        more = ["--fabric", options.fabric] if options.fabric else []
        table = str(options.out / "times.csv")
        status = scale_to_100k.main(
            ["--measurements", table, "--out", str(options.out / "scale"), *more]
        )
    return status


def _measure_here(options: argparse.Namespace, console: Console) -> int:
    joined = options.coordinator is not None
    try:
        if joined:
            jax.distributed.initialize(
                options.coordinator,
                options.processes,
                options.process,
                coordinator_bind_address=options.bind,
            )
        elif options.distributed:
            joined = True
            jax.distributed.initialize()
        mesh = mesh_of(options.mesh)
        if mesh.size < 2:
            what = f"{mesh.size} device, of {jax.devices()[0].platform}"
            remedy = "Collectives need two: try --spawn 4 for CPU processes"
            raise fm.MeasurementError("devices", what, remedy)
        groups = [int(part) for part in (options.groups or "").split(",") if part]
        points = points_of(
            mesh, groups, options.collectives.split(","), sizes_of(options.sizes)
        )
        effort = run.Effort(budget_s=options.budget, tolerance=options.tolerance)
        series = options.series or f"{socket.gethostname()} {jax.devices()[0].platform}"
        done = measure(points, effort, options.out, series, console)
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 2
    finally:
        if joined and jax.process_count() > 1:
            _leave()
    if jax.process_index() == 0 and done:
        console.print(f"Table: {options.out / 'times.csv'}", highlight=False)
    return 0 if done == len(points) else 130


def _leave() -> None:
    """Leave the job; one that was interrupted has nobody left to wait for."""
    with contextlib.suppress(RuntimeError, ValueError):
        jax.distributed.shutdown()


def _without(arguments: Sequence[str], name: str, values: int) -> list[str]:
    """Leave out an option and its values."""
    kept, skip = [], 0
    for word in arguments:
        if word.startswith(f"{name}="):
            continue
        if word == name:
            skip = values + 1
        if skip:
            skip -= 1
            continue
        kept.append(word)
    return kept


if __name__ == "__main__":
    sys.exit(main())

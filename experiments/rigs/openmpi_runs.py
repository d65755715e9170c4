"""Run Open MPI on a rig, each algorithm forced by name, where Open MPI is installed."""

from __future__ import annotations

import ctypes.util
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from experiments.rigs.graph import graph
from experiments.rigs.network import (
    MTU_BYTES,
    NAMED_INTERFACE,
    ROOT,
    Network,
    Wire,
    network,
)
from experiments.rigs.schedules import schedule
from fabricmodel.errors import FabricError
from fabricmodel.units import KiB

RIG = "netns_openmpi"
SIZES = (1 * KiB, 16 * KiB, 256 * KiB)
EAGER_BYTES = 16 * 1024 * KiB
PATIENCE_S = 120.0

FORCED = {
    ("all_reduce", "ring"): ("allreduce", "ring"),
    ("all_reduce", "recursive_doubling"): ("allreduce", "recursive_doubling"),
    ("all_reduce", "rabenseifner"): ("allreduce", "rabenseifner"),
    ("all_gather", "ring"): ("allgather", "ring"),
    ("all_gather", "bruck"): ("allgather", "bruck"),
    ("reduce_scatter", "ring"): ("reduce_scatter", "ring"),
    ("all_to_all", "pairwise"): ("alltoall", "pairwise"),
    ("broadcast", "binomial"): ("bcast", "binomial"),
}
"""Names of ``coll_tuned_<collective>_algorithm`` in Open MPI, as ``ompi_info --param
coll tuned --level 9`` lists them, of the schedules that are known."""

_COLUMN_NAMES = {
    "all_reduce": "allreduce",
    "all_gather": "allgather",
    "reduce_scatter": "reducescatter",
    "all_to_all": "alltoall",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launcher:
    """An installed Open MPI.

    Attributes:
      mpirun: its launcher.
      library: path or name of its shared library.
      version: first number of its version: 5 renamed the launcher's options.
    """

    mpirun: str
    library: str
    version: int


def find() -> Launcher:
    """Find Open MPI.

    Raises:
      FabricError: where it is not installed, or ``mpirun`` is another library's.
    """
    remedy = "Install it (package openmpi-bin), or run another set"
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        raise FabricError("--set openmpi", "Open MPI's mpirun is not here", remedy)
    said = subprocess.run([mpirun, "--version"], capture_output=True, text=True).stdout
    number = re.search(r"Open MPI\)?\s+v?(\d+)\.", said)
    if number is None:
        what = f"{mpirun} is not Open MPI's ({said.strip()[:60]!r})"
        raise FabricError("--set openmpi", what, remedy)
    # Not libmpi.so itself, which may be a text for the linker.
    beside = sorted(Path(mpirun).resolve().parents[1].glob("lib*/**/libmpi.so.[0-9]*"))
    library = str(beside[0]) if beside else ctypes.util.find_library("mpi")
    if library is None:
        raise FabricError("--set openmpi", "Open MPI's libmpi is not here", remedy)
    return Launcher(mpirun=mpirun, library=library, version=int(number[1]))


def command(
    launcher: Launcher,
    net: Network,
    agent: Path,
    collective: str,
    algorithm: str,
    sizes: Sequence[float],
    iterations: int,
    lead_s: float,
) -> list[str]:
    """Return the command line that runs one algorithm on all hosts of a rig."""
    operation, name = FORCED[collective, algorithm]
    hosts = [f"rig{rank}" for rank in range(net.graph.hosts)]
    new = launcher.version >= 5  # whose launcher is PRRTE, with options of its own
    shell, word = ("ssh", "--prtemca") if new else ("rsh", "--mca")
    control = {
        "prte_if_include" if new else "oob_tcp_if_include": NAMED_INTERFACE,
        f"plm_{shell}_agent": str(agent),
        f"plm_{shell}_no_tree_spawn": "1",
    }
    settings = {
        "pml": "ob1",
        "btl": "tcp,self",
        "btl_tcp_if_include": NAMED_INTERFACE,
        "mpi_yield_when_idle": "1",
        "coll_tuned_use_dynamic_rules": "1",
        f"coll_tuned_{operation}_algorithm": name,
        **dict.fromkeys(
            (
                "btl_tcp_eager_limit",
                "btl_tcp_rndv_eager_limit",
                "btl_tcp_max_send_size",
            ),
            f"{EAGER_BYTES:.0f}",
        ),
    }
    options = [w for key, value in control.items() for w in (word, key, value)]
    options += [w for key, value in settings.items() for w in ("--mca", key, value)]
    return [
        launcher.mpirun, "--allow-run-as-root", "-np", str(len(hosts)),
        "-H", ",".join(hosts), "--map-by", "node", "--bind-to", "none", *options,
        sys.executable, "-S", "-m", "experiments.rigs.mpi_rank", launcher.library,
        collective, ",".join(f"{size:.0f}" for size in sizes), str(iterations),
        f"{lead_s:g}",
    ]  # fmt: skip


def write_agent(path: Path, net: Network) -> None:
    """Write what stands for ssh: run a command line on the host of a name."""
    cases = "\n".join(
        f"  rig{rank}) pid={net.hosts[rank].pid};;" for rank in range(net.graph.hosts)
    )
    path.write_text(
        '#!/bin/sh\nhost=$1\nshift\ncase "$host" in\n'
        f'{cases}\n  *) echo "no host $host" >&2; exit 1;;\nesac\n'
        'exec nsenter -t "$pid" -n -u -m sh -c "$*"\n'
    )
    path.chmod(0o700)


def measure(
    topologies: Sequence[str],
    wire: Wire,
    launcher: Launcher,
    repeats: int = 2,
    iterations: int = 3,
) -> Iterator[dict[str, Any]]:
    """Run every forced algorithm on every topology; a row for each repeat."""
    for name in topologies:
        wiring = graph(name)
        with network(wiring, dict.fromkeys(wiring.edges, wire)) as net:
            yield from run(net, wire, launcher, repeats, iterations)


def run(
    net: Network, wire: Wire, launcher: Launcher, repeats: int, iterations: int
) -> Iterator[dict[str, Any]]:
    """Run every forced algorithm on the hosts of a rig; a row for each repeat."""
    agent, wiring = net.folder / "agent.sh", net.graph
    write_agent(agent, net)
    lead_s = 0.05 + 2.0 * wiring.hosts * wire.delay_s
    for repeat in range(repeats):
        for collective, algorithm in FORCED:
            if schedule(collective, algorithm, wiring.hosts) is None:
                continue
            line = command(
                launcher, net, agent, collective, algorithm, SIZES, iterations, lead_s
            )
            for found in launch(net.command(0, line)):
                yield _row(wiring.name, wire, collective, algorithm, repeat, found)


def launch(line: Sequence[str]) -> list[dict[str, Any]]:
    """Run a command line to its end; the JSON lines that it prints.

    Raises:
      FabricError: where it fails, prints nothing, or never ends; with what it said.
    """
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
    ) as child:  # fmt: skip
        try:
            said, complained = child.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            remedy = "Free the machine, or measure fewer hosts"
            raise FabricError("mpirun", "it took too long", remedy) from None
    found = [json.loads(text) for text in said.splitlines() if text.startswith("{")]
    if child.returncode or not found:
        tail = " ".join((complained or said).split())[-300:]
        what = f"it ended with {child.returncode}: {tail}"
        raise FabricError("mpirun", what, "Run it by hand to see more")
    return found


def _row(
    topology: str,
    wire: Wire,
    collective: str,
    algorithm: str,
    repeat: int,
    found: dict[str, Any],
) -> dict[str, Any]:
    times = found["times_s"]
    hosts = graph(topology).hosts
    return {
        "rig": RIG,
        "topology": topology,
        "hosts": hosts,
        "ranks": hosts,
        "collective": _COLUMN_NAMES.get(collective, collective),
        "algorithm": algorithm,
        "size_bytes": found["size_bytes"],
        "size_convention": "full_vector",
        "dtype": "float32",
        "repeat": repeat,
        "iterations": len(times),
        "median_us": median(times) * 1e6,
        "min_us": min(times) * 1e6,
        "p90_us": float(np.quantile(times, 0.9)) * 1e6,
        "known_delay_us": wire.delay_s * 1e6,
        "known_rate_Bps": wire.rate_Bps,
        "notes": f"mtu={MTU_BYTES};mode=relay;eager={EAGER_BYTES:.0f}",
    }

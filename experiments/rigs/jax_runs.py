"""Run JAX processes on a rig, through the same ``experiments.measure`` as any user."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.rigs.graph import graph
from experiments.rigs.network import MTU_BYTES, ROOT, Network, Wire, network
from fabricmodel.errors import FabricError

RIG = "netns_jax_gloo"
PORT = 7900
PATIENCE_S = 600.0
SIZES = "1KiB,16KiB,256KiB"
COLLECTIVES = "all_reduce,all_gather,reduce_scatter,all_to_all,send_recv"


def measure(
    topologies: Sequence[str], wire: Wire, console: Console, repeats: int = 2
) -> list[dict[str, Any]]:
    """Measure every topology with one JAX process on each host; rows of the table."""
    rows = []
    for name in topologies:
        wiring = graph(name)
        with console.status(f"JAX processes on {name}"):
            for repeat in range(repeats):
                with network(wiring, dict.fromkeys(wiring.edges, wire)) as net:
                    rows += _rows(_run(net), name, wire, repeat)
    return rows


def _run(net: Network) -> list[dict[str, str]]:
    """One process on each host, joined over the rig's own addresses."""
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    ranks = net.graph.hosts
    children: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="fabricmodel-rig-jax-") as folder:
        try:
            for rank in range(ranks):
                command = [
                    "nice", "-n", "-15", sys.executable, "-m", "experiments.measure",
                    "--coordinator", f"{net.addresses[0]}:{PORT}",
                    "--bind", f"{net.addresses[0]}:{PORT}",
                    "--processes", str(ranks), "--process", str(rank),
                    "--sizes", SIZES, "--collectives", COLLECTIVES,
                    "--budget", "1.5", "--out", folder,
                ]  # fmt: skip
                quiet = subprocess.DEVNULL if rank else None
                whole = net.command(rank, command)
                children.append(
                    subprocess.Popen(
                        whole, env=environment, stdout=quiet, stderr=subprocess.DEVNULL
                    )
                )
            for child in children:
                child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            remedy = "Free the machine, or measure fewer hosts"
            raise FabricError("rig", "JAX processes took too long", remedy) from None
        finally:
            for child in children:
                child.kill()
                child.wait()
        table = Path(folder) / "times.csv"
        if not table.exists():
            what = (
                f"JAX processes ended with {[child.returncode for child in children]}"
            )
            raise FabricError("rig", what, "Run one by hand to see its message")
        with table.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def _rows(
    found: Sequence[dict[str, str]], topology: str, wire: Wire, repeat: int
) -> list[dict[str, Any]]:
    names = {
        "all_reduce": "allreduce",
        "all_gather": "allgather",
        "reduce_scatter": "reducescatter",
        "all_to_all": "alltoall",
        "send_recv": "permute",
    }
    return [
        {
            "rig": RIG,
            "topology": topology,
            "hosts": round(float(row["ranks"])),
            "ranks": round(float(row["ranks"])),
            "collective": names[row["collective"]],
            "algorithm": "xla_gloo_default",
            "size_bytes": round(float(row["size_bytes"])),
            "size_convention": "nccl-tests",
            "dtype": row["dtype"],
            "repeat": repeat,
            "iterations": 0,
            "median_us": float(row["time_us"]),
            "min_us": float(row["min_us"]),
            "p90_us": float(row["p90_us"]),
            "known_delay_us": wire.delay_s * 1e6,
            "known_rate_Bps": wire.rate_Bps,
            "notes": f"mtu={MTU_BYTES};mode=relay;{row['notes']}",
        }
        for row in found
    ]

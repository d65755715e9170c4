"""A sweep by one process on one core, and by two on two: how much faster?"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile

_SWEEP = """
import json, os, sys, time
folder, processes, index, port, cases = sys.argv[1:]
cores = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, {cores[int(index) % len(cores)]})
import jax, numpy as np
if int(processes) > 1:
    jax.distributed.initialize(f"localhost:{port}", int(processes), int(index))
from jax.experimental import multihost_utils
from fabricmodel.design import collective_cases, sweep
def axes(cases):
    sizes = 2.0 ** np.linspace(10.0, 33.0, cases)
    return {"fabric": ["trn2-ultracluster"], "collective": ["all_reduce"],
            "ranks": [256.0 * k for k in range(1, 9)], "size_bytes": sizes}
chunk = 2**15
sweep(collective_cases, axes(chunk), folder + "/warm", chunk=chunk)
if int(processes) > 1:
    multihost_utils.sync_global_devices("warm")
began = time.perf_counter()
sweep(collective_cases, axes(int(cases) // 8), folder + "/timed", chunk=chunk)
print(json.dumps(time.perf_counter() - began))
"""


def swept_s(processes: int, cases: int) -> float:
    """Seconds of a sweep by so many processes, each on a core of its own.

    Raises:
      subprocess.CalledProcessError: if one fails.
    """
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        shared = [sys.executable, "-c", _SWEEP, folder, str(processes)]
        started = [
            subprocess.Popen(
                [*shared, str(index), str(port), str(cases)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for index in range(processes)
        ]
        said = [process.communicate()[0] for process in started]
        for process in started:
            if process.returncode:
                raise subprocess.CalledProcessError(process.returncode, process.args)
    return max(json.loads(text.splitlines()[-1]) for text in said)

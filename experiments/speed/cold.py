"""What a person waits for at a prompt: each measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

_TIMED = """
import json, time
began = time.perf_counter()
import fabricmodel as fm
imported = time.perf_counter()
{call}
from experiments.speed.clock import peak_memory_bytes
ended = time.perf_counter()
print(json.dumps([imported - began, ended - imported, peak_memory_bytes()]))
"""
_FABRIC = 'fabric = fm.load_fabric("trn2-ultracluster", chips=65_536)\n'
FIRST_CALLS = {
    "collective_time": _FABRIC
    + 'float(fm.collective_time(fabric, "all_reduce", 64 * fm.MiB))',
    "collective_bound": _FABRIC
    + 'float(fm.collective_bound(fabric, "all_reduce", 64 * fm.MiB))',
    "prior_model.predict": _FABRIC
    + 'fm.prior_model(fabric).predict("all_reduce", 64 * fm.MiB, ranks=262_144)',
}
"""The first answers of the public functions, catalogue and compilation included."""


def first_call(call: str) -> tuple[float, float, int]:
    """Run statements after the import; seconds of it, of them, and peak bytes.

    Raises:
      subprocess.CalledProcessError: if they fail.
    """
    done = subprocess.run(
        [sys.executable, "-c", _TIMED.format(call=call)],
        check=True,
        capture_output=True,
        text=True,
    )
    imported, called, peak = json.loads(done.stdout)
    return imported, called, peak

"""Many devices, of one process and of several, answer exactly as one alone does."""

import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = """
import sys
import jax, numpy as np
folder, processes, index, port = sys.argv[1:]
jax.config.update("jax_enable_x64", True)
if int(processes) > 1:
    jax.distributed.initialize(f"localhost:{port}", int(processes), int(index))
import fabricmodel as fm
from fabricmodel.design import across_devices, collective_cases, sweep, whole
sizes = 2.0 ** np.linspace(0.0, 36.0, 37)
fabric = fm.place(fm.load_fabric("generic-network"), 24)
spread = across_devices(sizes)
answer = fm.collective_time(fabric, "broadcast", spread)
assert len(answer.sharding.device_set) == jax.device_count()
slope = jax.jit(jax.vmap(jax.grad(
    lambda size: fm.collective_time(fabric, "broadcast", size)
)))(spread)
axes = {"fabric": ["generic-network"], "collective": ["broadcast"],
        "ranks": [4, 8, 24], "size_bytes": sizes.tolist()}
done = sweep(collective_cases, axes, folder + "/sweep", chunk=16)
if jax.process_index() == 0:
    assert done.cube("bound_s").shape == (1, 1, 3, 37)
np.savez(folder + f"/found{index}.npz", time=whole(answer, 37), slope=whole(slope, 37),
         swept=done.cube("time_s"), parts=done.evaluated, devices=jax.device_count())
"""


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return str(probe.getsockname()[1])


def run(folder, *, processes=1, devices=1) -> list:
    """Run the script in so many processes of so many devices; what each found."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    folder.mkdir()
    port = free_port()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder), str(processes), str(i), port],
            cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
        )
        for i in range(processes)
    ]  # fmt: skip
    try:
        for process in started:
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said
    finally:
        for process in started:
            process.kill()
    return [np.load(folder / f"found{i}.npz") for i in range(processes)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    (found,) = run(tmp_path_factory.mktemp("alone") / "out")
    assert found["devices"] == 1
    assert found["parts"] == 7
    assert len(set(found["time"].tolist())) == 37
    return found


@pytest.mark.parametrize(("processes", "devices"), [(1, 8), (2, 1), (4, 2)])
def test_answers_are_exactly_those_of_one_device(alone, tmp_path, processes, devices):
    found = run(tmp_path / "out", processes=processes, devices=devices)
    for mine in found:
        assert mine["devices"] == processes * devices
        for name in ("time", "slope", "swept"):
            np.testing.assert_array_equal(mine[name], alone[name])
    # the chunks of a sweep are shared out, each of them answered once
    assert sum(int(mine["parts"]) for mine in found) == 7
    assert max(int(mine["parts"]) for mine in found) <= -(-7 // processes)

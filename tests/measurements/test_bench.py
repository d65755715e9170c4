"""Timing one's own devices: the interval of a median, the programs, the table."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from scipy import stats

import fabricmodel as fm
from experiments import measure
from fabricmodel.measurements.bench.statistics import median_interval, tight

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("n", [6, 9, 20, 51, 200])
def test_the_interval_of_the_median_is_the_binomial_one(n):
    low, high = median_interval([float(x) for x in range(n)])
    k = int(stats.binom.ppf(0.025, n, 0.5))
    wanted = max(k - 1, 0)
    assert (low, high) == (wanted, n - 1 - wanted)
    outside = 2 * stats.binom.cdf(wanted, n, 0.5)
    assert outside <= 0.05 < 2 * stats.binom.cdf(wanted + 1, n, 0.5)


def test_few_or_wide_repetitions_are_not_tight():
    assert not tight([1.0] * 5, 0.1)
    assert tight([1.0] * 6, 0.1)
    assert not tight([1.0, 1.0, 1.0, 2.0, 2.0, 2.0], 0.1)


@pytest.mark.parametrize("text", ["", "0", "-4KiB", "4KB", "tiny", "1KiB..x"])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(fm.MeasurementError):
        measure.sizes_of(text)


def test_one_device_is_too_few(capsys, tmp_path):
    assert measure.main(["--out", str(tmp_path / "out")]) == 2
    assert "Collectives need two" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "out").exists()


CHECK = """
import jax, numpy as np
from jax.sharding import Mesh
from fabricmodel.measurements.bench import programs
mesh = jax.make_mesh((2, 2), ("a", "b"))
ranks = np.arange(4)
spec = jax.sharding.PartitionSpec(("a", "b"))
sharding = jax.sharding.NamedSharding(mesh, spec)
# What a chain of one puts into the first element: that of the collective's result.
wanted = {
    "all_reduce": [6.0] * 4, "all_gather": [0.0] * 4, "reduce_scatter": [6.0] * 4,
    "all_to_all": [0.0] * 4, "send_recv": [3.0, 0.0, 1.0, 2.0],
}
for kind, first in wanted.items():
    at = programs.point(kind, 64, ("a", "b"), mesh)
    x = programs.operand(at)
    part = x.shape[0] // 4
    filled = jax.device_put(np.repeat(ranks, part).astype(np.float32), sharding)
    found = np.asarray(programs.program(at, 1)(filled)).reshape(4, part)
    assert found[:, 0].tolist() == first, (kind, found)
    assert found[:, 1:].tolist() == [[float(r)] * (part - 1) for r in ranks]
    hlo = programs.program(at, 3).lower(x).compile().as_text()
    assert "while" in hlo or hlo.count("all-") + hlo.count("permute") >= 3
    assert np.all(np.asarray(programs.program(at, 0)(filled)) == np.asarray(filled))
print("agreed")
"""


def _python(*arguments: str, devices: int = 4) -> subprocess.CompletedProcess[str]:
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=ROOT, text=True,
        capture_output=True, check=False,
    )  # fmt: skip


def test_a_program_runs_the_collective_it_names():
    done = _python("-c", CHECK)
    assert done.stdout == "agreed\n", done.stderr[-2000:]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Two sizes of two collectives over both axes of a mesh of four CPU devices."""
    out = tmp_path_factory.mktemp("measure")
    done = _python(
        "-m", "experiments.measure", "--mesh", "data=2,model=2", "--groups", "2",
        "--sizes", "4KiB,64KiB", "--collectives", "all_reduce,all_gather",
        "--budget", "0.05", "--out", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def test_the_table_is_tidy_and_whole(measured):
    times = fm.read_measurements(measured / "times.csv")
    assert len(times) == 2 * 2 * 4
    assert not times.set_aside
    assert set(times.ranks) == {2.0, 4.0}
    assert set(times.size_bytes) == {4096.0, 65536.0}
    assert set(times.ranks_per_node) == {2.0, 4.0}
    assert np.all(times.min_s <= times.time_s) and np.all(times.time_s <= times.p90_s)


def test_every_repetition_and_the_machine_are_kept(measured):
    kept = json.loads((measured / "repetitions.json").read_text(encoding="utf-8"))
    times = fm.read_measurements(measured / "times.csv")
    for point, time_s in zip(kept["points"], times.time_s, strict=True):
        assert len(point["times_s"]) >= 6
        assert np.median(point["times_s"]) == pytest.approx(time_s)
        assert point["launch_s"] > 0
    machine = kept["machine"]
    assert len(machine["devices"]) == 4
    assert machine["packages"]["jax"]
    assert "XLA_FLAGS" in machine["environment"]


def test_an_interrupt_keeps_whole_files_of_what_is_finished(tmp_path):
    out = tmp_path / "out"
    flags = "--xla_force_host_platform_device_count=2"
    child = subprocess.Popen(
        [sys.executable, "-m", "experiments.measure", "--sizes", "1KiB..16MiB",
         "--collectives", "all_reduce", "--budget", "2", "--tolerance", "1e-6",
         "--out", str(out)],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}, cwd=ROOT,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60.0
    while not (out / "repetitions.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    said = child.communicate(timeout=30)[1]
    assert child.returncode == 130
    assert "Interrupted after" in said
    times = fm.read_measurements(out / "times.csv")
    kept = json.loads((out / "repetitions.json").read_text(encoding="utf-8"))
    assert 1 <= len(times) < 8 and len(kept["points"]) - len(times) in (0, 1)
    assert sorted(path.name for path in out.iterdir()) == [
        "repetitions.json", "times.csv",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mesh", "data=3"], "does not hold 4 devices"),
        (["--mesh", "data"], "is no mesh"),
        (["--groups", "9"], "9 of 4 devices"),
        (["--collectives", "broadcast"], "has no operation"),
    ],
)
def test_questions_that_make_no_sense_are_refused(tmp_path, arguments, said):
    out = tmp_path / "out"
    done = _python("-m", "experiments.measure", *arguments, "--out", str(out))
    assert done.returncode == 2
    assert said in done.stderr.replace("\n", " ")
    assert not out.exists()

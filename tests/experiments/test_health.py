"""The verdict on clusters whose faults are known, for they are made here."""

import dataclasses
import json
import math
import pathlib
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import fabricmodel as fm
from experiments.health import main
from experiments.health_calibration import MACHINES, surprise
from experiments.health_calibration import main as calibrate
from fabricmodel.fitting.fit import prior_model
from fabricmodel.health import Surprise, gather, judge
from fabricmodel.health.evidence import Evidence, _slope

ROOT = pathlib.Path(__file__).parents[2]
SIZES = [2.0**n for n in range(4, 31, 2)]
FABRIC = fm.load_fabric("h100-infiniband")
MODEL = prior_model(FABRIC)


def log(latency=1.0, bandwidth=1.0, ranks=(16,), sizes=SIZES, noise=0.0):
    """Times of a machine that the catalogue describes, but for two factors."""
    draw = np.random.default_rng(0)
    records = []
    for count in ranks:
        guess = MODEL.predict("all_reduce", np.array(sizes), float(count))
        moved = sum(
            term
            * (bandwidth if name.endswith((" bandwidth", " contention")) else latency)
            for name, term in guess.terms.items()
        )
        for size, seconds in zip(sizes, np.asarray(moved), strict=True):
            record = {"ranks": count, "collective": "all_reduce", "size_bytes": size}
            seconds *= math.exp(noise * draw.standard_normal())
            records.append({**record, "time_us": seconds * 1e6})
    return fm.Measurements.from_records(records)


def verdict(times):
    return judge(*gather(MODEL, times))


def test_a_machine_as_described_is_healthy():
    found = verdict(log(noise=0.05))
    assert found.status == 0
    assert found.sentence.startswith("HEALTHY: as expected, latency and bandwidth")


@pytest.mark.parametrize("factor", [4.0, 8.0])
def test_a_slow_network_is_named_with_its_factor(factor):
    points, evidence = gather(MODEL, log(bandwidth=factor, noise=0.02))
    found = judge(points, evidence)
    assert found.status == 1
    assert "slower at large sizes, infiniband (infiniband-ndr)" in found.sentence
    worst = max(evidence, key=lambda e: e.z)
    assert (worst.kind, worst.ranks) == ("bandwidth", 16.0)
    assert worst.slowdown == pytest.approx(factor, rel=0.15)


def test_slow_answers_are_told_from_slow_links():
    found = verdict(log(latency=20.0))
    assert found.status == 1
    assert "slower at small sizes" in found.sentence
    assert "large" not in found.sentence


def test_a_slow_start_is_no_slow_link():
    """Time added to every size leaves the slope alone."""
    times = log(sizes=[2.0**n for n in range(26, 31)])
    late = times.frame.with_columns(time_us=times.frame["time_us"] + 300.0)
    evidence = gather(MODEL, dataclasses.replace(times, frame=late))[1]
    (one,) = evidence
    assert one.ratio == pytest.approx(1.0, abs=0.02)


def test_without_large_sizes_it_cannot_be_told_and_says_what_to_measure():
    found = verdict(log(sizes=SIZES[:5]))
    assert found.status == 2
    assert found.remedy.startswith("Measure up to ")
    largest = float(found.remedy.split()[3].replace(",", "")) * 1e6
    guess = MODEL.predict("all_reduce", largest, 16.0)
    share = sum(t for n, t in guess.terms.items() if "bandwidth" in n) / guess.median_s
    assert float(share) > 0.5


def test_an_unknown_fabric_is_told_from_a_log_without_bandwidth():
    """More sizes would not help: what is unknown is the fabric."""
    points, evidence = gather(
        prior_model(fm.load_fabric("generic-nccl-cluster")), log()
    )
    found = judge(points, evidence)
    assert found.status == 2
    assert "of this fabric so little is known" in found.sentence
    assert found.remedy.startswith("Name the fabric")


def test_another_machine_is_no_healthy_one():
    assert "another machine" in verdict(log(bandwidth=0.1)).sentence


def test_what_a_limit_lets_pass():
    """By hand: the usual 0.92 times exp(2.58 x 0.2)."""
    one = Evidence(
        kind="bandwidth", cause="x", share=0.5, ranks=8.0, collectives=("all_reduce",),
        ratio=1.2, log_sd=0.2, bias=math.log(0.92),
    )  # fmt: skip
    assert one.limit(2.58) == pytest.approx(0.92 * 1.6753, rel=1e-3)
    assert one.z == pytest.approx(math.log(1.2 / 0.92) / 0.2)
    assert one.slowdown == pytest.approx(1.4)


def test_tolerances_are_the_callers_to_give():
    tight = Surprise(bias=0.0, sd=0.01)
    evidence = gather(MODEL, log(), tight, tight)[1]
    wide = gather(MODEL, log())[1]
    assert all(a.log_sd < b.log_sd for a, b in zip(evidence, wide, strict=True))
    assert _slope([]) is None


def test_the_command_prints_its_verdict_first_and_exits_with_it(tmp_path, capsys):
    path, out = tmp_path / "t.csv", tmp_path / "out"
    log(bandwidth=4.0).to_csv(path)
    arguments = ["--measurements", str(path), "--fabric", "h100-infiniband"]
    assert main([*arguments, "--out", str(out)]) == 1
    first = capsys.readouterr().out.split("\n")[0]
    assert first.startswith("UNHEALTHY: slower at large sizes")
    assert first.endswith(".")
    names = {file.name for file in out.iterdir()}
    assert names >= {
        "report.md",
        "health.png",
        "health.svg",
        "health.json",
        "health.csv",
    }
    data = json.loads((out / "health.json").read_text())
    assert data["status"] == 1
    assert data["verdict"] == first
    assert (out / "report.md").read_text().startswith(f"# {first}")


def test_bad_input_is_one_message_and_nothing_written(tmp_path, capsys):
    path, out = tmp_path / "t.csv", tmp_path / "out"
    path.write_text("nothing\n")
    assert main(["--measurements", str(path), "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "the format is unknown" in printed.err
    assert not out.exists()


def test_calibration_finds_bias_and_spread_by_hand():
    """Five series: the median is 0.2, the deviations 0.3 0.1 0 0.1 0.3."""
    logs = (-0.1, 0.1, 0.2, 0.3, 0.5)
    rows = [
        {"series": str(i), "kind": "latency", "log_ratio": log, "log_sd": 0.1}
        for i, log in enumerate(logs)
    ]
    found = surprise(rows, "latency")
    assert found["bias"] == pytest.approx(0.2)
    assert found["sd"] == pytest.approx(math.sqrt((1.4826 * 0.1) ** 2 - 0.1**2))
    assert found["series"] == 5


def test_the_machines_of_the_calibration_are_in_the_catalogue(tmp_path, capsys):
    machines = dict(line.split(",") for line in MACHINES.read_text().split()[1:])
    assert set(machines.values()) <= set(fm.list_fabrics())
    table, listed = tmp_path / "t.csv", tmp_path / "m.csv"
    times = log(latency=2.0)
    named = times.frame.with_columns(series=pl.lit("mine"))
    dataclasses.replace(times, frame=named).to_csv(table)
    listed.write_text("series,fabric\nmine,h100-infiniband\n")
    out = tmp_path / "s.json"
    arguments = ["--measurements", str(table), "--json", str(out)]
    assert calibrate([*arguments, "--machines", str(listed)]) == 0
    assert json.loads(out.read_text())["latency"]["bias"] == pytest.approx(
        math.log(2.0), abs=0.05
    )
    assert calibrate(arguments) == 2
    assert "none of the machines" in capsys.readouterr().err


def test_a_closed_pipe_does_not_change_the_status(tmp_path):
    path = tmp_path / "t.csv"
    log().to_csv(path)
    command = f"{sys.executable} -m experiments.health --measurements {path} "
    command += f"--fabric h100-infiniband --out {tmp_path / 'out'}"
    piped = f"set -o pipefail; {command} | head -1"
    done = subprocess.run(
        ["bash", "-c", piped], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("HEALTHY")
    assert done.returncode == 0

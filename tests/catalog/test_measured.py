"""Bus bandwidths that others measured, predicted from catalogue prices alone."""

import dataclasses
import json
import math

import pytest

from experiments import check_catalogue
from experiments.catalogue.targets import FURTHER, SWEEPS, TARGETS, BusBandwidth
from experiments.check_catalogue import (
    BANDWIDTH_BAR,
    SWEEP_BAR,
    predicted_GBps,
    sweep,
)
from fabricmodel import load_fabric
from fabricmodel.baselines.nccl import dgx, nccl_seconds
from fabricmodel.timing.collective import time_s as collective_time_s


def named(target):
    return f"{target.fabric}-{target.chips}-{target.collective}-{target.algorithm}"


@pytest.mark.parametrize("target", TARGETS, ids=named)
def test_large_messages(target, on_numpy):
    assert predicted_GBps(target) == pytest.approx(target.GBps, rel=BANDWIDTH_BAR)


@pytest.mark.parametrize("target", FURTHER, ids=named)
def test_figures_that_no_price_was_made_from(target, on_numpy):
    """No bar was set for them; a quarter is what they come within."""
    assert not target.built_in
    assert predicted_GBps(target) == pytest.approx(target.GBps, rel=0.25)


@pytest.mark.parametrize(
    ("name", "gpus", "gain"),
    [("hgx-h200", 5, 1.14), ("hgx-h200", 8, 1.29), ("hgx-b200", 6, 1.15),
     ("hgx-b200", 8, 1.23)],
)  # fmt: skip
def test_what_nvls_gains_over_rings(name, gpus, gain, on_numpy):
    """Fewer GPUs gain less: (N + 1)/N of the vector against 2 (N - 1)/N of it."""

    def bandwidth(chips, algorithm):
        asked = BusBandwidth(
            fabric=name, chips=chips, algorithm=algorithm, GBps=1.0, source=""
        )
        return predicted_GBps(asked)

    ring, nvls = (bandwidth(gpus, x) for x in ("ring", "nvls"))
    assert nvls / ring == pytest.approx(gain, rel=0.08)
    assert bandwidth(3, "nvls") < bandwidth(3, "ring")  # it is not chosen there


@pytest.mark.parametrize("name", SWEEPS)
def test_a_fitted_sweep_over_sizes(name):
    """Every size within a quarter, from a floor of 40 us to the full bandwidth.

    By what the model predicts, and by its fitted prices alone.
    """
    found = sweep(name)
    assert found["converged"]
    assert found["sizes"] == len(SWEEPS[name])
    for row in found["rows"]:
        assert abs(row["after_error"]) <= SWEEP_BAR
        assert abs(row["priced_error"]) <= SWEEP_BAR


@pytest.mark.parametrize(
    ("name", "generation", "nodes", "collective"),
    [("hgx-a100", "ampere", 1, "all_reduce"), ("hgx-h100", "hopper", 1, "all_reduce"),
     ("hgx-b200", "blackwell", 1, "all_reduce"),
     ("hgx-a100", "ampere", 1, "all_gather"),
     ("hgx-b200", "blackwell", 1, "all_gather"),
     *[("h100-infiniband", "hopper", nodes, "all_reduce") for nodes in (2, 16, 128)]],
)  # fmt: skip
def test_small_messages_take_what_nccl_expects(
    name, generation, nodes, collective, on_numpy
):
    """Before any fit: 1 to 64 KiB, of which NCCL's own model says what they cost.

    Not all_gather between nodes: ``staged`` ones are quicker than NCCL's single ring.
    """
    communicator = dataclasses.replace(dgx(generation, nodes), nvls=False)
    for size in (1024.0, 65_536.0):
        times = nccl_seconds(communicator, collective, size)
        theirs = min(float(seconds) for seconds in times.values())
        fabric = load_fabric(name, chips=8 * nodes)
        ours = float(collective_time_s(fabric, collective, size))
        assert ours == pytest.approx(theirs, rel=0.35)


def test_the_command_prints_and_writes_what_it_found(tmp_path, monkeypatch, capsys):
    missed = dataclasses.replace(TARGETS[0], GBps=2 * TARGETS[0].GBps)
    for name, few in (("FURTHER", ()), ("SWEEPS", {}), ("SMALL", ())):
        monkeypatch.setattr(check_catalogue, name, few)
    for targets, status in (((TARGETS[0],), 0), ((TARGETS[0], missed), 1)):
        monkeypatch.setattr(check_catalogue, "TARGETS", targets)
        out, numbers = tmp_path / "out", tmp_path / "numbers.json"
        arguments = ["--out", str(out), "--json", str(numbers)]
        assert check_catalogue.main(arguments) == status
        found = json.loads(numbers.read_text())
        assert found["missed"] == status
        assert len(found["bandwidths"]) == len(targets)
        assert "| hgx-a100 | 8 |" in capsys.readouterr().out
        assert (out / "report.md").exists()


@pytest.mark.parametrize(
    ("name", "chips", "published"),
    [("tpu-v4-pod", 4096, 24e12), ("tpu-v5e-pod", 256, 1.6e12)],
)
def test_bisection_of_a_pod(name, chips, published):
    """docs.cloud.google.com/tpu: bisection of a pod, one direction, from its links."""
    sides = load_fabric(name, chips=chips).levels
    longest = max(float(level.members) for level in sides)
    across = math.prod(float(level.members) for level in sides) / longest
    bisection = 2 * across * sides[0].bandwidth_Bps  # a closed side is cut twice
    assert bisection == pytest.approx(published, rel=0.12)

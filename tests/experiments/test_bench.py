import json

import jax
import numpy as np
import pytest

from experiments import bench
from experiments.speed import kernels
from experiments.speed.report import KEYS
from fabricmodel.fabric import LINK_PRICES
from fabricmodel.timing.collective import collective_time

PROMISED = {
    "predictions_per_s", "value_and_grad_per_s", "candidate_set_value_and_grad_per_s",
    "copy_floor_ratio", "gradient_cost_ratio", "seconds_per_100k_chip_answer",
    "layouts_per_s", "fit_all_series_s", "import_s", "first_prediction_s",
}  # fmt: skip


def test_the_command_writes_every_key(tmp_path, monkeypatch):
    call = bench.cold.FIRST_CALLS["collective_time"]
    monkeypatch.setattr(bench.cold, "FIRST_CALLS", {"collective_time": call})
    small = ["--cases", "512", "--rounds", "1", "--chips", "64"]
    assert bench.main([*small, "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "bench.json").read_text())
    assert set(KEYS) <= set(found)
    assert set(KEYS) >= PROMISED
    asked_for = {"fit_all_series_s", "two_process_scaling"}
    assert all(found[key] is None for key in asked_for)
    assert all(found[key] > 0 for key in set(KEYS) - asked_for)
    assert found["machine"]["jax"] == jax.__version__
    report = (tmp_path / "report.md").read_text()
    assert all(f"`{key}`" in report for key in KEYS)
    assert {"bench.png", "bench.svg"} <= {file.name for file in tmp_path.iterdir()}


def test_fits_are_timed_one_by_one(monkeypatch):
    monkeypatch.setattr(bench.fm, "list_references", lambda: ["slurm_trainium_2node"])
    monkeypatch.setattr(
        bench.fm, "fit", lambda fabric, times: bench.fm.prior_model(fabric)
    )
    found = bench.fits(True)
    assert found["fit_all_series_s"] == pytest.approx(sum(found["fits_s"].values()))
    assert list(found["fits_s"]) == ["slurm_trainium_2node"]


def test_numpy_does_the_same_formula():
    size, ranks = kernels.sizes(100), np.linspace(2.0, 4096.0, 100, dtype=np.float32)
    prices = {name: np.float32(x) for name, x in kernels.RING_PRICES.items()}
    np.testing.assert_allclose(
        kernels.numpy_ring_seconds(prices, size, ranks),
        kernels.ring_seconds(prices, size, ranks),
        rtol=1e-5,
    )


def test_what_is_timed_is_what_the_library_answers():
    fabric = kernels.torus(every_algorithm=False)
    calls = kernels.candidate_set(5, every_algorithm=False)
    expected = collective_time(fabric, "all_reduce", kernels.sizes(5))
    np.testing.assert_allclose(calls["value"](), expected, rtol=1e-5)
    slopes = calls["value_and_grad"]()
    np.testing.assert_allclose(slopes.time_s, expected, rtol=1e-5)
    # time is homogeneous of degree one in its prices (Euler)
    made_of = fabric.reduce_byte_s * slopes.by["reduce_byte_s"] + sum(
        getattr(level, price) * slopes.by[f"{level.name}.{price}"]
        for level in fabric.levels
        for price in LINK_PRICES
    )
    np.testing.assert_allclose(made_of, expected, rtol=1e-4)
    assert slopes.by["size_bytes"].shape == (5,)

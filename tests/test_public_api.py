"""The outside contract: what a program that imports the library may rely on."""

import json
import pickle

import numpy as np
import pytest

import fabricmodel as fm

TIMES_US = {2**20: 41.0, 2**23: 62.0, 2**26: 430.0, 2**29: 3350.0}


def report(path):
    """Write what ``nccom-test`` leaves: an all_reduce over 64 ranks."""
    results = [
        {"size(B)": size, "type": "fp32", "time:avg(us)": time}
        | {"algbw(GB/s)": size / time / 1e3}
        | {"busbw(GB/s)": size / time / 1e3 * 2 * 63 / 64}
        for size, time in TIMES_US.items()
    ]
    config = {"op": "allr", "nworkers": 64, "nnodes": 1}
    path.write_text(json.dumps({"config": config, "results": results}, indent=1))
    return str(path)


def test_the_contract_runs(tmp_path):
    fabric = fm.load_fabric("trn2-ultracluster", chips=65_536)
    times = fm.read_measurements(report(tmp_path / "nccom.json"))
    model = fm.fit(fabric, times)
    p = model.predict("all_reduce", size_bytes=64 * fm.MiB, ranks=100_000)
    low, high = p.interval(0.9)
    assert 0 < low < p.median_s < high
    assert sum(p.terms.values()) == pytest.approx(float(p.median_s), rel=1e-6)
    assert any("beyond your largest run (64 ranks)" in text for text in p.warnings)
    assert isinstance(model, fm.FittedModel)
    assert isinstance(p, fm.Prediction)
    assert model.converged
    seen = model.predict("all_reduce", size_bytes=list(TIMES_US), ranks=64)  # pyright: ignore
    measured = np.array(list(TIMES_US.values())) * fm.US
    assert np.median(np.abs(seen.median_s / measured - 1)) < 0.1

    again = pickle.loads(pickle.dumps(model))
    same = again.predict("all_reduce", size_bytes=64 * fm.MiB, ranks=100_000)
    assert same.median_s == p.median_s
    assert same.log_scale == p.log_scale
    assert same.warnings == p.warnings
    assert again.informed() == model.informed()
    assert pickle.loads(pickle.dumps(p)).interval(0.9) == p.interval(0.9)


def test_catalogue_prices():
    fabric = fm.load_fabric("trn2-ultracluster", chips=65_536)
    size_bytes = 64 * fm.MiB
    time = fm.collective_time(fabric, "all_gather", size_bytes)
    bound = fm.collective_bound(fabric, "all_gather", size_bytes)
    assert time.shape == bound.shape == ()
    assert 0 < float(bound) < float(time) < 1
    assert "trn2-ultracluster" in fm.list_fabrics()


def test_a_fabric_survives_pickling():
    fabric = fm.load_fabric("h100-infiniband", chips=64)
    assert pickle.loads(pickle.dumps(fabric)) == fabric


@pytest.mark.parametrize(
    "call",
    [
        lambda path: fm.load_fabric("nowhere"),
        lambda path: fm.load_fabric(path / "none.toml"),
        lambda path: fm.load_fabric("trn1-instance", chips=3.5),  # pyright: ignore
        lambda path: fm.load_fabric("trn1-instance", chips=24),
        lambda path: fm.place(fm.load_fabric("trn1-instance"), 7),
        lambda path: fm.read_measurements(str(path / "none.json")),
        lambda path: fm.load_reference("none"),
        lambda path: fm.collective_time(fm.load_fabric("trn1-instance"), "x", 1.0),
        lambda path: fm.collective_bound(fm.load_fabric("trn1-instance"), "x", 1.0),
        lambda path: fm.switches(fm.load_fabric("trn1-instance"), "x"),
        lambda path: fm.prior_model(fm.load_fabric("trn1-instance")).predict(
            "all_reduce", 1.0, 7
        ),
        lambda path: fm.Measurements.from_records([{"ranks": 4}]),
    ],
)
def test_errors_are_the_librarys_own(call, tmp_path):
    with pytest.raises(fm.FabricModelError) as caught:
        call(tmp_path)
    error = caught.value
    assert isinstance(error, ValueError)
    assert error.place
    assert error.what
    assert error.remedy
    assert str(error) == f"{error.place}: {error.what}. {error.remedy}."
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_errors_have_one_root():
    assert issubclass(fm.FabricError, fm.FabricModelError)
    assert issubclass(fm.MeasurementError, fm.FabricModelError)


def test_all_names_are_there():
    assert sorted(fm.__all__, key=str.casefold) == sorted(
        set(fm.__all__), key=str.casefold
    )
    for name in fm.__all__:
        assert getattr(fm, name) is not None

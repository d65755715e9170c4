"""The diagnosis, whole, on a small table."""

import json

import numpy as np
import polars as pl
import pytest

import fabricmodel as fm
from experiments import diagnose


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnose")
    rows = [
        {
            "series": "lab",
            "ranks": ranks,
            "topology_shape": f"{ranks}",
            "collective": "all_gather",
            "algorithm": "ring",
            "size_bytes": size,
            "time_us": 5 + 2 * ranks + size / 1e4,
        }
        for ranks in (4, 8, 16)
        for size in 4.0 ** np.arange(4, 13)
    ]
    table = folder / "mine.csv"
    fm.Measurements.from_records(rows).to_csv(table)
    out = folder / "out"
    command = ["--measurements", str(table), "--at", "all_gather:1MiB:256", "--choose"]
    assert diagnose.main([*command, "--max-ranks", "32", "--out", str(out)]) == 0
    return out


def test_it_writes_everything(result):
    names = {path.name for path in result.iterdir()}
    assert {"report.md", "result.json", "residuals.csv", "prices.csv"} <= names
    assert "advice.csv" in names
    assert len({name for name in names if name.endswith((".png", ".svg"))}) == 2


def test_the_tables_say_what_the_report_says(result):
    rows = pl.read_csv(result / "residuals.csv")
    assert rows.height == 27
    ratio = rows["time_us"] / rows["priced_us"]
    np.testing.assert_allclose(ratio.to_numpy(), rows["ratio"].to_numpy(), rtol=1e-9)
    (model,) = json.loads((result / "result.json").read_text())["models"]
    assert model["converged"]
    best = model["advice"][0]
    assert best["after"] < best["now"]
    assert best["ranks"] <= 32
    text = (result / "report.md").read_text(encoding="utf-8")
    assert f"would bring it to {best['after']:.2f}" in text
    assert "all_gather of 1 MiB on 256 ranks" in text


def test_the_model_is_chosen_by_what_it_foretold(result):
    (model,) = json.loads((result / "result.json").read_text())["models"]
    told = {}
    for each in model["scores"]:
        assert (each["fitted_to"], each["foretold"]) in ((4, 8), (8, 16))
        told.setdefault(each["candidate"], []).append(each["log_density"])
    assert len(told) == 3
    assert np.mean(told[model["chosen"]]) == max(map(np.mean, told.values()))
    assert f"Chosen: {model['chosen']}: " in (result / "report.md").read_text()


def test_questions():
    assert diagnose.question_of("all_reduce:64MiB:100000")[1:] == (2.0**26, 1e5)
    assert diagnose.question_of("all_reduce:512:8")[1] == 512.0
    for text in ("all_reduce", "all_reduce:64:x", "a:big:8", "a:1.2.3:8"):
        with pytest.raises(fm.FabricError, match="--at"):
            diagnose.question_of(text)


def test_bad_input_leaves_nothing(tmp_path, capsys):
    out = tmp_path / "out"
    table = tmp_path / "none.csv"
    assert diagnose.main(["--measurements", str(table), "--out", str(out)]) == 2
    assert "error" in capsys.readouterr().err
    assert not out.exists()

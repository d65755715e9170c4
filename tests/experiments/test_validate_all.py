"""The table of all series, run on one of them, and what its growth teaches."""

import json

import numpy as np
import pytest

from experiments import learn_discrepancy, validate_all


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validate_all")
    chosen = ["--only", "trn1_scaling_allreduce_nccom", "--out", str(folder)]
    assert validate_all.main(chosen) == 0
    return folder


def test_the_table_and_its_figures(out):
    scores = json.loads((out / "scores.json").read_text())
    (line,) = scores["cases"]
    assert line["rows"] == 22
    assert line["beyond"] < 0.12
    report = (out / "report.md").read_text()
    assert "| Trainium1, NeuronLink | 16 | 32 to 32 | 22 |" in report
    assert "jax" in report
    for name in ("reliability.png", "reliability.svg", "rows.csv"):
        assert (out / name).stat().st_size > 500


def test_an_unknown_series_is_refused(tmp_path, capsys):
    assert validate_all.main(["--only", "nothing", "--out", str(tmp_path / "o")]) == 2
    assert "alps_nccl_gh200" in capsys.readouterr().err.replace("\n", "")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("truth", [0.05, 0.3])
def test_the_growth_is_learned(truth):
    rng = np.random.default_rng(2)
    octaves = rng.integers(1, 6, 600).astype(float)
    error = rng.normal(size=600) * np.sqrt(0.02**2 + truth**2 * octaves)
    group = learn_discrepancy.Beyond(
        series="s", error=error, variance=np.full(600, 0.02**2), octaves=octaves
    )
    found = learn_discrepancy.learn([group])
    # scored as Student t, whose scale is below the deviation of normal errors
    assert 0.7 * truth < found < truth
    scores = learn_discrepancy.covered([group], truth)
    assert scores["coverage_90"] == pytest.approx(0.9, abs=0.04)

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
    groups = []
    for roughness in (0.5, 2.0):
        width = np.sqrt(0.02**2 + (roughness * truth) ** 2 * octaves)
        groups.append(
            learn_discrepancy.Beyond(
                series="s",
                error=rng.standard_t(4, size=600) * width,
                variance=np.full(600, 0.02**2),
                octaves=octaves,
                roughness=roughness,
            )
        )
    assert learn_discrepancy.learn(groups) == pytest.approx(truth, rel=0.07)
    scores = learn_discrepancy.covered(groups, truth)
    assert scores["coverage_90"] == pytest.approx(0.9, abs=0.04)

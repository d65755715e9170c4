"""The outside contract of ``experiments.validate_training``."""

import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "training"))

import sample  # pyright: ignore[reportMissingImports]

from experiments import validate_training


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Two tables that differ in their held-out times alone."""
    folder = tmp_path_factory.mktemp("contract")
    found = []
    for name, factor in (("a", 1.0), ("b", 3.0)):
        table = sample.timed() + sample.hard()
        for row in table:
            if row["num_chips"] and row["num_chips"] > 128 and row["step_time_s"]:
                row["step_time_s"] *= factor
        path = folder / f"{name}.csv"
        sample.pl.DataFrame(table, infer_schema_length=None).write_csv(path)
        out = folder / f"{name}.json"
        arguments = ["--runs", str(path), "--fit-max-chips", "128", "--json", str(out)]
        assert validate_training.main(arguments) == 0
        found.append(json.loads(out.read_text()))
    return found


def test_every_row_comes_back(answers):
    rows = answers[0]["rows"]
    assert len(rows) == 36 + len(sample.hard())
    for row in rows:
        assert {"predicted_step_s", "lo_s", "hi_s", "held_out", "run"} <= set(row)
        if row["predicted_step_s"] is None:
            assert row["reason"]
        else:
            assert row["lo_s"] < row["predicted_step_s"] < row["hi_s"]


def test_scores_are_complete(answers):
    for part in ("fit", "held_out"):
        assert set(answers[0][part]) == {
            "n", "chips", "median_abs_rel_err", "mean_abs_rel_err",
            "p90_abs_rel_err", "coverage_90", "median_interval_ratio",
        }  # fmt: skip
    assert answers[0]["held_out"]["n"] == 12
    assert answers[0]["held_out"]["median_abs_rel_err"] < 0.04
    assert answers[0]["growth_median_error"] < 0.03


def test_held_out_times_never_reach_the_fit(answers):
    """Trebling every held-out time moves no prediction."""
    first, second = ([r["predicted_step_s"] for r in a["rows"]] for a in answers)
    assert first == second
    assert answers[1]["held_out"]["median_abs_rel_err"] > 0.5


def test_bad_input_is_one_error_and_no_file(tmp_path, capsys):
    bad, out = tmp_path / "bad.csv", tmp_path / "out.json"
    bad.write_text("run,step_time_s\na,1.0\n")
    arguments = ["--runs", str(bad), "--fit-max-chips", "8", "--json", str(out)]
    assert validate_training.main(arguments) == 2
    assert "has no column 'chip'" in capsys.readouterr().err.replace("\n", " ")
    assert not out.exists()

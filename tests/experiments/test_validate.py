"""Validation: the split, the scores, the contract's JSON."""

import json

import numpy as np
import pytest

import fabricmodel as fm
from experiments import validate

TABLE_HEAD = "series,system,ranks,ranks_per_node,nodes,collective,size_bytes,time_us\n"


def _table(path, *, poison: float = 1.0):
    """Write a flat network of known prices; ``poison`` spoils the rows of 16 ranks."""
    lines = [TABLE_HEAD]
    for ranks in (2, 4, 8, 16):
        for size in 4.0 ** np.arange(5, 14):
            time = 10.0 + 6.0 * np.log2(ranks) + size * (1 - 1 / ranks) / 1e4
            time *= poison if ranks == 16 else 1.0
            lines.append(f"mine,lab,{ranks},1,{ranks},all_gather,{size},{time}\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Validate the table as it is, and with its held-out rows spoilt."""
    folder = tmp_path_factory.mktemp("validate")
    found = []
    for name, poison in (("clean", 1.0), ("spoilt", 10.0)):
        table = _table(folder / f"{name}.csv", poison=poison)
        out = folder / f"{name}.json"
        arguments = ["--measurements", str(table), "--fit-max-ranks", "8"]
        assert validate.main([*arguments, "--json", str(out)]) == 0
        found.append(json.loads(out.read_text(encoding="utf-8")))
    return found


def test_scores_and_rows_are_the_contract(results):
    clean, _ = results
    assert set(clean) >= {"fit", "held_out", "rows"}
    assert clean["fit"]["n"] == 27
    assert clean["fit"]["ranks"] == [2, 4, 8]
    assert clean["held_out"]["n"] == 9
    assert clean["held_out"]["ranks"] == [16]
    assert clean["fit"]["median_abs_rel_err"] < 0.03
    # its library keeps to one algorithm, where MPI's usually turns to rings
    assert clean["held_out"]["median_abs_rel_err"] < 0.13
    row = clean["rows"][0]
    assert row["lo_us"] < row["predicted_us"] < row["hi_us"]
    assert {"series", "time_us", "held_out"} <= set(row)


def test_held_out_rows_never_reach_the_fit(results):
    clean, spoilt = results
    for row, other in zip(clean["rows"], spoilt["rows"], strict=True):
        assert row["predicted_us"] == other["predicted_us"]
        assert row["hi_us"] == other["hi_us"]
    assert spoilt["held_out"]["median_abs_rel_err"] > 0.8


def test_score_by_hand():
    rows = [
        {
            "time_us": 10.0,
            "predicted_us": 11.0,
            "lo_us": 9.0,
            "hi_us": 12.0,
            "ranks": 2,
        },
        {"time_us": 10.0, "predicted_us": 7.0, "lo_us": 6.0, "hi_us": 9.0, "ranks": 4},
    ]
    found = validate.score(rows)
    assert found["median_abs_rel_err"] == pytest.approx(0.2)
    assert found["mean_abs_rel_err"] == pytest.approx(0.2)
    assert found["coverage_90"] == 0.5
    assert found["median_interval_ratio"] == pytest.approx((12 / 9 + 9 / 6) / 2)


def test_an_unknown_series_is_refused(tmp_path, capsys):
    table = _table(tmp_path / "t.csv")
    arguments = ["--measurements", str(table), "--series", "nobody"]
    arguments += ["--fit-max-ranks", "8", "--json", str(tmp_path / "o.json")]
    assert validate.main(arguments) == 2
    assert "nobody" in capsys.readouterr().err
    assert not (tmp_path / "o.json").exists()


def test_rows_that_cannot_be_predicted_say_why(tmp_path):
    table = tmp_path / "t.csv"
    text = _table(tmp_path / "base.csv").read_text(encoding="utf-8")
    table.write_text(text + "mine,lab,64,1,64,broadcast,1024,9\n", encoding="utf-8")
    out = tmp_path / "o.json"
    arguments = ["--measurements", str(table), "--fit-max-ranks", "8"]
    assert validate.main([*arguments, "--json", str(out)]) == 0
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    (odd,) = [row for row in rows if row["collective"] == "broadcast"]
    assert odd["predicted_us"] is None
    assert "fit-max-ranks" in odd["reason"]


def test_a_torus_is_built_from_the_columns():
    from fabricmodel.fitting.recognise import generic_fabric
    from fabricmodel.measurements import Measurements

    times = Measurements.from_records(
        [
            {"ranks": 8, "collective": "all_gather", "size_bytes": 64, "time_us": 3,
             "topology_shape": "2x2x2"},
            {"ranks": 64, "collective": "all_gather", "size_bytes": 64, "time_us": 5,
             "topology_shape": "4x4x4"},
        ]
    )  # fmt: skip
    fabric = generic_fabric(times)
    assert [level.kind for level in fabric.levels] == ["ring"] * 3
    assert fm.place(fabric, 64, sides="16x4").levels[2].members == 1.0

"""The comparison on a small table measured on a real rig."""

import csv
import json
import pathlib

import pytest

from experiments import validate_rig
from experiments.rigs import held_out
from experiments.rigs.table import read

DATA = pathlib.Path(__file__).parent / "data" / "rig.csv"


def _run(table, folder):
    out = folder / "out.json"
    arguments = ["--measurements", str(table), "--json", str(out)]
    assert validate_rig.main(arguments) == 0
    return json.loads(out.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return _run(DATA, tmp_path_factory.mktemp("rig"))


def test_prices_meet_the_truth(result):
    prices = result["prices"]
    assert {row["by"] for row in prices} == {"schedules", "fabricmodel.fit"}
    assert len(prices) == 6
    assert [row for row in prices if not row["met"]] == []


def test_other_topologies_are_predicted(result):
    assert result["held_out"]["median_abs_rel_err"] < 0.02
    assert result["held_out"]["p90_abs_rel_err"] < 0.06
    assert result["held_out"]["coverage_90"] >= 0.85
    assert {row["topology"] for row in result["topologies"]} == {
        "ring8", "torus2x4", "ring4_slowlink1-2", "ring6",
    }  # fmt: skip
    for row in result["topologies"]:
        assert row["median_abs_rel_err"] < 0.03


def test_every_row_is_there_and_says_what_became_of_it(result):
    with DATA.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(result["rows"]) == len(rows)
    for row in result["rows"]:
        fitted = row["topology"] in ("ring2", "ring3", "ring4") and row["conclusive"]
        assert row["held_out"] is not fitted
        assert row["lo_us"] < row["predicted_us"] < row["hi_us"]


def test_the_rendezvous_comes_out_as_a_regime(result):
    (found,) = [row for row in result["regimes"] if row["handshake"] != "none"]
    assert found["rig"] == "netns_openmpi"
    assert found["delays_per_message"] == pytest.approx(2.0, abs=0.2)
    assert abs(found["switch_error"]) < 0.25


def test_the_slow_link_is_named_by_times_alone(result):
    (found,) = [row for row in result["odd_links"] if row["stated"] != "none"]
    assert found["suspects"] == ["1-2"]
    assert found["byte_factor"] == pytest.approx(2.0, rel=0.05)
    assert [row["said"] for row in result["odd_links"] if row["stated"] == "none"] == [
        "no odd link"
    ]


def test_held_out_rows_never_reach_a_fit(tmp_path):
    with DATA.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["topology"] not in held_out.RINGS:
            row["median_us"] = str(3.0 * float(row["median_us"]))
    spoilt = tmp_path / "spoilt.csv"
    with spoilt.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    found = []
    for path in (DATA, spoilt):
        cells, _ = read(path)
        found.append(held_out.predict(cells, held_out.fit_rigs(cells)))
    for one, other in zip(*found, strict=True):
        assert (one.median_s, one.high_s) == (other.median_s, other.high_s)
    assert held_out.errors(found[0])["median_abs_rel_err"] < 0.02
    assert held_out.errors(found[1])["median_abs_rel_err"] > 0.5


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("median_us", "median_ms", "no column median_us"),
        ("ring8,8,8", "ring8,8,7", "7 ranks on ring8"),
        ("ring8,8,8,allreduce", "ring8,8,8,gossip", "'gossip' is unknown"),
        ("ring8,8,8", "blob8,8,8", "'blob8' is none"),
        ("2500000.0", "fast", "known_rate_Bps is 'fast'"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(tmp_path, capsys, old, new, said):
    text = DATA.read_text(encoding="utf-8")
    assert old in text
    table, out = tmp_path / "bad.csv", tmp_path / "out.json"
    table.write_text(text.replace(old, new), encoding="utf-8")
    arguments = ["--measurements", str(table), "--json", str(out)]
    assert validate_rig.main(arguments) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")
    assert not out.exists()

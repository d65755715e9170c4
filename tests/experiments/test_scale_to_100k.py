"""The main job, whole, on small input."""

import json

import polars as pl
import pytest

import fabricmodel as fm
from experiments import scale_to_100k


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Run it once on a table of 24 rows, with fewer questions."""
    folder = tmp_path_factory.mktemp("job")
    table = folder / "mine.csv"
    fm.load_reference("trn2_48xl_nccom_r64").select(collective="all_gather").to_csv(
        table
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(scale_to_100k, "COLLECTIVES", ("all_gather",))
    patch.setattr(scale_to_100k, "CHIPS", (16.0, 1024.0, 131_072.0))
    out = folder / "out"
    status = scale_to_100k.main(["--measurements", str(table), "--out", str(out)])
    patch.undo()
    assert status == 0
    return out


def test_it_writes_everything(result):
    names = {path.name for path in result.iterdir()}
    figures = ("time", "bus_bandwidth", "terms", "fit")
    expected = {f"{name}.{kind}" for name in figures for kind in ("png", "svg")}
    tables = {"report.md", "result.json", "predictions.csv", "terms.csv", "fit.csv"}
    assert names == expected | tables


def test_intervals_widen_with_the_distance(result):
    rows = pl.read_csv(result / "predictions.csv")
    own = rows.filter(pl.col("fabric") == "Trainium2 UltraServers over EFA")
    ratio = own.with_columns(ratio=pl.col("hi_s") / pl.col("lo_s"))
    by_chips = ratio.group_by("chips").agg(pl.col("ratio").median()).sort("chips")
    widths = by_chips["ratio"].to_list()
    assert widths[0] < widths[1] < widths[2]


def test_terms_add_up(result):
    terms = pl.read_csv(result / "terms.csv")
    key = ["fabric", "collective", "size_bytes", "chips"]
    sums = terms.group_by(key).agg(pl.col("share").sum())["share"]
    assert sums.min() == pytest.approx(1.0, rel=1e-6)
    assert sums.max() == pytest.approx(1.0, rel=1e-6)


def test_the_report_names_what_it_stands_on(result):
    text = (result / "report.md").read_text(encoding="utf-8")
    for words in ("8,192 times beyond", "Collectives measured: all_gather", "jax "):
        assert words in text
    data = json.loads((result / "result.json").read_text(encoding="utf-8"))
    assert data["fits"][0]["fabric"] == "trn2-instance"
    assert data["machine"]["jax"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "empty"),
        ("ranks,collective,size_bytes,time_us\n64,all_reduce,1024,0\n", "line 2"),
        ("ranks,collective,size_bytes,time_us\n64,all_reduce,1024,-3\n", "line 2"),
        ('{"results": [{"size(B)": 1024, ', "JSON"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(tmp_path, capsys, content, words):
    file = tmp_path / "bad.csv"
    file.write_text(content, encoding="utf-8")
    out = tmp_path / "out"
    status = scale_to_100k.main(["--measurements", str(file), "--out", str(out)])
    said = capsys.readouterr().out
    assert status == 2
    assert said.count("error:") == 1
    assert "bad.csv" in said
    assert words.lower() in said.lower()
    assert not out.exists()


def test_ranks_that_do_not_divide_are_named(tmp_path, capsys):
    file = tmp_path / "seven.csv"
    file.write_text("ranks,collective,size_bytes,time_us\n7,all_reduce,1024,9\n")
    arguments = ["--measurements", str(file), "--fabric", "trn1-instance"]
    assert scale_to_100k.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert "7 ranks do not divide" in capsys.readouterr().out

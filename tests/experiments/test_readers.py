import json

import pytest

from experiments.logs import fuzz
from experiments.logs.samples import SAMPLES
from experiments.readers import main

SOUND = """\
# size count type redop root time algbw busbw #wrong time algbw busbw #wrong
1048576 262144 float sum -1 485.3 2.16 4.05 0 486.3 2.16 4.04 0
      0      0 float sum -1 1.30 0.00 0.00 0 1.20 0.00 0.00 0
"""
RUINED = SOUND.replace("485.3", "XXX").replace("486.3", "XXX")


def test_samples_say_what_they_hold(tmp_path):
    assert main(["check", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "check.json").exists()


def test_a_folder_is_accounted_for_and_expectations_are_kept(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_text(SOUND)
    (folder / "b.log").write_text(RUINED)
    out = ["--out", str(tmp_path)]
    assert main(["check", str(folder), *out]) == 0
    expect = tmp_path / "expect.csv"
    expect.write_text("file,rows,set_aside\na.log,2,2\nb.log,0,4\n")
    assert main(["check", str(folder), "--expect", str(expect), *out]) == 0
    expect.write_text("file,rows,set_aside\na.log,4,0\n")
    assert main(["check", str(folder), "--expect", str(expect), *out]) == 1
    assert main(["check", str(tmp_path / "none"), *out]) == 2


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - {"parquet"}))
def test_a_few_damaged_logs(name):
    for seed in range(60):
        ending, faults = fuzz.one(name, seed)
        assert faults == [], seed
        assert ending in ("read", "refused")


def test_an_invented_number_and_a_crash_are_faults(monkeypatch):
    """The fuzz itself must be able to fail."""
    form = SAMPLES["osu"](fuzz.random.Random(0)).form
    honest = form.read

    def inventive(*arguments, **given):
        table = honest(*arguments, **given)
        frame = table.frame.with_columns(time_us=table.frame["time_us"] * 1.5)
        return type(table)(frame=frame)

    monkeypatch.setattr(form, "read", inventive)
    assert any(fuzz.one("osu", seed)[1] for seed in range(10))
    monkeypatch.setattr(form, "read", lambda *a, **k: 1 / 0)
    crash = ("crashed", ["ZeroDivisionError: division by zero"])
    assert crash in [fuzz.one("osu", seed) for seed in range(5)]


def test_the_fuzz_counts_what_it_tried_and_stops_in_time(tmp_path):
    out = ["--format", "csv", "--out", str(tmp_path)]

    def run(*options):
        assert main(["fuzz", *options, *out]) == 0
        (found,) = json.loads((tmp_path / "fuzz.json").read_text())["formats"]
        assert found["read"] + found["refused"] == found["count"]
        return found["count"]

    assert run("--count", "300") == 300
    assert 0 < run("--count", "100000", "--minutes", "0.001") < 100_000

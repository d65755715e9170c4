"""An experiment on training from its command line, small: files, bounds, bad input."""

import json

from experiments import communication_tax, cooling, one_fabric


def test_communication_tax_writes_all_of_it(tmp_path):
    out = tmp_path / "tax"
    arguments = [
        "--chips",
        "64",
        "1024",
        "--models",
        "llama3.1-8b",
        "--platforms",
        "h100",
    ]
    assert communication_tax.main([*arguments, "--out", str(out)]) == 0
    names = {file.name for file in out.iterdir()}
    assert names == {
        "report.md", "communication_tax.png", "communication_tax.svg",
        "communication_tax.json", "communication_tax.csv",
    }  # fmt: skip
    rows = json.loads((out / "communication_tax.json").read_text())["rows"]
    assert [row["chips"] for row in rows] == [64, 1024]
    for row in rows:
        assert 0 <= row["if_all_hidden"] <= row["tax"] <= row["if_none_hidden"] < 1
        assert row["tax_low"] <= row["tax"] <= row["tax_high"]
    report = (out / "report.md").read_text()
    assert "H100" in report and "What this rests on" in report


def test_an_unknown_model_is_one_error_and_no_folder(tmp_path, capsys):
    out = tmp_path / "tax"
    arguments = ["--chips", "64", "--models", "llama9", "--platforms", "h100"]
    assert communication_tax.main([*arguments, "--out", str(out)]) == 2
    assert "llama9" in capsys.readouterr().err
    assert not out.exists()


def test_cooling_refuses_a_derate_of_all(tmp_path, capsys):
    assert cooling.main(["--derate", "1.0", "--out", str(tmp_path / "c")]) == 2
    assert "--derate" in capsys.readouterr().err


def test_no_step_is_shorter_than_on_the_ideal_switch(tmp_path):
    out = tmp_path / "one"
    arguments = ["--chips", "64", "1024", "--platforms", "gb200"]
    arguments += ["--model", "llama3.1-70b", "--out", str(out)]
    assert one_fabric.main(arguments) == 0
    rows = json.loads((out / "one_fabric.json").read_text())["rows"]
    assert len(rows) == 2
    assert all(1.0 <= row["ratio_low"] <= row["ratio"] for row in rows)

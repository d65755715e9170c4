"""ASTRA-sim's answers, some of which anyone can count by hand."""

import json

import polars as pl
import pytest

from experiments.astra.model import predict, question
from experiments.compare_astra_sim import main

ANSWER = {
    "backend": "congestion_unaware",
    "topology": "Ring",
    "dims": "16",
    "npus": 16,
    "collective": "all_reduce",
    "algorithm_per_dim": "ring",
    "size_bytes": 2**20,
    "bandwidth_GBps": "50.0",
    "latency_ns": "500.0",
    "splits": 1,
    "predicted_ns": 51_910.0,
    "status": "ok",
    "endpoint_delay_ns": 10,
    "local_mem_bw_GBps": 1e9,
    "collective_optimization": "localBWAware",
}
BYTES_A_NS = 50 * 2**30 / 1e9


def row(**changes):
    return ANSWER | changes


# Finishing times printed by astra-sim 518bd51 with astra-network-analytical 599a047.
PRINTED = [
    row(dims="4", predicted_ns=32_362.0),
    row(),
    row(dims="256", predicted_ns=298_870.0),
    row(dims="1024", predicted_ns=1_082_344.0),
    row(
        topology="Ring_Ring_Ring",
        dims="8x8x8",
        algorithm_per_dim="ring_ring_ring",
        predicted_ns=60_446.0,
    ),
    row(topology="Switch", predicted_ns=66_600.0),
    row(topology="Switch", backend="congestion_aware", predicted_ns=103_200.0),
    row(
        topology="Switch",
        collective="all_gather",
        algorithm_per_dim="direct",
        predicted_ns=20_500.0,
    ),
    row(
        topology="Switch",
        backend="congestion_aware",
        collective="all_gather",
        algorithm_per_dim="direct",
        predicted_ns=313_500.0,
    ),
    row(collective="all_to_all", size_bytes=2**26, predicted_ns=9_440_000.0),
]


def write(folder, rows):
    path = folder / "answers.csv"
    pl.DataFrame(rows, infer_schema_length=None).write_csv(path)
    return path


def run(folder, rows) -> tuple[int, dict]:
    path = folder / "result.json"
    code = main(
        [
            "--reference", str(write(folder, rows)),
            "--json", str(path),
            "--out", str(folder / "out"),
        ]
    )  # fmt: skip
    return code, json.loads(path.read_text()) if path.exists() else {}


def test_printed_answers(tmp_path):
    code, result = run(tmp_path, PRINTED)
    assert code == 0
    assert result["n"] == result["within"] == len(PRINTED) == len(result["rows"])
    assert result["worst"] < 0.008
    files = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"report.md", "rows.csv", "bound.png", "bound.svg"} <= files


def test_ring_by_hand():
    """30 messages of 64 KiB over one hop each, 31 endpoint delays."""
    seconds, messages = predict(question(ANSWER))
    assert messages == 30
    by_hand = 30 * (500 + 2**16 / BYTES_A_NS) + 31 * 10
    assert seconds * 1e9 == pytest.approx(by_hand, rel=1e-6)


def test_all_gather_is_told_by_its_shard():
    asked = question(row(collective="all_gather", size_bytes=1024))
    assert asked.size_bytes == 16 * 1024
    assert question(row(size_bytes=4)).size_bytes == 16


def test_local_reduction_by_hand():
    """A piece to be added costs three passes over memory, whose gigabytes are 1e9."""
    slow, _ = predict(question(row(local_mem_bw_GBps=50.0)))
    free, _ = predict(question(ANSWER))
    assert (slow - free) * 1e9 == pytest.approx(15 * 3 * 2**16 / 50.0, rel=1e-6)


def test_a_wrong_answer_is_outside(tmp_path):
    code, result = run(tmp_path, [row(predicted_ns=51_910.0 * 1.01), ANSWER])
    assert code == 0
    assert (result["n"], result["within"]) == (2, 1)
    assert "Outside" in (tmp_path / "out" / "report.md").read_text()


def test_what_is_not_compared_is_counted(tmp_path):
    others = [
        row(splits=4),
        row(topology="Dragonfly"),
        row(status="failed: deadlock"),
        row(
            backend="congestion_aware",
            collective="all_to_all",
            algorithm_per_dim="direct",
        ),
    ]
    code, result = run(tmp_path, [ANSWER, *others])
    assert code == 0
    assert result["n"] == 1 and len(result["rows"]) == 4
    assert sum(result["not_compared"].values()) == 3


def test_impossible_answers_are_shown(tmp_path):
    """All of 16 ranks' messages over one link at once, at full speed."""
    impossible = row(
        topology="Switch",
        collective="all_to_all",
        algorithm_per_dim="direct",
        size_bytes=2**30,
        predicted_ns=2**26 / BYTES_A_NS + 1020,
    )
    code, result = run(tmp_path, [impossible])
    assert code == 0 and result["within"] == 1
    (only,) = result["rows"]
    assert only["bound_ratio"] == pytest.approx(1 / 15, rel=1e-2)
    assert "| 0.0667 |" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    "rows",
    [
        [{k: v for k, v in ANSWER.items() if k != "dims"}],
        [row(status="failed")],
        [row(dims="4xfour")],
        [row(predicted_ns=-1.0)],
    ],
)
def test_bad_files_are_refused(tmp_path, rows, capsys):
    code, result = run(tmp_path, rows)
    assert code == 2 and not result
    assert "answers.csv" in capsys.readouterr().err.replace("\n", "")
    assert not (tmp_path / "out").exists()

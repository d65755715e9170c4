"""What is learned from forced runs must be what they were made from."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

import fabricmodel as fm
from experiments.tuner import main
from experiments.tuning.regret import floor, split
from fabricmodel.errors import FabricModelError
from fabricmodel.fitting.fit import prior_model
from fabricmodel.tuning import LearnedCosts, read_rules

RANKS = (4, 8, 16, 32, 64)
SIZES = [4.0**n for n in range(3, 15)]


def tree_s(size, ranks):
    return 5e-6 + 4e-6 * np.log2(ranks) + 2.2 * size / 1e10


def ring_s(size, ranks):
    return 5e-6 + 2e-6 * (ranks - 1) + 2.0 * size * (ranks - 1) / ranks / 1e10


TRUE = {"tree": tree_s, "ring": ring_s}


def runs(ranks=RANKS, sizes=SIZES, noise=0.01, extra=()):
    draw = np.random.default_rng(3)
    records = []
    for count in ranks:
        for size in sizes:
            slow = np.exp(0.4 * np.sin(size))  # a congestion that strikes all alike
            times = {name: slow * model(size, count) for name, model in TRUE.items()}
            for name, seconds in times.items():
                seconds *= np.exp(noise * draw.standard_normal())
                records.append(row(name, count, size, seconds))
            for name in extra:
                records.append(row(name, count, size, 1.5 * min(times.values())))
    return fm.Measurements.from_records(records)


def row(name, ranks, size, seconds):
    return {
        "ranks": ranks, "ranks_per_node": 1, "collective": "all_reduce",
        "algorithm": name, "size_bytes": size, "time_us": seconds * 1e6,
    }  # fmt: skip


def test_choices_on_more_ranks_and_other_sizes_cost_next_to_nothing():
    costs = LearnedCosts.fit(runs(ranks=RANKS[:-1]))
    regrets = []
    for ranks in (24, 64, 128):
        sizes = np.array([2.0 * size for size in SIZES])
        logs = costs.log_costs("all_reduce", sizes, ranks)
        for index, size in enumerate(sizes):
            chosen = min(logs, key=lambda name, at=index: logs[name][at])
            times = {name: model(size, ranks) for name, model in TRUE.items()}
            regrets.append(times[chosen] / min(times.values()) - 1.0)
    assert np.mean(regrets) < 0.02
    assert max(regrets) < 0.15


def test_rivals_are_compared_within_a_run_only():
    """Ring was run with buffers elsewhere: thrice as slow, and no slower a choice."""
    slow = runs().frame.with_columns(
        pl.col("time_us") * 3.0, notes=pl.lit("other memory")
    )
    once = runs().frame
    mixed = fm.Measurements.from_frames(
        [once.filter(pl.col("algorithm") == "tree"), slow, once]
    )
    apart, together = LearnedCosts.fit(runs()), LearnedCosts.fit(mixed)
    sizes = np.array(SIZES)
    for name, logs in together.log_costs("all_reduce", sizes, 16).items():
        assert logs == pytest.approx(
            apart.log_costs("all_reduce", sizes, 16)[name], abs=1e-6
        )


def test_notes_that_describe_the_algorithms_part_no_rivals():
    """Each algorithm once, under notes of its own: one run."""
    frame = runs().frame.with_columns(notes=pl.format("made by {}", "algorithm"))
    costs = LearnedCosts.fit(fm.Measurements.from_frames([frame]))
    assert costs.labels("all_reduce") == ["ring", "tree"]


def test_the_floor_is_what_the_winner_of_one_run_costs_in_the_other():
    def run(notes, tree_us, ring_us):
        return [
            row("tree", 8, 64, tree_us * 1e-6) | {"notes": notes},
            row("ring", 8, 64, ring_us * 1e-6) | {"notes": notes},
        ]

    both = fm.Measurements.from_records(
        run("monday", 10.0, 12.0) + run("friday", 11.0, 10.0)
    )
    found = floor(both)
    assert found["pairs"] == 2
    assert found["mean"] == pytest.approx((0.1 + 0.2) / 2)
    assert floor(runs())["pairs"] == 0


def test_every_other_size_of_each_set_of_ranks_is_held_out():
    few = runs(ranks=(4,), sizes=SIZES[:5])
    more = runs(ranks=(8,), sizes=SIZES[1:])
    fitted, held = split(few.concat(more), None, True)
    assert sorted(set(held.size_bytes[held.ranks == 4])) == SIZES[1:4:2]
    assert sorted(set(held.size_bytes[held.ranks == 8])) == SIZES[2:-1:2]
    assert len(fitted) + len(held) == len(few) + len(more)


def test_only_named_and_compared_algorithms_are_learned():
    costs = LearnedCosts.fit(runs())
    assert costs.labels("all_reduce") == ["ring", "tree"]
    assert costs.labels("all_gather") == []
    alone = runs().select(algorithm="ring")
    with pytest.raises(FabricModelError, match="no two algorithms"):
        LearnedCosts.fit(alone)


def test_the_command_reports_regret_and_gain_and_keeps_held_out_rows_out(
    tmp_path, capsys, monkeypatch
):
    table, out = tmp_path / "t.csv", tmp_path / "out"
    runs(extra=("default_mine",)).to_csv(table)
    seen = []
    honest = LearnedCosts.fit
    monkeypatch.setattr(
        "experiments.tuner.LearnedCosts.fit",
        lambda times: seen.append(times) or honest(times),
    )
    arguments = ["--measurements", str(table), "--out", str(out)]
    assert main([*arguments, "--fit-max-ranks", "32"]) == 0
    assert max(seen[0].ranks) == 32.0
    printed = capsys.readouterr().out
    (line,) = [part for part in printed.split("\n") if part.startswith("| all_reduce")]
    cells = [part.strip() for part in line.split("|")]
    assert cells[2] == str(len(SIZES))
    assert float(cells[5].rstrip("%")) < 2.0
    assert float(cells[8].rstrip("%")) == pytest.approx(50.0, abs=3.0)
    assert {file.name for file in out.iterdir()} >= {"rules.csv", "regret.png"}
    assert main([*arguments, "--hold-out-sizes"]) == 0
    held = sorted(set(SIZES) - set(seen[1].size_bytes))
    assert held == SIZES[1:-1:2]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([], "no row"),
        (["--fit-max-ranks", "1"], "all rows"),
        (["--series", "none", "--hold-out-sizes"], "no row matches"),
        (["--fabric", "h100-nothing"], "not in the catalogue"),
    ],
)
def test_bad_questions_are_one_message(tmp_path, capsys, extra, message):
    table, out = tmp_path / "t.csv", tmp_path / "out"
    runs().to_csv(table)
    assert main(["--measurements", str(table), "--out", str(out), *extra]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
    assert not out.exists()


@pytest.fixture
def flat(monkeypatch):
    """A fabric of two algorithms, unfitted: fits have tests of their own."""
    fabric = dataclasses.replace(
        fm.load_fabric("h100-infiniband"), strategies=("flat_ring", "flat_tree")
    )
    monkeypatch.setattr("experiments.tuning.export.fm.load_fabric", lambda _: fabric)
    monkeypatch.setattr("experiments.tuning.export._TUNED", ("all_reduce",))
    monkeypatch.setattr(
        "experiments.tuning.export.fm.fit", lambda fabric, _: prior_model(fabric)
    )


def forced_logs(*names):
    """A few rows that name these algorithms."""
    return fm.Measurements.from_records(
        row(name, 32, size, 1e-5) for name in names for size in (1e3, 1e6)
    )


def test_an_export_claims_a_gain_only_between_algorithms_that_were_forced(
    tmp_path, capsys, flat
):
    table, out = tmp_path / "t.csv", tmp_path / "out"
    forced_logs("Ring", "Tree").to_csv(table)
    arguments = ["--measurements", str(table), "--fabric", "h100-infiniband"]
    arguments += ["--nodes", "4", "--generation", "ampere"]
    assert main([*arguments, "--out", str(out)]) == 0
    assert "Chosen among ring, tree" in capsys.readouterr().out
    rules = read_rules(out / "tuner.csv")
    assert {rule.algorithm for rule in rules} == {"ring", "tree"}
    rows = json.loads((out / "tuner.json").read_text())["rows"]
    assert rows
    assert all(row["chosen_s"] <= row["default_s"] * 1.001 for row in rows)


def test_a_log_in_which_the_library_chose_is_told_what_to_measure(tmp_path, flat):
    table, out = tmp_path / "t.csv", tmp_path / "out"
    forced_logs("").to_csv(table)
    arguments = ["--measurements", str(table), "--fabric", "h100-infiniband"]
    assert main([*arguments, "--nodes", "4", "--out", str(out)]) == 0
    assert "measure with NCCL_ALGO=Ring" in (out / "report.md").read_text()
    assert "measure with NCCL_ALGO=Ring" in (out / "tuner.csv").read_text()
    assert json.loads((out / "tuner.json").read_text())["rows"] == []

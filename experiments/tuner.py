"""Which algorithm should the library run, and what does that gain?

Learns from runs in which the algorithm was forced, exports the choice as rules, and
looks each held-out size and number of ranks up in them. What the choice costs over the
best measured one is its regret; the library's own choice has one too. A row that is
held out never reaches the learning.

    python -m experiments.tuner --measurements FILE --series S --fit-max-ranks N
    python -m experiments.tuner --measurements FILE --series S --hold-out-sizes
    python -m experiments.tuner --measurements LOG --fabric NAME --nodes 1 2 8

The last one needs no forced runs: it fits the fabric, and writes NCCL's tuner CSV and
constants with the gain that the model expects.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console

import fabricmodel as fm
from experiments.output import machine, markdown_table, whole_folder
from experiments.selection import add_options, select
from experiments.tuning.export import export
from experiments.tuning.regret import floor, judge, split, summary
from fabricmodel.tuning import LearnedCosts, write_rules
from fabricmodel.tuning.rules import LIBRARY_NAMES


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line, learn, judge or export; 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.tuner",
        description="Which algorithm should the library run, and what does that gain?",
    )
    add_options(parser, "series", "collective")
    parser.add_argument("--without-notes", metavar="WORD", help="leave such rows out")
    parser.add_argument("--fit-max-ranks", type=float, metavar="N")
    parser.add_argument("--hold-out-sizes", action="store_true", help="every other one")
    parser.add_argument("--fabric", help="export a model of it, for NCCL")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--generation", default="hopper", help="of NCCL's GPUs")
    parser.add_argument("--out", type=Path, default=Path("out/tuner"))
    options = parser.parse_args(argv)
    console = Console(stderr=True, highlight=False)
    try:
        times = _times(options)
        if options.fabric:
            text = export(
                times, options.fabric, options.nodes, options.generation, options.out,
                console,
            )  # fmt: skip
        else:
            text = _learn(times, options, console)
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", soft_wrap=True)
        return 2
    print(text)
    return 0


def _times(options: argparse.Namespace) -> fm.Measurements:
    times = select(fm.read_measurements(*options.measurements), options)
    if options.without_notes:
        kept = ~times.frame["notes"].str.contains(options.without_notes, literal=True)
        times = times.filter(kept.to_numpy())
        if not len(times):
            raise fm.MeasurementError(
                ", ".join(options.measurements),
                f"every row says {options.without_notes!r} in its notes",
                "Check --without-notes",
            )
    return times


def _learn(
    times: fm.Measurements, options: argparse.Namespace, console: Console
) -> str:
    fitted, held_out = split(times, options.fit_max_ranks, options.hold_out_sizes)
    with console.status(f"Learning from {len(fitted)} forced runs"):
        costs = LearnedCosts.fit(fitted)
        rules, rows = judge(costs, fitted, held_out, options.generation)
    if not any(row["chosen_over_best"] for row in rows):
        raise fm.MeasurementError(
            "held out",
            "no size on which two known algorithms were measured",
            "Choose another --fit-max-ranks, or --hold-out-sizes",
        )
    found, noise = summary(rows), floor(held_out)
    text = _report(found, rows, len(fitted), len(held_out), noise)
    _write(options.out, rules, rows, found, noise, text)
    return text


def _write(
    folder: Path,
    rules: list,
    rows: list[dict[str, Any]],
    found: list[dict[str, Any]],
    noise: dict[str, Any],
    text: str,
) -> None:
    from fabricmodel import plots

    frame = pl.DataFrame(rows, infer_schema_length=None)
    judged = frame.filter(pl.col("chosen_over_best").is_not_null())
    tuned = [rule for rule in rules if rule.collective in LIBRARY_NAMES]
    with whole_folder(folder) as scratch:
        plots.save(plots.regret(judged), scratch, "regret")
        frame.write_csv(scratch / "regret.csv")
        write_rules(scratch / "rules.csv", tuned, "learned from forced runs")
        data = {"machine": machine(), "summary": found, "from_run_to_run": noise}
        data["rows"] = rows
        (scratch / "regret.json").write_text(json.dumps(data, indent=1) + "\n")
        (scratch / "report.md").write_text(text + "\n![regret](regret.png)\n")


def _report(
    found: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    fitted: int,
    held: int,
    noise: dict[str, Any],
) -> str:
    head = (
        "collective", "cells", "choice not measured", "median", "mean", "90 % below",
        "within 2 %", "default, mean", "gain over default",
    )  # fmt: skip
    lines = [
        "# What the exported choice costs over the best measured one",
        "",
        f"Learned from {fitted} runs; {held} were held out, and make {len(rows)} sizes "
        "and sets of ranks on which at least two known algorithms were measured.",
        "",
        markdown_table(head, [_cells(one) for one in found]),
    ]
    if noise["pairs"]:
        lines += [
            "",
            f"From run to run: the algorithm that was best in one held-out run costs "
            f"{noise['mean']:.1%} more than the best of another run on the same size "
            f"and ranks (median {noise['median']:.1%}, {noise['pairs']} pairs): "
            "less regret than that would be luck.",
        ]
    return "\n".join(lines) + "\n"


def _cells(one: dict[str, Any]) -> list[str]:
    default, gain = one["default_mean"], one["gain_over_default"]
    return [
        one["collective"],
        f"{one['cells']}",
        f"{one['not_measured']}",
        f"{one['median']:.1%}",
        f"{one['mean']:.1%}",
        f"{one['p90']:.1%}",
        f"{one['within_2_percent']:.0%}",
        "" if default is None else f"{default:.1%}",
        "" if gain is None else f"{gain:.1%}",
    ]


if __name__ == "__main__":
    sys.exit(main())

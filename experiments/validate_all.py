"""Every shipped series under one protocol: small runs predict larger ones.

Fits each series up to a number of ranks, predicts the rest, with the same defaults for
all. No row beyond that number reaches a fit (``experiments.validate``).

    python -m experiments.validate_all [--only SERIES ...] [--choose] [--out DIR]
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console

import fabricmodel as fm
from experiments.output import machine, markdown_table, whole_folder, write_json
from experiments.validate import run, score, split
from fabricmodel import plots
from fabricmodel.fitting.prediction import student_quantile


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One line of the table.

    Attributes:
      name: what the table calls it.
      series: of the shipped references, scored together.
      fit_max_ranks: the largest run that is fitted.
      target: median error on the larger ones to reach.
      two_numbers: what latency and bandwidth per collective miss there, NaN unknown.
      ranks_per_node: keep these rows alone, 0 for all.
    """

    name: str
    series: tuple[str, ...]
    fit_max_ranks: float
    target: float
    two_numbers: float = np.nan
    ranks_per_node: float = 0.0


CASES = (
    Case(
        name="Trainium1, NeuronLink",
        series=("trn1_scaling_allreduce_nccom",),
        fit_max_ranks=16,
        target=0.12,
        two_numbers=0.27,
    ),
    Case(
        name="Alps, NCCL on GH200",
        series=("alps_nccl_gh200",),
        fit_max_ranks=64,
        target=0.10,
        two_numbers=0.70,
    ),
    Case(
        name="ABCI, NCCL on A100",
        series=("abci2-a100-ib",),
        fit_max_ranks=16,
        target=0.12,
    ),
    Case(
        name="one node of A100, H100, B200",
        series=("aic-a100-sxm", "aic-h100-sxm", "aic-b200-sxm"),
        fit_max_ranks=4,
        target=0.07,
        two_numbers=0.20,
    ),
    Case(
        name="Aurora, MPI all_gather",
        series=("aurora_chiara_ag",),
        fit_max_ranks=1664,
        target=0.15,
        two_numbers=0.94,
        ranks_per_node=104,
    ),
    Case(
        name="Leonardo, MPI, named algorithms",
        series=("leonardo_pico",),
        fit_max_ranks=256,
        target=0.12,
    ),
    Case(
        name="Fugaku, torus, all labels",
        series=("fugaku_bine_torus",),
        fit_max_ranks=512,
        target=0.12,
        two_numbers=0.43,
    ),
)


def rows_of(
    case: Case, console: Console, *, chosen: bool = False
) -> list[dict[str, Any]]:
    """Predict every row of a case, held-out or not."""
    first, *others = (fm.load_reference(name) for name in case.series)
    times = first.concat(*others)
    if case.ranks_per_node:
        times = times.filter(times.ranks_per_node == case.ranks_per_node)
    groups = split(times, case.fit_max_ranks, None)
    rows = run(groups, console, chosen=chosen)["rows"]
    return [{**row, "case": case.name} for row in rows]


def line(case: Case, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Score a case."""
    fitted = score([row for row in rows if not row["held_out"]])
    larger = score([row for row in rows if row["held_out"]])
    return {
        "series": case.name,
        "fitted to": int(case.fit_max_ranks),
        "predicted": f"{min(larger['ranks'])} to {max(larger['ranks'])}",
        "rows": larger["n"],
        "in range": fitted["median_abs_rel_err"],
        "beyond": larger["median_abs_rel_err"],
        "mean beyond": larger["mean_abs_rel_err"],
        "target": case.target,
        "two numbers": None if np.isnan(case.two_numbers) else case.two_numbers,
        "90 % covers": larger["coverage_90"],
        "interval": larger["median_interval_ratio"],
    }


def coverage(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nominal and observed coverage of the larger scales, and how many rows there are.

    From the 90 % interval, whose ends are as far from the median in log time as a
    normal distribution has them.
    """
    held = rows.filter("held_out", pl.col("predicted_us").is_not_null())
    time, middle, low, high = (
        held[name].log().to_numpy()
        for name in ("time_us", "predicted_us", "lo_us", "hi_us")
    )
    width = 0.5 * (high - low) / student_quantile(0.95)
    distance = np.abs(time - middle) / width
    nominal = np.array([0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 0.99])
    reach = np.array([student_quantile(0.5 + level / 2.0) for level in nominal])
    observed = np.mean(distance[:, None] <= reach, axis=0)
    return nominal, observed, np.full(len(nominal), held.height)


def table(lines: list[dict[str, Any]]) -> str:
    """Write the scores as a Markdown table."""
    cells = [[_cell(name, value) for name, value in each.items()] for each in lines]
    return markdown_table(lines[0], cells)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "interval":
        return f"{value:.2f}x"
    if isinstance(value, float):
        return f"{100 * value:.1f} %"
    return f"{value:,}" if isinstance(value, int) else str(value)


def main(argv: list[str] | None = None) -> int:
    """Read the command line, validate every case, write the report."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.validate_all", description=__doc__
    )
    parser.add_argument("--only", nargs="+", metavar="SERIES", help="of these series")
    parser.add_argument("--choose", action="store_true", help="each group's model")
    parser.add_argument("--out", type=Path, default=Path("out/validate_all"))
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    chosen = [c for c in CASES if not options.only or set(options.only) & set(c.series)]
    if not chosen:
        known = ", ".join(name for case in CASES for name in case.series)
        console.print(f"[red]error:[/] no series {options.only}. Use some of {known}")
        return 2
    rows: list[dict[str, Any]] = []
    lines = []
    for case in chosen:
        console.print(case.name, highlight=False)
        own = rows_of(case, console, chosen=options.choose)
        rows += own
        lines.append(line(case, own))
    larger = score([row for row in rows if row["held_out"]])
    report = [
        "# Small runs predict larger ones",
        "",
        "Median error of the fitted range and of the larger scales, which no fit saw.",
        "",
        table(lines),
        "",
        f"All larger scales together, {larger['n']:,} rows: the 90 % interval covers "
        f"{larger['coverage_90']:.0%} of them and is "
        f"{larger['median_interval_ratio']:.2f}x wide in the median, end to end.",
        "",
        "Made by `python -m experiments.validate_all` with "
        + ", ".join(f"{name} {value}" for name, value in machine().items()),
        "",
    ]
    with whole_folder(options.out) as folder:
        (folder / "report.md").write_text("\n".join(report), encoding="utf-8")
        write_json(
            folder / "scores.json",
            {"cases": lines, "all_held_out": larger, "machine": machine()},
        )
        frame = pl.DataFrame(rows, infer_schema_length=None)
        frame.write_csv(folder / "rows.csv")
        plots.save(plots.reliability(*coverage(frame)), folder, "reliability")
    console.print("\n".join(report[4:8]), highlight=False, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Can a job of so many chips run for months? Goodput against chips and restart time.

python -m experiments.months_long_run [--restart-s S ...] [--checkpoint-s S]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import fabricmodel as fm
from experiments.training import study
from fabricmodel.plots.figures import LOOKS
from fabricmodel.training.goodput import (
    OBSERVED,
    Reliability,
    best_interval_s,
    expected_failures,
    mean_time_between_s,
    outlook,
)

CHIPS = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
LLAMA = (16_384.0, 54.0 * 24.0, 419, 0.90)  # chips, hours, interruptions, effective


def rows_of(
    chips: list[int], restarts: list[float], checkpoint_s: float, spares_share: float
) -> list[dict[str, Any]]:
    """Goodput of every size and restart, at the best checkpoint interval."""
    rows = []
    size = np.array(chips, float)
    for restart in restarts:
        job = Reliability(restart_s=restart, checkpoint_s=checkpoint_s)
        spares = np.ceil(spares_share * size / float(np.asarray(job.chips_per_node)))
        found = outlook(job, size, spares=spares)
        best = np.asarray(best_interval_s(job, size, spares))
        for at, count in enumerate(chips):
            rows.append(
                {
                    "chips": count,
                    "restart_s": restart,
                    "checkpoint_s": checkpoint_s,
                    "spare_nodes": float(spares[at]),
                    "hours_between": float(
                        np.asarray(mean_time_between_s(job, size[at])) / 3600.0
                    ),
                    "best_interval_s": float(best[at]),
                    "goodput": float(found.median[at]),
                    "goodput_low": float(found.low[at]),
                    "goodput_high": float(found.high[at]),
                }
            )
    return rows


def published() -> list[dict[str, str]]:
    """The 54 days on 16,384 GPUs, from every published rate, its own set apart."""
    chips, hours, seen, effective = LLAMA
    found = []
    for name, chip_hours, _ in OBSERVED:
        job = Reliability(failures_per_hour=1.0 / chip_hours, restart_s=600.0)
        mean, deviation = expected_failures(job, chips, hours)
        share = outlook(job, np.array([chips]), spares=64.0, rate_spread=0.01)
        found.append(
            {
                "rate of": name,
                "interruptions": f"{mean:.0f} +- {2 * deviation:.0f} (seen: {seen})",
                "goodput": f"{float(share.median[0]):.3f} "
                f"({float(share.low[0]):.3f} to "
                f"{float(share.high[0]):.3f}; reported: above {effective:.2f})",
            }
        )
    return found


def draw(rows: list[dict[str, Any]], chips: list[int], folder: Path) -> None:
    """Goodput by chips, one line a restart time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.8))
    axis = figure.subplots()
    for at, restart in enumerate(dict.fromkeys(row["restart_s"] for row in rows)):
        mine = [row for row in rows if row["restart_s"] == restart]
        x, look = [row["chips"] for row in mine], LOOKS[at % len(LOOKS)]
        axis.plot(x, [100 * r["goodput"] for r in mine], color=look.colour,
                  linestyle=look.style, marker=look.marker, markersize=4,
                  label=f"restart {restart / 60:g} min")  # fmt: skip
        axis.fill_between(x, [100 * r["goodput_low"] for r in mine],
                          [100 * r["goodput_high"] for r in mine], color=look.colour,
                          alpha=0.12, linewidth=0)  # fmt: skip
    axis.plot(16384, 90, "*", color="black", markersize=12, label="Llama 3: above 90 %")
    axis.set_xlabel("chips")
    axis.set_ylabel("useful share of time, %")
    axis.set_ylim(0, 100)
    study.size_axis(axis, chips)
    axis.legend(
        frameon=False, fontsize=8, handlelength=3.2, loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
    )  # fmt: skip
    study.save(figure, folder, "months_long_run")


def answer(rows: list[dict[str, Any]]) -> str:
    """Say in words what months of a job need."""
    last = max(row["chips"] for row in rows)
    here = [row for row in rows if row["chips"] == last]
    fast = min(here, key=lambda row: row["restart_s"])
    slow = max(here, key=lambda row: row["restart_s"])
    own, *others = [chip_hours for _, chip_hours, _ in OBSERVED]
    least, most = own / max(others), own / min(others)
    return (
        f"A job of {last:,} chips is interrupted every "
        f"{60 * fast['hours_between']:.0f} "
        "minutes at the rate of the published 54-day run, so none runs for months "
        "without stopping: what lasts is the share of useful time. With a restart of "
        f"{fast['restart_s'] / 60:g} min it is {100 * fast['goodput']:.0f} % "
        f"({100 * fast['goodput_low']:.0f} to {100 * fast['goodput_high']:.0f}), with "
        f"{slow['restart_s'] / 60:g} min {100 * slow['goodput']:.0f} % "
        f"({100 * slow['goodput_low']:.0f} to {100 * slow['goodput_high']:.0f}). The "
        "restart decides, not the checkpoint. The 54-day run is met from its own rate "
        "by construction; from the rates of four other clusters the "
        "interruptions would "
        f"be {least:.1f} to {most:.1f} times as many, which is the width that a new "
        "system starts with. Nothing is published on Trn2 or Trn3, so their "
        "stability over months "
        "can't be decided from public facts."
    )


VERDICT = (
    "stable for months-long runs: fails if it means without interruption, at any rate "
    "that was published; holds as a share of useful time where restarts take minutes; "
    "for Trainium it can't be decided, no rate is published."
)


def main(argv: list[str] | None = None) -> int:
    """Read the command line, compute and write."""
    parser = study.parser("months_long_run", "Goodput against chips and restart time.")
    parser.add_argument("--chips", type=int, nargs="+", default=list(CHIPS))
    parser.add_argument(
        "--restart-s", type=float, nargs="+", default=[60.0, 300.0, 600.0, 1800.0]
    )
    parser.add_argument("--checkpoint-s", type=float, default=10.0)
    parser.add_argument("--spares", type=float, default=0.03, help="share of the nodes")
    options = parser.parse_args(argv)
    console = Console(stderr=True)

    def work() -> None:
        if min([*options.restart_s, options.checkpoint_s, *options.chips]) <= 0:
            raise fm.FabricError("options", "not positive", "Give positive numbers")
        rows = rows_of(
            options.chips, options.restart_s, options.checkpoint_s, options.spares
        )
        table = [
            {
                "chips": f"{row['chips']:,}",
                "restart": f"{row['restart_s'] / 60:g} min",
                "interrupted every": f"{row['hours_between']:.2f} h",
                "best checkpoint interval": f"{row['best_interval_s'] / 60:.1f} min",
                "goodput": f"{row['goodput']:.3f} ({row['goodput_low']:.3f} to "
                f"{row['goodput_high']:.3f})",
            }
            for row in rows
            if row["chips"] in (4096, 16384, 131072)
        ]
        study.publish(
            "months_long_run",
            options.out,
            title="Months of one job",
            question="What share of the time does a job of so many chips compute, and "
            "what decides it?",
            answer=answer(rows) + "\n\n" + study.markdown(published()),
            verdict=VERDICT,
            table=table,
            rows=rows,
            standing="- Measured: interruptions of five clusters, "
            + "; ".join(f"{name} ({source})" for name, _, source in OBSERVED)
            + ".\n- Assumed: exponential failures, a log standard deviation of 0.6 of "
            "the rate between systems and of 0.5 of the restart, 24 hours of repair.\n"
            "- The interval of the checkpoint is the optimum by gradient; Young's and "
            "Daly's formulas agree with it within 1 % where failures are rare.",
            draw=lambda folder: draw(rows, options.chips, folder),
        )
        console.print(f"wrote {options.out}", highlight=False)

    return study.run(console, work)


if __name__ == "__main__":
    sys.exit(main())

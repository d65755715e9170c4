"""The report of a rig's comparison: tables of prices and errors, and one figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.output import markdown_table
from fabricmodel import plots
from fabricmodel.plots.figures import make_figure


def write(folder: Path, result: dict[str, Any]) -> None:
    """Write ``report.md`` and the figure ``errors`` into a folder."""
    plots.save(figure(result["rows"]), folder, "errors")
    (folder / "report.md").write_text("\n".join(_lines(result)), encoding="utf-8")


def _lines(result: dict[str, Any]) -> list[str]:
    lines = ["# A network whose truth is known", "", "## Prices", ""]
    lines.append(markdown_table(
        ("fabric", "price", "by", "fitted", "true", "unit", "error", "met"),
        [
            (
                row["fabric"], row["price"], row["by"], f"{row['fitted']:,.0f}",
                f"{row['true']:,.0f}", row["unit"], f"{row['error']:+.2%}",
                "yes" if row["met"] else "no",
            )
            for row in result["prices"]
        ],
    ))  # fmt: skip
    lines += ["", "## Predicted topologies", ""]
    lines.append(markdown_table(
        ("rig", "topology", "cells", "median error", "p90", "90 % covers"),
        [
            (
                row["rig"], row["topology"], row["n"],
                f"{row['median_abs_rel_err']:.2%}", f"{row['p90_abs_rel_err']:.2%}",
                f"{row['coverage_90']:.0%}",
            )
            for row in result["topologies"]
        ],
    ))  # fmt: skip
    if result["odd_links"]:
        lines += ["", "## Odd links", ""]
        lines += [
            f"- {row['topology']}: {row['said']} (set: {row['stated']}, "
            f"{row['true_byte_factor']:.2f}x the price of a byte, "
            f"{row['true_delay_factor']:.2f}x the delay)"
            for row in result["odd_links"]
        ]
    if result["levels"]:
        lines += ["", "## Two levels", ""]
        lines += [
            f"- {row['topology']}, {row['level']}: delay {row['delay_us']:,.0f} us "
            f"({row['delay_error']:+.1%}), goodput {row['goodput_Bps']:,.0f} B/s "
            f"({row['rate_error']:+.1%})"
            for row in result["levels"]
        ]
    count = result["inconclusive_cells"]
    lines += [
        "",
        f"{count} cells were inconclusive: their repeats differ by more than 10 %.",
        "They are predicted, but count neither for a fit nor as a pass.",
        "",
        "![errors](errors.png)",
        "",
        f"Made with {', '.join(f'{k} {v}' for k, v in result['machine'].items())}.",
        "",
    ]
    return lines


def figure(rows: Sequence[dict[str, Any]]) -> Any:
    """Draw the error of every predicted row, by topology."""
    shown = [row for row in rows if row["predicted_us"] and row["conclusive"]]
    names = list(dict.fromkeys(row["topology"] for row in shown))
    drawn = make_figure(1.5 + 0.85 * len(names), 4.4)
    axes = drawn.subplots()
    for at, name in enumerate(names):
        part = [row for row in shown if row["topology"] == name]
        errors = [100.0 * (r["predicted_us"] / r["time_us"] - 1.0) for r in part]
        spread = np.linspace(-0.3, 0.3, len(part))
        held_out = part[0]["held_out"]
        axes.scatter(
            at + spread, errors, s=6, linewidths=0.6, alpha=0.6,
            facecolors="#0b5394" if held_out else "none", edgecolors="#0b5394",
        )  # fmt: skip
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_ylabel("predicted against measured (%)")
    _tame(axes, [100.0 * (r["predicted_us"] / r["time_us"] - 1.0) for r in shown])
    axes.set_title("Open: fitted rings. Filled: predicted topologies.", fontsize=10)
    axes.grid(axis="y", linewidth=0.4)
    return drawn


def _tame(axes: Any, errors: Sequence[float]) -> None:
    """Plain up to 10 %, logarithmic beyond: one odd row must not flatten the rest."""
    low, high = min(-11.0, 1.3 * min(errors)), max(11.0, 1.3 * max(errors))
    axes.set_yscale("symlog", linthresh=10.0, linscale=1.5)
    axes.set_ylim(low, high)
    ticks = [-10, -5, -2, 0, 2, 5, 10, *(-20, 20), *(-50, 50), *(-100, 100), 200, 500]
    shown = sorted(tick for tick in ticks if low <= tick <= high)
    axes.set_yticks(shown, [f"{tick:+d}" if tick else "0" for tick in shown])
    axes.set_yticks([], minor=True)

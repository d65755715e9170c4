"""How much of a training step is communication that nothing hides?

python -m experiments.communication_tax [--chips N ...] [--models NAME ...]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from experiments.training import study
from fabricmodel.training.price import PriceList
from fabricmodel.training.tax import communication_tax

PLATFORMS = ("trn2", "trn3", "h100", "gb200", "tpu-v5p", "tpu-v7x")
MODELS = (
    "llama3.1-8b", "llama3.1-70b", "llama3.1-405b", "dense-1t", "deepseek3-671b",
)  # fmt: skip
CHIPS = (16, 64, 256, 1024, 4096, 16384, 65536, 131072)


def rows_of(
    plans: dict, precision: str, price: PriceList, watts: float
) -> list[dict[str, Any]]:
    """Tax of every plan on time, energy and cost, with its interval and bounds."""
    rows = []
    for (name, model), found in plans.items():
        tax = communication_tax(
            found[0].platform, found[0].work, study.stacked(found),
            study.habits_of(name, precision), precision,
        )  # fmt: skip
        shape = tax.step_s.shape
        middle, low, high = study.median_and_ends(tax.exposed)
        cost = tax.cost(price, watts)
        energy, energy_low, energy_high = study.median_and_ends(tax.energy)
        for at, each in enumerate(found):
            causes = {
                f"{kind}_{key}": float(np.broadcast_to(value, shape)[0, at])
                for kind, parts in (
                    ("share", tax.causes), ("latency", tax.latency_causes)
                )
                for key, value in parts.items()
            }  # fmt: skip
            rows.append(
                {
                    "platform": name,
                    "model": model,
                    "chips": each.chips,
                    "layout": each.layout_text,
                    "step_s": float(tax.step_s[0, at]),
                    "tax": float(middle[at]),
                    "tax_low": float(low[at]),
                    "tax_high": float(high[at]),
                    "if_all_hidden": float(np.broadcast_to(tax.least, shape)[0, at]),
                    "if_none_hidden": float(np.broadcast_to(tax.most, shape)[0, at]),
                    "latency_part": float(tax.latency[0, at]),
                    "energy_share": float(energy[at]),
                    "energy_low": float(energy_low[at]),
                    "energy_high": float(energy_high[at]),
                    "energy_if_all_hidden": float(tax.energy_least[0, at]),
                    "energy_if_none_hidden": float(tax.energy_most[0, at]),
                    "cost_share": float(cost[0][0, at]),
                    "cost_if_all_hidden": float(cost[1][0, at]),
                    "cost_if_none_hidden": float(cost[2][0, at]),
                    **causes,
                }
            )
    return rows


def draw(rows: list[dict[str, Any]], chips: list[int], folder: Path) -> None:
    """One panel a model, one line a platform, its 90 % interval shaded."""
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(row["model"] for row in rows))
    figure = Figure(figsize=(3.0 * len(models) + 0.6, 3.6))
    axes = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for axis, model in zip(axes, models, strict=True):
        for name in dict.fromkeys(row["platform"] for row in rows):
            mine = [r for r in rows if r["model"] == model and r["platform"] == name]
            if not mine:
                continue
            x = [row["chips"] for row in mine]
            axis.plot(
                x, [100 * row["tax"] for row in mine], color=study.COLOURS[name],
                marker=study.MARKS[name], markersize=4, label=study.LABELS[name],
            )  # fmt: skip
            axis.fill_between(
                x,
                [100 * row["tax_low"] for row in mine],
                [100 * row["tax_high"] for row in mine],
                color=study.COLOURS[name], alpha=0.12, linewidth=0,
            )  # fmt: skip
        axis.set_title(model, fontsize=10)
        axis.set_xlabel("chips")
        study.size_axis(axis, chips)
    # Not linear: the one model of experts would flatten the dense ones.
    highest = max(100 * row["tax_high"] for row in rows)
    ticks = [0, 0.5, 1, 2, 5, 10, 20, 50, 100]
    axes[0].set_yscale("symlog", linthresh=1.0, linscale=0.6)
    axes[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[0].set_yticks([], minor=True)
    axes[0].set_ylim(0, 1.1 * highest)
    axes[0].set_ylabel("exposed communication, % of the step")
    handles, labels = axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=6, loc="lower center", frameon=False,
                  bbox_to_anchor=(0.5, -0.2))  # fmt: skip
    study.save(figure, folder, "communication_tax")


def answer(rows: list[dict[str, Any]], at: int) -> str:
    """Say in words what the table shows."""
    here = [row for row in rows if row["chips"] == at]
    if not here:
        return ""
    tax = np.array([row["tax"] for row in here])
    worst = max(here, key=lambda row: row["tax"])
    best = min(here, key=lambda row: row["tax"])
    growth = []
    for row in here:
        first = min(
            (
                r
                for r in rows
                if (r["platform"], r["model"]) == (row["platform"], row["model"])
            ),
            key=lambda r: r["chips"],
        )
        growth.append(row["tax"] - first["tax"])
    causes = {
        key: float(np.mean([row[f"share_{key}"] for row in here]))
        for key in ("tp", "cp", "ep", "pp", "dp")
    }
    largest = max(causes, key=lambda key: causes[key])
    return (
        f"At {at:,} chips and the fastest layout that was found, exposed communication "
        f"is {100 * tax.min():.0f} to {100 * tax.max():.0f} % of the step, median "
        f"{100 * np.median(tax):.0f} %. The least is "
        f"{study.LABELS[best['platform']]} on "
        f"{best['model']}, the most {study.LABELS[worst['platform']]} on "
        f"{worst['model']} ({100 * worst['tax_low']:.0f} to "
        f"{100 * worst['tax_high']:.0f} %). Against the smallest job that holds the "
        f"model the share moves by {100 * np.median(growth):+.0f} points (median). The "
        f"largest cause is {largest} ({100 * causes[largest]:.0f} % of a step on "
        "average). The tax is real, and it depends on model, layout and batch "
        "more than "
        "on the fabric's name: with all communication hidden that computation could "
        "hide it would fall to the column `if all hidden`, and with none "
        "hidden rise to "
        "`if none hidden`."
    )


def verdict(rows: list[dict[str, Any]], at: int) -> str:
    """Say where the claim holds."""
    here = [row for row in rows if row["chips"] == at]
    sure = [row["tax_low"] for row in here if row["platform"] in study.FITTED]
    unseen = [study.LABELS[n] for n in dict.fromkeys(row["platform"] for row in here)
              if n not in study.FITTED]  # fmt: skip
    held = (
        f"collectives tax training: holds on fitted platforms at {at:,} chips, where "
        f"even the low end of the interval is {100 * min(sure):.0f} % or more"
        if sure
        else f"collectives tax training: no fitted platform was asked at {at:,} chips"
    )
    left = f"; how much on {', '.join(unseen)} can't be decided" if unseen else ""
    return f"{held}{left}. That one fabric abolishes it fails: none comes to 0."


def main(argv: list[str] | None = None) -> int:
    """Read the command line, plan, price and write."""
    parser = study.parser("communication_tax", "The communication tax, by cause.")
    parser.add_argument("--chips", type=int, nargs="+", default=list(CHIPS))
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--platforms", nargs="+", default=list(PLATFORMS))
    for flag, default, text in (
        ("--usd-per-hour", 2.0, "rent of a chip, for the share of the cost"),
        ("--usd-per-kWh", 0.0, "of energy on top of the rent; 0 where inside"),
        ("--watts", 1300.0, "of a chip with its share of host and cooling"),
    ):
        parser.add_argument(flag, type=float, default=default, help=text)
    options = parser.parse_args(argv)
    console = Console(stderr=True)

    def work() -> None:
        plans = study.grid(
            options.platforms, options.models, options.chips, console,
            precision=options.precision,
        )  # fmt: skip
        price = PriceList(
            name="given",
            usd_per_hour=options.usd_per_hour,
            energy_usd_per_kWh=options.usd_per_kWh,
        )
        rows = rows_of(plans, options.precision, price, options.watts)
        at = 16384 if 16384 in options.chips else max(options.chips)
        table = [
            {
                "platform": study.LABELS[row["platform"]],
                "model": row["model"],
                "layout": row["layout"],
                "tax %": f"{100 * row['tax']:.1f} ({100 * row['tax_low']:.1f} to "
                f"{100 * row['tax_high']:.1f})",
                "if all hidden": f"{100 * row['if_all_hidden']:.1f}",
                "if none hidden": f"{100 * row['if_none_hidden']:.1f}",
                "latency part": f"{100 * row['latency_part']:.1f}",
                "bubble": f"{100 * row['share_bubble']:.1f}",
                "straggler": f"{100 * row['share_straggler']:.1f}",
                "energy %": f"{100 * row['energy_share']:.1f} ("
                f"{100 * row['energy_low']:.1f} to {100 * row['energy_high']:.1f})",
                "cost %": f"{100 * row['cost_share']:.1f}",
            }
            for row in rows
            if row["chips"] == at
        ]
        study.publish(
            "communication_tax",
            options.out,
            title="The communication tax",
            question="How much of a step is communication that nothing hides, and of "
            f"what cause? ({options.precision}; the table is for {at:,} chips. "
            "Cost has "
            "the same share as time: a waiting chip is rented all the same.)",
            answer=answer(rows, at),
            verdict=verdict(rows, at),
            table=table,
            rows=rows,
            standing=study.standing(options.platforms)
            + "\n- Fabric prices are the catalogue's; overlap, dearness and "
            "crowding are "
            "fitted where runs are published. Layouts are the model's own choice. "
            "Intervals hold the habits' posterior, not the choice of layout.",
            draw=lambda folder: draw(rows, options.chips, folder),
        )
        console.print(f"wrote {options.out}", highlight=False)

    return study.run(console, work)


if __name__ == "__main__":
    sys.exit(main())

"""The same model on Trainium and on GPUs, at equal cost and at equal power.

python -m experiments.trainium_vs_gpu [--models NAME ...] [--usd-per-hour X] [--MW X]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import fabricmodel as fm
from experiments.training import study
from fabricmodel.training.heat import AIR, LIQUID, node_power_W
from fabricmodel.training.price import price_list

PLATFORMS = ("trn2", "trn3", "h100", "b200", "gb200")
MODELS = ("llama3.1-8b", "llama3.1-70b", "llama3.1-405b")
WATERED = ("trn3", "gb200")
KINDS = ("capacity_block", "on_demand", "reserved", "spot")


def watts_of(plan: study.Plan, share: float = 0.85) -> float | None:
    """Power of a chip with its share of host and cooling, at a share of its rating."""
    rated = plan.platform.chip.power_W
    if rated is None:
        return None
    cooling = LIQUID if plan.name in WATERED else AIR
    return (
        float(np.asarray(node_power_W(cooling, share * float(np.asarray(rated))))) / 8
    )


def usd_of(plan: study.Plan) -> tuple[float, str] | None:
    """Cheapest listed kind that is not spot, of a chip hour."""
    for kind in KINDS:
        try:
            found = price_list(plan.platform.chip, kind)
        except fm.FabricModelError:
            continue
        return found.usd_per_hour, found.name
    return None


def equal(
    name: str, model: str, budget: float, each: float, precision: str
) -> study.Plan | None:
    """Plan the largest power of two of chips that a budget pays for."""
    count = 2 ** int(np.log2(max(budget / each, 1.0)))
    while count >= 8:
        found = study.plan(name, model, count, precision=precision)
        if found is not None:
            return found
        count //= 2
    return None


def rows_of(
    names: list[str], models: list[str], usd: float, megawatts: float, precision: str
) -> list[dict[str, Any]]:
    """Tokens for a dollar and for a kilowatt hour of every platform and model."""
    rows = []
    for model in models:
        for name in names:
            probe = study.plan(name, model, 256, precision=precision)
            if probe is None:
                continue
            watts, price = watts_of(probe), usd_of(probe)
            budgets = {
                "power": (megawatts * 1e6 / 1.15, watts),
                "cost": (usd, price[0] if price else None),
            }
            for basis, (budget, each) in budgets.items():
                if each is None:
                    continue
                found = equal(name, model, budget, each, precision)
                if found is None:
                    continue
                step = study.steps([found], precision)
                rate = found.tokens / step / found.chips  # tokens/s of a chip
                whole = rate * budget / each  # of the whole budget
                middle, low, high = study.median_and_ends(whole)
                peak = float(np.asarray(found.platform.chip.peak_flops["bf16"]))
                rows.append(
                    {
                        "model": model,
                        "basis": basis,
                        "platform": name,
                        "chips": float(budget / each),
                        "planned_chips": found.chips,
                        "layout": found.layout_text,
                        "unit": each,
                        "mfu_bf16": float(found.work.model_flops() * rate[0, 0] / peak),
                        "tokens_per_s": float(middle[0]),
                        "low": float(low[0]),
                        "high": float(high[0]),
                        "list": price[1] if basis == "cost" and price else "",
                    }
                )
    return rows


def draw(rows: list[dict[str, Any]], folder: Path) -> None:
    """Tokens a second of one budget, by model; a panel each for power and cost."""
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(row["model"] for row in rows))
    names = list(dict.fromkeys(row["platform"] for row in rows))
    against = study.LABELS[_base(rows)]
    figure = Figure(figsize=(max(8.8, 2.6 * len(models) + 1.6), 3.7))
    axes = figure.subplots(1, 2, sharey=True)
    for axis, basis in zip(axes, ("power", "cost"), strict=True):
        for at, name in enumerate(names):
            for k, model in enumerate(models):
                row = _one(rows, model, basis, name)
                base = _one(rows, model, basis, _base(rows))
                if row is None or base is None:
                    continue
                x = k + (at - (len(names) - 1) / 2) * 0.15
                value = row["tokens_per_s"] / base["tokens_per_s"]
                ends = np.array([[row["low"]], [row["high"]]]) / base["tokens_per_s"]
                axis.bar(x, value, 0.14, color=study.COLOURS[name],
                         hatch=study.HATCHES[name], edgecolor="white", linewidth=0,
                         yerr=np.abs(ends - value), error_kw={"lw": 1, "capsize": 2},
                         label=study.LABELS[name] if k == 0 else None)  # fmt: skip
        axis.axhline(1.0, color="black", linewidth=0.8)
        axis.set_xticks(range(len(models)))
        axis.set_xticklabels(models, fontsize=9)
        axis.set_axisbelow(True)
        axis.set_title(f"equal {basis}", fontsize=10)
        axis.grid(True, axis="y", alpha=0.3)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[0].set_ylabel(f"tokens a second, against {against}\n(90 % interval)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=5, loc="lower center", frameon=False,
                  bbox_to_anchor=(0.5, -0.08))  # fmt: skip
    study.save(figure, folder, "trainium_vs_gpu")


def _base(rows: list[dict[str, Any]]) -> str:
    """Tell what to compare with: H100, or the first platform where it wasn't asked."""
    names = [row["platform"] for row in rows]
    return "h100" if "h100" in names else names[0]


def _one(
    rows: list[dict[str, Any]], model: str, basis: str, name: str
) -> dict[str, Any] | None:
    for row in rows:
        if (row["model"], row["basis"], row["platform"]) == (model, basis, name):
            return row
    return None


def answer(rows: list[dict[str, Any]]) -> str:
    """Say in words who wins, on what basis, and how sure that is."""
    parts, against = [], _base(rows)
    for name in dict.fromkeys(row["platform"] for row in rows):
        if name == against:
            continue
        for basis in ("power", "cost"):
            ratio, low, high = [], [], []
            for model in dict.fromkeys(row["model"] for row in rows):
                mine, base = (
                    _one(rows, model, basis, name),
                    _one(rows, model, basis, against),
                )
                if mine and base:
                    ratio.append(mine["tokens_per_s"] / base["tokens_per_s"])
                    low.append(mine["low"] / base["high"])
                    high.append(mine["high"] / base["low"])
            if ratio:
                parts.append(
                    f"{study.LABELS[name]} at equal {basis} {np.median(ratio):.2f} "
                    f"({np.min(low):.2f} to {np.max(high):.2f})"
                )
    return (
        f"Tokens against {study.LABELS[against]} (median over the models; the range "
        "holds both sides' uncertainty): "
        + "; ".join(parts)
        + ". Where a range holds 1, public facts do "
        "not decide. A platform without a bar at equal cost has no listed "
        "price (Trn3). "
        "Trn3 has the bf16 rate of Trn2: its case is fp8 (`--precision fp8`)."
    )


VERDICT = (
    "custom chips beat general-purpose ones: can't be decided where a range above "
    "holds 1, and no Trainium2 or 3 training run is published to narrow it; where a "
    "range lies on one side of 1, that side wins under these prices and powers."
)


def main(argv: list[str] | None = None) -> int:
    """Read the command line, plan and write."""
    parser = study.parser(
        "trainium_vs_gpu", "Trainium and GPUs at equal cost and power."
    )
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--platforms", nargs="+", default=list(PLATFORMS))
    parser.add_argument("--usd-per-hour", type=float, default=5000.0)
    parser.add_argument("--MW", type=float, default=1.0)
    options = parser.parse_args(argv)
    console = Console(stderr=True)

    def work() -> None:
        if min(options.usd_per_hour, options.MW) <= 0:
            raise fm.FabricError("budget", "not positive", "Give positive numbers")
        with console.status("Planning"):
            rows = rows_of(
                options.platforms, options.models, options.usd_per_hour, options.MW,
                options.precision,
            )  # fmt: skip
        table = [
            {
                "basis": row["basis"],
                "model": row["model"],
                "platform": study.LABELS[row["platform"]],
                "chips": f"{row['chips']:.0f}",
                "of a chip": f"{row['unit']:.0f} W"
                if row["basis"] == "power"
                else f"${row['unit']:.2f} ({row['list']})",
                "layout": f"{row['layout']} on {row['planned_chips']:,}",
                "MFU": f"{row['mfu_bf16']:.2f}",
                "tokens/s": f"{row['tokens_per_s']:,.0f} ({row['low']:,.0f} to "
                f"{row['high']:,.0f})",
            }
            for row in rows
        ]
        study.publish(
            "trainium_vs_gpu",
            options.out,
            title="Trainium and GPUs",
            question=f"How many tokens a second does {options.MW:g} MW at the "
            "meter buy, "
            f"and how many ${options.usd_per_hour:,.0f} an hour? ({options.precision})",
            answer=answer(rows),
            verdict=VERDICT,
            table=table,
            rows=rows,
            standing=study.standing(options.platforms)
            + "\n- Power: chips at 85 % of their rating, 1.5 kW of host for "
            "eight, fans "
            "or pumps, PUE 1.15. Prices: capacity blocks where listed, else on demand; "
            "lists of different dates are compared, as a buyer would have to.",
            draw=lambda folder: draw(rows, folder),
        )
        console.print(f"wrote {options.out}", highlight=False)

    return study.run(console, work)


if __name__ == "__main__":
    sys.exit(main())

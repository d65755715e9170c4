"""Is training 30 to 50 % better in price-performance, or 40 % cheaper, on Trainium?

python -m experiments.price_performance [--model NAME] [--chips N] [--price P=USD ...]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import fabricmodel as fm
from experiments.training import study
from fabricmodel.training.goodput import Reliability, best_interval_s, goodput
from fabricmodel.training.price import (
    PriceList,
    break_even_price,
    break_even_utilisation,
    price_list,
    usd_per_million_tokens,
)

PLATFORMS = ("trn2", "h100", "gb200", "b200", "a100", "tpu-v5p")
KINDS = ("on_demand", "capacity_block", "reserved", "spot")


def prices_of(plan: study.Plan, given: dict[str, float]) -> list[tuple[str, PriceList]]:
    """Every price that is listed for a platform's chip, by kind, and a given one."""
    found = []
    if plan.name in given:
        usd = given[plan.name]
        found.append(("given", PriceList(name="given", usd_per_hour=usd)))
    for kind in KINDS:
        try:
            found.append((kind, price_list(plan.platform.chip, kind)))
        except fm.FabricModelError:
            continue
    return found


def rows_of(
    plans: dict[str, study.Plan], precision: str, given: dict[str, float]
) -> list[dict[str, Any]]:
    """Dollars of a million tokens on every list, with what stands against H100."""
    rows = []
    for name, each in plans.items():
        step = study.steps([each], precision)[:, 0]
        rate = each.tokens / step / each.chips
        job = Reliability(
            failures_per_hour=float(np.asarray(each.platform.chip.failures_per_hour))
        )
        interval = best_interval_s(job, float(each.chips))
        share = float(goodput(job, float(each.chips), interval, 32.0))
        peak = float(np.asarray(each.platform.chip.peak_flops["bf16"]))
        for kind, price in prices_of(each, given):
            usd = np.asarray(usd_per_million_tokens(price, rate, goodput=share))
            middle, low, high = study.median_and_ends(usd[:, None])
            rows.append(
                {
                    "platform": name,
                    "kind": kind,
                    "list": price.name,
                    "usd_per_chip_hour": price.usd_per_hour,
                    "tokens_per_s_chip": float(rate[0]),
                    "mfu_bf16": float(each.work.model_flops() * rate[0] / peak),
                    "goodput": share,
                    "usd_per_million": float(middle[0]),
                    "usd_low": float(low[0]),
                    "usd_high": float(high[0]),
                    "peak_flops": peak,
                }
            )
    return rows


def compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Trn2 against every other platform on a list of the same kind, or on demand."""
    return [
        against(own, other)
        for own in rows
        if own["platform"] == "trn2"
        for other in rows
        if other["platform"] != "trn2"
        and (
            other["kind"] == own["kind"]
            or (own["kind"], other["kind"]) == ("capacity_block", "on_demand")
        )
    ]


def against(own: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Saving of one row against another, and where the two would break even."""
    common = (
        own["usd_per_chip_hour"], own["peak_flops"], other["usd_per_chip_hour"],
        other["peak_flops"], other["mfu_bf16"],
    )  # fmt: skip
    rates = (
        other["usd_per_chip_hour"],
        other["tokens_per_s_chip"],
        own["tokens_per_s_chip"],
    )
    saving, low, high = (
        100.0 * (1.0 - own[mine] / other[theirs])
        for mine, theirs in (
            ("usd_per_million", "usd_per_million"),
            ("usd_high", "usd_low"),
            ("usd_low", "usd_high"),
        )
    )
    even = break_even_utilisation(*common)
    cheap = break_even_utilisation(*common, saving=0.4)
    return {
        "trn2 list": f"{own['list']}, {_words(own['kind'])}",
        "against": f"{study.LABELS[other['platform']]}, {other['list']}, "
        f"{_words(other['kind'])}",
        "saving %": f"{saving:.0f} ({low:.0f} to {high:.0f})",
        "MFU to break even": f"{even:.2f}",
        "MFU for 40 % cheaper": f"{cheap:.2f}",
        "Trn2 $/h to break even": f"{break_even_price(*rates):.2f}",
        "Trn2 $/h for 40 %": f"{break_even_price(*rates, saving=0.4):.2f}",
    }


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def draw(rows: list[dict[str, Any]], folder: Path) -> None:
    """Dollars of a million tokens, one bar a list, with its interval."""
    from matplotlib.figure import Figure

    ordered = sorted(rows, key=lambda row: row["usd_per_million"])
    figure = Figure(figsize=(7.0, 0.3 * len(ordered) + 1.2))
    axis = figure.subplots()
    at = np.arange(len(ordered))
    value = np.array([row["usd_per_million"] for row in ordered])
    ends = np.array([[r["usd_low"] for r in ordered], [r["usd_high"] for r in ordered]])
    axis.barh(
        at, value, color=[study.COLOURS[r["platform"]] for r in ordered],
        xerr=np.abs(ends - value), error_kw={"lw": 1, "capsize": 2},
    )  # fmt: skip
    axis.set_yticks(at)
    axis.set_yticklabels(
        [
            f"{study.LABELS[row['platform']]}, {row['list']}, {_words(row['kind'])}"
            for row in ordered
        ],
        fontsize=7,
    )
    axis.set_xlabel("US dollars for a million trained tokens (90 % interval)")
    axis.grid(True, axis="x", alpha=0.3)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    study.save(figure, folder, "price_performance")


def answer(found: list[dict[str, Any]]) -> str:
    """Say in words where the claim holds."""
    savings = [float(row["saving %"].split(" ")[0]) for row in found]
    if not savings:
        return "No price of Trn2 is listed beside a price of the same kind."
    met = sum(saving >= 30.0 for saving in savings)
    return (
        f"Of {len(savings)} comparisons of a Trn2 price with another list, Trn2 is at "
        f"least 30 % cheaper for a token in {met}; savings run from "
        f"{min(savings):.0f} to {max(savings):.0f} %. Two things decide: the list (on "
        "demand, capacity blocks and spot differ by more than the chips do), "
        "and Trn2's "
        "utilisation, of which nothing is published. So the claim can't be "
        "decided from "
        "public facts; the columns say which utilisation, or which hour price, it "
        "needs. A saving's interval holds both platforms' uncertainty."
    )


VERDICT = (
    "30 to 50 % better price-performance (40 % cheaper training): can't be decided "
    "from public facts. It holds against some price lists at a utilisation that nobody "
    "has published, and fails against others; the table says which."
)


def main(argv: list[str] | None = None) -> int:
    """Read the command line, plan, price and write."""
    parser = study.parser("price_performance", "Dollars of a million trained tokens.")
    parser.add_argument("--chips", type=int, default=1024)
    parser.add_argument("--model", default="llama3.1-70b")
    parser.add_argument("--platforms", nargs="+", default=list(PLATFORMS))
    parser.add_argument(
        "--price", nargs="*", default=[], metavar="PLATFORM=USD",
        help="an hour of one chip, beside the lists",
    )  # fmt: skip
    options = parser.parse_args(argv)
    console = Console(stderr=True)

    def work() -> None:
        given = dict(_given(each) for each in options.price)
        grid = study.grid(
            options.platforms, [options.model], [options.chips], console,
            precision=options.precision,
        )  # fmt: skip
        plans = {name: found[0] for (name, _), found in grid.items()}
        rows = rows_of(plans, options.precision, given)
        found = compared(rows)
        study.publish(
            "price_performance",
            options.out,
            title="Price-performance",
            question=f"What does a million tokens of {options.model} cost on "
            f"{options.chips:,} chips ({options.precision}), failures "
            "included, on each "
            "list? And what would Trn2 need?",
            answer=answer(found),
            verdict=VERDICT,
            table=found,
            rows=rows,
            standing=study.standing(options.platforms)
            + "\n- Prices are the catalogue's, with their dates; capacity blocks and "
            "spot prices float. Energy is inside a cloud's price.",
            draw=lambda folder: draw(rows, folder),
        )
        console.print(f"wrote {options.out}", highlight=False)

    return study.run(console, work)


def _given(text: str) -> tuple[str, float]:
    name, _, usd = text.partition("=")
    try:
        return name, float(usd)
    except ValueError:
        raise fm.FabricError("--price", repr(text), "Write PLATFORM=USD") from None


if __name__ == "__main__":
    sys.exit(main())

"""The report of ``experiments.diagnose``, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from experiments.output import duration, machine, markdown_table, size
from fabricmodel.fitting.choose import said

if TYPE_CHECKING:
    from experiments.diagnose import Diagnosis

SHOWN = 8
"""Rows of the advice; prices below ``TOLD`` are counted, not listed."""

TOLD = 0.2


def write_report(path: Path, found: Sequence[Diagnosis], names: Sequence[str]) -> None:
    """Write one section for each model, its figure at the top."""
    parts = [
        "# Diagnosis of a fit",
        "Points off 1 in the figures are what counts x prices alone miss; a prediction "
        "knows of them near the measurements.",
    ]
    for each, name in zip(found, names, strict=True):
        parts += [f"## {each.name}", *_section(each, name)]
    made = ", ".join(f"{key} {value}" for key, value in machine().items())
    parts.append(f"Made with {made}.")
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _section(each: Diagnosis, name: str) -> list[str]:
    off = np.abs(np.log(each.rows["ratio"].to_numpy()))
    state = "converged" if each.converged else "did NOT converge"
    return [
        f"![residuals]({name}.png)",
        f"{each.rows.height:,} rows on {each.fabric}; the search {state}. Counts x "
        f"prices alone are off by a factor of {np.exp(np.median(off)):.2f} typically, "
        f"{np.exp(off.max()):.2f} at worst.",
        "### Which prices the data informed",
        *_prices(each),
        *_choice(each),
        "### What to measure next",
        *_advice(each),
    ]


def _prices(each: Diagnosis) -> list[str]:
    told = each.prices.filter(pl.col("informed_if_others_known") >= TOLD)
    told = told.sort("informed", descending=True)
    table = markdown_table(
        ["price", "narrowed by", "if the others were known"],
        [
            (words, f"{100 * max(alone, 0.0):.0f} %", f"{100 * max(apart, 0.0):.0f} %")
            for words, alone, apart in told.select(
                "words", "informed", "informed_if_others_known"
            ).iter_rows()
        ],
    )
    rest = each.prices.height - told.height
    said = [table] if told.height else []
    if rest:
        said.append(f"Of {rest} more the data say next to nothing: the catalogue does.")
    if each.pairs:
        said.append("Traded off (the data know one combination, not each):")
        said.append(
            "\n".join(f"- {x} (correlation {x.correlation:+.2f})." for x in each.pairs)
        )
    else:
        said.append("No two prices trade off.")
    return said


def _choice(each: Diagnosis) -> list[str]:
    if each.choice is None:
        return []
    table = markdown_table(
        [
            "model",
            "fitted to",
            "foretold",
            "log density",
            "median error",
            "inside 90 %",
        ],
        [
            (
                x.candidate,
                f"{x.fitted_to:,.0f} ranks",
                f"{x.foretold:,.0f} ranks",
                f"{x.log_density:+.2f}",
                f"{x.median_error:.1%}",
                f"{x.covered:.0%}",
            )
            for x in each.choice.scores
        ],
    )
    return [
        "### Which model foretells the largest scales",
        f"Chosen: {said(each.choice)}.",
        *([table] if each.choice.scores else []),
    ]


def _advice(each: Diagnosis) -> list[str]:
    collective, volume, ranks = each.question
    asked = f"{collective} of {size(volume)} on {ranks:,.0f} ranks"
    if not each.advice:
        return [f"No advice for {asked}: {each.unanswered}"]
    best = each.advice[0]
    goal = best.now - 0.9 * (best.now - best.after)
    cheap = min(
        (x for x in each.advice if x.after <= goal), key=lambda x: x.cost_rank_s
    )
    few = [*each.advice[:SHOWN], *([] if cheap in each.advice[:SHOWN] else [cheap])]
    return [
        f"The 90 % interval of {asked} spans a factor of {best.now:.2f}. Best: "
        f"{_words(best)} would bring it to {best.after:.2f}. Cheapest with nine tenths "
        f"of that gain: {_words(cheap)}, to {cheap.after:.2f}.",
        markdown_table(
            ["measure", "interval would be", "takes", "cost (rank seconds)", "thrifty"],
            [
                (
                    _words(x),
                    f"{x.after:.3f}",
                    duration(x.time_s),
                    f"{x.cost_rank_s:.3g}",
                    "yes" if x.thrifty else "",
                )
                for x in few
            ],
        ),
        "Thrifty: nothing cheaper narrows it as much. Cost: of one run, ranks x time.",
    ]


def _words(x) -> str:
    return f"{x.collective}, {size(x.size_bytes)}, {x.ranks:,.0f} ranks"

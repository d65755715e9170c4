"""Step three: say it in words and tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from rich.table import Table

import fabricmodel as fm
from experiments.output import machine, markdown_table, size, span
from experiments.scaling.fits import Fit
from fabricmodel.fabric import is_factor

_SHOWN_CHIPS = (16.0, 1024.0, 16_384.0, 131_072.0)


def terminal_table(fit: Fit, rows: pl.DataFrame, sizes: Sequence[float]) -> Table:
    """Median and 90 % interval of an all_reduce, for the terminal."""
    shown = [c for c in _SHOWN_CHIPS if c in rows["chips"].to_list()]
    table = Table(title="all_reduce: median (90 % interval) by number of chips")
    table.add_column("fabric", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    for chips in shown:
        table.add_column(f"{chips:,.0f}", justify="right")
    before = ""
    for fabric, *cells in _lines(rows, "all_reduce", sizes, shown):
        if before and fabric != before:
            table.add_section()
        table.add_row("" if fabric == before else fabric, *cells)
        before = fabric
    table.caption = (
        f"{fit.label}: data end at {fit.data_ends_chips:,.0f} chips; beyond them the "
        "interval widens with the distance"
    )
    return table


def write_report(
    path: Path,
    fits: list[Fit],
    rows: pl.DataFrame,
    terms: pl.DataFrame,
    sizes: Sequence[float],
    chips: np.ndarray,
) -> None:
    """Write the Markdown report."""
    main = rows["fabric"][0]
    parts = [
        "# From measured timings to 100,000 chips",
        f"Predicted for **{main}** and, beside it, other fabrics of as many chips, "
        f"from {chips[0]:,.0f} to {chips[-1]:,.0f} chips. Every figure is a median "
        "with its 90 % interval.",
        "## The fits",
        markdown_table(
            [
                "fit",
                "rows",
                "median error",
                "mean error",
                "prices alone, median",
                "mean",
                "converged",
                "starts agreeing",
            ],
            [_fit_line(fit) for fit in fits],
        ),
        "A prediction errs little where it was measured, since what counts x prices "
        "miss there is part of it; the errors of prices alone say how well the "
        "model itself explains the data.",
        *(_set_aside(fit) for fit in fits if fit.times.set_aside),
        "![measured and fitted](fit.png)",
        "### What the data taught",
        "The share by which the data narrowed the catalogue's belief in each price: "
        "near 0 % the catalogue speaks, near 100 % the data do.",
        markdown_table(
            ["fit", "informed (over 50 %)", "hardly informed (under 10 %)"],
            [_informed_line(fit) for fit in fits],
        ),
        "### Where the algorithm changes",
        markdown_table(
            ["fit", "collective", "changes, at bytes of"], _switch_lines(fits)
        ),
        "## Predictions",
    ]
    for collective in rows["collective"].unique(maintain_order=True):
        shown = [c for c in _SHOWN_CHIPS if c in rows["chips"].to_list()]
        header = ["fabric", "size", *(f"{c:,.0f} chips" for c in shown)]
        parts += [
            f"### {collective}",
            markdown_table(header, _lines(rows, collective, sizes, shown)),
        ]
    parts += [
        "![time against chips](time.png)",
        "![bus bandwidth against chips](bus_bandwidth.png)",
        "## What the time is made of",
        _term_words(terms, main, sizes),
        "![terms against chips](terms.png)",
        "## How far this can be trusted",
        *(f"- {line}" for line in _limits(fits, rows)),
        "## Made with",
        ", ".join(f"{name} {version}" for name, version in machine().items()),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _fit_line(fit: Fit) -> list[str]:
    found = fit.summary()
    return [
        fit.label,
        str(found["rows"]),
        f"{found['median_abs_rel_err']:.1%}",
        f"{found['mean_abs_rel_err']:.1%}",
        f"{found['prices_alone']['median']:.1%}",
        f"{found['prices_alone']['mean']:.1%}",
        "yes" if found["converged"] else f"no ({found['distance']:.2g} sd away)",
        str(found["starts_agreeing"]),
    ]


def _set_aside(fit: Fit) -> str:
    lines = [
        f"- {item.file}, line {item.line}: {item.reason}"
        for item in fit.times.set_aside
    ]
    return "\n".join([f"{len(lines)} rows were set aside:", "", *lines])


def _informed_line(fit: Fit) -> list[str]:
    known = {
        name: share
        for name, share in fit.model.informed().items()
        if not is_factor(name)
    }
    taught = [f"{name} {share:.0%}" for name, share in known.items() if share > 0.5]
    silent = [name for name, share in known.items() if share < 0.1]
    return [fit.label, ", ".join(taught) or "none", ", ".join(silent) or "none"]


def _switch_lines(fits: list[Fit]) -> list[list[str]]:
    lines = []
    for fit in fits:
        largest = fit.model.seen.ranks[1]
        try:
            fabric = fm.place(fit.model.fabric, largest)
        except fm.FabricError:
            continue
        for collective in fit.model.seen.collectives:
            changes = [
                f"{s.below} to {s.above} at {s.size_bytes / 1e6:.3g} MB ({s.stage[0]})"
                for s in fm.switches(fabric, collective)
            ]
            lines.append([fit.label, collective, "; ".join(changes) or "none"])
    return lines


def _lines(
    rows: pl.DataFrame, collective: str, sizes: Sequence[float], chips: Sequence[float]
) -> list[list[str]]:
    lines = []
    of = rows.filter(pl.col("collective") == collective)
    for fabric in of["fabric"].unique(maintain_order=True):
        for wanted in sizes:
            line = [fabric, size(wanted)]
            for count in chips:
                cell = of.filter(
                    (pl.col("fabric") == fabric)
                    & (pl.col("size_bytes") == wanted)
                    & (pl.col("chips") == count)
                )
                line.append(_cell(cell))
            lines.append(line)
    return lines


def _cell(cell: pl.DataFrame) -> str:
    if cell.is_empty():
        return "does not fit"
    row = cell.row(0, named=True)
    return span(row["median_s"], row["lo_s"], row["hi_s"])


def _term_words(terms: pl.DataFrame, fabric: str, sizes: Sequence[float]) -> str:
    lines = []
    most = terms["chips"].max()
    for wanted in sizes:
        part = terms.filter(
            (pl.col("fabric") == fabric)
            & (pl.col("collective") == "all_reduce")
            & (pl.col("size_bytes") == wanted)
            & (pl.col("chips") == most)
        ).sort("share", descending=True)
        words = ", ".join(
            f"{row['share']:.0%} {row['term']}"
            for row in part.head(4).iter_rows(named=True)
            if row["share"] >= 0.01
        )
        lines.append(f"- all_reduce of {size(wanted)} on {most:,.0f} chips: {words}")
    return "\n".join(lines)


def _limits(fits: list[Fit], rows: pl.DataFrame) -> list[str]:
    fit, most = fits[0], rows["chips"].max()
    ratio = float(most) / fit.data_ends_chips  # type: ignore[arg-type]
    return [
        f"The largest prediction is {ratio:,.0f} times beyond the largest run that was "
        f"measured ({fit.data_ends_chips:,.0f} chips).",
        "Levels that were not measured stand at catalogue prices; the widths of their "
        "ranges are in the intervals.",
        f"Collectives measured: {', '.join(fit.model.seen.collectives)}. The others "
        "rest on the same prices, and their intervals are wider for it.",
        "Other jobs on the same network, failures and cold starts are not in the "
        "figures.",
    ]

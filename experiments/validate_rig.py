"""Are the prices right, and the predictions? On networks whose truth is known.

Fits rings of 2 to 4 hosts of each shaped rig, predicts every other topology in the
table, and compares the prices with what the links were set to.

    python -m experiments.validate_rig --measurements FILE --json OUT
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

import fabricmodel as fm
from experiments.output import machine, write_json
from experiments.rigs import compare, held_out
from experiments.rigs.held_out import Prediction
from experiments.rigs.table import read
from experiments.scores import line
from experiments.validate import score

_SHOWN = ("n", "median_abs_rel_err", "p90_abs_rel_err", "coverage_90")
"""What is said of each topology."""


def rows_of(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Turn predicted cells into the rows of the contract, one for each repeat."""
    rows = []
    for each in predictions:
        known = not each.reason
        for row in each.cell.rows:
            rows.append(
                {
                    **row,
                    "ranks": float(row["ranks"]),
                    "size_bytes": float(row["size_bytes"]),
                    "time_us": float(row["median_us"]),
                    "predicted_us": each.median_s * 1e6 if known else None,
                    "lo_us": each.low_s * 1e6 if known else None,
                    "hi_us": each.high_s * 1e6 if known else None,
                    "held_out": each.held_out,
                    "conclusive": each.cell.conclusive,
                    **({"reason": each.reason} if each.reason else {}),
                }
            )
    return rows


def run(path: Path, console: Console) -> dict[str, Any]:
    """Fit, predict and compare; the contract's JSON."""
    cells, unshaped = read(path)
    show = partial(track, console=console, transient=True)
    fits = held_out.fit_rigs(cells, partial(show, description="Fitting"))
    if not fits:
        what = "no shaped rig with a ring of 2 to 4 hosts"
        raise fm.MeasurementError(str(path), what, "Measure one, with its truth")
    predictions = held_out.predict(cells, fits)
    rows = rows_of(predictions)
    judged = [row for row in rows if row["conclusive"]]
    table = compare.prices_table(fits)
    table += compare.ordinary_table(
        cells, partial(show, description="Fitting with fm.fit")
    )
    reason = "unshaped: there is no truth to compare with"
    empty = {"predicted_us": None, "lo_us": None, "hi_us": None, "held_out": True}
    rest = [{**row, **empty, "conclusive": None, "reason": reason} for row in unshaped]
    return {
        "fit": score([row for row in judged if not row["held_out"]]),
        "held_out": score([row for row in judged if row["held_out"]]),
        "topologies": _by_topology(predictions),
        "prices": table,
        "regimes": compare.regimes_table(fits, cells),
        "odd_links": compare.odd_links(
            cells, fits, partial(show, description="Odd links")
        ),
        "levels": compare.levels_table(cells, fits),
        "inconclusive_cells": sum(not cell.conclusive for cell in cells),
        "unpredicted": _reasons([*rows, *rest]),
        "machine": machine(),
        "rows": rows + rest,
    }


def _by_topology(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    keys = dict.fromkeys((p.cell.fabric.rig, p.cell.wiring.name) for p in predictions)
    rows = []
    for rig, topology in keys:
        part = [
            p
            for p in predictions
            if (p.cell.fabric.rig, p.cell.wiring.name) == (rig, topology)
        ]
        found = held_out.errors(part)
        if found["n"]:
            shown = {key: found[key] for key in _SHOWN}
            rows.append({"rig": rig, "topology": topology, **shown})
    return rows


def _reasons(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for row in rows:
        if "reason" in row:
            counted[row["reason"]] = counted.get(row["reason"], 0) + 1
    return counted


def main(argv: list[str] | None = None) -> int:
    """Read the command line, validate, write the JSON and print what was found."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.validate_rig",
        description="Are prices and predictions right where the truth is known?",
    )
    parser.add_argument("--measurements", type=Path, required=True, metavar="FILE")
    parser.add_argument("--json", type=Path, required=True, metavar="OUT")
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    try:
        result = run(options.measurements, console)
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 2
    write_json(options.json, result)
    for said in summary(result):
        console.print(said, highlight=False, soft_wrap=True)
    return 0


def summary(result: dict[str, Any]) -> list[str]:
    """Say the result in lines."""
    lines = []
    for row in result["prices"]:
        mark = "ok  " if row["met"] else "MISS"
        lines.append(
            f"{mark} {row['fabric']}: {row['price']} {row['fitted']:,.0f} "
            f"{row['unit']}, true {row['true']:,.0f} ({row['error']:+.2%}, "
            f"by {row['by']})"
        )
    for row in result["topologies"]:
        lines.append(
            f"     {row['rig']} {row['topology']}: {row['n']} cells, median error "
            f"{row['median_abs_rel_err']:.1%}, p90 {row['p90_abs_rel_err']:.1%}, "
            f"90 % interval covers {row['coverage_90']:.0%}"
        )
    for row in result["regimes"]:
        if row["handshake"] != "none":
            said = f"from {row['switch_bytes']:,.0f} B" if "switch_bytes" in row else ""
            lines.append(
                f"     {row['fabric']}: {row['handshake']} handshake of "
                f"{row['delays_per_message']:.2f} delays {said or 'on every message'}"
            )
        elif row["bucket_bytes"]:
            lines.append(f"     {row['fabric']}: bucket of {row['bucket_bytes']:.0f} B")
    for row in result["odd_links"]:
        lines.append(f"     {row['rig']} {row['topology']}: {row['said']}")
    for row in result["levels"]:
        lines.append(
            f"     {row['rig']} {row['topology']} {row['level']}: delay "
            f"{row['delay_us']:,.0f} us ({row['delay_error']:+.1%}), goodput "
            f"{row['goodput_Bps']:,.0f} B/s ({row['rate_error']:+.1%})"
        )
    for name in ("fit", "held_out"):
        found = result[name]
        if found["n"]:
            lines.append(f"{name}: {line(found, 'ranks', digits=2)}")
    for reason, count in result["unpredicted"].items():
        lines.append(f"not predicted: {count} rows, {reason}")
    lines.append(f"inconclusive: {result['inconclusive_cells']} cells")
    return lines


if __name__ == "__main__":
    sys.exit(main())

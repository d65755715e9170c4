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
from experiments.rigs import held_out, oddlink, ordinary, regimes
from experiments.rigs.held_out import Prediction
from experiments.rigs.prices import Fit, can_count
from experiments.rigs.table import Cell, Fabric, read
from experiments.validate import score

DELAY_EXCESS_S, RATE_ERROR = 0.8e-3, 0.02
"""What a step may cost above the wire's delay: software. Error allowed to a rate."""

SWITCH_ERROR, LEVEL_ERROR = 0.25, 0.05


def prices_table(fits: Sequence[Fit]) -> list[dict[str, Any]]:
    """Compare the fitted prices of each fabric with what its links were set to."""
    rows = []
    for each in fits:
        fabric, prices = each.fabric, each.prices
        named = {"rig": fabric.rig, "fabric": fabric.name, "cells": len(each.cells)}
        if fabric.delay_s > 0:
            rows.append(_delay(named, "delay of a step", each.round_s, fabric.delay_s))
            rows[-1]["hop_us"] = prices.delay_s * 1e6
        rows.append(_rate(named, "rate", 1.0 / prices.byte_s, fabric.goodput_Bps))
    return rows


def ordinary_table(cells: Sequence[Cell], progress: Any) -> list[dict[str, Any]]:
    """Compare the prices that ``fm.fit`` finds from one-hop cells with the truth."""
    rows = []
    for fabric, found in ordinary.fit_all(cells, progress):
        named = {"rig": fabric.rig, "fabric": fabric.name, "cells": found.seen.rows}
        named["by"] = "fabricmodel.fit"
        (level,) = found.fabric.levels
        delay_s, rate = float(level.round_s), 1.0 / float(level.byte_s)
        rows.append(_delay(named, "delay of a step", delay_s, fabric.delay_s))
        rows.append(_rate(named, "rate", rate, fabric.goodput_Bps))
    return rows


def _delay(
    named: dict[str, Any], name: str, fitted: float, true: float
) -> dict[str, Any]:
    return {
        "by": "schedules",
        **named,
        "price": name,
        "unit": "us",
        "fitted": fitted * 1e6,
        "true": true * 1e6,
        "error": fitted / true - 1.0,
        "met": true <= fitted <= true + DELAY_EXCESS_S,
    }


def _rate(
    named: dict[str, Any], name: str, fitted: float, true: float
) -> dict[str, Any]:
    return {
        "by": "schedules",
        **named,
        "price": name,
        "unit": "B/s of payload",
        "fitted": fitted,
        "true": true,
        "error": fitted / true - 1.0,
        "met": abs(fitted / true - 1.0) <= RATE_ERROR,
    }


def regimes_table(fits: Sequence[Fit], cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Say what regime each fabric's messages are in, and where it begins."""
    rows = []
    for each in fits:
        regime = each.regime
        row: dict[str, Any] = {
            "rig": each.fabric.rig,
            "fabric": each.fabric.name,
            "handshake": regime.handshake,
            "bucket_bytes": regime.bucket_bytes,
        }
        if regime.handshake != "none":
            trips = {"ready": 1, "request": 2}[regime.handshake]
            row["delays_per_message"] = (
                trips * each.prices.handshake_s / each.prices.delay_s
            )
        if regime.handshake != "none" and regime.eager_bytes > 0:
            rings = regimes.switch(each)
            everywhere = [
                cell
                for cell in cells
                if cell.fabric == each.fabric and can_count(cell) and cell.conclusive
            ]
            whole = regimes.switch(each, everywhere)
            row |= {
                "switch_used_bytes": regime.eager_bytes,
                "rings_bracket_bytes": _bracket(rings),
                "bracket_bytes": _bracket(whole),
                "switch_bytes": whole.middle_bytes,
            }
            known = regimes.known_limit(each.fabric)
            if known is not None:
                error = whole.middle_bytes / known - 1.0
                row |= {"true_switch_bytes": known, "switch_error": error}
                row["met"] = abs(error) <= SWITCH_ERROR
        rows.append(row)
    return rows


def _bracket(found: regimes.Switch) -> list[float]:
    return [found.largest_eager_bytes, found.smallest_shaken_bytes]


def odd_links(
    cells: Sequence[Cell], fits: Sequence[Fit], progress: Any
) -> list[dict[str, Any]]:
    """Look for the odd link on every ring that has one, and on one plain ring."""
    groups: dict[tuple[str, Fabric, str], list[Cell]] = {}
    for cell in cells:
        kind, name = cell.wiring.kind, cell.wiring.name
        looked_at = kind == "ring" and len(cell.wiring.odd) == 1
        control = name == "ring4" and cell.algorithm in oddlink.TELLING
        sockets = cell.fabric.rig.startswith(held_out.SOCKETS)
        if (looked_at or (control and sockets)) and can_count(cell):
            groups.setdefault((cell.fabric.rig, cell.fabric, name), []).append(cell)
    rows = []
    controls = [key for key in groups if not groups[key][0].wiring.odd]
    for key in controls[1:]:  # one plain ring shows that nothing is found in it
        del groups[key]
    for (rig, fabric, topology), found in progress(list(groups.items())):
        fitted = held_out.speaker(fabric, fits)
        if fitted is None:
            continue
        finding = oddlink.find(found, fitted)
        stated = next(iter(found[0].wiring.odd), None)
        best = finding.suspects[0]
        rows.append(
            {
                "rig": rig,
                "fabric": fabric.name,
                "topology": topology,
                "stated": _link(stated),
                "suspects": [_link(link) for link in finding.equal()],
                "link": _link(finding.named(stated)),
                "said": finding.say(stated),
                "delay_factor": best.delay,
                "byte_factor": best.byte,
                "true_delay_factor": found[0].odd[0],
                "true_byte_factor": 1.0 / found[0].odd[1],
                "met": finding.named(stated) == stated,
            }
        )
    return rows


def levels_table(cells: Sequence[Cell], fits: Sequence[Fit]) -> list[dict[str, Any]]:
    """Price both levels of every two-level topology, from its own cells."""
    groups: dict[tuple[Fabric, str], list[Cell]] = {}
    for cell in cells:
        if cell.wiring.kind == "twolevel" and can_count(cell) and cell.conclusive:
            groups.setdefault((cell.fabric, cell.wiring.name), []).append(cell)
    rows = []
    for (fabric, topology), found in groups.items():
        fitted = held_out.speaker(fabric, fits)
        if fitted is None:
            continue
        odd = found[0].wiring.odd
        got = oddlink.factors(found, fitted, odd, others_byte=True)
        further, faster = found[0].odd
        # What the software adds to a step is not the link's: delay alone is compared.
        inner = (fitted.prices.delay_s * got.others_delay, got.others_byte)
        true = (fabric.delay_s, fabric.goodput_Bps)
        rate = 1.0 / (fitted.prices.byte_s * inner[1])
        levels = {
            "inside": ((inner[0], rate), true),
            "between": (
                (inner[0] * got.delay, rate / got.byte),
                (true[0] * further, true[1] * faster),
            ),
        }
        for level, (fit_, set_) in levels.items():
            errors = [a / b - 1.0 for a, b in zip(fit_, set_, strict=True)]
            rows.append(
                {
                    "rig": fabric.rig,
                    "topology": topology,
                    "level": level,
                    "delay_us": fit_[0] * 1e6,
                    "true_delay_us": set_[0] * 1e6,
                    "delay_error": errors[0],
                    "goodput_Bps": fit_[1],
                    "true_goodput_Bps": set_[1],
                    "rate_error": errors[1],
                    "met": max(map(abs, errors)) <= LEVEL_ERROR,
                }
            )
    return rows


def _link(link: tuple[int, int] | None) -> str:
    return "none" if link is None else f"{link[0]}-{link[1]}"


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
    table = prices_table(fits)
    table += ordinary_table(cells, partial(show, description="Fitting with fm.fit"))
    reason = "unshaped: there is no truth to compare with"
    empty = {"predicted_us": None, "lo_us": None, "hi_us": None, "held_out": True}
    rest = [{**row, **empty, "conclusive": None, "reason": reason} for row in unshaped]
    return {
        "fit": score([row for row in judged if not row["held_out"]]),
        "held_out": score([row for row in judged if row["held_out"]]),
        "topologies": _by_topology(predictions),
        "prices": table,
        "regimes": regimes_table(fits, cells),
        "odd_links": odd_links(cells, fits, partial(show, description="Odd links")),
        "levels": levels_table(cells, fits),
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
            rows.append({"rig": rig, "topology": topology, **found})
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
    for line in summary(result):
        console.print(line, highlight=False, soft_wrap=True)
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
            lines.append(
                f"{name}: {found['n']} rows, "
                f"median error {found['median_abs_rel_err']:.2%}, "
                f"p90 {found['p90_abs_rel_err']:.2%}, "
                f"90 % interval covers {found['coverage_90']:.0%}, "
                f"{found['median_interval_ratio']:.2f}x wide"
            )
    for reason, count in result["unpredicted"].items():
        lines.append(f"not predicted: {count} rows, {reason}")
    lines.append(f"inconclusive: {result['inconclusive_cells']} cells")
    return lines


if __name__ == "__main__":
    sys.exit(main())

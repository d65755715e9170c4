"""Compare what was recovered with what was set: prices, regimes, odd links, levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.rigs import held_out, oddlink, ordinary, regimes
from experiments.rigs.prices import Fit, can_count
from experiments.rigs.table import Cell, Fabric

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

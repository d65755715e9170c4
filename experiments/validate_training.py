"""How well do small training runs predict larger ones?

Fits every platform on the runs with at most N chips, predicts the others, and scores
both. A held-out row never reaches the fit: the table is split before anything else
sees it.

    python -m experiments.validate_training --runs FILE --fit-max-chips N --json OUT
"""

from __future__ import annotations

import argparse
import collections
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

import fabricmodel as fm
from experiments.output import machine, write_json
from experiments.scores import line, score_rows
from fabricmodel.training.fit import FittedTraining, Forecast, fit_runs
from fabricmodel.training.runs import Run, read_runs

_EMPTY = {"predicted_step_s": None, "lo_s": None, "hi_s": None}


def split(runs: Sequence[Run], fit_max_chips: float) -> tuple[list[Run], list[Run]]:
    """Split runs at a number of chips; those of no known size are held out."""
    fitted = [run for run in runs if run.chips <= fit_max_chips]
    held_out = [run for run in runs if not run.chips <= fit_max_chips]
    return fitted, held_out


def score(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Summarise rows that have a prediction and a measured step; None for none."""
    names = ("measured_step_s", "predicted_step_s", "lo_s", "hi_s")
    return score_rows(rows, names, "num_chips_used", "chips")


def growth(runs: Sequence[Run], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare the growth of the step over each weak-scaling series, least to largest.

    A series keeps model, chip, precision and the tokens of a chip (within 5 %), and its
    largest run is held out.
    """
    series: dict[tuple[Any, ...], list[int]] = collections.defaultdict(list)
    for at, (run, row) in enumerate(zip(runs, rows, strict=True)):
        if row["predicted_step_s"] is None or row["measured_step_s"] is None:
            continue
        series[(run.group, run.platform and run.platform.chip.name, run.precision,
                run.model)].append(at)  # fmt: skip
    found = []
    for (group, *_), members in series.items():
        members.sort(key=lambda at: runs[at].chips)
        last = members[-1]
        same = [
            at for at in members if abs(_load(runs[at]) / _load(runs[last]) - 1) < 0.05
        ]
        first = same[0]
        if runs[first].chips >= runs[last].chips or not rows[last]["held_out"]:
            continue
        measured = rows[last]["measured_step_s"] / rows[first]["measured_step_s"] - 1.0
        predicted = (
            rows[last]["predicted_step_s"] / rows[first]["predicted_step_s"] - 1.0
        )
        found.append(
            {
                "group": group,
                "from_chips": runs[first].chips,
                "to_chips": runs[last].chips,
                "measured": measured,
                "predicted": predicted,
                "error": abs(predicted - measured),
            }
        )
    return found


def _load(run: Run) -> float:
    """Tokens of a step for each chip."""
    if run.work is None or run.layout is None:
        return float("nan")
    return float(run.layout.tokens(run.work)) / run.chips


def by_family(runs: Sequence[Run], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Score the held-out rows of each family of platforms."""
    parts: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for run, row in zip(runs, rows, strict=True):
        if row["held_out"] and run.platform is not None:
            parts[run.platform.family].append(row)
    return {name: score(found) for name, found in sorted(parts.items())}


def run(path: str, fit_max_chips: float, console: Console) -> dict[str, Any]:
    """Fit and predict a table; the contract's JSON."""
    frame, runs = read_runs(path)
    fitted, _ = split(runs, fit_max_chips)
    with console.status(f"Fitting {len(fitted)} runs"):
        model = fit_runs(fitted)
        asked = [each for each in runs if not each.reason]
        forecast = model.predict(asked) if asked else None
    rows = _rows(frame.to_dicts(), runs, asked, forecast, fit_max_chips)
    grown = growth(runs, rows)
    errors = [each["error"] for each in grown]
    return {
        "fit": score([row for row in rows if not row["held_out"]]),
        "held_out": score([row for row in rows if row["held_out"]]),
        "held_out_by_family": by_family(runs, rows),
        "growth_median_error": float(np.median(errors)) if errors else None,
        "growth": grown,
        "not_predicted": dict(
            collections.Counter(row["reason"] for row in rows if row["reason"])
        ),
        "model": _summary(model),
        "machine": machine(),
        "rows": rows,
    }


def _rows(
    table: Sequence[dict[str, Any]],
    runs: Sequence[Run],
    asked: Sequence[Run],
    forecast: Forecast | None,
    fit_max_chips: float,
) -> list[dict[str, Any]]:
    """Give every row of the table its prediction, or the reason why it has none."""
    order = {run.row: at for at, run in enumerate(asked)}
    rows = []
    for run, cells in zip(runs, table, strict=True):
        at = order.get(run.row)
        row = {
            **cells,
            **_EMPTY,
            "held_out": not run.chips <= fit_max_chips,
            "measured_step_s": run.step_s,
            "measured_from": run.measured_from or None,
            "num_chips_used": run.chips if np.isfinite(run.chips) else None,
            "assumed": list(run.assumed),
            "reason": run.reason or None,
        }
        if at is not None and forecast is not None:
            if not np.isfinite(forecast.high_s[at]) or not forecast.low_s[at] > 0.0:
                row["reason"] = "the numbers of the row give no finite time"
                rows.append(_plain(row))
                continue
            row["predicted_step_s"] = float(forecast.median_s[at])
            row["lo_s"] = float(forecast.low_s[at])
            row["hi_s"] = float(forecast.high_s[at])
            row["terms_s"] = {k: float(v[at]) for k, v in forecast.terms.items()}
        rows.append(_plain(row))
    return rows


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Write what JSON has no word for (NaN, infinity) as null."""
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in row.items()
    }


def _summary(model: FittedTraining) -> dict[str, Any]:
    return {
        "rows": len(model.seen),
        "converged": model.converged,
        "inflation": model.inflation,
        "effects": dict(zip(model.effects, np.exp(model.sizes).tolist(), strict=True)),
    }


def main(argv: list[str] | None = None) -> int:
    """Read the command line, validate, write the JSON and print the scores."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.validate_training",
        description="How well do small training runs predict larger ones?",
    )
    parser.add_argument("--runs", required=True, metavar="FILE")
    parser.add_argument("--fit-max-chips", type=float, required=True, metavar="N")
    parser.add_argument("--json", type=Path, required=True, metavar="OUT")
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    try:
        with jax.enable_x64(True):
            result = run(options.runs, options.fit_max_chips, console)
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", highlight=False)
        return 2
    write_json(options.json, result)
    for name in ("fit", "held_out"):
        console.print(f"{name}: {line(result[name], 'chips')}", highlight=False)
    if result["growth_median_error"] is not None:
        console.print(
            f"growth of {len(result['growth'])} weak-scaling series: median error "
            f"{100 * result['growth_median_error']:.1f} percentage points",
            highlight=False,
        )
    for reason, count in result["not_predicted"].items():
        console.print(f"not predicted: {count} rows, {reason}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

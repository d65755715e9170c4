"""How well do small runs predict larger ones?

Fits the points with at most N ranks, predicts the others, and scores both. A held-out
row never reaches the fit: the table is split before anything else sees it.

    python -m experiments.validate --measurements FILE... --fit-max-ranks N --json OUT
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

import fabricmodel as fm
from experiments.output import machine, write_json
from fabricmodel.fitting.labels import algorithm_of
from fabricmodel.fitting.recognise import recognise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Measurements that one model explains, and the fabric they were taken on."""

    name: str
    fabric: fm.Fabric
    fitted: fm.Measurements
    held_out: fm.Measurements


def split(
    times: fm.Measurements, fit_max_ranks: float, fabric: fm.Fabric | None
) -> list[Group]:
    """Split a table at a number of ranks, and into what one model can explain.

    With a fabric, or a machine that the catalogue knows, the collectives of a series
    are fitted together, since they share its prices. On a generic fabric each
    collective of a series, and each forced algorithm, has a model of its own.
    """
    frame = times.frame.with_row_index("row")
    columns = ["series"] if fabric else ["series", "collective", "algorithm"]
    if fabric is None and not recognise(times).name.startswith("generic"):
        columns = ["series"]
    groups = []
    for key, part in frame.group_by(columns, maintain_order=True):
        mask = np.isin(np.arange(len(times)), part["row"].to_numpy())
        rows = times.filter(mask)
        groups.append(
            Group(
                name=" ".join(str(word) for word in key if word),
                fabric=fabric or recognise(rows),
                fitted=rows.select(max_ranks=fit_max_ranks),
                held_out=rows.filter(rows.ranks > fit_max_ranks),
            )
        )
    return groups


def predict(model: fm.FittedModel, rows: fm.Measurements) -> dict[str, np.ndarray]:
    """Predict every row: median and 90 % interval in seconds."""
    found = {name: np.full(len(rows), np.nan) for name in ("median", "low", "high")}
    for collective in sorted(set(rows.collective)):
        at = np.flatnonzero(np.asarray(rows.collective) == collective)
        part = rows.filter(np.asarray(rows.collective) == collective)
        guess = model.predict(
            collective,
            part.size_bytes,
            part.ranks,
            part.ranks_per_node,
            [algorithm_of(label) for label in part.algorithm],
            part.frame["topology_shape"].to_list(),
        )
        low, high = guess.interval(0.9)
        found["median"][at], found["low"][at] = guess.median_s, low
        found["high"][at] = high
    return found


def score(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarise predicted rows; None where there are none."""
    known = [row for row in rows if row["predicted_us"] is not None]
    if not known:
        names = ("median_abs_rel_err", "mean_abs_rel_err", "p90_abs_rel_err")
        empty = dict.fromkeys((*names, "coverage_90", "median_interval_ratio"))
        return {"n": 0, "ranks": [], **empty}
    time, guess, low, high = (
        np.array([row[key] for row in known])
        for key in ("time_us", "predicted_us", "lo_us", "hi_us")
    )
    error = np.abs(guess / time - 1.0)
    return {
        "n": len(known),
        "ranks": sorted({int(row["ranks"]) for row in known}),
        "median_abs_rel_err": float(np.median(error)),
        "mean_abs_rel_err": float(np.mean(error)),
        "p90_abs_rel_err": float(np.quantile(error, 0.9)),
        "coverage_90": float(np.mean((low <= time) & (time <= high))),
        "median_interval_ratio": float(np.median(high / low)),
    }


def run(groups: list[Group], console: Console) -> dict[str, Any]:
    """Fit and predict every group; the contract's JSON."""
    rows: list[dict[str, Any]] = []
    models = []
    for group in track(groups, "Fitting", console=console, transient=True):
        if not len(group.fitted):
            rows += _unpredicted(group.held_out, True, "no row within --fit-max-ranks")
            continue
        model = fm.fit(group.fabric, group.fitted)
        models.append(
            {"group": group.name, "fabric": group.fabric.name,
             "rows": model.seen.rows, "converged": model.converged}
        )  # fmt: skip
        rows += _predicted(model, group.fitted, False)
        rows += _predicted(model, group.held_out, True)
    return {
        "fit": score([row for row in rows if not row["held_out"]]),
        "held_out": score([row for row in rows if row["held_out"]]),
        "models": models,
        "machine": machine(),
        "rows": rows,
    }


def _predicted(
    model: fm.FittedModel, rows: fm.Measurements, held_out: bool
) -> list[dict[str, Any]]:
    if not len(rows):
        return []
    try:
        guess = predict(model, rows)
    except fm.FabricError as error:
        return _unpredicted(rows, held_out, str(error))
    return [
        {
            **row,
            "predicted_us": float(guess["median"][i] * 1e6),
            "lo_us": float(guess["low"][i] * 1e6),
            "hi_us": float(guess["high"][i] * 1e6),
            "held_out": held_out,
        }
        for i, row in enumerate(rows.frame.to_dicts())
    ]


def _unpredicted(
    rows: fm.Measurements, held_out: bool, reason: str
) -> list[dict[str, Any]]:
    empty = {"predicted_us": None, "lo_us": None, "hi_us": None}
    extra = {**empty, "held_out": held_out, "reason": reason}
    return [{**row, **extra} for row in rows.frame.to_dicts()]


def main(argv: list[str] | None = None) -> int:
    """Read the command line, validate, write the JSON and print the scores."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.validate",
        description="How well do small runs predict larger ones?",
    )
    parser.add_argument("--measurements", nargs="+", required=True, metavar="FILE")
    parser.add_argument("--series", help="only this series of the table")
    parser.add_argument("--collective", help="only this collective")
    parser.add_argument("--algorithm", help="only rows of this algorithm label")
    parser.add_argument("--fit-max-ranks", type=float, required=True, metavar="N")
    parser.add_argument("--fabric", help="a catalogue name or a TOML file")
    parser.add_argument("--json", type=Path, required=True, metavar="OUT")
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    try:
        fabric = fm.load_fabric(options.fabric) if options.fabric else None
        times = fm.read_measurements(*options.measurements)
        chosen = {
            key: getattr(options, key)
            for key in ("series", "collective", "algorithm")
            if getattr(options, key)
        }
        times = times.select(**chosen)
        if not len(times):
            raise fm.MeasurementError(
                ", ".join(options.measurements),
                f"no row matches {chosen}" if chosen else "no rows",
                "Check --series, --collective and --algorithm",
            )
        result = run(split(times, options.fit_max_ranks, fabric), console)
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", highlight=False)
        return 2
    write_json(options.json, result)
    for name in ("fit", "held_out"):
        console.print(f"{name}: {_line(result[name])}", highlight=False)
    return 0


def _line(found: dict[str, Any]) -> str:
    if not found["n"]:
        return "no rows"
    return (
        f"{found['n']} rows, {min(found['ranks'])} to {max(found['ranks'])} ranks: "
        f"median error {found['median_abs_rel_err']:.1%}, "
        f"mean {found['mean_abs_rel_err']:.1%}, "
        f"90 % interval covers {found['coverage_90']:.0%}, "
        f"{found['median_interval_ratio']:.2f}x wide"
    )


if __name__ == "__main__":
    sys.exit(main())

"""How well do small runs predict larger ones?

Fits the points with at most N ranks, predicts the others, and scores both. A held-out
row never reaches the fit: the table is split before anything else sees it.

    python -m experiments.validate --measurements FILE... --fit-max-ranks N --json OUT
        [--choose]

With --choose the model of each group is chosen among three by how well it foretells
the largest scales of the fitted rows (``fabricmodel.choose``), at some seven fits each.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

import fabricmodel as fm
from experiments.output import machine, write_json
from experiments.scores import line, score_rows
from experiments.selection import add_options, select
from fabricmodel.fitting.recognise import recognise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Measurements that one model explains, and the fabric they were taken on."""

    fabric: fm.Fabric
    fitted: fm.Measurements
    held_out: fm.Measurements


def split(
    times: fm.Measurements, fit_max_ranks: float, fabric: fm.Fabric | None
) -> list[Group]:
    """Split a table at a number of ranks, and into what one model can explain.

    With a fabric, or a machine that the catalogue knows, the collectives of a series
    are fitted together, since they share its prices. On a generic fabric each
    collective of a series, and each forced algorithm, has a model of its own, and so
    has each system where a series names several.
    """
    groups = []
    for series in dict.fromkeys(str(name) for name in times.series):
        whole = times.select(series=series)
        chosen = fabric or recognise(whole)
        parts = [whole]
        if chosen.name.startswith("generic"):
            keys = ["system", "collective", "algorithm"]
            frames = whole.frame.partition_by(keys, maintain_order=True)
            parts = [dataclasses.replace(whole, frame=frame) for frame in frames]
        for rows in parts:
            groups.append(
                Group(
                    fabric=fabric or recognise(rows),
                    fitted=rows.select(max_ranks=fit_max_ranks),
                    held_out=rows.filter(rows.ranks > fit_max_ranks),
                )
            )
    return groups


def score(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarise predicted rows; None where there are none."""
    names = ("time_us", "predicted_us", "lo_us", "hi_us")
    return score_rows(rows, names, "ranks", "ranks")


def run(
    groups: list[Group], console: Console, *, chosen: bool = False
) -> dict[str, Any]:
    """Fit and predict every group, choosing its model if asked; the contract's JSON."""
    rows: list[dict[str, Any]] = []
    models = []
    for group in track(groups, "Fitting", console=console, transient=True):
        if not len(group.fitted):
            rows += _unpredicted(group.held_out, True, "no row within --fit-max-ranks")
            continue
        found = fm.choose(group.fabric, group.fitted) if chosen else None
        model = found.model if found else fm.fit(group.fabric, group.fitted)
        first = group.fitted.frame.row(0, named=True)
        named = {key: first[key] for key in ("series", "collective", "algorithm")}
        models.append(
            {
                **named,
                "fabric": group.fabric.name,
                "rows": model.seen.rows,
                "converged": model.converged,
            }
            | (_choice(found) if found else {})
        )
        rows += _predicted(model, group.fitted, False)
        rows += _predicted(model, group.held_out, True)
    return {
        "fit": score([row for row in rows if not row["held_out"]]),
        "held_out": score([row for row in rows if row["held_out"]]),
        "models": models,
        "machine": machine(),
        "rows": rows,
    }


def _choice(found: fm.Choice) -> dict[str, Any]:
    """What was chosen, and the scores of all."""
    return {
        "model": found.name,
        "scores": [dataclasses.asdict(each) for each in found.scores],
    }


def _predicted(
    model: fm.FittedModel, rows: fm.Measurements, held_out: bool
) -> list[dict[str, Any]]:
    if not len(rows):
        return []
    try:
        guess = model.predict_rows(rows)
    except fm.FabricError as error:
        return _unpredicted(rows, held_out, str(error))
    return [
        {
            **row,
            "predicted_us": float(guess.median_s[i] * 1e6),
            "lo_us": float(guess.low_s[i] * 1e6),
            "hi_us": float(guess.high_s[i] * 1e6),
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
    add_options(parser, "series", "collective", "algorithm")
    parser.add_argument("--fit-max-ranks", type=float, required=True, metavar="N")
    parser.add_argument("--fabric", help="a catalogue name or a TOML file")
    parser.add_argument("--choose", action="store_true", help="each group's model")
    parser.add_argument("--json", type=Path, required=True, metavar="OUT")
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    try:
        fabric = fm.load_fabric(options.fabric) if options.fabric else None
        times = select(fm.read_measurements(*options.measurements), options)
        groups = split(times, options.fit_max_ranks, fabric)
        result = run(groups, console, chosen=options.choose)
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", highlight=False)
        return 2
    write_json(options.json, result)
    for name in ("fit", "held_out"):
        console.print(f"{name}: {line(result[name], 'ranks')}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Hold forced runs out, look the exported rules up for them, and count the cost."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import polars as pl

import fabricmodel as fm
from fabricmodel.baselines.nccl import dgx, nccl_choice
from fabricmodel.tuning import Cell, LearnedCosts, Rule, find_rule, merge_rules
from fabricmodel.tuning.learned import CELL, RUN, forced

_PER_OCTAVE = 2
_NCCL = ("Ring", "Tree", "NVLS", "NVLSTree", "PAT")


def split(
    times: fm.Measurements, fit_max_ranks: float | None, hold_out_sizes: bool
) -> tuple[fm.Measurements, fm.Measurements]:
    """Split off the larger ranks, every other size, or what is either.

    Of the sizes of a collective on one set of ranks the second, fourth and so on are
    held out, never the smallest nor the largest: a choice between measured sizes, not
    beyond them.

    Raises:
      MeasurementError: where neither is asked for, or one side is empty.
    """
    held = np.zeros(len(times), bool)
    if fit_max_ranks is not None:
        held |= times.ranks > fit_max_ranks
    if hold_out_sizes:
        local = np.nan_to_num(times.ranks_per_node, nan=1.0)
        sets = np.stack([times.ranks, local], axis=1)
        for collective in np.unique(times.collective):
            named = times.collective == collective
            for one in np.unique(sets[named], axis=0):
                mine = named & (sets == one).all(axis=1)
                sizes = np.unique(times.size_bytes[mine])
                held |= mine & np.isin(times.size_bytes, sizes[1:-1:2])
    if held.all() or not held.any():
        raise fm.MeasurementError(
            "held out",
            "all rows" if held.all() else "no row",
            "Give --fit-max-ranks N, or --hold-out-sizes",
        )
    return times.filter(~held), times.filter(held)


def judge(
    costs: LearnedCosts,
    fitted: fm.Measurements,
    held_out: fm.Measurements,
    generation: str,
) -> tuple[list[Rule], list[dict[str, Any]]]:
    """Export rules for the held-out ranks, and look every held-out size up in them.

    Choices are among the algorithms that were measured on those ranks at all. A size
    counts where at least two of them were; ``chosen_over_best`` is None where the one
    that the rules name was not.
    """
    frame = forced(held_out)
    low = np.log2(min(fitted.size_bytes.min(), held_out.size_bytes.min()))
    high = np.log2(max(fitted.size_bytes.max(), held_out.size_bytes.max()))
    grid = 2.0 ** np.arange(low, high + 0.5 / _PER_OCTAVE, 1.0 / _PER_OCTAVE)
    rules: list[Rule] = []
    rows: list[dict[str, Any]] = []
    for key, mine in frame.group_by(CELL[:3], maintain_order=True):
        collective, ranks, local = str(key[0]), float(key[1]), float(key[2])  # pyright: ignore[reportArgumentType]
        known = set(costs.labels(collective)) & set(mine["algorithm"])
        known = {label for label in known if not _is_default(label)}
        if len(known) < 2:
            continue
        nodes = round(ranks / local)
        logs = costs.log_costs(collective, grid, ranks, local)
        names = sorted(known)
        best = np.argmin(np.stack([logs[name] for name in names]), axis=0)
        cells = [
            Cell(
                collective=collective,
                ranks=int(ranks),
                nodes=nodes,
                size_bytes=float(size),
                algorithm=names[int(index)],
            )
            for size, index in zip(grid, best, strict=True)
        ]
        own = merge_rules(cells)
        rules += own
        rows += _looked_up(own, mine, collective, int(ranks), nodes, known, generation)
    return rules, rows


def _looked_up(
    rules: list[Rule],
    mine: pl.DataFrame,
    collective: str,
    ranks: int,
    nodes: int,
    known: set[str],
    generation: str,
) -> list[dict[str, Any]]:
    rows = []
    for (size, *_), cell in mine.group_by("size_bytes", *RUN, maintain_order=True):
        medians = cell.group_by("algorithm").agg(pl.col("time_us").median())
        times: dict[str, float] = dict(medians.iter_rows())
        rivals = {name: t for name, t in times.items() if name in known}
        rule = find_rule(rules, collective, float(size), nodes, ranks)  # pyright: ignore[reportArgumentType]
        if rule is None or len(rivals) < 2:
            continue
        best = min(rivals.values())
        chosen = rivals.get(rule.algorithm)
        default = _default(times, collective, float(size), ranks, nodes, generation)  # pyright: ignore[reportArgumentType]
        rows.append(
            {
                "collective": collective,
                "ranks": ranks,
                "nodes": nodes,
                "size_bytes": size,
                "chosen": rule.algorithm,
                "best": min(rivals, key=lambda name: rivals[name]),
                "chosen_over_best": None if chosen is None else chosen / best,
                "default_over_best": None if default is None else default / best,
            }
        )
    return rows


def _is_default(label: str) -> bool:
    return label.lower().startswith("default")


def _default(
    times: dict[str, float],
    collective: str,
    size: float,
    ranks: int,
    nodes: int,
    generation: str,
) -> float | None:
    """Time of what the library would choose itself, where it was measured.

    A label says so, or NCCL's tuning model does for the labels that are NCCL's.
    """
    for label, micros in times.items():
        if _is_default(label):
            return micros
    if not set(times) & set(_NCCL) or ranks % nodes:
        return None
    there = dataclasses.replace(dgx(generation, nodes), ranks=float(ranks))
    try:
        chosen = nccl_choice(there, collective, np.array([size]))["algorithm"][0]
    except fm.FabricError:
        return None
    return times.get(str(chosen))


def floor(times: fm.Measurements) -> dict[str, Any]:
    """What the best algorithm of one run costs in another, on the same size and ranks.

    Nobody who has only measured can be expected to choose better than that: the regret
    of a perfect choice under the noise from run to run.

    Returns:
      The number of such pairs of runs, and the mean and median regret, None without.
    """
    default = pl.col("algorithm").str.to_lowercase().str.starts_with("default")
    found = []
    rivals = forced(times).filter(~default)
    for _, cell in rivals.group_by(CELL, maintain_order=True):
        runs: list[dict[str, float]] = []
        for _, run in cell.group_by(*RUN, maintain_order=True):
            medians = run.group_by("algorithm").agg(pl.col("time_us").median())
            runs.append(dict(medians.iter_rows()))
        for one, other in itertools.permutations(runs, 2):
            both = sorted(one.keys() & other.keys())
            if len(both) > 1:
                chosen = min(both, key=lambda name, run=one: run[name])
                found.append(other[chosen] / min(other[name] for name in both) - 1.0)
    mean, median = (float(f(found)) if found else None for f in (np.mean, np.median))
    return {"pairs": len(found), "mean": mean, "median": median}


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Summarise the regret, a line for each collective and one for all."""
    names = list(dict.fromkeys(row["collective"] for row in rows))
    found = []
    for name in [*names, *(["all"] if len(names) > 1 else [])]:
        every = [row for row in rows if name in ("all", row["collective"])]
        mine = [row for row in every if row["chosen_over_best"] is not None]
        if not mine:
            continue
        over = np.array([row["chosen_over_best"] for row in mine]) - 1.0
        pairs = [
            (row["chosen_over_best"], row["default_over_best"])
            for row in mine
            if row["default_over_best"] is not None
        ]
        gain = float(np.mean([d / c - 1.0 for c, d in pairs])) if pairs else None
        default = float(np.mean([d - 1.0 for _, d in pairs])) if pairs else None
        found.append(
            {
                "collective": name,
                "cells": len(mine),
                "not_measured": len(every) - len(mine),
                "median": float(np.median(over)),
                "mean": float(np.mean(over)),
                "p90": float(np.quantile(over, 0.9)),
                "within_2_percent": float(np.mean(over <= 0.02)),
                "default_mean": default,
                "gain_over_default": gain,
            }
        )
    return found

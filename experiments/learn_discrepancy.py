"""How fast do models go wrong beyond their data? Learned from the reference series.

Fits every shipped multi-scale series without its larger scales, and chooses the
scale that each octave of ranks adds to a prediction (``walk_sd`` of
``fabricmodel.fitting.discrepancy``, for a series that is as rough in range as is
typical) under which those held-out times are most probable,
every series with the same weight. Each series is then scored under what the *others*
teach, so that its coverage is a test.

    python -m experiments.learn_discrepancy [--out DIR]
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from scipy import optimize, stats

import fabricmodel as fm
from experiments.output import machine, write_json
from experiments.validate import Group, split
from experiments.validate_all import CASES
from fabricmodel.fitting.discrepancy import FREEDOM
from fabricmodel.fitting.posterior import octaves_outside
from fabricmodel.fitting.prediction import student_quantile

GROUPS = 12
"""Of a series (collectives, forced algorithms) at most, taken evenly."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beyond:
    """The held-out rows of one group of a series, R of them.

    Attributes:
      series: they belong to.
      error: (R,) log measured less log predicted.
      variance: (R,) squared scale of the prediction, without the walk beyond the data.
      octaves: (R,) of ranks beyond the data.
      roughness: of the group in range, against what is typical.
    """

    series: str
    error: np.ndarray
    variance: np.ndarray
    octaves: np.ndarray
    roughness: float

    def width(self, walk_sd: float) -> np.ndarray:
        """Scale of the logarithm of each prediction, (R,)."""
        return np.sqrt(self.variance + (self.roughness * walk_sd) ** 2 * self.octaves)


def fit_all(console: Console) -> list[Beyond]:
    """Fit every group of every case to its smaller scales, and predict the others."""
    groups: list[tuple[str, Group]] = []
    for case in CASES:
        for name in case.series:
            times = fm.load_reference(name)
            if case.ranks_per_node:
                times = times.filter(times.ranks_per_node == case.ranks_per_node)
            usable = [
                (name, group)
                for group in split(times, case.fit_max_ranks, None)
                if len(group.fitted) and len(group.held_out)
            ]
            groups += usable[:: -(-len(usable) // GROUPS)]
    found = []
    for name, group in track(groups, "Fitting", console=console, transient=True):
        model = fm.fit(group.fabric, group.fitted)
        rows = model.predict_rows(group.held_out)
        width = np.log(rows.high_s / rows.low_s) / (2.0 * student_quantile(0.95))
        octaves = octaves_outside(group.held_out.ranks, *model.seen.ranks)
        drift = model.beliefs[name].walk_sd
        found.append(
            Beyond(
                series=name,
                error=np.log(group.held_out.time_s / rows.median_s),
                variance=width**2 - drift**2 * octaves,
                roughness=drift / model.discrepancy.walk_sd,
                octaves=octaves,
            )
        )
    return found


def loss(walk_sd: float, groups: list[Beyond]) -> float:
    """Mean negative log probability of the held-out times, by series."""
    by_series: dict[str, list[np.ndarray]] = {}
    for group in groups:
        log_p = stats.t.logpdf(group.error, FREEDOM, scale=group.width(walk_sd))
        by_series.setdefault(group.series, []).append(log_p)
    return -float(np.mean([np.concatenate(x).mean() for x in by_series.values()]))


def learn(groups: list[Beyond]) -> float:
    """Choose the growth under which the held-out times are most probable."""
    found = optimize.minimize_scalar(
        lambda log_sd: loss(float(np.exp(log_sd)), groups),
        bounds=(np.log(0.01), np.log(1.0)),
        method="bounded",
    )
    return float(np.exp(found.x))


def covered(groups: list[Beyond], walk_sd: float) -> dict[str, float]:
    """Score the intervals of held-out rows."""
    error = np.concatenate([group.error for group in groups])
    width = np.concatenate([group.width(walk_sd) for group in groups])
    reach = student_quantile(0.95)
    return {
        "rows": len(error),
        "median_abs_log_error": float(np.median(np.abs(error))),
        "coverage_90": float(np.mean(np.abs(error) <= reach * width)),
        "median_interval_ratio": float(np.median(np.exp(2.0 * reach * width))),
    }


def main(argv: list[str] | None = None) -> int:
    """Learn from all series, test each on what the others teach, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.learn_discrepancy", description=__doc__
    )
    parser.add_argument("--out", type=Path, default=Path("out/learn_discrepancy"))
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    groups = fit_all(console)
    names = list(dict.fromkeys(group.series for group in groups))
    tests = {}
    for name in names:
        walk_sd = learn([group for group in groups if group.series != name])
        own = [group for group in groups if group.series == name]
        tests[name] = {"walk_sd": walk_sd, **covered(own, walk_sd)}
        shown = ", ".join(f"{key} {value:.3g}" for key, value in tests[name].items())
        console.print(f"{name}: {shown}", highlight=False)
    walk_sd = learn(groups)
    console.print(f"walk_sd of all: {walk_sd:.3f}", highlight=False)
    write_json(
        options.out / "discrepancy.json",
        {"walk_sd": walk_sd, "left_out": tests, "machine": machine()},
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

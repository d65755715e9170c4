"""How much do models miss on larger scales? Learned from the reference series.

Fits every shipped multi-scale series without its larger scales, and chooses the sizes
of the discrepancy (``fabricmodel.fitting.discrepancy``) under which those held-out
times are most probable, every series with the same weight. Each series is then scored
under what the *others* teach, so that its coverage is a test.

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
from fabricmodel.fitting.discrepancy import Discrepancy, Points, scaled, whitener
from fabricmodel.fitting.gather import place_points

LEARNED = ("field_sd", "field_octaves", "walk_sd", "walk_octaves", "noise_sd")
DEGREES_OF_FREEDOM = 4.0
"""Of the Student t under which held-out times are scored: an outlier teaches little."""

GROUPS = 12
"""Of a series (collectives, forced algorithms) at most, taken evenly."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fitted:
    """A model of the smaller scales, and one collective of the larger ones.

    Attributes:
      series, collective: of the held-out rows.
      model: that did not see them, nor any other series.
      at: where they lie in the field, R of them.
      error: (R,) log measured less log of counts x prices.
      slopes: (R, n) of the latter by the parameters.
    """

    series: str
    collective: str
    model: fm.FittedModel
    at: Points
    error: np.ndarray
    slopes: np.ndarray


def fit_all(console: Console) -> list[Fitted]:
    """Fit every group of every case, once, at the present discrepancy."""
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
        for collective in sorted(set(group.held_out.collective.tolist())):
            part = group.held_out.select(collective=collective)
            at = place_points(part)
            time, _, slopes, _ = model.priced(
                collective,
                name,
                at,
                part.algorithm.tolist(),
                part.frame["topology_shape"].to_list(),
                part.ranks_per_node,
            )
            found.append(
                Fitted(
                    series=name,
                    collective=collective,
                    model=model,
                    at=at,
                    error=np.log(part.time_s / time),
                    slopes=slopes,
                )
            )
    return found


def under(model: fm.FittedModel, discrepancy: Discrepancy) -> fm.FittedModel:
    """Keep a model's prices, and believe something else about what it misses."""
    (series,) = model.seen.series
    fields = list(model.fields.values())
    shown = [(field.at, field.residual) for field in fields]
    belief = scaled(discrepancy, shown, fields[0].anchor)
    return dataclasses.replace(
        model,
        discrepancy=discrepancy,
        beliefs={series: belief},
        fields={
            key: dataclasses.replace(
                field,
                discrepancy=belief,
                white=whitener(belief, field.anchor, field.at),
            )
            for key, field in model.fields.items()
        },
    )


def distances(
    fitted: Fitted, discrepancy: Discrepancy
) -> tuple[np.ndarray, np.ndarray]:
    """Log error of each held-out row, and the standard deviation that was predicted."""
    model = under(fitted.model, discrepancy)
    mean, variance, drift = model.missed(fitted.collective, fitted.series, fitted.at)
    slopes = fitted.slopes + drift
    prices = np.einsum("ri,ij,rj->r", slopes, model.covariance, slopes)
    return fitted.error - mean, np.sqrt(variance + prices)


def loss(discrepancy: Discrepancy, models: list[Fitted]) -> float:
    """Mean negative log probability of the held-out times, by series."""
    by_series: dict[str, list[np.ndarray]] = {}
    for fitted in models:
        error, width = distances(fitted, discrepancy)
        log_p = stats.t.logpdf(error, DEGREES_OF_FREEDOM, scale=width)
        by_series.setdefault(fitted.series, []).append(log_p)
    return -float(np.mean([np.concatenate(x).mean() for x in by_series.values()]))


def learn(models: list[Fitted]) -> Discrepancy:
    """Choose the discrepancy under which the held-out times are most probable."""
    start = Discrepancy()

    def at(logs: np.ndarray) -> Discrepancy:
        sizes = dict(zip(LEARNED, np.exp(logs).tolist(), strict=True))
        return dataclasses.replace(start, **sizes)

    first = np.log([getattr(start, name) for name in LEARNED])
    found = optimize.minimize(
        lambda logs: loss(at(logs), models) + 0.005 * np.sum((logs - first) ** 2),
        first,
        method="Nelder-Mead",
        options={"maxiter": 120, "xatol": 0.02, "fatol": 1e-3},
    )
    return at(found.x)


def main(argv: list[str] | None = None) -> int:
    """Learn from all series, test each on what the others teach, print and write."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.learn_discrepancy", description=__doc__
    )
    parser.add_argument("--out", type=Path, default=Path("out/learn_discrepancy"))
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    models = fit_all(console)
    names = list(dict.fromkeys(fitted.series for fitted in models))
    tests = {}
    for name in track(names, "Leaving one out", console=console, transient=True):
        others = learn([fitted for fitted in models if fitted.series != name])
        own = [distances(x, others) for x in models if x.series == name]
        error, width = (np.concatenate(parts) for parts in zip(*own, strict=True))
        inside = np.abs(error) <= stats.norm.ppf(0.95) * width
        tests[name] = {
            "rows": len(error),
            "coverage_90": float(inside.mean()),
            "median_interval_ratio": float(
                np.median(np.exp(2.0 * stats.norm.ppf(0.95) * width))
            ),
        }
        console.print(name, tests[name], highlight=False)
    everything = dataclasses.asdict(learn(models))
    console.print(everything, highlight=False)
    write_json(
        options.out / "discrepancy.json",
        {"learned": everything, "left_out": tests, "machine": machine()},
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

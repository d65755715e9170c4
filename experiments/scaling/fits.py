"""Step one: fit each fabric to the measurements taken on it."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import Progress

import fabricmodel as fm
from experiments.scores import score
from fabricmodel.catalog.loader import load_entry
from fabricmodel.fitting.recognise import recognise

_TWO_NODES = (
    "awsdoc_nccom_2node_r64",
    "awsome_trn1_2node_r64",
    "slurm_trainium_2node",
    "dranet_trn1_2node_r2",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """Measurements, and the fabric that they were taken on."""

    label: str
    fabric: fm.Fabric
    times: fm.Measurements


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted model beside the points it was fitted to.

    Attributes:
      points: measured and predicted seconds of every row.
      data_ends_chips: chips of the largest run measured.
    """

    label: str
    times: fm.Measurements
    model: fm.FittedModel
    points: pl.DataFrame
    data_ends_chips: float

    def summary(self) -> dict[str, Any]:
        """Say how the fit went, for the JSON and the report."""
        model = self.model
        columns = ("measured_s", "predicted_s", "lo_s", "hi_s")
        found = score(*(self.points[name].to_numpy() for name in columns))
        priced, measured = (
            self.points[name].to_numpy() for name in ("priced_s", "measured_s")
        )
        alone = np.abs(priced / measured - 1.0)
        return {
            "fit": self.label,
            "fabric": model.fabric.name,
            "rows": model.seen.rows,
            "set_aside": len(self.times.set_aside),
            "median_abs_rel_err": found["median_abs_rel_err"],
            "mean_abs_rel_err": found["mean_abs_rel_err"],
            "prices_alone": {
                "median": float(np.median(alone)),
                "mean": float(np.mean(alone)),
            },
            "converged": model.converged,
            "distance": model.solution.distance if model.solution else 0.0,
            "starts_agreeing": model.solution.agreeing if model.solution else 0,
            "informed": model.informed(),
            "series_launch_s": dict(model.series_launch_s),
        }


def jobs(given: fm.Measurements | None, fabric: str | None) -> list[Job]:
    """List what is to be fitted: the user's table, or the shipped Trainium tables."""
    if given is not None:
        chosen = fm.load_fabric(fabric) if fabric else recognise(given)
        return [Job(label="your measurements", fabric=chosen, times=given)]
    two_nodes = fm.load_reference(_TWO_NODES[0])
    for name in _TWO_NODES[1:]:
        two_nodes = two_nodes.concat(fm.load_reference(name))
    return [
        Job(
            label="Trainium2, one instance",
            fabric=fm.load_fabric(fabric or "trn2-instance"),
            times=fm.load_reference("trn2_48xl_nccom_r64"),
        ),
        Job(
            label="Trainium1, one instance",
            fabric=fm.load_fabric("trn1-instance"),
            times=fm.load_reference("trn1_scaling_allreduce_nccom"),
        ),
        Job(
            label="Trainium1, two instances",
            fabric=fm.load_fabric("trn1-ultracluster"),
            times=two_nodes,
        ),
    ]


def fit_all(work: list[Job], console: Console) -> list[Fit]:
    """Fit every job, two at a time, with a bar."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Fitting", total=len(work))

        def one(job: Job) -> Fit:
            found = _fit(job)
            progress.advance(task)
            return found

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(one, work))


def _fit(job: Job) -> Fit:
    model = fm.fit(job.fabric, job.times)
    guess = model.predict_rows(job.times)
    points = pl.DataFrame(
        {
            "series": [str(name) for name in job.times.series],
            "collective": [str(name) for name in job.times.collective],
            "ranks": job.times.ranks,
            "size_bytes": job.times.size_bytes,
            "measured_s": job.times.time_s,
            "predicted_s": guess.median_s,
            "priced_s": guess.priced_s,
            "lo_s": guess.low_s,
            "hi_s": guess.high_s,
            "held_out": False,
        }
    )
    return Fit(
        label=job.label,
        times=job.times,
        model=model,
        points=points,
        data_ends_chips=model.seen.ranks[1] / ranks_per_chip(job.fabric),
    )


def ranks_per_chip(fabric: fm.Fabric) -> int:
    """Ranks of a chip: the catalogue's, or one for a fabric of the user's own."""
    if fabric.name in fm.list_fabrics():
        return load_entry(fabric.name).ranks_per_chip
    return 1

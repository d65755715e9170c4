"""From a table of measurements to what the objective and the field work on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from fabricmodel.fabric import Fabric
from fabricmodel.fitting.cases import cases, pad_rows
from fabricmodel.fitting.discrepancy import (
    Discrepancy,
    Points,
    Shown,
    scaled,
    whitener,
)
from fabricmodel.fitting.objective import Data, Documented
from fabricmodel.fitting.questions import measured
from fabricmodel.measurements import Measurements
from fabricmodel.measurements.table import SAME


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gathered:
    """Measurements, ready for a fit.

    Attributes:
      data: for the objective.
      series: their names, in the order of their numbers.
      repeat_sd: by series, log standard deviation of the repeats of a measurement.
      at: by collective, where each of its rows was measured.
      anchor: log2 of the smallest number of ranks.
    """

    data: Data
    series: tuple[str, ...]
    repeat_sd: dict[str, float]
    at: dict[str, Points]
    anchor: float

    def parts(self) -> Iterator[tuple[str, str, np.ndarray, slice]]:
        """Collective and series, which rows are theirs, and the group's residuals."""
        start = 0
        for (collective, at), owners in zip(
            self.at.items(), self.data.series, strict=True
        ):
            group = slice(start, start + len(at))
            start += len(owners)
            for number, name in enumerate(self.series):
                own = np.flatnonzero(np.asarray(owners)[: len(at)] == number)
                if len(own):
                    yield collective, name, own, group


def gather(fabric: Fabric, times: Measurements) -> Gathered:
    """Place measurements on a fabric, and group them by collective.

    Repeats of one measurement count as one, their median: what they share, they do
    not say twice. ``whitened`` completes the data.
    """
    once, repeat_sd = medians(times), repeat_spread(times)
    series = tuple(sorted({str(name) for name in once.series}))
    rows, log_times, owners, weights, at = [], [], [], [], {}
    for collective in sorted(set(once.collective.tolist())):
        part = once.select(collective=collective)
        asked = measured(part)
        at[collective] = asked.points()
        rows.append(pad_rows(asked.cases(fabric)))
        log_times.append(pad_rows(np.log(part.time_s)))
        owners.append(pad_rows(np.array([series.index(str(x)) for x in part.series])))
        weights.append((np.arange(len(owners[-1])) < len(part)).astype(float))
    data = Data(
        rows=tuple(rows),
        log_times=tuple(log_times),
        series=tuple(owners),
        weights=tuple(weights),
        white=tuple(np.eye(len(owner)) for owner in owners),
        documented=documented(fabric, tuple(at)),
        count=len(series),
    )
    return Gathered(
        data=data,
        series=series,
        repeat_sd=repeat_sd,
        at=at,
        anchor=float(np.log2(once.ranks.min())),
    )


def whitened(found: Gathered, beliefs: Mapping[str, Discrepancy]) -> Gathered:
    """Make residuals independent under what is believed to be missed of each series."""
    white = {
        collective: np.zeros((len(owner), len(owner)))
        for collective, owner in zip(found.at, found.data.series, strict=True)
    }
    for collective, name, own, _ in found.parts():
        at = found.at[collective].take(own)
        block = whitener(beliefs[name], found.anchor, at)
        white[collective][np.ix_(own, own)] = block
    data = dataclasses.replace(found.data, white=tuple(white.values()))
    return dataclasses.replace(found, data=data)


def rescaled(
    found: Gathered, missed: Discrepancy, residual: np.ndarray, slopes: np.ndarray
) -> dict[str, Discrepancy]:
    """Scale what is typically missed to what the residuals of each series show."""
    shown: dict[str, list[Shown]] = {name: [] for name in found.series}
    for collective, name, own, group in found.parts():
        at = found.at[collective].take(own)
        shown[name].append((at, residual[group][own], slopes[group][own]))
    return {name: scaled(missed, rows, found.anchor) for name, rows in shown.items()}


def documented(fabric: Fabric, collectives: Sequence[str]) -> tuple[Documented, ...]:
    """Put the documented switch points of the measured collectives as questions.

    Past the switch one algorithm's time grows with size, the other's hardly: half of a
    size's log spread is taken for that of the difference of the two.
    """
    found = []
    for collective in collectives:
        known = [x for x in fabric.switches if x.collective == collective]
        if not known:
            continue
        whole = math.prod(float(level.capacity) for level in fabric.levels)
        sizes = np.array([x.size_bytes for x in known])
        rows = cases(fabric, collective, sizes, np.full(len(known), whole))
        sides = [
            [
                [
                    c.stage[0] == x.domain and c.algorithm == name
                    for c in rows.tables.candidates
                ]
                for x, name in zip(known, names, strict=True)
            ]
            for names in ([x.below for x in known], [x.above for x in known])
        ]
        below, above = (np.array(side, float) for side in sides)
        spread = 0.5 * np.array([x.spread for x in known])
        found.append(Documented(rows=rows, below=below, above=above, spread=spread))
    return tuple(found)


def medians(times: Measurements) -> Measurements:
    """Merge the repeats of a measurement: the median of their times.

    >>> table = Measurements.from_records(
    ...     [{"ranks": 8, "collective": "allreduce", "size_bytes": 64, "time_us": t}
    ...      for t in (5, 6, 9)])
    >>> medians(table).time_s
    array([6.e-06])
    """
    frame = times.frame.group_by(SAME, maintain_order=True).agg(
        pl.col("time_us").median(), pl.exclude("time_us", *SAME).first()
    )
    return dataclasses.replace(times, frame=frame.select(times.frame.columns))


def repeat_spread(times: Measurements) -> dict[str, float]:
    """Log standard deviation of the repeats of a measurement, by series.

    From the median distance of a repeat to the median of its kind, times 1.48 as for
    normal noise; 0 where nothing was repeated.

    >>> table = Measurements.from_records(
    ...     [{"ranks": 8, "collective": "allreduce", "size_bytes": 64, "time_us": t}
    ...      for t in (5, 6, 9)])
    >>> {name: round(sd, 2) for name, sd in repeat_spread(table).items()}
    {'': 0.33}
    """
    log, count = pl.col("time_us").log(), pl.len().over(SAME)
    off = (log - log.median().over(SAME)).abs() * (count / (count - 1)).sqrt()
    spread = times.frame.select("series", off=pl.when(count > 1).then(off))
    found = spread.group_by("series").agg(pl.col("off").median() * 1.4826)
    return {name: sd or 0.0 for name, sd in found.iter_rows()}

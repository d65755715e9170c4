"""How the best run and the 90th percentile relate to the median, from the table itself.

A collective can be faster than its median by little and slower by much, so

    log(p90 / median) = m,    log(median / best) = m,    m = exp(a + b . x) >= 0

with x log2 size and log2 ranks where the data justify their slopes: where leaving out
sizes (or numbers of ranks) one by one is predicted better with the slope than without.
The median here is whatever time the table gives (``time_us``). Nothing is carried on
beyond the data: outside them m stays what it was at their end, and its spread grows
with the root of the octaves beyond.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import polars as pl

from fabricmodel.errors import FabricError
from fabricmodel.fitting.prediction import student_quantile
from fabricmodel.measurements import Measurements
from fabricmodel.measurements.table import SAME

STATISTICS = ("median", "best", "p90")

COLUMNS = {"best": "min_us", "p90": "p90_us"}
"""Where a table tells them."""

WALK = 0.8
"""By how much log m moves in an octave beyond the data, as a standard deviation: set
so that the smaller scales of four reference series cover most of their larger ones."""

_SIGN = {"best": -1.0, "p90": 1.0}
_FLOOR = 1e-4  # log ratios below it are the resolution of a table
_REPEATS = 10  # of one measurement, for quantiles of its own
_FEWEST = 8  # rows in which a slope is looked for
_GAIN = 0.05  # share of the error left out that a slope must save
_T90 = student_quantile(0.95)  # the scale of an interval of 90 %
_ROUNDS = 30  # of reweighting, to least absolute deviations


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ratio:
    """One statistic over the median, of one series.

    Attributes:
      sign: 1 where the statistic is above the median, -1 where below.
      line: (3,) a, and the slopes of log m by octave of size and of ranks.
      share: spread of a log ratio, as a share of m: 2.13 of it cover 90 % of the rows.
      sizes, ranks: smallest and largest that told.
      rows: how many told.
    """

    sign: float
    line: tuple[float, float, float]
    share: float
    sizes: tuple[float, float]
    ranks: tuple[float, float]
    rows: int

    def at(
        self, size_bytes: np.ndarray, ranks: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log of the statistic over the median, and its spread, at each question.

        Outside the data the slope may go on, or not, or something else may begin: the
        spread takes in all three.
        """
        a, by_size, by_ranks = self.line
        inside = [
            np.clip(x, *ends)
            for x, ends in ((size_bytes, self.sizes), (ranks, self.ranks))
        ]
        log = a + by_size * np.log2(inside[0]) + by_ranks * np.log2(inside[1])
        octaves = [
            np.log2(x / end) for x, end in zip((size_bytes, ranks), inside, strict=True)
        ]
        on = by_size * octaves[0] + by_ranks * octaves[1]
        walk = WALK * np.sqrt(np.abs(octaves[0]) + np.abs(octaves[1]))
        size = np.maximum(np.exp(log) - _FLOOR, 0.0)
        carried = size * np.expm1(np.minimum(np.hypot(on, walk), np.log(10.0)))
        return self.sign * size, np.hypot(self.share * size, carried)


Ratios = Mapping[str, Mapping[str, Ratio]]
"""By statistic, then by series."""


def ratios(times: Measurements) -> dict[str, dict[str, Ratio]]:
    """Learn what the rows tell of their best and 90th percentile, by series.

    From the columns ``min_us`` and ``p90_us``; where a row has none, from ten or more
    repeats of its measurement.

    >>> table = Measurements.from_records(
    ...     [{"ranks": 8, "collective": "allreduce", "size_bytes": 2.0**k,
    ...       "time_us": 10.0, "p90_us": 11.0} for k in range(10, 20)])
    >>> found = ratios(table)["p90"][""]
    >>> log_ratio, spread = found.at(np.array([2.0**30]), np.array([1024.0]))
    >>> np.exp(log_ratio).round(4).tolist(), found.rows
    ([1.1], 10)
    """
    found: dict[str, dict[str, Ratio]] = {}
    for statistic in _SIGN:
        told = _told(times, statistic)
        for name in dict.fromkeys(told["series"].to_list()):
            own = told.filter(series=name)
            found.setdefault(statistic, {})[name] = _learned(
                _SIGN[statistic],
                *(own[column].to_numpy() for column in ("ratio", "size", "ranks")),
            )
    return found


def ask(
    found: Ratios,
    statistic: str,
    series: str | None,
    size_bytes: np.ndarray,
    ranks: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Log ratio to the median, and its spread; of all series where none is named.

    Raises:
      FabricError: for a statistic that is unknown, or that no row told.
    """
    if statistic not in STATISTICS:
        raise FabricError(
            "statistic", f"{statistic!r} is none", f"Ask for {', '.join(STATISTICS)}"
        )
    if statistic == "median":
        nothing = np.zeros(len(size_bytes))
        return nothing, nothing
    known = found.get(statistic, {})
    own = known.get(series or "")
    chosen = list(known.values()) if own is None else [own]
    if not chosen:
        column = COLUMNS[statistic]
        raise FabricError(
            "statistic",
            f"no row that the model was fitted to tells its {statistic}",
            f"Fit rows with the column {column}, or ask for the median",
        )
    answers = [each.at(size_bytes, ranks) for each in chosen]
    middle = np.median([ratio for ratio, _ in answers], axis=0)
    within = np.mean([spread**2 for _, spread in answers], axis=0)
    return middle, np.sqrt(within + np.var([r for r, _ in answers], axis=0))


def _told(times: Measurements, statistic: str) -> pl.DataFrame:
    """Size of the log ratio of each row that tells it, never below the resolution."""
    sign, column = _SIGN[statistic], COLUMNS[statistic]
    quantile = pl.col("time_us").quantile({"best": 0.0, "p90": 0.9}[statistic])
    frame = times.frame
    stated = frame.filter(pl.col(column).is_finite() & (pl.col(column) > 0))
    repeated = (
        frame.filter(pl.col(column).is_null())
        .group_by(SAME, maintain_order=True)
        .agg(quantile.alias(column), pl.col("time_us").median(), pl.len().alias("n"))
        .filter(pl.col("n") >= _REPEATS)
    )
    wanted = ("series", "size_bytes", "ranks", "time_us", column)
    both = pl.concat([part.select(wanted) for part in (stated, repeated)])
    above = sign * (pl.col(column) / pl.col("time_us")).log()
    return both.select(
        "series",
        ratio=above.clip(lower_bound=0.0) + _FLOOR,
        size=pl.col("size_bytes").log(2),
        ranks=pl.col("ranks").log(2),
    )


def _learned(
    sign: float, ratio: np.ndarray, size: np.ndarray, ranks: np.ndarray
) -> Ratio:
    """Fit a line to the logarithm of the log ratios, no richer than they justify."""
    logs, columns = np.log(ratio), (size, ranks)
    kept: list[int] = []
    for i, x in enumerate(columns):
        if len(logs) >= _FEWEST and len(np.unique(x)) > 2:
            plain, richer = (
                _left_out(logs, [columns[j] for j in which], x)
                for which in (kept, [*kept, i])
            )
            if richer < (1.0 - _GAIN) * plain:
                kept.append(i)
    found = _line(logs, [columns[j] for j in kept])
    line = np.zeros(3)
    line[[0, *(1 + j for j in kept)]] = found
    middle = np.exp(_design([columns[j] for j in kept], len(logs)) @ found)
    return Ratio(
        sign=sign,
        line=(float(line[0]), float(line[1]), float(line[2])),
        share=float(np.quantile(np.abs(ratio / middle - 1.0), 0.9)) / _T90,
        sizes=(float(2.0 ** size.min()), float(2.0 ** size.max())),
        ranks=(float(2.0 ** ranks.min()), float(2.0 ** ranks.max())),
        rows=len(ratio),
    )


def _left_out(logs: np.ndarray, columns: list[np.ndarray], by: np.ndarray) -> float:
    """Mean absolute error of a line on the values of ``by`` left out in turn."""
    whole, errors = _design(columns, len(logs)), []
    for value in np.unique(by):
        out = by == value
        line = _line(logs[~out], [x[~out] for x in columns])
        errors.append(np.abs(logs[out] - whole[out] @ line))
    return float(np.mean(np.concatenate(errors)))


def _line(logs: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
    """Least absolute deviations, by reweighted least squares from the median."""
    design = _design(columns, len(logs))
    line = np.zeros(design.shape[1])
    line[0] = np.median(logs)
    for _ in range(_ROUNDS if columns else 0):
        weight = 1.0 / np.maximum(np.abs(logs - design @ line), 1e-3)
        rows = design * weight[:, None]
        line = np.linalg.lstsq(rows.T @ design, rows.T @ logs, rcond=None)[0]
    return line


def _design(columns: list[np.ndarray], rows: int) -> np.ndarray:
    return np.stack([np.ones(rows), *columns], axis=1)

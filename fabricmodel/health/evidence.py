"""What a log says for or against a cluster: latencies and bandwidths, level by level.

Three regimes of size, by what the expected time is made of. Where it is four fifths
launch and latency, measured over expected time speaks for latency. At the largest
sizes the slope of time over size does for bandwidth: the slope, for a slow start says
nothing about a link. In between, protocols and algorithms change places in ways that
no catalogue price describes, and nothing is judged.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from fabricmodel.fabric import Fabric
from fabricmodel.fitting.labels import algorithm_of
from fabricmodel.fitting.model import FittedModel
from fabricmodel.measurements import Measurements
from fabricmodel.placement import place
from fabricmodel.timing.collective import collective_bound

LATENCY_SHARE = 0.8
"""Of the expected time, from which on a size speaks for latency."""
BANDWIDTH_SHARE = 0.5
"""Of the expected time, from which on a size may speak for bandwidth."""
SPAN = 16.0
"""The slope is that of sizes down to the largest over this."""
_BYTES = (" bandwidth", " contention", "reduction", "memory")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Surprise:
    """How far healthy machines stray from the catalogue's expectation, in log time.

    ``bias`` is the typical deviation, ``sd`` its spread beyond the prior's own.
    """

    bias: float
    sd: float


# From 22 and 33 published series of machines that the catalogue knows, as
# `python -m experiments.health_calibration` makes these figures from their table.
LATENCY = Surprise(bias=0.96, sd=0.53)
BANDWIDTH = Surprise(bias=-0.07, sd=0.18)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One size of one collective: the median of what was measured, the expectation.

    Attributes:
      collective, ranks, size_bytes: of the question.
      measured_s: median over the rows of this size.
      rows: how many there are.
      expected_s, low_s, high_s: median and 90 % interval of the catalogue.
      bound_s: what no algorithm can beat at the catalogue's prices.
      log_sd: standard deviation of the expectation's logarithm.
      bytes_share: of the expected time, what grows with the size.
      terms: expected seconds by cause.
    """

    collective: str
    ranks: float
    size_bytes: float
    measured_s: float
    rows: int
    expected_s: float
    low_s: float
    high_s: float
    bound_s: float
    log_sd: float
    bytes_share: float
    terms: dict[str, float]

    @property
    def regime(self) -> str:
        """``latency``, ``bandwidth`` or ``between``."""
        if self.bytes_share <= 1.0 - LATENCY_SHARE:
            return "latency"
        return "bandwidth" if self.bytes_share >= BANDWIDTH_SHARE else "between"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evidence:
    """One finding: how much dearer something is than expected, and how sure that is.

    Attributes:
      kind: ``latency`` or ``bandwidth``.
      cause: the level, or ``launch``, that dominates the expectation there.
      share: of the expectation that is this cause's.
      ranks: of the runs.
      collectives: that were measured.
      ratio: measured over expected, the median over the collectives.
      log_sd: of the ratio's logarithm on a healthy machine: prior, what the catalogue
        misses, and the noise of the measurement.
      bias: what is usual of that logarithm on healthy machines.
    """

    kind: str
    cause: str
    share: float
    ranks: float
    collectives: tuple[str, ...]
    ratio: float
    log_sd: float
    bias: float

    @property
    def z(self) -> float:
        """Standard deviations above what is usual on healthy machines."""
        return (math.log(self.ratio) - self.bias) / self.log_sd

    def limit(self, z: float) -> float:
        """Ratio that only a machine this far out would show."""
        return math.exp(self.bias + z * self.log_sd)

    @property
    def slowdown(self) -> float:
        """How much dearer the cause alone must be to explain the ratio."""
        return max(1.0 + (self.ratio - 1.0) / self.share, 0.0)


def gather(
    model: FittedModel,
    times: Measurements,
    latency: Surprise = LATENCY,
    bandwidth: Surprise = BANDWIDTH,
) -> tuple[list[Point], list[Evidence]]:
    """Compare a table with a model of the catalogue's prices.

    Args:
      model: ``prior_model(fabric)``: no datum of this table may have moved it.
      times: the measurements.
      latency, bandwidth: how far healthy machines stray from the catalogue.

    Returns:
      Every size, and the findings: one for each number of ranks and each kind.

    Raises:
      FabricError: where ranks do not divide into the fabric.
    """
    points = _points(model, times)
    found = []
    for ranks in sorted({point.ranks for point in points}):
        here = [point for point in points if point.ranks == ranks]
        for kind, usual in (("latency", latency), ("bandwidth", bandwidth)):
            single = _singles(here, kind, usual, model.fabric)
            if single:
                found.append(_pooled(single, ranks, kind, usual))
    return points, found


def _points(model: FittedModel, times: Measurements) -> list[Point]:
    points: list[Point] = []
    labels = [algorithm_of(label) for label in times.algorithm]
    shapes = times.frame["topology_shape"].to_list()
    collectives = np.asarray(times.collective)
    for collective in sorted({str(name) for name in collectives}):
        at = np.flatnonzero(collectives == collective)
        guess = model.predict(
            collective,
            times.size_bytes[at],
            times.ranks[at],
            times.ranks_per_node[at],
            [labels[i] for i in at],
            [shapes[i] for i in at],
        )
        low, high = guess.interval(0.9)
        bounds = _bounds(
            model.fabric, collective, times.filter(collectives == collective)
        )
        keys = np.stack([times.ranks[at], times.size_bytes[at]], axis=1)
        for key in np.unique(keys, axis=0):
            mine = np.flatnonzero((keys == key).all(axis=1))
            first = mine[0]
            terms = {name: float(term[first]) for name, term in guess.terms.items()}
            total = sum(terms.values())
            bytes_s = sum(t for n, t in terms.items() if n.endswith(_BYTES))
            points.append(
                Point(
                    collective=collective,
                    ranks=float(key[0]),
                    size_bytes=float(key[1]),
                    measured_s=float(np.median(times.time_s[at][mine])),
                    rows=len(mine),
                    expected_s=float(guess.median_s[first]),
                    low_s=float(low[first]),
                    high_s=float(high[first]),
                    bound_s=float(bounds[first]),
                    log_sd=float(guess.log_scale[first]),
                    bytes_share=bytes_s / total if total > 0 else 0.0,
                    terms=terms,
                )
            )
    return sorted(points, key=lambda p: (p.ranks, p.collective, p.size_bytes))


def _bounds(fabric: Fabric, collective: str, times: Measurements) -> np.ndarray:
    """The physical bound of each row, in seconds; one call for each shape."""
    bounds = np.empty(len(times))
    local = np.nan_to_num(times.ranks_per_node, nan=0.0)
    keys = np.stack([times.ranks, local], axis=1)
    for ranks, inside in np.unique(keys, axis=0):
        mine = (keys == (ranks, inside)).all(axis=1)
        shape = place(fabric, ranks, ranks_per_node=inside or None)
        bounds[mine] = collective_bound(shape, collective, times.size_bytes[mine])
    return bounds


def _singles(
    points: Sequence[Point], kind: str, usual: Surprise, fabric: Fabric
) -> list[Evidence]:
    """A finding for each collective on one number of ranks, where it can be judged."""
    found = []
    for collective in sorted({point.collective for point in points}):
        mine = [p for p in points if p.collective == collective and p.regime == kind]
        ratio = _latency(mine) if kind == "latency" else _slope(mine)
        if ratio is None:
            continue
        cause, share = _cause(mine[-1 if kind == "bandwidth" else 0], kind, fabric)
        sd = math.sqrt(mine[-1].log_sd ** 2 + usual.sd**2 + ratio[1] ** 2)
        found.append(
            Evidence(
                kind=kind,
                cause=cause,
                share=share,
                ranks=mine[0].ranks,
                collectives=(collective,),
                ratio=ratio[0],
                log_sd=sd,
                bias=usual.bias,
            )
        )
    return found


def _latency(points: Sequence[Point]) -> tuple[float, float] | None:
    """Median of measured over expected time, and the log error of that median."""
    if not points:
        return None
    logs = np.log([p.measured_s / p.expected_s for p in points])
    middle = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(logs - middle)))
    return math.exp(middle), spread / math.sqrt(len(points))


def _slope(points: Sequence[Point]) -> tuple[float, float] | None:
    """Measured over expected slope of time, and the log error of the measured one.

    Relative least squares on a start and a slope over the largest sizes; with one
    size, or where the start would be negative, the time itself.
    """
    if not points:
        return None
    top = max(p.size_bytes for p in points)
    last = [p for p in points if p.size_bytes >= top / SPAN]
    size = np.array([p.size_bytes for p in last])
    slopes, error = [], 0.0
    for time in (
        np.array([p.measured_s for p in last]),
        np.array([p.expected_s for p in last]),
    ):
        whole = float(np.median((time / size)[size >= top / 2.0]))
        if len(last) < 3:
            slopes.append(whole)
            continue
        rows = np.stack([np.full_like(size, time.mean()), size / size.mean()]).T
        rows = rows * np.array([1.0, time.mean()]) / time[:, None]
        found, *_ = np.linalg.lstsq(rows, np.ones(len(size)), rcond=None)
        slope = float(found[1]) * time.mean() / size.mean()
        if found[0] < 0 or slope <= 0:
            slope = whole
        slopes.append(slope)
        left = float(np.std(rows @ found - 1.0))
        error = max(error, left / math.sqrt(max(len(last) - 2, 1)))
    return slopes[0] / slopes[1], error


def _cause(point: Point, kind: str, fabric: Fabric) -> tuple[str, float]:
    """The level that dominates a kind of cost, and its share of the expectation."""
    named: dict[str, str] = {}
    for level in fabric.levels:
        named.setdefault(level.link or level.name, level.name)
    parts: dict[str, float] = {}
    for term, seconds in point.terms.items():
        if term.endswith(_BYTES) == (kind == "bandwidth"):
            link = term.rsplit(" ", 1)[0]
            name = f"{named[link]} ({link})" if link in named else term
            parts[name] = parts.get(name, 0.0) + seconds
    name, seconds = max(parts.items(), key=lambda item: item[1])
    return name, max(seconds / sum(point.terms.values()), 1e-6)


def _pooled(
    single: Sequence[Evidence], ranks: float, kind: str, usual: Surprise
) -> Evidence:
    """One finding of several collectives' on the same ranks: their median.

    They share links and software, so agreement makes it no surer.
    """
    logs = np.log([one.ratio for one in single])
    middle = float(np.median(logs))
    nearest = single[int(np.argmin(np.abs(logs - middle)))]
    return Evidence(
        kind=kind,
        cause=nearest.cause,
        share=nearest.share,
        ranks=ranks,
        collectives=tuple(name for one in single for name in one.collectives),
        ratio=math.exp(middle),
        log_sd=float(np.median([one.log_sd for one in single])),
        bias=usual.bias,
    )

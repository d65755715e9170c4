"""What to measure next: the measurement that would narrow a given interval most.

Everything is Gaussian to first order, so what a measurement will be worth is known
before it is taken. Of the log times of the question q and of a candidate c,

    cov(q, c) = s_q' C s_c + k(q, c),      var(c) = s_c' C s_c + k(c, c)
    var(q | c) = var(q) - cov(q, c)^2 / (var(c) + noise^2)

with the slopes s of a time by the parameters (what the field takes over from them
included), the posterior covariance C of these, and the covariance k of what the model
misses, given the data. The noise of a measurement stays in what is predicted, whatever
is measured. After MacKay, "Information-based objective functions for active data
selection" (1992), with its "mean marginal variance" at one point of interest.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric
from fabricmodel.fitting.discrepancy import (
    Discrepancy,
    Field,
    Points,
    kernel,
    variance,
)
from fabricmodel.fitting.prediction import student_quantile
from fabricmodel.fitting.questions import Questions, check_sizes
from fabricmodel.placement import place
from fabricmodel.timing.collective import check_collective
from fabricmodel.units import GiB, KiB

if TYPE_CHECKING:
    from fabricmodel.fitting.model import FittedModel

UNMEASURED_SIZES = (1.0 * KiB, 1.0 * GiB)
"""Smallest and largest candidates where no size was ever measured."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A measurement that could be taken next.

    Attributes:
      collective, size_bytes, ranks: of it.
      time_s: how long one is predicted to take.
      cost_rank_s: ranks times that time.
      now, after: the 90 % interval of the question, upper over lower end, as it is and
        as it would become.
      thrifty: nothing cheaper narrows the interval as much.
    """

    collective: str
    size_bytes: float
    ranks: float
    time_s: float
    cost_rank_s: float
    now: float
    after: float
    thrifty: bool


def advise(
    model: FittedModel,
    collective: str,
    size_bytes: float,
    ranks: float,
    *,
    max_ranks: float,
    collectives: Sequence[str] | None = None,
    sizes: ArrayLike | None = None,
    ranks_per_node: float | None = None,
    algorithm: str = "",
    series: str | None = None,
) -> tuple[Suggestion, ...]:
    """Rank what could be measured next by what it does to the interval of a question.

    Args:
      model: fitted, or the catalogue's own.
      collective, size_bytes, ranks: the question, as in ``predict``.
      max_ranks: of the largest run that can be measured.
      collectives: that can be measured; those that were, and the question's, or that
        alone where an algorithm is forced.
      sizes: bytes; octaves from the smallest to the largest of those measured and the
        question's.
      ranks_per_node: of question and measurements, where jobs do not fill nodes.
      algorithm: that the library is forced to use in both.
      series: in which it would be measured; the model's own where it has one.

    Returns:
      The candidates, the one that narrows the interval most first, at every number of
      ranks that is a power of two times a whole unit of the fabric.

    Raises:
      FabricError: for a question that can't be placed, a size that is not positive, or
        where no candidate can be placed.

    >>> from fabricmodel import load_fabric, prior_model
    >>> model = prior_model(load_fabric("generic-torus"))
    >>> best, *_ = advise(model, "all_gather", 2**20, 65_536, max_ranks=1024,
    ...                   sizes=[2**10, 2**20])
    >>> best.collective, best.size_bytes, best.ranks, best.after < best.now
    ('all_gather', 1048576.0, 1024.0, True)
    """
    for kind in (collective, *(collectives or ())):
        check_collective(kind)
    check_sizes(np.array([size_bytes], float))
    if series is None and len(model.seen.series) == 1:
        series = model.seen.series[0]
    local = np.nan if ranks_per_node is None else ranks_per_node
    counts = rank_counts(model.fabric, max_ranks, ranks_per_node)
    octaves = _sizes(model, size_bytes)
    volumes = octaves if sizes is None else np.atleast_1d(np.asarray(sizes, float))
    check_sizes(volumes)
    own = {collective} if algorithm else {*model.seen.collectives, collective}
    kinds = sorted(own) if collectives is None else collectives

    def questions(kind: str, n: np.ndarray, s: np.ndarray) -> Questions:
        return Questions(
            collective=kind,
            size_bytes=s,
            ranks=n,
            ranks_per_node=np.full(len(n), local),
            labels=[algorithm] * len(n),
        )

    asked = questions(collective, np.array([ranks], float), np.array([size_bytes]))
    target = _Said.of(model, asked, series)
    found = []
    for kind in kinds:
        grid = np.meshgrid(counts, volumes, indexing="ij")
        tried = questions(kind, *(x.ravel() for x in grid))
        there = _Said.of(model, tried, series)
        after = _after(model, target, there, series)
        found += [
            (kind, *each)
            for each in zip(
                tried.size_bytes.tolist(),
                tried.ranks.tolist(),
                there.time_s.tolist(),
                after.tolist(),
                strict=True,
            )
        ]
    return _ranked(found, float(target.stated[0]))


def rank_counts(
    fabric: Fabric, max_ranks: float, ranks_per_node: float | None = None
) -> np.ndarray:
    """Numbers of ranks that a job can have on a fabric, in octaves, in order.

    Powers of two, and powers of two times whole units of the fabric (nodes, racks),
    from 2 to the most that can be measured, and that itself, where they can be placed.

    Raises:
      FabricError: where there is none.

    >>> from fabricmodel import load_fabric
    >>> rank_counts(load_fabric("trn1-instance"), 24).tolist()
    [2.0, 4.0, 8.0, 16.0, 24.0]
    """
    units, unit = {1.0, float(ranks_per_node or 1.0)}, 1.0
    for level in fabric.levels:
        if not level.grows and ranks_per_node is None:
            unit *= float(level.capacity)
            units.add(unit)
    octaves = range(int(math.log2(max(max_ranks, 1.0))) + 1)
    tried = {unit * 2.0**k for unit in units for k in octaves} | {float(max_ranks)}
    allowed = [n for n in sorted(tried) if 2.0 <= n <= max_ranks]
    fits = [n for n in allowed if _fits(fabric, n, ranks_per_node)]
    if not fits:
        raise FabricError(
            "max_ranks",
            f"no job of 2 to {max_ranks:g} ranks can be placed on {fabric.name}",
            "Allow larger runs",
        )
    return np.array(fits)


def _fits(fabric: Fabric, ranks: float, ranks_per_node: float | None) -> bool:
    try:
        place(fabric, ranks, ranks_per_node=ranks_per_node)
    except FabricError:
        return False
    return True


def _sizes(model: FittedModel, size_bytes: float) -> np.ndarray:
    """Octaves over what was measured and what is asked."""
    low, high = model.seen.sizes if model.seen.rows else UNMEASURED_SIZES
    low, high = min(low, size_bytes), max(high, size_bytes)
    first, last = math.floor(math.log2(low)), math.ceil(math.log2(high))
    return 2.0 ** np.arange(first, last + 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Said:
    """What the model says of some points: times, slopes, and how sure it is."""

    collective: str
    at: Points
    time_s: np.ndarray
    slopes: np.ndarray
    stated: np.ndarray

    @staticmethod
    def of(model: FittedModel, asked: Questions, series: str | None) -> _Said:
        time, bound, slopes, _ = model._priced(asked, series)
        missed, more, drift = model._missed(asked, series)
        slopes = slopes + drift
        return _Said(
            collective=asked.collective,
            at=asked.points(),
            time_s=np.maximum(time * np.exp(missed), bound),
            slopes=slopes,
            stated=more + np.einsum("ri,ij,rj->r", slopes, model.covariance, slopes),
        )


def _after(
    model: FittedModel, target: _Said, there: _Said, series: str | None
) -> np.ndarray:
    """Variance of the question's log time after each of the measurements.

    How far the question lies outside the data is counted anew, but for the question's
    own collective alone: that another one was run at a larger scale says nothing of
    what this one will miss there.
    """
    missed = _Missed(
        discrepancy=model.beliefs.get(series or "", model.discrepancy),
        typical=model.discrepancy,
        field=model.fields.get((there.collective, series or "")),
        ranks=model.seen.ranks,
        sizes=model.seen.sizes,
        unseen=model.seen.rows > 0 and there.collective not in model.seen.collectives,
    )
    repeats = max(model.repeat_sd.values(), default=0.0)
    noise = max(missed.discrepancy.noise_sd, model.repeat_sd.get(series or "", repeats))
    joint = there.slopes @ (model.covariance @ target.slopes[0])
    own = np.einsum("ri,ij,rj->r", there.slopes, model.covariance, there.slopes)
    own = own + missed.covariance(there.at, there.at, diagonal=True)
    nearer = np.zeros(1)
    if target.collective == there.collective:
        joint = joint + missed.covariance(there.at, target.at)[:, 0]
        nearer = missed.beyond(target.at) - missed.beyond(target.at, there.at)
    gain = joint**2 / (own + noise**2)
    return np.maximum(target.stated - nearer - gain, noise**2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Missed:
    """What the model misses of one collective, given the data, as a joint normal.

    Attributes:
      discrepancy, field: as the model has them; no field where it was not measured.
      typical: what is typical, which sizes outside the data are believed by.
      ranks, sizes: smallest and largest that were measured, of any collective.
      unseen: that this one was not, though others were.
    """

    discrepancy: Discrepancy
    typical: Discrepancy
    field: Field | None
    ranks: tuple[float, float]
    sizes: tuple[float, float]
    unseen: bool

    def covariance(self, a: Points, b: Points, *, diagonal: bool = False) -> np.ndarray:
        """(A, B), or (A,) between each point and itself."""
        if self.field is None:
            whole = self._unmeasured(a, b)
            return np.diag(whole) if diagonal else whole
        known = self.field
        d, anchor = known.discrepancy, known.anchor
        left = kernel(d, anchor, a, known.at) @ known.white.T
        if diagonal:
            return variance(d, anchor, a) - np.sum(left**2, axis=1)
        right = kernel(d, anchor, b, known.at) @ known.white.T
        return kernel(d, anchor, a, b) - left @ right.T

    def _unmeasured(self, a: Points, b: Points) -> np.ndarray:
        """A field, an offset of the collective, and a walk from where the data end."""
        d = self.discrepancy
        still = dataclasses.replace(d, walk_sd=0.0)
        walk = dataclasses.replace(d, field_sd=0.0)
        found = kernel(still, 0.0, a, b) + (d.unseen_sd**2 if self.unseen else 0.0)
        for end, clip in zip(self.ranks, (np.minimum, np.maximum), strict=True):
            ends = [dataclasses.replace(x, ranks=clip(x.ranks, end)) for x in (a, b)]
            found = found + kernel(walk, float(np.log2(end)), *ends)
        return found

    def beyond(self, asked: Points, more: Points | None = None) -> np.ndarray:
        """Variance by how far a point lies outside the data, and each of some more.

        Less what ``covariance`` says of it already.
        """
        d = self.discrepancy
        sizes = _outside(
            asked.size_bytes, self.sizes, more.size_bytes if more else None
        )
        usual = self.typical
        found = usual.field_sd**2 * -np.expm1(-sizes / usual.field_octaves)
        if self.field is not None:
            reached = self.field.at.ranks.min(), self.field.at.ranks.max()
            counted = _outside(asked.ranks, reached, more.ranks if more else None)
            wanted = _outside(asked.ranks, self.ranks, more.ranks if more else None)
            found = found + d.walk_sd**2 * (wanted - counted)
        return found


def _outside(
    value: np.ndarray, ends: tuple[float, float], more: np.ndarray | None
) -> np.ndarray:
    """Octaves outside a range that each of some more values widens; 0 without one."""
    low, high = (
        ends if more is None else (np.fmin(ends[0], more), np.fmax(ends[1], more))
    )
    octaves = np.log2(np.maximum(value / high, low / value))
    return np.nan_to_num(np.maximum(octaves, 0.0))


def _ranked(
    found: Sequence[tuple[str, float, float, float, float]], stated: float
) -> tuple[Suggestion, ...]:
    """Best first; a candidate is thrifty unless a cheaper one does as well."""

    def interval(variance: float) -> float:
        return math.exp(2.0 * student_quantile(0.95) * math.sqrt(variance))

    cheapest, thrifty = math.inf, set()
    for i in sorted(range(len(found)), key=lambda i: found[i][2] * found[i][3]):
        if found[i][4] < cheapest:
            cheapest = found[i][4]
            thrifty.add(i)
    return tuple(
        Suggestion(
            collective=found[i][0],
            size_bytes=found[i][1],
            ranks=found[i][2],
            time_s=found[i][3],
            cost_rank_s=found[i][2] * found[i][3],
            now=interval(stated),
            after=interval(found[i][4]),
            thrifty=i in thrifty,
        )
        for i in sorted(range(len(found)), key=lambda i: found[i][4])
    )

"""Which model to believe beyond the data: the one that foretold the largest scales.

Candidates of increasing richness are fitted to all but the largest scale and asked for
it, then to all but the two largest and asked for the smaller of them. What counts is
how likely they held the times that were measured there; how well a model describes what
it was fitted to says nothing of what it is asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from fabricmodel.errors import FabricError
from fabricmodel.fabric import ENGINE_PRICES, RULE_KIND, Fabric, Factors
from fabricmodel.fitting.fit import fit
from fabricmodel.fitting.model import FittedModel
from fabricmodel.fitting.prediction import student_log_density, student_quantile
from fabricmodel.measurements import Measurements

SCALES = 2
"""Of the measured numbers of ranks, how many are foretold, the largest first."""

_FINE = ("message_s", "jitter_s", "crowd_byte_s")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """A way to model a fabric.

    Attributes:
      fabric: whose prices are learned.
      factors: whether algorithms may cost more or less than their counts.
    """

    fabric: Fabric
    factors: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """How well one candidate foretold one scale.

    Attributes:
      candidate: its name.
      fitted_to, foretold: largest ranks of the rows it saw, ranks of those it foretold.
      rows: how many those are.
      log_density: mean, of the logarithm of the measured times.
      median_error: median of |predicted / measured - 1|.
      covered: share of the rows inside the 90 % interval.
    """

    candidate: str
    fitted_to: float
    foretold: float
    rows: int
    log_density: float
    median_error: float
    covered: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """The candidate that foretold best, fitted to everything, and all the scores.

    Attributes:
      name: of the candidate.
      model: its fit to all rows.
      scores: of every candidate at every scale that was left out; none where the
        measurements have one scale only, which decides nothing.
    """

    name: str
    model: FittedModel
    scores: tuple[Score, ...]


def ladder(fabric: Fabric) -> dict[str, Candidate]:
    """Return three models of a fabric, from the barest to what ``fit`` does by itself.

    ``latency and bandwidth``: rounds, hops, bytes and the launch. ``all prices``: with
    messages, stragglers, crowding, reduction and copies. ``all prices and factors``:
    with what each algorithm costs against its counts, and size rules of the library.

    >>> from fabricmodel.catalog import load_fabric
    >>> list(ladder(load_fabric("generic-cluster", chips=64)))
    ['latency and bandwidth', 'all prices', 'all prices and factors']
    """
    names = fabric.factors.names
    kept = [i for i, name in enumerate(names) if not name.endswith(f".{RULE_KIND}")]
    values = np.asarray(fabric.factors.values, float)[kept]
    unruled = dataclasses.replace(
        fabric,
        factors=Factors(names=tuple(names[i] for i in kept), values=tuple(values)),
    )
    levels = tuple(
        dataclasses.replace(level, **dict.fromkeys(_FINE, 0.0))
        for level in fabric.levels
    )
    engine = dict.fromkeys(ENGINE_PRICES, 0.0)
    bare = dataclasses.replace(unruled, levels=levels, **engine)
    return {
        "latency and bandwidth": Candidate(fabric=bare, factors=False),
        "all prices": Candidate(fabric=unruled, factors=False),
        "all prices and factors": Candidate(fabric=fabric),
    }


def choose(
    fabric: Fabric | Mapping[str, Candidate], times: Measurements, *, seed: int = 0
) -> Choice:
    """Choose a model by how it extrapolates, and fit it to everything.

    Args:
      fabric: whose ``ladder`` is tried, or candidates of one's own by name.
      times: measured, of several numbers of ranks.
      seed: of the fits.

    Returns:
      The choice; on equal scores the candidate named last.

    Raises:
      FabricError: without a candidate or without rows, or as ``fit``.

    >>> from fabricmodel.catalog import load_fabric
    >>> from fabricmodel.measurements import load_reference
    >>> times = load_reference("trn1_scaling_allreduce_nccom")
    >>> bare = Candidate(fabric=load_fabric("trn1-instance"), factors=False)
    >>> found = choose({"no factors": bare}, times)
    >>> [(score.fitted_to, score.foretold) for score in found.scores]
    [(8.0, 16.0), (16.0, 32.0)]
    """
    tried = ladder(fabric) if isinstance(fabric, Fabric) else dict(fabric)
    if not tried:
        raise FabricError("candidates", "none", "Give one at least")
    scales = np.unique(times.ranks)
    scores: list[Score] = []
    for largest in scales[1:][-SCALES:]:
        seen, asked = (
            times.filter(rows)
            for rows in (times.ranks < largest, times.ranks == largest)
        )
        for name, each in tried.items():
            scores.append(_score(name, each, seen, asked, seed))
    reached = {
        name: np.mean([x.log_density for x in scores if x.candidate == name] or [0.0])
        for name in tried
    }
    best = max(reversed(tried), key=lambda name: reached[name])
    chosen = tried[best]
    model = fit(chosen.fabric, times, seed=seed, factors=chosen.factors)
    return Choice(name=best, model=model, scores=tuple(scores))


def _score(
    name: str, tried: Candidate, seen: Measurements, asked: Measurements, seed: int
) -> Score:
    """Fit to what was seen, and ask for the rest."""
    model = fit(tried.fabric, seen, seed=seed, factors=tried.factors)
    guess = model.predict_rows(asked)
    time = asked.time_s
    wide = np.log(guess.high_s / guess.low_s) / (2.0 * student_quantile(0.95))
    off = np.log(time / guess.median_s) / wide
    inside = (guess.low_s <= time) & (time <= guess.high_s)
    return Score(
        candidate=name,
        fitted_to=float(seen.ranks.max()),
        foretold=float(asked.ranks[0]),
        rows=len(asked),
        log_density=float(np.mean(student_log_density(off) - np.log(wide))),
        median_error=float(np.median(np.abs(guess.median_s / time - 1.0))),
        covered=float(np.mean(inside)),
    )


def said(choice: Choice) -> str:
    """Say in a sentence what was chosen, and on what grounds.

    >>> said(Choice(name="all prices", model=None, scores=()))
    'all prices: one number of ranks decides nothing'
    """
    own = [x for x in choice.scores if x.candidate == choice.name]
    if not own:
        return f"{choice.name}: one number of ranks decides nothing"
    told = ", ".join(
        f"{x.foretold:,.0f} ranks from {x.fitted_to:,.0f} to {x.median_error:.1%}"
        for x in own
    )
    others = {x.candidate for x in choice.scores} - {choice.name}
    return (
        f"{choice.name}: foretold {told} (median), likelier than {len(others)} others"
    )

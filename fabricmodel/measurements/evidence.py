"""What a log shows of its run, where it doesn't say: collective, ranks, nodes."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
from collections.abc import Callable, Sequence

import polars as pl

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements.logtext import half_units, numbers
from fabricmodel.measurements.vocabulary import (
    bus_factor,
    canonical_collective,
    find_collective,
)

_WORD = re.compile(
    r"(?<![a-z])(all[_-]?reduce|all[_-]?gather|reduce[_-]?scatter|all[_-]?to[_-]?all)"
    r"(?![a-z])",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """What the caller says of the runs in a log, None where nothing."""

    ranks: int | None = None
    nodes: int | None = None
    collective: str | None = None


NOTHING = Given()
"""Said where the caller leaves all to the log."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ratio:
    """Bounds of busbw / algbw over the rows of a run, which tell collective and ranks.

    The ratio is the bus factor, so it is known only as well as the printed digits.

    >>> rows = pl.DataFrame({"algbw": ["12.18", "3.06"], "busbw": ["22.84", "5.73"]})
    >>> Ratio.of(rows).ranks("all_reduce")
    (16, 16)
    """

    low: float
    high: float

    @staticmethod
    def of(rows: pl.DataFrame) -> Ratio:
        """Intersect the bounds of all rows, by the columns algbw and busbw as printed.

        Without evidence, or with figures that fit no collective or one another, the
        bounds are 0 and infinity.
        """
        sides = rows.select(
            base=numbers("algbw"),
            top=numbers("busbw"),
            slack=half_units("algbw"),
            slip=half_units("busbw"),
        )
        top, slip = pl.col("top"), pl.col("slip")
        base, slack = pl.col("base"), pl.col("slack")
        seen = top.is_not_null() & (base > slack)
        low, high = sides.select(
            ((top - slip) / (base + slack)).filter(seen).max().alias("low"),
            ((top + slip) / (base - slack)).filter(seen).min().alias("high"),
        ).row(0)
        if low is None:
            return Ratio(low=0.0, high=math.inf)
        low = max(low, 0.0)
        spare = 1e-9 * low
        if low > high + spare or low > 2.0:  # 2 is the largest bus factor there is
            return Ratio(low=0.0, high=math.inf)
        return Ratio(low=low - spare, high=high + spare)

    def allows(self, collective: str, ranks: int | None) -> bool:
        """Whether the ratio fits the collective, on ``ranks`` or on any 2 or more."""
        least = bus_factor(collective, ranks or 2)
        most = bus_factor(collective, ranks or 1e15)
        return self.low <= most and least <= self.high

    def ranks(self, collective: str) -> tuple[int, int] | None:
        """Fewest and most ranks that the ratio allows, None if it leaves them open."""
        limit = bus_factor(collective, 1e15)  # the factor of very many ranks
        if bus_factor(collective, 2) == limit or self.high >= limit or self.low <= 0:
            return None
        # factor = limit * (1 - 1 / ranks), so ranks = limit / (limit - factor)
        least, most = (limit / (limit - factor) for factor in (self.low, self.high))
        bounds = math.ceil(least * (1 - 1e-6)), math.floor(most * (1 + 1e-6))
        return bounds if bounds[0] <= bounds[1] else None


def settle_ranks(
    place: str,
    collective: str,
    *,
    given: int | None,
    stated: int | None,
    counted: int | None,
    ratio: Ratio,
) -> int:
    """Number of ranks of a run, from the caller or from what the log shows.

    Args:
      place: where the run stands, for the message.
      collective: its canonical name.
      given: what the caller says.
      stated: what the log says in words.
      counted: what size / (count x element size) says, exactly.
      ratio: what the printed bandwidths say.

    Raises:
      MeasurementError: where two of these contradict one another, or none says it.
    """
    witnesses = {
        "the log": stated,
        "size / count": counted,
        "the argument ranks": given,
    }
    said = {name: value for name, value in witnesses.items() if value is not None}
    if len(set(said.values())) > 1:
        claims = ", ".join(f"{name} says {value}" for name, value in said.items())
        raise MeasurementError(
            place, f"{claims} ranks", "Leave ranks out, or repair the log's rank lines"
        )
    if said:
        ranks = next(iter(said.values()))
        if ratio.allows(collective, ranks):
            return ranks
        shown = f"{ratio.low:.3f} to {ratio.high:.3f}"
        raise MeasurementError(
            place,
            f"busbw / algbw is {shown}, not the "
            f"{bus_factor(collective, ranks):.3f} of {collective} on {ranks} ranks",
            "Correct ranks or collective, or give the log of one run",
        )
    bounds = ratio.ranks(collective)
    if bounds is not None and bounds[0] == bounds[1]:
        return bounds[0]
    known = f" (between {bounds[0]} and {bounds[1]} did)" if bounds else ""
    raise MeasurementError(
        place,
        f"the log doesn't say how many ranks ran this {collective}{known}",
        "Give ranks=N (--ranks N)",
    )


def split_nodes(
    place: str, ranks: int, nodes: int | None, given: int | None
) -> tuple[float | None, float | None]:
    """Nodes and ranks per node; the caller knows better than the host names do.

    Raises:
      MeasurementError: for more nodes than ranks.
    """
    count = given or nodes
    if count is None:
        return None, None
    if count > ranks:
        raise MeasurementError(
            place, f"{count} nodes for {ranks} ranks", "Give nodes= of this run"
        )
    return float(count), ranks / count if ranks % count == 0 else None


def check_given(place: str, named: str | None, given: str | None) -> str | None:
    """The collective that the log names, or else the caller; None if neither does.

    Raises:
      MeasurementError: where they name different ones, or the caller's is unknown.
    """
    wanted = None if given is None else canonical_collective(given)
    if named and wanted and named != wanted:
        raise MeasurementError(
            place,
            f"the log is of {named}, the argument collective says {wanted}",
            "Leave collective out, or select() afterwards",
        )
    return wanted or named


def mentioned_collective(
    text: Callable[[], str], path: str, fitting: Sequence[str]
) -> tuple[str | None, str]:
    """The one fitting collective of which the file's name, or else its text, speaks.

    A script's comment, a folder in a path or the name that a person gave to the log;
    weaker than a command, so the second part of the answer says where it stood.

    >>> mentioned_collective(lambda: "", "runs/alltoall_64.log", ["all_to_all"])
    ('all_to_all', "collective from the file's name")
    """
    for words, where in (
        (lambda: pathlib.PurePath(path).name, "the file's name"),
        (text, "a word of the log"),
    ):
        found = {find_collective(word) for word in _WORD.findall(words())}
        if len(found) == 1 and (name := found.pop()) in fitting:
            return name, f"collective from {where}"
    return None, ""

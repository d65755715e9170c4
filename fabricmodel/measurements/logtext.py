"""What the log readers share: clean lines, printed numbers, deduced rank counts."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements.table import TEXT_LIMIT, SetAside
from fabricmodel.measurements.vocabulary import bus_factor

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PREFIX = re.compile(
    r"""^\s*(?:
      .{0,80}?<std(?:out|err)>:                           # Open MPI, also PRRTE
    | [0-9]+:(?=\s)                                       # srun --label
    | \[[0-9]+\](?=\s)                                    # Hydra -prepend-rank
    | \[[\w./-]*[A-Za-z][\w./-]*\](?=\s)                  # kubectl logs --prefix
    | [0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.,]+(?:Z|[+-][0-9:]{4,6})?(?=\s)  # a time stamp
    | [A-Za-z][\w.-]*(?::|\s+\|)\s+(?=\#|[0-9]+\s+[0-9]+\s)   # pdsh, docker compose
    )\s?""",
    re.VERBOSE | re.ASCII,
)
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", re.ASCII)


def clean_lines(text: str) -> Iterator[tuple[int, str]]:
    """Number the lines from 1 and remove colours and what launchers put in front.

    >>> list(clean_lines("[1,0]<stdout>:# nThread 1\\n 3: 8 2 float"))
    [(1, '# nThread 1'), (2, '8 2 float')]
    """
    for number, raw in enumerate(text.split("\n"), start=1):
        line = _ANSI.sub("", raw) if "\x1b" in raw else raw
        for _ in range(4):  # prefixes nest: a container's around the launcher's
            shorter = _PREFIX.sub("", line, count=1)
            if shorter == line:
                break
            line = shorter
        yield number, line.strip()


def aside(path: str, line: int, text: str, reason: str) -> SetAside:
    """Record a row that isn't used, with its text cut to a readable length."""
    short = " ".join(text.split())
    if len(short) > TEXT_LIMIT:
        short = short[: TEXT_LIMIT - 3] + "..."
    return SetAside(file=path, line=line, text=short, reason=reason)


def printed_number(token: str) -> float | None:
    """The finite, unsigned decimal number that a token shows, or None.

    Stricter than float(), which would also take "nan", "inf", "1_0" and "-1".

    >>> printed_number("1.5e3"), printed_number("N/A"), printed_number("-1")
    (1500.0, None, None)
    """
    if not _NUMBER.fullmatch(token):
        return None
    value = float(token)
    return value if math.isfinite(value) else None


def half_unit(token: str) -> float:
    """Half a unit of the last digit shown: how far printing may have rounded.

    >>> half_unit("0.02"), half_unit("18930")
    (0.005, 0.5)
    """
    digits, _, exponent = token.lower().partition("e")
    return 0.5 * 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ratio:
    """Bounds of busbw / algbw over the rows of a run, which tell collective and ranks.

    The ratio is the bus factor, so it is known only as well as the printed digits.

    >>> Ratio.of([("12.18", "22.84"), ("3.06", "5.73")]).ranks("all_reduce")
    (16, 16)
    """

    low: float
    high: float

    @staticmethod
    def of(pairs: Iterable[tuple[str, str]]) -> Ratio:
        """Intersect the bounds of all printed (algbw, busbw) pairs.

        Without evidence, or with figures that fit no collective or one another, the
        bounds are 0 and infinity.
        """
        low, high = 0.0, math.inf
        for algbw, busbw in pairs:
            if (top := printed_number(busbw)) is None:
                continue
            if (base := printed_number(algbw)) is None or base <= half_unit(algbw):
                continue
            low = max(low, (top - half_unit(busbw)) / (base + half_unit(algbw)))
            high = min(high, (top + half_unit(busbw)) / (base - half_unit(algbw)))
        slack = 1e-9 * low
        if low > high + slack or low > 2.0:  # 2 is the largest bus factor there is
            return Ratio(low=0.0, high=math.inf)
        return Ratio(low=low - slack, high=high + slack)

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

"""What one execution showed, and how the counts of the registry compare with it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import oracle

from fabricmodel.algorithms.counts import Dim, Phases
from fabricmodel.algorithms.registry import ALGORITHMS, SPANNING

FIELDS = ("rounds", "hops", "bytes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """What an execution counted, for a vector of one byte.

    Attributes:
      rounds, hops, bytes: of each dimension, summed over the parts.
      reduced: bytes that the busiest rank added up.
      messages: posted beyond the first of every round, where that is compared.
      whole_rounds: where the rounds of a chain are shared out over the dimensions by
        the way of a block, their sum is compared, and so is that of the hops.
    """

    rounds: Sequence[float]
    hops: Sequence[float]
    bytes: Sequence[float]
    reduced: float
    messages: float | None = None
    whole_rounds: bool = False

    def __add__(self, other: Seen) -> Seen:
        """One after the other."""
        return Seen(
            rounds=np.add(self.rounds, other.rounds),  # type: ignore[arg-type]
            hops=np.add(self.hops, other.hops),  # type: ignore[arg-type]
            bytes=np.add(self.bytes, other.bytes),  # type: ignore[arg-type]
            reduced=self.reduced + other.reduced,
            messages=(
                None
                if self.messages is None or other.messages is None
                else self.messages + other.messages
            ),
            whole_rounds=self.whole_rounds or other.whole_rounds,
        )


def seen(
    tally: oracle.Tally,
    depth: int,
    *,
    stream: bool = False,
    routed: bool = False,
    messages: bool = False,
    whole_rounds: bool = False,
) -> Seen:
    """Read a tally. A stream's bytes are those of the busiest link over all rounds.

    Of a routed message every dimension waits for the whole way; otherwise a message
    stays on its own dimension.
    """
    carried = tally.stream if stream else tally.bytes
    used = [float(tally.rounds[dim]) for dim in range(depth)]
    hops = [float(tally.hops[dim]) for dim in range(depth)]
    if routed:
        hops = [tally.path if rounds else 0.0 for rounds in used]
    if whole_rounds:
        used = [float(tally.all_rounds), *[0.0] * (depth - 1)]
        hops = [float(tally.path), *[0.0] * (depth - 1)]
    return Seen(
        rounds=used,
        hops=hops,
        bytes=[carried.get(dim, 0.0) for dim in range(depth)],
        reduced=tally.reduced,
        messages=float(tally.messages) if messages else None,
        whole_rounds=whole_rounds,
    )


Execute = Callable[..., Seen | None]
"""Of the collective, the name and a shape; None where the algorithm doesn't exist."""


def differences(phases: Phases, wanted: Seen | None) -> list[str]:
    """Say where counts differ from an execution, or nothing."""
    valid = min(float(phase.valid) for phase in phases)
    if wanted is None:
        return [] if valid == 0.0 else ["valid: counted, though nothing can run"]
    if valid != 1.0:
        return ["valid: not counted, though it runs"]
    ours = {
        field: np.array(
            [
                sum(float(getattr(phase.levels[at], field)) for phase in phases)
                for at in range(len(phases[0].levels))
            ]
        )
        for field in FIELDS
    }
    found = []
    for field in FIELDS:
        theirs, mine = np.array(getattr(wanted, field), float), ours[field]
        if wanted.whole_rounds and field != "bytes":
            theirs, mine = theirs.sum(keepdims=True), mine.sum(keepdims=True)
        if not np.allclose(mine, theirs, rtol=1e-9, atol=1e-12):
            found.append(f"{field}: {mine.tolist()} counted, {theirs.tolist()} seen")
    posted = sum(float(level.messages) for phase in phases for level in phase.levels)
    if wanted.messages is not None and posted != wanted.messages:
        found.append(f"messages: {posted} counted, {wanted.messages} seen")
    reduced = sum(float(phase.reduced_bytes) for phase in phases)
    if not np.isclose(reduced, wanted.reduced, rtol=1e-9, atol=1e-12):
        found.append(f"reduced: {reduced} counted, {wanted.reduced} seen")
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """How a family is executed, and on which shapes.

    Attributes:
      execute: runs an algorithm of a collective on a shape.
      dims: the dimensions of a shape, as the counts take them.
      whole: names whose all_reduce is more than one half after the other.
      light, heavy: shapes of every run, and those of the command alone.
    """

    name: str
    execute: Execute
    dims: Callable[..., list[Dim]]
    light: Sequence
    heavy: Sequence = ()
    whole: frozenset[str] = frozenset()

    def seen(self, collective: str, name: str, shape: Any) -> Seen | None:
        """Execute, once for each half of an all_reduce that is made of two."""
        halves = ("reduce_scatter", "all_gather")
        made_of_two = name not in self.whole and all(
            name in self.table.get(half, {}) for half in halves
        )
        if collective == "all_reduce" and made_of_two:
            first, second = (self.seen(half, name, shape) for half in halves)
            return None if first is None or second is None else first + second
        return _executed(self.execute, collective, name, shape)

    @property
    def table(self) -> Mapping[str, Mapping]:
        """Collective, name, record."""
        return SPANNING if self.name == "spanning" else ALGORITHMS[self.name]

    @property
    def names(self) -> list[str]:
        """Every name in the registry's table, once."""
        return list(
            dict.fromkeys(name for named in self.table.values() for name in named)
        )


@functools.cache
def _executed(execute: Execute, collective: str, name: str, shape: Any) -> Seen | None:
    return execute(collective, name, shape)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One algorithm: shapes that ran, shapes refused, and where counts differ."""

    family: str
    collective: str
    name: str
    ran: int
    refused: int
    wrong: tuple[str, ...]


def every_line(families: Sequence[Family], *, heavy: bool = False) -> Iterator[Line]:
    """Compare the whole registry, family by family."""
    for family in families:
        shapes = [*family.light, *(family.heavy if heavy else ())]
        for name in family.names:
            for collective, named in family.table.items():
                if name in named:
                    yield compare(family, collective, name, shapes)
            _executed.cache_clear()


def compare(family: Family, collective: str, name: str, shapes: Iterable) -> Line:
    """Execute one algorithm on shapes, and hold its counts against what was seen."""
    record = family.table[collective][name]
    ran = refused = 0
    wrong = []
    for shape in shapes:
        wanted = family.seen(collective, name, shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            phases = record.count(family.dims(shape), 1.0)
        refused, ran = refused + (wanted is None), ran + (wanted is not None)
        wrong += [f"{shape}: {text}" for text in differences(phases, wanted)]
    return Line(
        family=family.name,
        collective=collective,
        name=name,
        ran=ran,
        refused=refused,
        wrong=tuple(wrong),
    )

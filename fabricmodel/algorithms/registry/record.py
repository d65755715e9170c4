"""What the registry knows of an algorithm: how it counts, and what a person asks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from chex import Numeric

from fabricmodel.algorithms.counts import Dim, Phases

Count = Callable[[Sequence[Dim], Numeric], Phases]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Algorithm:
    """One algorithm of one collective.

    Attributes:
      count: counts it, for the dimensions it spans and the bytes of the full vector.
      summary: what it does, in a line.
      formula: its time in LaTeX: ``N`` ranks, ``S`` bytes, ``alpha`` a round,
        ``beta`` a byte over a link, ``gamma`` a byte reduced, ``h`` a further hop.
      source: where it was described.
      supported: the shapes it exists for, in words; ``Counts.valid`` says it in 0 and
        1.
      automatic: whether every library of the family chooses it by itself. The others
        run where a fabric's ``strategies``, a measurement or a caller name them.
      in_network: whether switches reduce or copy, so that the bound of reduction at
        the ranks does not hold.
      protocols: those of a fabric that it can be sent in, where its library has not
        got it in all of them.
    """

    count: Count
    summary: str
    formula: str
    source: str
    supported: str = "any N"
    automatic: bool = False
    in_network: bool = False
    protocols: tuple[str, ...] = ()


Table = dict[str, dict[str, Algorithm]]
"""Collective, then name."""


def entry(
    count: Count,
    formula: str,
    source: str,
    supported: str = "any N",
    *,
    summary: str = "",
    automatic: bool = False,
    in_network: bool = False,
    protocols: tuple[str, ...] = (),
) -> Algorithm:
    """Make a record whose summary is the first line of the function's docstring."""
    if not summary:
        summary = (count.__doc__ or "").strip().splitlines()[0]
    return Algorithm(
        count=count,
        summary=summary,
        formula=formula,
        source=source,
        supported=supported,
        automatic=automatic,
        in_network=in_network,
        protocols=protocols,
    )


def merged(*tables: Table) -> Table:
    """Join tables of one family; a name stands once in a collective."""
    joined: Table = {}
    for table in tables:
        for collective, named in table.items():
            joined[collective] = joined.get(collective, {}) | named
    return joined

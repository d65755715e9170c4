"""What a table must hold before anything is drawn from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from fabricmodel.errors import FabricModelError


def check_rows(
    place: str,
    rows: pl.DataFrame,
    *,
    labels: Iterable[str],
    positive: Iterable[str] = (),
    fractions: Iterable[str] = (),
    finite: Iterable[str] = (),
) -> None:
    """Refuse a table without rows, without a column, or with a value no axis takes.

    Labels have no gaps; positive columns stand on log axes; fractions are 0 to 1;
    finite columns may hold any number.

    Raises:
      FabricModelError: with the column, and the first value that can't be drawn.
    """
    labels, positive, fractions = tuple(labels), tuple(positive), tuple(fractions)
    finite = tuple(finite)
    wanted = (*labels, *positive, *fractions, *finite)
    missing = [name for name in wanted if name not in rows.columns]
    if missing:
        raise FabricModelError(
            place,
            f"the rows have no column {', '.join(missing)}",
            f"Give the columns {', '.join(wanted)}",
        )
    if rows.is_empty():
        raise FabricModelError(place, "there are no rows to draw", "Give at least one")
    for name in (*positive, *fractions, *finite):
        if not rows[name].dtype.is_numeric():
            raise FabricModelError(
                place,
                f"column {name} holds {rows[name].dtype}, not numbers",
                "Cast it to Float64",
            )
    column = pl.col
    refusals = [
        *((name, column(name).is_null(), "a label") for name in labels),
        *(
            (name, ~(column(name).is_finite() & (column(name) > 0)), "a number above 0")
            for name in positive
        ),
        *(
            (name, ~column(name).is_between(0, 1), "a number from 0 to 1")
            for name in fractions
        ),
        *((name, ~column(name).is_finite(), "a finite number") for name in finite),
    ]
    for name, refused, remedy in refusals:
        wrong = rows.filter(refused.fill_null(True))
        if not wrong.is_empty():
            raise FabricModelError(
                place,
                f"column {name} holds {wrong[name][0]}, which can't be drawn",
                f"Give {remedy}, or filter the row out",
            )


def distinct(place: str, rows: pl.DataFrame, name: str, at_most: int) -> list[Any]:
    """List a column's values, in order of appearance, if a figure has room for them.

    Raises:
      FabricModelError: if there are more than ``at_most``.
    """
    values = rows[name].unique(maintain_order=True).to_list()
    check_room(place, name, len(values), at_most)
    return values


def check_room(place: str, name: str, count: int, at_most: int) -> None:
    """Refuse to draw more of a thing than stays readable.

    Raises:
      FabricModelError: if ``count`` exceeds ``at_most``.
    """
    if count > at_most:
        raise FabricModelError(
            place,
            f"{count} values of {name} are too many for one figure",
            f"Filter the rows to {at_most} or draw several figures",
        )

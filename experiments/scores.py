"""How good predictions are: the one score of every comparison, and its words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

_KEYS = (
    "median_abs_rel_err", "mean_abs_rel_err", "p90_abs_rel_err", "coverage_90",
    "median_interval_ratio",
)  # fmt: skip


def score(
    measured: ArrayLike, predicted: ArrayLike, low: ArrayLike, high: ArrayLike
) -> dict[str, Any]:
    """Summarise predictions with their 90 % intervals; None where there are none.

    Args:
      measured, predicted, low, high: (n,) each, in one unit.

    >>> found = score([10.0, 10.0], [11.0, 7.0], [9.0, 6.0], [12.0, 9.0])
    >>> found["n"], found["coverage_90"], round(found["median_abs_rel_err"], 9)
    (2, 0.5, 0.2)
    """
    time, guess, least, most = (
        np.asarray(each, float) for each in (measured, predicted, low, high)
    )
    if not len(time):
        return {"n": 0, **dict.fromkeys(_KEYS)}
    error = np.abs(guess / time - 1.0)
    found = (
        np.median(error),
        np.mean(error),
        np.quantile(error, 0.9),
        np.mean((least <= time) & (time <= most)),
        np.median(most / least),
    )
    return {"n": len(time), **dict(zip(_KEYS, map(float, found), strict=True))}


def score_rows(
    rows: Sequence[dict[str, Any]], names: Sequence[str], scale: str, unit: str
) -> dict[str, Any]:
    """Score the rows that have both a measurement and a prediction.

    Args:
      rows: all of them, None where a value is missing.
      names: of the four columns that ``score`` takes.
      scale: the column that says how large the machine was.
      unit: what the list of those is called, ``ranks`` or ``chips``.
    """
    known = [row for row in rows if all(row[name] is not None for name in names)]
    found = score(*([row[name] for row in known] for name in names))
    return {"n": found.pop("n"), unit: sorted({int(r[scale]) for r in known}), **found}


def line(found: dict[str, Any], unit: str, digits: int = 1) -> str:
    """Say a score of rows in one line.

    >>> row = {"t": 10.0, "p": 11.0, "lo": 9.0, "hi": 12.0, "ranks": 8}
    >>> line(score_rows([row], ("t", "p", "lo", "hi"), "ranks", "ranks"), "ranks")
    ... # doctest: +NORMALIZE_WHITESPACE
    '1 rows, 8 to 8 ranks: median error 10.0%, mean 10.0%, 90th percentile 10.0%,
    90 % interval covers 100%, 1.33x wide'
    """
    if not found["n"]:
        return "no rows"
    median, mean, p90 = (f"{found[key]:.{digits}%}" for key in _KEYS[:3])
    return (
        f"{found['n']} rows, {min(found[unit])} to {max(found[unit])} {unit}: "
        f"median error {median}, mean {mean}, 90th percentile {p90}, "
        f"90 % interval covers {found['coverage_90']:.0%}, "
        f"{found['median_interval_ratio']:.2f}x wide"
    )

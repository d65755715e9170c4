"""Rows of nccl-tests, as text or JSON print them, and what makes one unusable."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from fabricmodel.measurements.logtext import (
    aside,
    half_unit,
    half_units,
    numbers,
    printed_number,
)
from fabricmodel.measurements.table import SetAside
from fabricmodel.measurements.vocabulary import DTYPE_BYTES

OPERATIONS = ("sum", "prod", "min", "max", "avg", "mulsum", "none")
UNCHECKED = "N/A"
# Largest deviation that the older versions pass, by element type; 0 for integers.
_DEVIATION = {"half": 1e-2, "bfloat16": 1e-1, "float": 1e-5, "double": 1e-12}
_ELEMENT_BYTES = pl.col("dtype").replace_strict(DTYPE_BYTES)
_STATISTICS = ("out-of-place", "in-place")


class Row(NamedTuple):
    """A whole row, as printed; ``op`` and ``root`` are None where they are blank.

    The last eight are the time, the two bandwidths and the result of the out-of-place
    and of the in-place half.
    """

    line: int
    text: str
    size: str
    elements: str
    dtype: str
    op: str | None
    root: str | None
    time_0: str
    algbw_0: str
    busbw_0: str
    wrong_0: str
    time_1: str
    algbw_1: str
    busbw_1: str
    wrong_1: str


def usable_halves(
    rows: Sequence[Row],
    counts: bool | None,
    failed: bool,
    footer: tuple[int, str] | None,
    path: str,
    refused: list[SetAside],
) -> pl.DataFrame:
    """The halves that can be used, one after another; the others are refused.

    ``counts`` and ``failed`` as in ``check_half``; ``footer`` is the run's last line.
    Whole columns are checked at once, and only what looks odd in words.
    """
    columns = dict(zip(Row._fields, zip(*rows, strict=True), strict=True))
    frame = pl.DataFrame(columns, schema_overrides={"op": pl.String, "root": pl.String})
    common = ("line", "text", "size", "elements", "dtype", "op", "root")
    indexed = frame.with_row_index()
    parts = [
        indexed.select(
            "index",
            *common,
            *(pl.col(f"{n}_{half}").alias(n) for n in ("time", "algbw", "busbw")),
            pl.col(f"wrong_{half}").alias("wrong"),
            statistic=pl.lit(statistic),
        )
        for half, statistic in enumerate(_STATISTICS)
    ]
    halves = pl.concat(parts).sort("index", maintain_order=True)
    halves = halves.with_columns(
        size_bytes=numbers("size"), count=numbers("elements"), time_us=numbers("time")
    )
    halves = halves.with_columns(
        fine=_fine(counts, failed).fill_null(False),
        shards=pl.col("size_bytes") / (pl.col("count") * _ELEMENT_BYTES),
    )
    odd = halves.filter(~pl.col("fine"))
    wrong, bad = False, []
    for half in odd.iter_rows(named=True):
        if reason := check_half(half, counts, failed):
            wrong |= reason.startswith("wrong")
            reason = f"{half['statistic']}: {reason}"
            refused.append(aside(path, half["line"], half["text"], reason))
            bad.append((half["index"], half["statistic"]))
    if failed and footer and not wrong:
        reason = "a row above is wrong, and none shows it"
        refused.append(aside(path, *footer, reason))
    if bad:
        schema = {"index": halves["index"].dtype, "statistic": pl.String}
        spoilt = pl.DataFrame(bad, schema=schema, orient="row")
        keys = ["index", "statistic"]
        halves = halves.join(spoilt, on=keys, how="anti", maintain_order="left")
    return halves


@functools.cache
def _fine(counts: bool | None, failed: bool) -> pl.Expr:
    """Halves that ``check_half`` would surely pass."""
    expected = pl.col("size_bytes") / pl.col("time_us") / 1e3
    slack = half_units("algbw") + expected * (
        half_units("time") / pl.col("time_us") + 2e-3
    )
    value = numbers("wrong")
    right = (pl.col("wrong") == UNCHECKED) | (value == 0)
    if counts is False and not failed:
        right |= value.is_not_null()
    return (
        (pl.col("size_bytes") > 0)
        & (pl.col("count") > 0)
        & (pl.col("time_us") > 0)
        & numbers("busbw").is_not_null()
        & ((numbers("algbw") - expected).abs() <= slack)
        & right.fill_null(False)
    )


def check_half(half: dict[str, str], counts: bool | None, failed: bool) -> str | None:
    """Say why one half of a row can't be used, or None if it can.

    Args:
      half: size, elements, dtype, time, algbw, busbw, wrong, as printed.
      counts: whether ``wrong`` counts elements or is the largest deviation.
      failed: whether the run's last line says that a result was wrong.
    """
    size = printed_number(half["size"])
    if not size or not printed_number(half["elements"]):
        return "size 0, nothing moved"
    time = printed_number(half["time"])
    if not time:
        return f"time {half['time']!r} is not a positive number"
    for name in ("algbw", "busbw"):
        if printed_number(half[name]) is None:
            return f"{name} {half[name]!r} is not a number"
    return _check_result(half, counts, failed) or _check_bandwidth(half, size, time)


def _check_bandwidth(half: dict[str, str], size: float, time: float) -> str | None:
    """A damaged digit shows where algbw isn't size / time any more."""
    printed = printed_number(half["algbw"]) or 0.0
    expected = size / time / 1e3  # bytes per us to GB/s
    slack = half_unit(half["algbw"])
    slack += expected * (half_unit(half["time"]) / time + 2e-3)
    if abs(printed - expected) <= 1.01 * slack:
        return None
    return f"algbw {half['algbw']} isn't size / time = {expected:.2f} GB/s"


def _check_result(
    half: dict[str, str], counts: bool | None, failed: bool
) -> str | None:
    """Judge the last column: wrong elements, or the largest deviation before 2.12.

    The deviation alone condemns nothing: alltoall's in-place result isn't meant to be
    right and prints 1e+00 with "Out of bounds values : 0 OK" below. Without a header
    the form tells: a count has no exponent below 1e+05.
    """
    wrong = half["wrong"]
    if wrong == UNCHECKED:
        return None
    marked = wrong.endswith("*")
    value = printed_number(wrong.removesuffix("*"))
    if value is None:
        return f"{wrong!r} wrong elements is not a number"
    if counts is None:
        counts = "e" not in wrong or value >= 1e5
    limit = 0.0 if counts else _DEVIATION.get(half["dtype"], 0.0)
    if marked or (value > limit and (counts or failed)):
        return f"wrong result ({wrong} {'elements' if counts else 'deviation'})"
    return None

"""What the log readers share: clean lines and printed numbers."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator

import polars as pl

from fabricmodel.measurements.table import TEXT_LIMIT, SetAside

LONGEST_LINE = 4096
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TAG = re.compile(r".{0,80}?<std(?:out|err)>:\s?")  # Open MPI, also PRRTE
_PREFIX = re.compile(
    r"""\s*(?:
      [0-9]+:(?=\s)                                       # srun --label
    | \[[0-9]+\](?=\s)                                    # Hydra -prepend-rank
    | \[[\w./-]*[A-Za-z][\w./-]*\](?=\s)                  # kubectl logs --prefix
    | [0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.,]+(?:Z|[+-][0-9:]{4,6})?(?=\s)  # a time stamp
    | [A-Za-z][\w.-]*(?::|\s+\|)\s+(?=\#|[0-9]+\s+[0-9]+[\s.])  # pdsh, docker compose
    )\s?""",
    re.VERBOSE | re.ASCII,
)
NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?"
"""A finite, unsigned decimal, as benchmarks print them."""
_NUMBER = re.compile(NUMBER, re.ASCII)


def clean_lines(text: str) -> Iterator[tuple[int, str]]:
    """Number the lines from 1 and remove colours and what launchers put in front.

    A line longer than ``LONGEST_LINE`` comes in overlapping pieces, none of which can
    pass for a whole row: no pattern shall spend minutes on one line.

    >>> list(clean_lines("[1,0]<stdout>:# nThread 1\\n 3: 8 2 float"))
    [(1, '# nThread 1'), (2, '8 2 float')]
    """
    for number, raw in enumerate(text.split("\n"), start=1):
        if len(raw) > LONGEST_LINE:
            for start in range(0, len(raw), LONGEST_LINE // 2):
                yield number, f"... {raw[start : start + LONGEST_LINE]} ..."
            continue
        line = (_ANSI.sub("", raw) if "\x1b" in raw else raw).strip()
        if line and (line[0] not in "#(" or "<std" in line):
            line = _without_prefix(line)
        yield number, line


def _without_prefix(line: str) -> str:
    for _ in range(4):  # prefixes nest: a container's around the launcher's
        if ":" not in line and "|" not in line and not line.startswith("["):
            break
        found = _TAG.match(line) if "<std" in line else None
        if found is None and (found := _PREFIX.match(line)) is None:
            break
        line = line[found.end() :]
    return line.strip()


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


@functools.cache  # an expression costs more to build than to run on a few rows
def numbers(column: str) -> pl.Expr:
    """``printed_number`` of a whole column of tokens; null where it is None."""
    token = pl.col(column)
    value = pl.when(token.str.contains(f"^{NUMBER}$")).then(token)
    return value.cast(pl.Float64).replace(math.inf, None)


@functools.cache
def half_units(column: str) -> pl.Expr:
    """``half_unit`` of a whole column of tokens that are numbers."""
    token = pl.col(column)
    decimals = token.str.extract(r"\.([0-9]*)").str.len_bytes().fill_null(0)
    power = token.str.extract(r"[eE]\+?(-?[0-9]+)").cast(pl.Int32, strict=False)
    exponent = power.fill_null(0) - decimals.cast(pl.Int32)
    return 0.5 * pl.lit(10.0).pow(exponent)

"""One line of an nccl-tests table: its columns, and what makes it unusable."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from fabricmodel.measurements.logtext import half_unit, printed_number
from fabricmodel.measurements.vocabulary import DTYPE_BYTES

HEADER = re.compile(r"#\s*(size\s+count\s+type\b.*\bbusbw\b.*)$")
_OPS = ("sum", "prod", "min", "max", "avg", "mulsum", "none")
_TYPES = "|".join(sorted(DTYPE_BYTES, key=len, reverse=True))
_START = re.compile(rf"(?<![0-9])[0-9]+\s+[0-9]+\s+(?:{_TYPES})\b", re.ASCII)
_NUMERIC = re.compile(r"-?[0-9][0-9.]*(e[+-]?[0-9]+)?\*?|N/A", re.ASCII)
# Largest deviation that the older versions pass, by element type; 0 for integers.
_DEVIATION = {"half": 1e-2, "bfloat16": 1e-1, "float": 1e-5, "double": 1e-12}
_UNCHECKED = "N/A"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Half:
    """The out-of-place or the in-place part of a row, as printed."""

    statistic: str
    time: str
    algbw: str
    busbw: str
    wrong: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A complete row: what ran, and its two halves. ``op``, ``root``: None if blank."""

    line: int
    text: str
    size: float
    count: float
    dtype: str
    op: str | None
    root: int | None
    halves: tuple[Half, Half]

    @property
    def shards(self) -> float:
        """Size over (count x element size): ranks if a rank's part is counted, or 1."""
        return self.size / (self.count * DTYPE_BYTES[self.dtype]) if self.count else 0.0


def parse_row(line: int, text: str, header: Sequence[str] | None) -> Row | str | None:
    """Read a cleaned line as a row; a reason if it is a damaged one; None if not one.

    >>> header = "size count type redop time algbw busbw error time algbw busbw error"
    >>> text = "8 2 float sum 5.34 0.00 0.00 0e+00 5.10 0.00 0.00 0e+00"
    >>> parse_row(7, text, header.split()).halves[1].time
    '5.10'
    >>> parse_row(7, text[:-12], header.split())
    'not the 12 columns of a whole row'
    >>> parse_row(7, "NCCL INFO Connected all trees", header.split()) is None
    True
    """
    tokens = text.split()
    width = f"the {len(header)} columns of" if header else "the columns of"
    if not _START.match(text):
        numeric = [bool(_NUMERIC.fullmatch(token)) for token in tokens]
        inside = header is not None and numeric[:1] == [True]
        # Rings in NCCL's own lines are long lists of numbers too.
        many = sum(numeric) >= 6 and "NCCL" not in text
        fragment = len(tokens) >= 3 and all(numeric)
        if inside or fragment or many or _START.search(text):
            return f"not {width} a whole row"
        return None
    size, count = printed_number(tokens[0]), printed_number(tokens[1])
    middle, tail = tokens[3:-8], tokens[-8:]
    op = middle.pop(0) if middle and middle[0] in _OPS else None
    root = middle.pop(0) if middle and re.fullmatch("-?[0-9]{1,9}", middle[0]) else None
    known = tokens[2] in DTYPE_BYTES  # the pattern takes "float{" too
    if len(tokens) < 11 or middle or size is None or count is None or not known:
        return f"not {width} a whole row"
    # The operation may be blank, as alltoall's is; a root never is.
    columns = header[3:5] if header else ()
    if header and (("root" in columns) != (root is not None)):
        return f"not {width} a whole row"
    if header and op and "redop" not in columns:
        return f"not {width} a whole row"
    return Row(
        line=line,
        text=text,
        size=size,
        count=count,
        dtype=tokens[2],
        op=op,
        root=None if root is None else int(root),
        halves=(_half("out-of-place", tail[:4]), _half("in-place", tail[4:])),
    )


def _half(statistic: str, tokens: Sequence[str]) -> Half:
    time, algbw, busbw, wrong = tokens
    return Half(statistic=statistic, time=time, algbw=algbw, busbw=busbw, wrong=wrong)


def check_half(
    row: Row, half: Half, header: Sequence[str] | None, failed: bool
) -> str | None:
    """Say why one half of a row can't be used, or None if it can."""
    if row.size == 0 or row.count == 0:
        return "size 0, nothing moved"
    time = printed_number(half.time)
    if not time:
        return f"time {half.time!r} is not a positive number"
    for name, token in (("algbw", half.algbw), ("busbw", half.busbw)):
        if printed_number(token) is None:
            return f"{name} {token!r} is not a number"
    return _check_result(row, half, header, failed) or _check_bandwidth(row, half, time)


def _check_bandwidth(row: Row, half: Half, time: float) -> str | None:
    """A damaged digit shows where algbw isn't size / time any more."""
    printed = printed_number(half.algbw) or 0.0
    expected = row.size / time / 1e3  # bytes per us to GB/s
    slack = half_unit(half.algbw) + expected * (half_unit(half.time) / time + 2e-3)
    if abs(printed - expected) <= 1.01 * slack:
        return None
    return f"algbw {half.algbw} isn't size / time = {expected:.2f} GB/s"


def _check_result(
    row: Row, half: Half, header: Sequence[str] | None, failed: bool
) -> str | None:
    """Judge the last column: wrong elements, or the largest deviation before 2.12.

    The deviation alone condemns nothing: alltoall's in-place result isn't meant to be
    right and prints 1e+00 with "Out of bounds values : 0 OK" below. Without a header
    the form tells: a count has no exponent below 1e+05.
    """
    if half.wrong == _UNCHECKED:
        return None
    marked = half.wrong.endswith("*")
    value = printed_number(half.wrong.removesuffix("*"))
    if value is None:
        return f"{half.wrong!r} wrong elements is not a number"
    if header:
        counts = "#wrong" in header
    else:
        counts = "e" not in half.wrong or value >= 1e5
    limit = 0.0 if counts else _DEVIATION.get(row.dtype, 0.0)
    if marked or (value > limit and (counts or failed)):
        return f"wrong result ({half.wrong} {'elements' if counts else 'deviation'})"
    return None

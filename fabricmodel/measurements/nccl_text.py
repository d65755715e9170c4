"""Reader for the text that nccl-tests and rccl-tests print, all versions since 2.0."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fabricmodel.measurements.evidence import NOTHING, Given
from fabricmodel.measurements.logtext import aside, clean_lines
from fabricmodel.measurements.nccl_rows import OPERATIONS, Row
from fabricmodel.measurements.nccl_runs import Run, tidy_rows
from fabricmodel.measurements.table import Measurements, SetAside, whole_table
from fabricmodel.measurements.vocabulary import DTYPE_BYTES

NAME = "nccl-tests or rccl-tests text"
_TYPES = "|".join(sorted(DTYPE_BYTES, key=len, reverse=True))
_OPS = "|".join(OPERATIONS)
_ROW = re.compile(
    rf"([0-9]+)\s+([0-9]+)\s+({_TYPES})\s+(?:({_OPS})\s+)?(?:(-?[0-9]{{1,9}})\s+)?"
    + r"\s+".join([r"(\S+)"] * 8),
    re.ASCII,
)
_START = re.compile(rf"(?<![0-9])[0-9]+\s+[0-9]+\s+(?:{_TYPES})\b", re.ASCII)
_NUMERIC = re.compile(r"-?[0-9][0-9.]*(e[+-]?[0-9]+)?\*?|N/A", re.ASCII)
_HEADER = re.compile(r"#\s*(size\s+count\s+type\b.*\bbusbw\b.*)$")
_BINARY = re.compile(
    r"\b(all_?reduce|all_?gather|reduce_?scatter|all_?to_?allv?|broadcast|reduce|gather"
    r"|scatter|send_?recv|hypercube)_perf\b"
)
_TITLE = re.compile(r"#\s*Collective test (starting|concluded):\s*(\w+)")
_SETUP = re.compile(r"#\s*(nThreads?:?\s+[0-9]|Using devices|nccl-tests version)")
_DEVICE = re.compile(
    r"#\s*Rank\s+([0-9]{1,9})\s+(?:Group\s+([0-9]{1,9})\s+)?Pid\s+[0-9]+\s+on\s+(\S+)"
    r"\s+device\s+[0-9]+\s*(?:\[[^\]]*\])?\s*(.*)"
)
_JOINED = re.compile(r"comm 0x[0-9a-f]+ rank [0-9]+ n[rR]anks ([0-9]{1,9})\b")
_LIBRARY = re.compile(r"\b([NR]CCL) version ([0-9][\w.+-]*)")
_FOOTER = re.compile(r"#\s*Out of bounds values\s*:\s*[0-9]+\s*(OK|FAILED)")
_FUSED = "a row fused with a comment"
_CRASH = re.compile(r"\bTest (\w+ )?failure\b")


def matches(text: str) -> bool:
    """Whether the text holds a table, a heading or a row of nccl-tests.

    >>> matches("# nThread 1 nGpus 1 minBytes 8")
    True
    """
    for _, line in clean_lines(text):
        if "#" in line and (
            _HEADER.search(line) or _SETUP.search(line) or _TITLE.search(line)
        ):
            return True
        if _ROW.fullmatch(line):
            return True
    return False


def read(
    text: str,
    path: str,
    given: Given = NOTHING,
) -> Measurements:
    """Read every run in a log; two rows per line, out-of-place and in-place.

    Args:
      text: the log. Launcher prefixes and lines of other programs do no harm.
      path: its name, for messages and for the columns ``series`` and ``source``.
      given: ranks where the log has neither device lines nor another sign, the
        collective where it isn't named; nodes beat the number of host names.

    Raises:
      MeasurementError: where a run's ranks or collective stay unknown or contradict
        the arguments, or no row is usable.

    >>> row = "1048576 262144 float sum 485.3 2.16 4.05 5e-07 486.3 2.16 4.04 5e-07"
    >>> read(row, "run.log", Given(ranks=16))
    Measurements(2 rows; series run; all_reduce; 16 ranks; 1.05 MB; nothing set aside)
    """
    refused: list[SetAside] = []
    runs = list(_split_runs(text, path, refused))
    mentioned = {name for run in runs for name in run.binaries}
    frames = [
        tidy_rows(run, path, given, mentioned, lambda: text, refused) for run in runs
    ]
    return whole_table(path, frames, refused)


def _split_runs(text: str, path: str, refused: list[SetAside]) -> Iterator[Run]:
    """Cut the log into runs; a heading after rows, or a row after the end, starts one.

    Lines that should have been rows go to ``refused``.
    """
    run = Run()
    for number, line in clean_lines(text):
        if not line:
            continue
        if line[0] == "#":
            row = _FUSED if _START.search(line) else None
        else:
            row = parse_row(number, line, run.header)
        if isinstance(row, Row):
            if run.footer:
                yield run
                run = Run()
                row = parse_row(number, line, None)
            assert isinstance(row, Row)
            run.rows.append(row)
            run.begun = True
            continue
        comment = "#" in line
        heading = _HEADER.search(line) if comment else None
        device = _DEVICE.search(line) if comment else None
        title = _TITLE.search(line) if comment else None
        names = set()
        if "_perf" in line and not title:
            names = set(_BINARY.findall(line))
        starts = heading or device or (comment and _SETUP.search(line))
        starts = starts or (title and title[1] != "concluded")
        if (run.begun and starts) or (run.footer and (row or names)):
            yield run
            run = Run()
        if comment and "Using devices" in line:  # of a run without rows they are stale
            run.devices.clear()
        if heading:
            columns = heading[1].split()
            run.header, run.counts = columns, "#wrong" in columns
        elif device:
            run.devices[int(device[1])] = (int(device[2] or 0), device[3], device[4])
        elif title:
            run.title = title[2]
        elif comment and (footer := _FOOTER.search(line)):
            run.footer, run.failed = (number, line), footer[1] == "FAILED"
        elif "failure" in line and _CRASH.search(line):
            refused.append(aside(path, number, line, "the benchmark failed here"))
        if isinstance(row, str):
            refused.append(aside(path, number, line, row))
        run.begun |= bool(row and run.header)
        run.binaries |= names if len(names) == 1 else set()
        if "comm 0x" in line:
            run.joined.update(int(count) for count in _JOINED.findall(line))
        if "CCL version" in line and (library := _LIBRARY.search(line)):
            run.library = " ".join(library.groups())
    yield run


def parse_row(line: int, text: str, header: list[str] | None) -> Row | str | None:
    """Read a cleaned line as a row; a reason if it is a damaged one; None if not one.

    >>> header = "size count type redop time algbw busbw error time algbw busbw error"
    >>> text = "8 2 float sum 5.34 0.00 0.00 0e+00 5.10 0.00 0.00 0e+00"
    >>> parse_row(7, text, header.split()).time_1
    '5.10'
    >>> parse_row(7, text[:-12], header.split())
    'not the 12 columns of a whole row'
    >>> parse_row(7, "NCCL INFO Connected all trees", header.split()) is None
    True
    """
    whole = _ROW.fullmatch(text)
    if whole:
        row = Row(line, text, *whole.groups())
        # The operation may be blank, as alltoall's is; a root never is.
        columns = header[3:5] if header else ()
        fits = not header or (
            ("root" in columns) == (row.root is not None)
            and ("redop" in columns or row.op is None)
        )
        if fits:
            return row
    elif not _is_damaged(text, header is not None):
        return None
    return f"not {f'the {len(header)}' if header else 'the'} columns of a whole row"


def _is_damaged(text: str, in_table: bool) -> bool:
    """Whether a line that is no row was meant as one."""
    tokens = text.split()
    starts = bool(tokens) and bool(_NUMERIC.fullmatch(tokens[0]))
    if starts and in_table:
        return True
    # Rings in NCCL's own lines are long lists of numbers too.
    if starts or "NCCL" not in text:
        numeric = [bool(_NUMERIC.fullmatch(token)) for token in tokens]
        if len(tokens) >= 3 and all(numeric):
            return True
        if sum(numeric) >= 6 and "NCCL" not in text:
            return True
    return bool(_START.search(text))

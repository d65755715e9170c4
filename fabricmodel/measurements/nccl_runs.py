"""Cut the text of nccl-tests into runs, and read what stands around their tables."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterator

from fabricmodel.measurements.logtext import aside, clean_lines
from fabricmodel.measurements.nccl_rows import HEADER, Row, parse_row
from fabricmodel.measurements.table import SetAside

_BINARY = re.compile(
    r"\b(all_?reduce|all_?gather|reduce_?scatter|all_?to_?allv?|broadcast|reduce|gather"
    r"|scatter|send_?recv|hypercube)_perf\b"
)
TITLE = re.compile(r"#\s*Collective test (starting|concluded):\s*(\w+)")
SETUP = re.compile(r"#\s*(nThreads?:?\s+[0-9]|Using devices|nccl-tests version)")
_DEVICE = re.compile(
    r"#\s*Rank\s+([0-9]{1,9})\s+(?:Group\s+([0-9]{1,9})\s+)?Pid\s+[0-9]+\s+on\s+(\S+)"
    r"\s+device\s+[0-9]+\s*(?:\[[^\]]*\])?\s*(.*)"
)
_JOINED = re.compile(r"comm 0x[0-9a-f]+ rank [0-9]+ n[rR]anks ([0-9]{1,9})\b")
_LIBRARY = re.compile(r"\b([NR]CCL) version ([0-9][\w.+-]*)")
_FOOTER = re.compile(r"#\s*Out of bounds values\s*:\s*[0-9]+\s*(OK|FAILED)")
_CRASH = re.compile(r"\bTest (\w+ )?failure\b")


@dataclasses.dataclass(kw_only=True)
class Run:
    """What the log says of one run of one benchmark; filled while lines go by.

    ``devices``: by global rank, the group, the host and the device's name.
    """

    title: str | None = None
    binaries: set[str] = dataclasses.field(default_factory=set)
    devices: dict[int, tuple[int, str, str]] = dataclasses.field(default_factory=dict)
    joined: set[int] = dataclasses.field(default_factory=set)
    library: str = ""
    header: list[str] | None = None
    rows: list[Row] = dataclasses.field(default_factory=list)
    begun: bool = False
    footer: tuple[int, str] | None = None
    failed: bool = False


def split_runs(text: str, path: str, refused: list[SetAside]) -> Iterator[Run]:
    """Cut the log into runs; a heading after rows, or a row after the end, starts one.

    Lines that should have been rows go to ``refused``.
    """
    run = Run()
    for number, line in clean_lines(text):
        heading, device = HEADER.search(line), _DEVICE.search(line)
        title = TITLE.search(line)
        closing = bool(title) and title[1] == "concluded"
        names = set() if title else set(_BINARY.findall(line))
        row = None if line.startswith("#") else parse_row(number, line, run.header)
        starts = heading or device or SETUP.search(line) or (title and not closing)
        if (run.begun and starts) or (run.footer and (row or names)):
            yield run
            run = Run()
            row = row and parse_row(number, line, None)
        if "Using devices" in line:  # those of a run that printed no row are stale
            run.devices.clear()
        if heading:
            run.header = heading[1].split()
        elif device:
            run.devices[int(device[1])] = (int(device[2] or 0), device[3], device[4])
        elif title:
            run.title = title[2]
        elif isinstance(row, Row):
            run.rows.append(row)
        elif row is not None:
            refused.append(aside(path, number, line, row))
        elif footer := _FOOTER.search(line):
            run.footer, run.failed = (number, line), footer[1] == "FAILED"
        elif _CRASH.search(line):
            refused.append(aside(path, number, line, "the benchmark failed here"))
        run.begun |= bool(run.rows or (row and run.header))
        run.binaries |= names if len(names) == 1 else set()
        run.joined.update(int(count) for count in _JOINED.findall(line))
        if library := _LIBRARY.search(line):
            run.library = " ".join(library.groups())
    yield run


def read_devices(run: Run) -> tuple[int | None, int | None, bool, str]:
    """Ranks, nodes, whether nodes are alike, and the device, from the device lines.

    Ranks are global, so a gap means that lines are missing and the rest says nothing.
    A run split into groups is several small ones at once; each has its own ranks.
    """
    if not run.devices or max(run.devices) + 1 != len(run.devices):
        return None, None, False, ""
    groups = collections.Counter(group for group, _, _ in run.devices.values())
    first, size = min(groups.items())
    if set(groups.values()) != {size}:
        return None, None, False, ""
    members = [device for device in run.devices.values() if device[0] == first]
    hosts = collections.Counter(host for _, host, _ in members)
    names = {name.strip() for _, _, name in members}
    system = names.pop() if len(names) == 1 else ""
    return size, len(hosts), len(set(hosts.values())) == 1, system

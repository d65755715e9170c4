"""The table of the shaped fabrics: measured cells, and what was truly built.

A rig's CSV has a row for each repeat: ``rig, topology, ranks, collective, algorithm,
size_bytes, repeat, iterations, median_us, min_us, p90_us, known_delay_us,
known_rate_Bps, notes``. The known columns and the notes say what was built; no fit
sees them but as the name of the fabric a row belongs to.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fabricmodel as fm
from experiments.rigs.graph import Graph, Link, graph
from fabricmodel.errors import at
from fabricmodel.measurements.vocabulary import find_collective

REQUIRED = (
    "rig", "topology", "ranks", "collective", "algorithm", "size_bytes", "repeat",
    "median_us", "known_delay_us", "known_rate_Bps", "notes",
)  # fmt: skip
HEADER_BYTES, FRAME_BYTES = 52, 14
"""Of a packet: IP and TCP with time stamps, which the MTU holds; Ethernet beside it."""

INCONCLUSIVE = 0.1
"""Repeats of a cell that differ by more than this prove nothing."""

_NAMES = {"permute": "send_recv", "pingpong": "ping_pong"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fabric:
    """What a rig was set to: its own name for one fabric.

    Attributes:
      rig: how the links were made, and whose collectives ran.
      variant: of the software (``default eager``), or "".
      delay_s: of a link; NaN where the rig adds none.
      rate_Bps: of a link in one direction, headers included; NaN where unlimited.
      packet_bytes: payload of a packet.
    """

    rig: str
    variant: str
    delay_s: float
    rate_Bps: float
    packet_bytes: float

    @property
    def goodput_Bps(self) -> float:
        """Payload per second that the rate leaves to TCP."""
        whole = self.packet_bytes + HEADER_BYTES + FRAME_BYTES
        return self.rate_Bps * self.packet_bytes / whole

    @property
    def name(self) -> str:
        """In words: ``netns_tun_relay, 5 ms, 5 MB/s``."""
        parts = [self.rig, self.variant]
        parts.append(f"{self.delay_s * 1e3:g} ms" if self.delay_s > 0 else "")
        parts.append(f"{self.rate_Bps / 1e6:g} MB/s" if self.rate_Bps > 0 else "")
        return ", ".join(part for part in parts if part)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """All repeats of one collective of one size on one topology.

    Attributes:
      fabric: it ran on; of a topology with an odd link, of the ordinary links.
      wiring: the graph.
      odd: (delay, rate) of the odd links against the others, if there are any.
      collective, algorithm: as in ``schedules.SCHEDULES``.
      size_bytes: of the full vector; of one message for send_recv and ping_pong.
      times_s: of each repeat; there and back for a ping_pong.
      rows: the rows of the file, as read.
    """

    fabric: Fabric
    wiring: Graph
    odd: tuple[float, float]
    collective: str
    algorithm: str
    size_bytes: float
    times_s: tuple[float, ...]
    rows: tuple[Mapping[str, Any], ...]

    @property
    def time_s(self) -> float:
        """Median of the repeats."""
        ordered = sorted(self.times_s)
        half = len(ordered) // 2
        return (ordered[half] + ordered[-half - 1]) / 2.0

    @property
    def conclusive(self) -> bool:
        """Whether the repeats agree."""
        return max(self.times_s) <= (1.0 + INCONCLUSIVE) * min(self.times_s)


def read(path: Path) -> tuple[list[Cell], list[dict[str, Any]]]:
    """Read a rig's CSV: the cells of shaped fabrics, and the rows of no known truth.

    Raises:
      MeasurementError: for a missing file or column, a value that is none, a topology
        or a collective that nobody knows.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [x for x in REQUIRED if x not in (reader.fieldnames or ())]
            if missing:
                remedy = f"Give a rig's table; it has {', '.join(REQUIRED)}"
                what = f"no column {', '.join(missing)}"
                raise fm.MeasurementError(at(path, 1), what, remedy)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        remedy = "Give the CSV of a rig"
        raise fm.MeasurementError(
            at(path), f"can't be read ({error})", remedy
        ) from None
    shaped: dict[tuple[Any, ...], list[tuple[float, dict[str, Any]]]] = {}
    unshaped = []
    for line, row in rows:
        place = at(path, line)
        if None in row or None in row.values():
            raise fm.MeasurementError(place, "a row cut off", "Complete it")
        if not row["known_rate_Bps"] and not row["known_delay_us"]:
            unshaped.append(dict(row))
            continue
        key, time_s = _key(place, row)
        shaped.setdefault(key, []).append((time_s, dict(row)))
    cells = []
    for key, found in shaped.items():
        fabric, topology, odd, collective, algorithm, size = key
        cells.append(
            Cell(
                fabric=fabric,
                wiring=graph(topology),
                odd=odd,
                collective=collective,
                algorithm=algorithm,
                size_bytes=size,
                times_s=tuple(time_s for time_s, _ in found),
                rows=tuple(row for _, row in found),
            )
        )
    return cells, unshaped


def _key(place: str, row: Mapping[str, str]) -> tuple[tuple[Any, ...], float]:
    collective = _NAMES.get(row["collective"]) or find_collective(row["collective"])
    if collective is None:
        what = f"collective {row['collective']!r} is unknown"
        raise fm.MeasurementError(place, what, "Use one of the rig's")
    notes = row["notes"]
    mtu = re.search(r"mtu=(\d+)", notes)
    ordinary, odd = _odd_link(notes)
    delay_s = ordinary.get("delay") or _number(place, row, "known_delay_us") * 1e-6
    rate_Bps = ordinary.get("rate") or _number(place, row, "known_rate_Bps")
    fabric = Fabric(
        rig=row["rig"],
        variant="default eager" if "default eager" in notes else "",
        delay_s=delay_s if math.isfinite(delay_s) else 0.0,
        rate_Bps=rate_Bps if math.isfinite(rate_Bps) else 0.0,
        packet_bytes=float(mtu[1] if mtu else 1500) - HEADER_BYTES,
    )
    wiring = graph(row["topology"])
    ranks = _number(place, row, "ranks")
    if ranks != wiring.hosts:
        what = f"{ranks:g} ranks on {row['topology']} of {wiring.hosts} hosts"
        raise fm.MeasurementError(place, what, "Correct one of them")
    factors = (
        odd.get("delay", delay_s) / delay_s if delay_s > 0 else 1.0,
        odd.get("rate", rate_Bps) / rate_Bps if rate_Bps > 0 else 1.0,
    )
    size = _number(place, row, "size_bytes")
    time_s = _number(place, row, "median_us") * 1e-6
    for name, value in (("size_bytes", size), ("median_us", time_s)):
        if not value > 0:
            what = f"{name} is {row[name]!r}, not a number above 0"
            raise fm.MeasurementError(place, what, "Correct it or remove the row")
    key = (fabric, row["topology"], factors, collective, row["algorithm"], size)
    return key, time_s


def _number(place: str, row: Mapping[str, str], name: str) -> float:
    try:
        return float(row[name] or "nan")
    except ValueError:
        what = f"{name} is {row[name]!r}, not a number"
        raise fm.MeasurementError(place, what, "Correct it") from None


def _odd_link(notes: str) -> tuple[dict[str, float], dict[str, float]]:
    """What the notes say of the ordinary links, and of the odd one.

    >>> _odd_link("links 0-1,2-3 at 5e6 B/s; link 1-2 at 2.5e6 B/s")
    ({'rate': 5000000.0}, {'rate': 2500000.0})
    """
    found: tuple[dict[str, float], dict[str, float]] = ({}, {})
    number = r"([\d.]+(?:e[+]?\d+)?)"
    for at_, word in enumerate(("links", "link")):
        if rate := re.search(rf"\b{word} [\w,-]+ at {number} B/s", notes):
            found[at_]["rate"] = float(rate[1])
        if delay := re.search(rf"\b{word} [\w,-]+ delay {number}us", notes):
            found[at_]["delay"] = float(delay[1]) * 1e-6
    return found


def scales(cell: Cell, base: Fabric, hop_s: float) -> dict[Link, tuple[float, float]]:
    """(delay, byte price) of each link of a cell against those of a fitted fabric.

    A link of another length differs by that length; what the software adds to a hop
    stays: ``hop_s``, fitted, is both.
    """
    own = cell.fabric
    further, faster = cell.odd
    longer = own.delay_s - base.delay_s
    byte = base.goodput_Bps / own.goodput_Bps if own.rate_Bps > 0 else 1.0
    odd = (longer + (further - 1.0) * own.delay_s) / hop_s
    return {
        edge: (1.0 + odd, byte / faster)
        if edge in cell.wiring.odd
        else (1.0 + longer / hop_s, byte)
        for edge in cell.wiring.edges
    }

"""The ordinary way: one-hop cells through the tidy table and ``fabricmodel.fit``.

The ring collectives, the shift and the ping-pong cross one link at a time, so the
library's own counts of a ring describe them and its fit gives the prices of a step and
of a byte, with no event model in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import fabricmodel as fm
from experiments.rigs.held_out import RINGS, SOCKETS, may_fit
from experiments.rigs.table import Cell, Fabric

ONE_HOP = {
    ("all_reduce", "ring"): "ring",
    ("all_gather", "ring"): "ring",
    ("reduce_scatter", "ring"): "ring",
    ("send_recv", "shift+1"): "neighbour",
    ("send_recv", "neighbour"): "neighbour",
    ("ping_pong", "neighbour"): "neighbour",
}
"""Registry names of the algorithms whose messages all go to a neighbour."""

WIDE = 2.0
"""Log spread of the belief in both prices: seven times either way."""

PINNED = 1e-4
"""Of the algorithms' factors: here the counts have to say it all."""


def fabric() -> fm.Fabric:
    """A ring whose links cost what a slow network may: milliseconds, megabytes."""
    link = fm.Level(name="link", kind="ring", grows=True, round_s=3e-3, byte_s=3e-7)
    factors = {
        f"{stem}.{part}": PINNED
        for algorithm in set(ONE_HOP.values())
        for stem in (
            f"link.{algorithm}",
            *(f"{c}.link.{algorithm}" for c, _ in ONE_HOP),
        )
        for part in ("latency", "transfer")
    }
    prices = {"link.round_s": WIDE, "link.byte_s": WIDE}
    return fm.Fabric(name="one ring", levels=(link,), spread={**factors, **prices})


def table(cells: Sequence[Cell]) -> fm.Measurements:
    """Put cells into the tidy table; half a ping-pong is one message."""
    return fm.Measurements.from_records(
        {
            "series": cell.fabric.name,
            "ranks": cell.wiring.hosts,
            "collective": "send_recv"
            if cell.collective == "ping_pong"
            else cell.collective,
            "algorithm": ONE_HOP[cell.collective, cell.algorithm],
            "size_bytes": cell.size_bytes,
            "time_us": cell.time_s * 1e6 / (2 if cell.collective == "ping_pong" else 1),
            "statistic": "median",
        }
        for cell in cells
    )


def fit_all(
    cells: Sequence[Cell],
    progress: Callable[[Sequence[Fabric]], Iterable[Fabric]] = iter,
) -> Iterator[tuple[Fabric, fm.FittedModel]]:
    """Fit the one-hop cells of each fabric of plain sockets that has all the rings."""
    groups: dict[Fabric, list[Cell]] = {}
    for cell in cells:
        known = (cell.collective, cell.algorithm) in ONE_HOP
        if known and may_fit(cell) and cell.fabric.rig.startswith(SOCKETS):
            groups.setdefault(cell.fabric, []).append(cell)
    full = [
        each
        for each, found in groups.items()
        if {cell.wiring.name for cell in found} == set(RINGS)
    ]
    for each in progress(full):
        yield each, fm.fit(fabric(), table(groups[each]))

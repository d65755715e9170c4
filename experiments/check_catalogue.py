"""How near do catalogue prices come to what others measured on these fabrics?

    python -m experiments.check_catalogue [--out DIR] [--json OUT]

Four tables. Bus bandwidths of large messages at catalogue prices, which have to come
within 15 %, and whether a price was made from the figure itself; others that no price
was made from; sweeps over sizes after a fit, which have to come within 25 % at every
size; and small messages, before any fit, of shipped series. Exit status 1 where one of
the two bars is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

import fabricmodel as fm
from experiments.catalogue.targets import (
    FURTHER,
    SMALL,
    SMALL_BYTES,
    SWEEP_UNIT,
    SWEEPS,
    TARGETS,
    BusBandwidth,
)
from experiments.output import machine, markdown_table, size, whole_folder, write_json
from fabricmodel.errors import FabricError
from fabricmodel.measurements.reference import load_reference
from fabricmodel.placement import place
from fabricmodel.timing.forcing import force
from fabricmodel.timing.price import collective_seconds
from fabricmodel.timing.table import count_table
from fabricmodel.units import bus_factor

BANDWIDTH_BAR = 0.15
SWEEP_BAR = 0.25


def predicted_GBps(target: BusBandwidth) -> float:
    """Bus bandwidth of a target at catalogue prices."""
    fabric = fm.load_fabric(target.fabric, chips=target.chips)
    named = [target.algorithm] if target.algorithm else []
    table = force(count_table(fabric, target.collective, named), target.algorithm)
    launch_s = fabric.launch_s[target.collective]
    seconds = float(collective_seconds(table, fabric, target.size_bytes, launch_s))
    factor = bus_factor(target.collective, target.chips)
    return float(factor * target.size_bytes / seconds / 1e9)


def bandwidths(targets: Sequence[BusBandwidth]) -> Iterator[dict[str, Any]]:
    """Hold each published bus bandwidth against its prediction."""
    for target in targets:
        predicted = predicted_GBps(target)
        yield {
            "fabric": target.fabric,
            "chips": target.chips,
            "collective": target.collective,
            "algorithm": target.algorithm or "library's choice",
            "size_bytes": target.size_bytes,
            "measured_GBps": target.GBps,
            "predicted_GBps": predicted,
            "error": predicted / target.GBps - 1.0,
            "basis": "built in" if target.built_in else "prediction",
            "source": target.source,
        }


def sweep(name: str) -> dict[str, Any]:
    """Errors of a sweep over sizes, at catalogue prices and after a fit to it."""
    sizes, published = np.array(SWEEPS[name]).T
    sizes = sizes * SWEEP_UNIT
    seconds = bus_factor("all_reduce", 8) * sizes / (published * 1e9)
    rows = [
        {"ranks": 8, "collective": "all_reduce", "size_bytes": s, "time_us": t * 1e6}
        for s, t in zip(sizes, seconds, strict=True)
    ]
    fabric = fm.load_fabric(name)
    before = np.asarray(fm.collective_time(fabric, "all_reduce", sizes))
    table = fm.Measurements.from_records(rows)
    model = fm.fit(fabric, table)
    guess = model.predict_rows(table)
    times = {"before": before, "priced": guess.priced_s, "after": guess.median_s}
    errors = {when: np.asarray(each) / seconds - 1.0 for when, each in times.items()}
    worst = int(np.argmax(np.abs(errors["after"])))
    priced = int(np.argmax(np.abs(errors["priced"])))
    return {
        "fabric": name,
        "sizes": len(sizes),
        "converged": bool(model.converged),
        "worst_size_bytes": float(sizes[worst]),
        "worst_error": float(errors["after"][worst]),
        "priced_worst_error": float(errors["priced"][priced]),
        "priced_worst_size_bytes": float(sizes[priced]),
        "priced_median_abs_error": float(np.median(np.abs(errors["priced"]))),
        "before_fit_worst_error": float(max(errors["before"], key=abs)),
        "rows": [
            {"size_bytes": float(s), "measured_us": float(t * 1e6), **{
                f"{when}_error": float(each[at]) for when, each in errors.items()}}
            for at, (s, t) in enumerate(zip(sizes, seconds, strict=True))
        ],
    }  # fmt: skip


def small(series: str, name: str) -> Iterator[dict[str, Any]]:
    """Predict the small messages of a shipped series before any fit."""
    times = load_reference(series)
    few = times.size_bytes <= SMALL_BYTES
    for collective in sorted(set(times.collective[few].tolist())):
        for ranks in sorted(set(times.ranks[few].tolist())):
            own = few & (times.collective == collective) & (times.ranks == ranks)
            if not own.any():
                continue
            try:
                fabric = place(fm.load_fabric(name), ranks)
            except FabricError:  # a part-filled node that the series does not describe
                continue
            predicted = fm.collective_time(fabric, collective, times.size_bytes[own])
            ratio = np.asarray(predicted) / times.time_s[own]
            yield {
                "series": series,
                "fabric": name,
                "collective": collective,
                "ranks": int(ranks),
                "rows": int(own.sum()),
                "median_ratio": float(np.median(ratio)),
                "least_ratio": float(ratio.min()),
                "largest_ratio": float(ratio.max()),
            }


def report(found: dict[str, list[dict[str, Any]]]) -> str:
    """Write the four tables."""

    def table(rows: list[dict[str, Any]]) -> str:
        head = ("fabric", "chips", "what", "size", "measured", "predicted", "error",
                "basis", "source")  # fmt: skip
        cells = [
            (
                row["fabric"], row["chips"],
                f"{row['collective']}, {row['algorithm']}", size(row["size_bytes"]),
                f"{row['measured_GBps']:.1f}", f"{row['predicted_GBps']:.1f}",
                f"{row['error']:+.1%}", row["basis"], row["source"],
            )
            for row in rows
        ]  # fmt: skip
        return markdown_table(head, cells)

    sweeps = markdown_table(
        ("fabric", "sizes", "worst of the prediction", "at", "worst of prices alone",
         "at", "median", "worst before the fit"),
        [
            (
                row["fabric"], row["sizes"], f"{row['worst_error']:+.1%}",
                size(row["worst_size_bytes"]), f"{row['priced_worst_error']:+.1%}",
                size(row["priced_worst_size_bytes"]),
                f"{row['priced_median_abs_error']:.1%}",
                f"{row['before_fit_worst_error']:+.1%}",
            )
            for row in found["sweeps"]
        ],
    )  # fmt: skip
    smalls = markdown_table(
        ("series", "fabric", "collective", "ranks", "rows", "predicted / measured"),
        [
            (
                row["series"], row["fabric"], row["collective"], row["ranks"],
                row["rows"],
                f"{row['median_ratio']:.2f} ({row['least_ratio']:.2f} to "
                f"{row['largest_ratio']:.2f})",
            )
            for row in found["small"]
        ],
    )  # fmt: skip
    parts = [
        "# The catalogue against published measurements",
        "",
        "Bus bandwidths in GB/s of 1e9 bytes, at catalogue prices, no fit. Built in: a "
        "price was made from this figure, and the agreement shows that the counting "
        "is right, no more.",
        "",
        table(found["bandwidths"]),
        "",
        "## Figures that no price was made from",
        "",
        table(found["further"]),
        "",
        "## Sweeps over sizes, all_reduce on 8 GPUs",
        "",
        "A prediction knows what counts x prices miss where it was fitted; the errors "
        "of the fitted prices alone say how well the model explains the sweep.",
        "",
        sweeps,
        "",
        f"## Small messages, up to {size(SMALL_BYTES)}, before any fit",
        "",
        smalls,
    ]
    return "\n".join(parts) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Read the command line, compare; exit 1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.check_catalogue",
        description="Catalogue prices against published measurements.",
    )
    parser.add_argument("--out", type=Path, default=Path("out/check_catalogue"))
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    steps = [
        ("bandwidths", lambda: list(bandwidths(TARGETS))),
        ("further", lambda: list(bandwidths(FURTHER))),
        ("sweeps", lambda: [sweep(name) for name in SWEEPS]),
        ("small", lambda: [row for pair in SMALL for row in small(*pair)]),
    ]
    found: dict[str, list[dict[str, Any]]] = {}
    for name, step in track(steps, "Comparing", console=console, transient=True):
        found[name] = step()
    missed = [row for row in found["bandwidths"] if abs(row["error"]) > BANDWIDTH_BAR]
    missed += [
        row
        for row in found["sweeps"]
        if max(abs(row["worst_error"]), abs(row["priced_worst_error"])) > SWEEP_BAR
        or not row["converged"]
    ]
    result = {"machine": machine(), "missed": len(missed), **found}
    with whole_folder(options.out) as folder:
        (folder / "report.md").write_text(report(found), encoding="utf-8")
        write_json(folder / "result.json", result)
    if options.json:
        write_json(options.json, result)
    print(report(found))
    console.print(f"{len(missed)} targets missed; {options.out}/report.md")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Does this library say what ASTRA-sim says, where ASTRA-sim counts what it does?

Every ``ok`` row of a table of answers of its analytical backends is expressed as counts
and prices of this library, and compared; where an answer lies below the physical bound,
or far above what all links together allow, the report says so.

    python -m experiments.compare_astra_sim --reference FILE --json OUT
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.progress import track

import fabricmodel as fm
from experiments.astra.model import COLLECTIVES, NotModelled, bound, predict, question
from experiments.output import (
    duration,
    machine,
    markdown_table,
    size,
    whole_folder,
    write_json,
)

COLUMNS = (
    "backend", "topology", "dims", "collective", "algorithm_per_dim", "size_bytes",
    "bandwidth_GBps", "latency_ns", "splits", "predicted_ns", "status",
    "endpoint_delay_ns", "local_mem_bw_GBps", "collective_optimization",
)  # fmt: skip
RELATIVE = 0.005
PER_MESSAGE_NS = 1.0  # every message's delay is cut to whole nanoseconds
FAR_ABOVE = 3.0  # times the bound, for sizes at which bandwidth rules
LARGE_BYTES = 2.0**26


def read(path: Path) -> list[dict[str, Any]]:
    """Read the rows whose status is ``ok``.

    Raises:
      MeasurementError: for a file that is no such table.
    """
    try:
        table = pl.read_csv(path, infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise fm.MeasurementError(
            str(path), f"no table: {error}", "Give a CSV file of ASTRA-sim's answers"
        ) from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise fm.MeasurementError(
            str(path), f"lacks the columns {', '.join(missing)}", "Add them"
        )
    rows = table.filter(pl.col("status") == "ok").to_dicts()
    if not rows:
        raise fm.MeasurementError(
            str(path), "no row whose status is ok", "Give a table with answers"
        )
    return rows


def compare(row: dict[str, Any], place: str) -> dict[str, Any]:
    """Compare one row: our nanoseconds beside ASTRA-sim's, and the bound."""
    try:
        asked = question(row)
        theirs = float(row["predicted_ns"])
        if asked.collective not in COLLECTIVES or not theirs > 0:
            raise ValueError(f"{row['collective']} in {theirs} ns")
    except (TypeError, ValueError) as error:
        raise fm.MeasurementError(
            place, f"not an answer of ASTRA-sim: {error}", "Correct or drop the row"
        ) from error
    kept = {name: row[name] for name in COLUMNS if name != "status"}
    try:
        bound_ns = bound(asked) * 1e9
        seconds, messages = predict(asked)
    except NotModelled as reason:
        return {**kept, "compared": False, "reason": str(reason)}
    except KeyError as unknown:
        return {**kept, "compared": False, "reason": f"topology {unknown}"}
    ours = seconds * 1e9
    allowed = RELATIVE * theirs + PER_MESSAGE_NS * messages
    return {
        **kept,
        "compared": True,
        "ours_ns": ours,
        "error": ours / theirs - 1.0,
        "within": bool(abs(ours - theirs) <= allowed),
        "bound_ns": bound_ns,
        "bound_ratio": theirs / bound_ns,
    }


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Count the compared rows and those within tolerance; keep the worst."""
    compared = [row for row in rows if row["compared"]]
    worst = max(compared, key=lambda row: abs(row["error"]), default=None)
    outside = [row for row in compared if not row["within"]]
    return {
        "n": len(compared),
        "within": sum(row["within"] for row in compared),
        "worst": abs(worst["error"]) if worst else None,
        "worst_row": worst,
        "outside": outside,
        "not_compared": dict(
            Counter(row["reason"] for row in rows if not row["compared"])
        ),
        "machine": machine(),
        "rows": rows,
    }


def extremes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pick the most striking row of every question below its bound, or far above.

    Large sizes only above the bound: small ones are latency, which the bound takes at
    one message.
    """
    found: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        if not row["compared"] or float(row["size_bytes"]) < LARGE_BYTES:
            continue
        ratio = row["bound_ratio"]
        if 0.999 <= ratio <= FAR_ABOVE:
            continue
        aware = "aware" if row["backend"].startswith("congestion_aware") else "unaware"
        columns = ("topology", "algorithm_per_dim", "collective")
        key = (ratio < 1.0, aware, *(row[name] for name in columns))
        strength = max(ratio, 1.0 / ratio)
        kept = found.get(key)
        if kept is None or strength > max(
            kept["bound_ratio"], 1.0 / kept["bound_ratio"]
        ):
            found[key] = {**row, "contention": aware}
    return sorted(found.values(), key=lambda row: row["bound_ratio"])


def table_of(rows: list[dict[str, Any]]) -> str:
    """Write extremes as a table in Markdown."""
    head = (
        "topology", "algorithm", "collective", "size", "contention", "ASTRA-sim",
        "bound", "ratio",
    )  # fmt: skip
    cells = [
        (
            f"{row['topology'].replace('_', ' x ')} {row['dims']}",
            row["algorithm_per_dim"].replace("_", ", "),
            row["collective"],
            size(float(row["size_bytes"])),
            row["contention"],
            duration(row["predicted_ns"] * 1e-9),
            duration(row["bound_ns"] * 1e-9),
            f"{row['bound_ratio']:.3g}",
        )
        for row in rows
    ]
    return markdown_table(head, cells)


def report(result: dict[str, Any]) -> str:
    """Write the report in Markdown."""
    lines = [
        "# ASTRA-sim and this library",
        "",
        f"{result['within']} of {result['n']} answers agree within "
        f"{RELATIVE:.1%} and {PER_MESSAGE_NS:g} ns a message; the largest difference "
        f"is {result['worst'] or 0:.2%}.",
        "",
    ]
    for reason, count in result["not_compared"].items():
        lines.append(f"- {count} answers are not compared: {reason}.")
    lines += ["", "## Outside the tolerance", ""]
    lines += [
        f"- {row['backend']}, {row['topology']} {row['dims']}, "
        f"{row['algorithm_per_dim']} {row['collective']}, {row['size_bytes']} bytes: "
        f"{row['predicted_ns']} ns, here {row['ours_ns']:.0f} ns"
        for row in result["outside"]
    ] or ["None."]
    lines += [
        "",
        "## Below the bound, or far above what all links allow",
        "",
        "The bound: every link of every dimension busy in both directions, or one "
        "message's latency. Sizes as in the table of answers.",
        "",
        table_of(extremes(result["rows"])),
        "",
    ]
    return "\n".join(lines)


def figure(rows: list[dict[str, Any]], folder: Path) -> None:
    """Draw ASTRA-sim's answers over the bound, against size."""
    import matplotlib.pyplot as plt

    drawing, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    markers = {"unaware": ("o", "tab:orange", 0.8), "aware": ("s", "tab:blue", 1.25)}
    for name, (marker, colour, aside) in markers.items():
        chosen = [
            row
            for row in rows
            if row["compared"]
            and row["backend"].startswith(f"congestion_{name}")
            and float(row["size_bytes"]) >= 2.0**20
        ]
        axes.scatter(
            [float(row["size_bytes"]) * aside for row in chosen],
            [row["bound_ratio"] for row in chosen],
            s=14,
            marker=marker,
            color=colour,
            alpha=0.6,
            label=f"contention {'seen' if name == 'aware' else 'ignored'}",
        )
    axes.axhline(1.0, color="black", linewidth=1.0)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("size (bytes)")
    axes.set_ylabel("ASTRA-sim / physical bound")
    axes.set_title("Answers below the line are impossible")
    axes.legend(loc="lower left")
    for kind in ("png", "svg"):
        drawing.savefig(folder / f"bound.{kind}", dpi=150)
    plt.close(drawing)


def main(argv: list[str] | None = None) -> int:
    """Read the command line, compare, and write the JSON and the report."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.compare_astra_sim",
        description="ASTRA-sim's answers as counts and prices of this library.",
    )
    parser.add_argument("--reference", type=Path, required=True, metavar="FILE")
    parser.add_argument("--json", type=Path, required=True, metavar="OUT")
    parser.add_argument("--out", type=Path, default=Path("out/compare_astra_sim"))
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    try:
        rows = read(options.reference)
        numbered = [
            compare(row, f"{options.reference}, answer {i + 1}")
            for i, row in enumerate(
                track(rows, "Comparing", console=console, transient=True)
            )
        ]
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", highlight=False)
        return 2
    result = summarise(numbered)
    write_json(options.json, result)
    with whole_folder(options.out) as folder:
        (folder / "report.md").write_text(report(result), encoding="utf-8")
        pl.DataFrame(numbered, infer_schema_length=None).write_csv(folder / "rows.csv")
        write_json(folder / "result.json", result)
        figure(numbered, folder)
    console.print(
        f"{result['within']} of {result['n']} within tolerance, "
        f"largest difference {result['worst'] or 0:.3%}; {options.out}/report.md",
        highlight=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Do derivatives by every price agree with differences, on every kind of fabric?

python -m experiments.check_gradients [--fabric NAME...] [--rows 32] [--out DIR]

One fabric stands for all catalogue fabrics of its structure, and is asked for every
collective. Exits with 1 if a gradient is not finite or contradicts the differences.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from experiments.gradients.check import TOLERANCE, Found, check, structures
from experiments.output import machine, markdown_table, whole_folder, write_json
from fabricmodel import list_fabrics
from fabricmodel.algorithms.registry import COLLECTIVES


def report(found: Sequence[Found], groups: Mapping[str, tuple[str, ...]]) -> str:
    """Write the sums of each fabric, and which other fabrics it stands for."""
    rows = []
    for name, group in groups.items():
        mine = [one for one in found if one.fabric == name]
        rows.append(
            (
                name,
                len(group),
                max(one.prices for one in mine),
                f"{sum(one.derivatives for one in mine):,}",
                f"{max(one.worst for one in mine):.1e}",
                sum(one.kinks for one in mine),
                sum(one.faults for one in mine),
            )
        )
    total = sum(one.derivatives for one in found)
    lines = [
        "# Derivatives by every price, against finite differences",
        "",
        f"{total:,} directional derivatives of {sum(one.cases for one in found):,} "
        f"cases: {sum(one.faults for one in found)} faults, "
        f"{sum(one.kinks for one in found)} kinks, where the two sides differ and the "
        f"derivative lies between them. Tolerance {TOLERANCE:g} of an elasticity.",
        "",
        markdown_table(
            ("fabric", "alike", "prices", "derivatives", "worst", "kinks", "faults"),
            rows,
        ),
        "",
        "Each fabric stands for all of its structure in the catalogue (alike), and "
        "answers every collective: "
        + "; ".join(f"{name}: {', '.join(group)}" for name, group in groups.items()),
        "",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, write; 1 if there is a fault."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.check_gradients",
        description="Derivatives by every price against finite differences.",
    )
    parser.add_argument(
        "--fabric", nargs="+", default=list_fabrics(), metavar="NAME",
        choices=list_fabrics(), help="catalogue names; all of them by default",
    )  # fmt: skip
    parser.add_argument(
        "--collective", nargs="+", default=COLLECTIVES, choices=COLLECTIVES
    )
    parser.add_argument("--rows", type=int, default=32, help="cases of each collective")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/check_gradients"))
    options = parser.parse_args(argv)
    console = Console(stderr=True, highlight=False)
    groups = structures(tuple(options.fabric))
    asked = tuple(options.collective)
    tried = check(
        tuple(groups), collectives=asked, rows=options.rows, seed=options.seed
    )
    total = len(groups) * len(asked)
    found = list(
        track(tried, "Comparing", total=total, console=console, transient=True)
    )
    with whole_folder(options.out) as folder:
        (folder / "report.md").write_text(report(found, groups), encoding="utf-8")
        rows = [dataclasses.asdict(one) for one in found]
        write_json(folder / "result.json", {"machine": machine(), "rows": rows})
    faults, kinks = (
        sum(getattr(one, kind) for one in found) for kind in ("faults", "kinks")
    )
    compared = sum(one.derivatives for one in found)
    console.print(
        f"{compared:,} derivatives, {kinks} at kinks, {faults} faults; "
        f"{options.out}/report.md"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

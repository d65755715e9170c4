"""Does any algorithm, at any prices, go below what is physically possible?

python -m experiments.check_bounds [--cases 10000000] [--out DIR]
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track

from experiments.bounds.check import Found, check
from experiments.output import machine, markdown_table, whole_folder, write_json
from fabricmodel.algorithms.registry import every_algorithm


def report(found: list[Found]) -> str:
    """Write what was tried, what went below, and how near each algorithm came."""
    cases, below = sum(f.cases for f in found), sum(f.below for f in found)
    lines = [
        "# Lower bounds on random cases",
        "",
        f"{cases:,} cases of {len(found)} algorithms: {below} below the bound.",
        "",
        markdown_table(
            ("algorithm", "cases", "below", "least time / bound"),
            [
                (f.name, f"{f.cases:,}", f.below, f"{f.nearest:.4g}")
                for f in sorted(found, key=lambda f: f.nearest)
            ],
        ),
    ]
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Read the command line, try the cases; exit 1 if one went below."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.check_bounds",
        description="Random shapes, prices and sizes against the physical bounds.",
    )
    parser.add_argument("--cases", type=int, default=10_000_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/check_bounds"))
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    many = sum(name != "shift" for _, _, name, _ in every_algorithm())
    tried = check(options.cases, options.seed)
    found = list(track(tried, "Trying", total=many, console=console, transient=True))
    with whole_folder(options.out) as folder:
        (folder / "report.md").write_text(report(found), encoding="utf-8")
        rows = [dataclasses.asdict(f) for f in found]
        write_json(folder / "result.json", {"machine": machine(), "rows": rows})
    below = sum(f.below for f in found)
    cases = sum(f.cases for f in found)
    console.print(f"{cases:,} cases, {below} below the bound; {options.out}/report.md")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())

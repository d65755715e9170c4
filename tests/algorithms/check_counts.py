"""Do the counts equal the executing oracle's, for the whole registry? A table.

make counts, or python tests/algorithms/check_counts.py [--light] [--out DIR]
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import matrix
from rich.console import Console
from rich.progress import track

from experiments.output import machine, markdown_table, whole_folder, write_json
from fabricmodel.algorithms.registry import every_algorithm


def report(lines: list[matrix.Line]) -> str:
    """Write a row for each algorithm, and every shape whose counts differ."""
    wrong = [line for line in lines if line.wrong]
    shapes = sum(line.ran + line.refused for line in lines)
    rows = [
        (
            line.family,
            line.collective,
            line.name,
            line.ran,
            line.refused,
            "exact" if not line.wrong else f"{len(line.wrong)} differ",
        )
        for line in sorted(lines, key=lambda x: (x.family, x.collective, x.name))
    ]
    text = [
        "# Counts against the executing oracle",
        "",
        f"{len(lines) - len(wrong)} of {len(lines)} algorithms exact in rounds, hops,"
        f" bytes on the busiest link and bytes reduced; {shapes:,} cases. *Refused* are"
        " shapes on which neither the algorithm nor its count exists.",
        "",
        markdown_table(
            ("family", "collective", "algorithm", "shapes", "refused", "counts"), rows
        ),
    ]
    for line in wrong:
        text += ["", f"## {line.family}/{line.collective}/{line.name}", ""]
        text += [f"- {difference}" for difference in line.wrong]
    return "\n".join(text) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Read the command line, run the matrix; exit 1 if a count differs."""
    parser = argparse.ArgumentParser(
        prog="python tests/algorithms/check_counts.py",
        description="Every algorithm of the registry against its execution.",
    )
    parser.add_argument(
        "--light", action="store_true", help="the shapes of the test suite alone"
    )
    parser.add_argument("--out", type=Path, default=Path("out/check_counts"))
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    tried = matrix.every_line(matrix.FAMILIES, heavy=not options.light)
    many = sum(1 for _ in every_algorithm())
    lines = list(track(tried, "Executing", total=many, console=console, transient=True))
    text = report(lines)
    with whole_folder(options.out) as folder:
        (folder / "report.md").write_text(text, encoding="utf-8")
        rows = [dataclasses.asdict(line) for line in lines]
        write_json(folder / "result.json", {"machine": machine(), "rows": rows})
    print(text)
    return 1 if any(line.wrong for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())

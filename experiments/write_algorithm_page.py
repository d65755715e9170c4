"""Which algorithms are there, what do they count, and where do they come from?

Writes docs/algorithms.md and its figures from the registry. A test compares them with
what is committed, so that the page can't fall behind.

    python -m experiments.write_algorithm_page [--out docs]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from experiments.algorithm_page.curves import SIZES, curves
from experiments.algorithm_page.drawing import draw
from experiments.output import markdown_table
from fabricmodel.algorithms.registry import Algorithm, every_algorithm

FAMILIES = {
    "flat": (
        "One switch, or a clique",
        "Any rank reaches any other. Figures: 16 ranks on a switch.",
    ),
    "torus": (
        "Tori and meshes",
        "Rings and lines, any number of dimensions. Figures: a torus of 4x4.",
    ),
    "neuronlink": (
        "NeuronLink",
        "Chips on a torus, r ranks inside each. Figures: 4x4 chips of four ranks.",
    ),
    "spanning": (
        "Several levels at once",
        "Through nodes and the network between them. Figures: 8 nodes of 8 ranks.",
    ),
}
HEAD = """# Algorithms

Written by `python -m experiments.write_algorithm_page` from the registry
(`fabricmodel/algorithms/registry`); a test keeps it up to date.

$N$ ranks, $S$ bytes of the full vector. Prices: $\\alpha$ a dependent round, $h$ a
further hop, $o$ a further message of a round, $\\beta$ a byte over a link, $\\gamma$ a
byte reduced, $\\mu$ a byte of memory traffic. Of a torus, $n_i$ is side $i$, $D$ the
number of sides, $d$ the diameter, $c$ the sub-collectives, $\\ell_i(d_s)$ the messages
of step $s$ that share the busiest link of side $i$, $k >_j i$ the sides after $i$ in
the cyclic order that starts at $j$. $C$ chips of $r$ ranks, $w_{ik}$ groups of them on
the busiest axis of side $i$ in step $k$; $X$ nodes of $p$ ranks; $u_l$ links out of a
unit of level $l$, $U_l$ such units.

The counts behind the formulas equal those of an execution of each algorithm, message
by message, on an explicit graph: rounds, hops, bytes on the busiest link and bytes
reduced, on up to 24 ranks, tori up to 5x5, 4x4x4 and 3x4x5, parts of an instance and
an UltraServer (`make counts` writes the table). Inside a chip the rings of NeuronLink
go through its memory, whose accesses are those that AWS gives. Stages of several
levels run one after another, or on chunks in a pipeline (`hierarchical.pipelined`).

**Automatic** algorithms are what a library chooses among by itself; the others run
where a fabric's `strategies`, a measurement's label or a caller names them. In the
figures the algorithm is orange, its relatives (same family, same collective) grey.
"""


def figure_name(family: str, collective: str, name: str) -> str:
    """Name the file of a figure."""
    return f"{family}-{collective}-{name}.svg"


def pages() -> dict[str, str]:
    """Return every file, by its path below the folder of the documentation."""
    drawn = curves()
    files: dict[str, str] = {}
    lines = [HEAD]
    table = list(every_algorithm())
    seen: tuple[str, str] = ("", "")
    lines += _contents(table)
    for family, collective, name, algorithm in table:
        if family != seen[0]:
            title, says = FAMILIES[family]
            lines += [f"## {title}", "", says, ""]
        if (family, collective) != seen:
            lines += [f"### {collective} ({family})", ""]
        seen = (family, collective)
        picture = figure_name(family, collective, name)
        lines += _entry(name, algorithm, f"algorithms/{picture}")
        relatives = [
            curve
            for (f, c, other), curve in drawn.items()
            if (f, c) == seen and other != name
        ]
        files[f"algorithms/{picture}"] = draw(
            SIZES, drawn[family, collective, name], relatives, f"{name}, {collective}"
        )
    files["algorithms.md"] = "\n".join(lines).rstrip() + "\n"
    return files


def _contents(table: list[tuple[str, str, str, Algorithm]]) -> list[str]:
    """List the names of each family and collective; automatic ones in bold."""
    rows = []
    for family, collective in dict.fromkeys((f, c) for f, c, _, _ in table):
        names = ", ".join(
            f"**{name}**" if algorithm.automatic else name
            for f, c, name, algorithm in table
            if (f, c) == (family, collective)
        )
        rows.append((family, collective, names))
    return [markdown_table(("family", "collective", "algorithms"), rows), ""]


def _entry(name: str, algorithm: Algorithm, picture: str) -> list[str]:
    kind = "automatic" if algorithm.automatic else "by name"
    kind += ", reduces in the network" if algorithm.in_network else ""
    return [
        f"#### {name}",
        "",
        algorithm.summary,
        "",
        f"$${algorithm.formula}$$",
        "",
        f"{kind[0].upper()}{kind[1:]}. Exists for {algorithm.supported}. "
        f"Source: {algorithm.source}.",
        "",
        f"![Time of {name} against size]({picture})",
        "",
    ]


def main(argv: list[str] | None = None) -> int:
    """Write the page and its figures; remove figures of what is gone."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.write_algorithm_page",
        description="Write the page of algorithms from the registry.",
    )
    parser.add_argument("--out", type=Path, default=Path("docs"), metavar="DIR")
    options = parser.parse_args(argv)
    files = pages()
    (options.out / "algorithms").mkdir(parents=True, exist_ok=True)
    for old in (options.out / "algorithms").glob("*.svg"):
        if f"algorithms/{old.name}" not in files:
            old.unlink()
    for name, text in files.items():
        (options.out / name).write_text(text, encoding="utf-8")
    print(f"{len(files) - 1} algorithms in {options.out / 'algorithms.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

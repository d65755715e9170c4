"""What is this fabric made of? A drawing of its levels, and its figures with sources.

    python -m experiments.draw_fabrics [NAME...] [--chips N] [--out DIR]

A name is of the catalogue, or a path to a TOML file of the same schema.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import polars as pl
from rich.progress import track

import fabricmodel as fm
from experiments.output import machine, whole_folder, write_json
from fabricmodel import plots
from fabricmodel.catalog import describe
from fabricmodel.catalog.loader import load_sized

SHOWN = (
    "trn2-ultracluster",
    "trn3-ultracluster-gen2",
    "h100-roce",
    "gb200-nvl72-nvls",
    "tpu-v4-multislice",
    "frontier",
)


def main(argv: list[str] | None = None) -> int:
    """Draw; exit status 2 for an unknown name or a size that does not fit."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.draw_fabrics",
        description="Draw fabrics of the catalogue, level by level.",
    )
    parser.add_argument("names", nargs="*", default=SHOWN, metavar="NAME")
    parser.add_argument("--chips", type=int, default=9216)
    parser.add_argument("--out", type=Path, default=Path("out/draw_fabrics"))
    options = parser.parse_args(argv)
    try:
        with whole_folder(options.out) as folder:
            report, rows = ["# Fabrics of the catalogue", ""], []
            for name in track(options.names, "Drawing", transient=True):
                chips = options.chips
                entry, fabric = load_sized(name, chips)
                stem = entry.fabric.name
                figure = plots.fabric_diagram(
                    fabric, f"{entry.title} ({chips:,} chips)"
                )
                plots.save(figure, folder, stem)
                words = describe(name, chips)
                report += [f"## {stem}", "", f"![{stem}]({stem}.png)", ""]
                report += ["```", words, "```", ""]
                rows += [
                    {"fabric": stem, **dataclasses.asdict(each)}
                    for each in entry.figures.values()
                ]
            pl.DataFrame(rows).write_csv(folder / "figures.csv")
            write_json(folder / "figures.json", {"machine": machine(), "rows": rows})
            (folder / "report.md").write_text("\n".join(report), encoding="utf-8")
    except fm.FabricModelError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out}/report.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())

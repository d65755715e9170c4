"""From measured collective timings to a 100,000-chip prediction with an interval.

Reads measurements (the shipped Trainium tables, or your own logs), fits the fabric they
were taken on, and predicts all_reduce, all_gather, reduce_scatter and all_to_all from
16 to 131,072 chips, beside other fabrics of as many chips.

    python -m experiments.scale_to_100k [--measurements FILE...] [--fabric NAME|FILE]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console

import fabricmodel as fm
from experiments.output import machine, whole_folder, write_json
from experiments.scaling.fits import Fit, fit_all, jobs
from experiments.scaling.predictions import answer_all, comparison
from experiments.scaling.report import terminal_table, write_report
from fabricmodel import plots

SIZES = tuple(1024.0 * 4.0**k for k in range(12))  # 1 KiB to 4 GiB
SHOWN_SIZES = (64 * fm.KiB, 16 * fm.MiB, 1 * fm.GiB)
CHIPS = tuple(2.0**k for k in range(4, 18))  # 16 to 131,072
COLLECTIVES = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")


def main(argv: list[str] | None = None) -> int:
    """Run the main job; exit status 2 for bad input, with one message."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.scale_to_100k",
        description="How long will collectives take on 16 to 131,072 chips?",
    )
    parser.add_argument("--measurements", nargs="+", metavar="FILE")
    parser.add_argument("--ranks", type=int, help="where a log doesn't say")
    parser.add_argument("--collective", help="where a log doesn't say")
    parser.add_argument("--fabric", help="a catalogue name or a TOML file")
    parser.add_argument("--out", type=Path, default=Path("out/scale_to_100k"))
    options = parser.parse_args(argv)
    console = Console()
    try:
        given = None
        if options.measurements:
            given = fm.read_measurements(
                *options.measurements,
                ranks=options.ranks,
                collective=options.collective,
            )
        fits = fit_all(jobs(given, options.fabric), console)
        questions = comparison(fits[0], trainium=given is None)
        rows, terms = answer_all(questions, COLLECTIVES, SIZES, CHIPS, console)
        with whole_folder(options.out) as folder:
            _write(folder, fits, rows, terms)
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 2
    console.print(terminal_table(fits[0], rows, SHOWN_SIZES))
    console.print(f"Report: {options.out / 'report.md'}", highlight=False)
    return 0


def _write(
    folder: Path, fits: list[Fit], rows: pl.DataFrame, terms: pl.DataFrame
) -> None:
    """Write report, figures, JSON and CSV."""
    rows.write_csv(folder / "predictions.csv")
    terms.write_csv(folder / "terms.csv")
    points = pl.concat([fit.points for fit in fits])
    points.write_csv(folder / "fit.csv")
    shown = pl.col("size_bytes").is_in(list(SHOWN_SIZES))
    ends = fits[0].data_ends_chips
    few = rows.filter(shown)
    plots.save(plots.scaling(few, "time", data_ends=ends), folder, "time")
    plots.save(plots.scaling(few, "busbw", data_ends=ends), folder, "bus_bandwidth")
    main_fabric = rows["fabric"][0]
    stacked = terms.filter(shown & (pl.col("fabric") == main_fabric))
    plots.save(plots.shares(stacked), folder, "terms")
    plots.save(plots.fit_quality(points), folder, "fit")
    write_json(
        folder / "result.json",
        {
            "machine": machine(),
            "fits": [fit.summary() for fit in fits],
            "predictions": rows.to_dicts(),
        },
    )
    write_report(folder / "report.md", fits, rows, terms, SHOWN_SIZES, np.array(CHIPS))


if __name__ == "__main__":
    sys.exit(main())

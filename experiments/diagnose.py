"""What does a fit miss, which prices does it tell apart, and what to measure next?

For each series (and, where its fabric is a generic one, each collective and algorithm):
measured time over counts x prices alone, against size and against ranks; the prices
that the data informed, and those that trade off; and which measurement would narrow the
interval of a question most. With --choose, which of three models of increasing richness
foretells the largest measured scales best.

    python -m experiments.diagnose --measurements FILE... [--fabric NAME|FILE]
        [--at COLLECTIVE:SIZE:RANKS] [--max-ranks N] [--choose] [--out DIR]
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
import sys
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.progress import track

import fabricmodel as fm
from experiments.diagnosis.drawing import residuals
from experiments.diagnosis.report import write_report
from experiments.output import machine, whole_folder, write_json
from experiments.selection import add_options, select
from experiments.validate import Group, split
from fabricmodel import plots
from fabricmodel.fitting.identify import TradeOff, in_words, informed_apart

_UNITS = {"": 1.0, "b": 1.0, "k": fm.KiB, "m": fm.MiB, "g": fm.GiB}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What one model says of itself."""

    name: str
    fabric: str
    converged: bool
    rows: pl.DataFrame
    prices: pl.DataFrame
    pairs: tuple[TradeOff, ...]
    question: tuple[str, float, float]
    advice: tuple[fm.Suggestion, ...]
    unanswered: str
    choice: fm.Choice | None


def question_of(text: str) -> tuple[str, float, float]:
    """Read ``all_reduce:64MiB:100000``.

    >>> question_of("all_gather:64MiB:4096")
    ('all_gather', 67108864.0, 4096.0)
    """
    parts = text.split(":")
    if len(parts) == 3:
        found = re.fullmatch(r"([\d.]+)\s*([kmg]?)i?b?", parts[1].strip().lower())
        try:
            if found:
                size = float(found[1]) * _UNITS[found[2]]
                return parts[0].strip(), size, float(parts[2])
        except ValueError:
            pass
    raise fm.FabricError(
        "--at", repr(text), "Write COLLECTIVE:SIZE:RANKS, as all_reduce:64MiB:4096"
    )


def diagnose(
    group: Group,
    question: tuple[str, float, float] | None,
    max_ranks: float | None,
    *,
    chosen: bool = False,
) -> Diagnosis:
    """Fit one group, its model chosen if asked, and see what the fit says of itself."""
    times = group.fitted
    choice = fm.choose(group.fabric, times) if chosen else None
    model = choice.model if choice else fm.fit(group.fabric, times)
    first = times.frame.row(0, named=True)
    words = [first["series"] or "measurements"]
    if group.fabric.name.startswith("generic"):
        words += [first["collective"], first["algorithm"]]
    guess = model.predict_rows(times)
    rows = times.frame.with_columns(
        priced_us=pl.Series(guess.priced_s * 1e6),
        predicted_us=pl.Series(guess.median_s * 1e6),
    ).with_columns(ratio=pl.col("time_us") / pl.col("priced_us"))
    known = model.parameters
    informed = model.informed()
    prices = pl.DataFrame(
        {
            "price": list(known.names),
            "words": [in_words(name) for name in known.names],
            "informed": [informed[name] for name in known.names],
            "informed_if_others_known": informed_apart(model.covariance),
        }
    )
    largest = float(times.ranks.max())
    local = first["ranks_per_node"] if times.frame["nodes"].max() != 1 else None
    asked = question or (first["collective"], _middle(times), 16.0 * largest)
    advice, reason = (), ""
    try:
        advice = model.advise(
            *asked,
            max_ranks=max_ranks or 2.0 * largest,
            ranks_per_node=local,
            algorithm=first["algorithm"] if len(words) > 1 else "",
        )
    except fm.FabricError as error:
        reason = str(error)
    return Diagnosis(
        name=" ".join(word for word in words if word),
        fabric=group.fabric.name,
        converged=model.converged,
        rows=rows,
        prices=prices,
        pairs=model.trade_offs(),
        question=asked,
        advice=advice,
        unanswered=reason,
        choice=choice,
    )


def _middle(times: fm.Measurements) -> float:
    """A power of two in the middle of the measured sizes."""
    sizes = times.size_bytes
    return 2.0 ** round(math.log2(float(sizes.min()) * float(sizes.max())) / 2.0)


def file_name(name: str) -> str:
    """Make a name of a series fit for a file.

    >>> file_name("alps nccl/all_reduce")
    'alps_nccl_all_reduce'
    """
    return re.sub(r"[^\w.-]+", "_", name).strip("_") or "series"


def _write(folder: Path, found: list[Diagnosis]) -> None:
    """Write report, figures, JSON and CSV."""
    names = [file_name(f"{i + 1:02d}_{each.name}") for i, each in enumerate(found)]
    for name, each in zip(names, found, strict=True):
        plots.save(residuals(each.rows, each.name), folder, name)
    label = [pl.lit(each.name).alias("model") for each in found]
    pairs = list(zip(found, label, strict=True))
    for file, frames in (
        ("residuals.csv", [x.rows.with_columns(m) for x, m in pairs]),
        ("prices.csv", [x.prices.with_columns(m) for x, m in pairs]),
        ("advice.csv", [pl.DataFrame(x.advice).with_columns(m) for x, m in pairs
                        if x.advice]),
    ):  # fmt: skip
        if frames:
            pl.concat(frames).write_csv(folder / file)
    write_json(
        folder / "result.json",
        {
            "machine": machine(),
            "models": [
                {
                    "name": each.name,
                    "fabric": each.fabric,
                    "converged": each.converged,
                    "prices": each.prices.to_dicts(),
                    "trade_offs": [
                        dataclasses.asdict(pair) | {"words": str(pair)}
                        for pair in each.pairs
                    ],
                    "question": list(each.question),
                    "advice": [dataclasses.asdict(x) for x in each.advice],
                    "unanswered": each.unanswered,
                    "chosen": each.choice.name if each.choice else None,
                    "scores": [
                        dataclasses.asdict(x)
                        for x in (each.choice.scores if each.choice else ())
                    ],
                }
                for each in found
            ],
        },
    )
    write_report(folder / "report.md", found, names)


def main(argv: list[str] | None = None) -> int:
    """Read the command line, diagnose and write; exit status 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.diagnose",
        description="What does a fit miss, and what should be measured next?",
    )
    add_options(parser, "series", "collective", "algorithm")
    parser.add_argument("--fabric", help="a catalogue name or a TOML file")
    parser.add_argument(
        "--at", metavar="COLLECTIVE:SIZE:RANKS",
        help="whose interval to narrow; else 16 times the largest run",
    )  # fmt: skip
    parser.add_argument(
        "--max-ranks", type=float, metavar="N",
        help="of a run that can be measured; else twice the largest run",
    )  # fmt: skip
    parser.add_argument("--choose", action="store_true", help="each group's model")
    parser.add_argument("--out", type=Path, default=Path("out/diagnose"))
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    try:
        question = question_of(options.at) if options.at else None
        fabric = fm.load_fabric(options.fabric) if options.fabric else None
        times = select(fm.read_measurements(*options.measurements), options)
        groups = split(times, math.inf, fabric)
        found = [
            diagnose(group, question, options.max_ranks, chosen=options.choose)
            for group in track(groups, "Fitting", console=console, transient=True)
        ]
        with whole_folder(options.out) as folder:
            _write(folder, found)
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 2
    console.print(f"Report: {options.out / 'report.md'}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

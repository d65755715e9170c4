"""What the experiments on training share: plans, draws, and how results are written."""

from __future__ import annotations

import argparse
import csv
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import track

import fabricmodel as fm
from experiments.output import machine, markdown_table, whole_folder, write_json
from fabricmodel.plots.ticks import chips_label
from fabricmodel.training.beliefs import BELIEFS
from fabricmodel.training.habits import drawn_habits, load_habits, unexplained
from fabricmodel.training.layout import Layout
from fabricmodel.training.models import load_model
from fabricmodel.training.platforms import UNMEASURED, Platform, load_platform
from fabricmodel.training.search import evaluate, search
from fabricmodel.training.step import Habits
from fabricmodel.training.workload import Workload, workload

DRAWS = 64
COLOURS = {
    "trn2": "#d55e00", "trn3": "#e69f00", "h100": "#0072b2", "gb200": "#56b4e9",
    "b200": "#7fb3d5", "tpu-v5p": "#009e73", "tpu-v7x": "#7ac36a", "a100": "#555555",
}  # fmt: skip
MARKS = {
    "trn2": "o", "trn3": "s", "h100": "^", "gb200": "v", "b200": "<", "tpu-v5p": "D",
    "tpu-v7x": "P", "a100": "X",
}  # fmt: skip
HATCHES = {
    "trn2": "", "trn3": "///", "h100": "", "gb200": "...", "b200": "\\\\\\",
    "tpu-v5p": "", "tpu-v7x": "xx", "a100": "---",
}  # fmt: skip
"""Of bars, which grey print would else not tell apart."""
LABELS = {
    "trn2": "Trn2", "trn3": "Trn3", "h100": "H100", "gb200": "GB200", "b200": "B200",
    "tpu-v5p": "TPU v5p", "tpu-v7x": "TPU v7x", "a100": "A100",
}  # fmt: skip
FITTED = ("h100", "gb200", "b200", "a100", "tpu-v5p")
"""Platforms of which published runs were fitted; of the others none is published."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The fastest layout that was found for a model on so many chips."""

    platform: Platform
    name: str
    model: str
    chips: int
    work: Workload
    layout: Layout
    tokens: float
    tried: int

    @property
    def layout_text(self) -> str:
        """Say it in one line."""
        parts = [
            f"{key}{getattr(self.layout, key):g}"
            for key in ("tp", "cp", "pp", "dp", "ep", "virtual")
            if getattr(self.layout, key) > 1
        ]
        zero, shard = float(self.layout.zero), float(self.layout.shard)
        parts.append(f"zero{zero:g}" + (f" over {shard:g}" if shard else ""))
        if self.layout.cp > 1 and not self.layout.ring:
            parts.append("all-to-all")
        if self.layout.recompute:
            parts.append("recompute")
        return " ".join(parts)


def sequences_of(chips: int) -> int:
    """Sequences of a step: one for four chips, between 256 and 8,192 (67M tokens).

    >>> [sequences_of(n) for n in (16, 4096, 131072)]
    [256, 1024, 8192]
    """
    return int(np.clip(2 ** int(np.log2(max(chips // 4, 1))), 256, 8192))


def plan(
    name: str,
    model: str,
    chips: int,
    *,
    precision: str = "bf16",
    platform: Platform | None = None,
    sequence: float = 8192.0,
) -> Plan | None:
    """Find the fastest layout at the median habits; None where the model can't fit."""
    on = platform or load_platform(name)
    shape = load_model(model)
    work = workload(shape, sequence=sequence)
    sequences = sequences_of(chips)
    try:
        found = search(
            on, shape, work, chips, sequences, load_habits(name, precision),
            precision=precision,
        )  # fmt: skip
    except fm.FabricModelError:
        return None
    return Plan(
        platform=on, name=name, model=model, chips=chips, work=work,
        layout=found.best(), tokens=sequences * sequence, tried=found.tried,
    )  # fmt: skip


def habits_of(name: str, precision: str = "bf16", seed: int = 0) -> Habits:
    """Draw habits of a platform; the first draw is the median."""
    draws = np.random.default_rng(seed).standard_normal((DRAWS, len(BELIEFS) + 1))
    draws[0] = 0.0
    return drawn_habits(name, precision, draws)


def steps(plans: Sequence[Plan], precision: str = "bf16", seed: int = 0) -> np.ndarray:
    """Seconds of a step of plans of one platform and model, (draws, plans).

    Draws differ by habits and by what runs of one platform differ by beyond them.
    """
    name = plans[0].name
    layout = stacked(plans)
    terms = evaluate(
        plans[0].platform, plans[0].work, layout, habits_of(name, precision, seed),
        precision,
    )  # fmt: skip
    step_s = np.asarray(sum(terms.values()))
    other = np.random.default_rng(seed + 1).standard_normal((DRAWS, 1))
    other[0] = 0.0
    return step_s * np.exp(unexplained() * other)


def stacked(plans: Sequence[Plan]) -> Layout:
    """Layouts of several plans as one batch."""
    return jax.tree.map(
        lambda *leaves: np.array(leaves, float), *[each.layout for each in plans]
    )


def median_and_ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First row (the median draw), and the 5 % and 95 % quantiles over draws."""
    low, high = np.quantile(values, [0.05, 0.95], axis=0)
    return values[0], np.minimum(low, values[0]), np.maximum(high, values[0])


def grid(
    names: Sequence[str],
    models: Sequence[str],
    chips: Sequence[int],
    console: Console,
    **options: Any,
) -> dict[tuple[str, str], list[Plan]]:
    """Plan every platform, model and size, with a progress bar."""
    asked = [
        (name, model, size) for name in names for model in models for size in chips
    ]
    found: dict[tuple[str, str], list[Plan]] = {}
    for name, model, size in track(asked, "Planning", console=console, transient=True):
        each = plan(name, model, size, **options)
        if each is not None:
            found.setdefault((name, model), []).append(each)
    return found


def standing(names: Sequence[str]) -> str:
    """Say what of the platforms is measured, fitted, and catalogue only."""
    chips = {name: load_platform(name).chip for name in names}
    timed = [LABELS[n] for n in names if "bf16" in chips[n].matrix_flops]
    other = [LABELS[n] for n in names if "bf16" not in chips[n].matrix_flops]
    fitted = [LABELS[n] for n in names if n in FITTED]
    unseen = [LABELS[n] for n in names if n not in FITTED]
    lines = []
    if timed:
        lines.append(f"- Measured: rates of matrix products of {', '.join(timed)}.")
    if fitted:
        lines.append(
            "- Fitted on published runs of at most 256 chips: habits (efficiency, "
            f"overlap, overheads) of {', '.join(fitted)}. Larger runs were predicted, "
            "not fitted (`validate_training`)."
        )
    if unseen:
        lines.append(
            f"- Catalogue only: {', '.join(unseen)}. None of their training runs is "
            "published; they have the habits of their family, as wide as the belief in "
            "an unseen chip."
        )
    if other:
        lines.append(
            f"- Catalogue: all links and peaks, and matrix rates of {', '.join(other)} "
            f"({UNMEASURED:.1f} of the peak)."
        )
    return "\n".join(lines)


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as a table."""
    if not rows:
        return "(no rows)\n"
    return markdown_table(rows[0], [[row[n] for n in rows[0]] for row in rows]) + "\n"


def publish(
    name: str,
    out: Path,
    *,
    title: str,
    question: str,
    answer: str,
    verdict: str,
    table: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    standing: str,
    draw: Callable[[Path], None],
) -> None:
    """Write report, figure (PNG and SVG), JSON and CSV, all of them or none."""
    text = (
        f"# {title}\n\n{question}\n\n![{title}]({name}.png)\n\n{answer}\n\n"
        f"**The claim:** {verdict}\n\n"
        f"{markdown(table)}\n## What this rests on\n\n{standing}\n\n"
        f"All numbers: `{name}.json`, `{name}.csv`. Made with "
        + ", ".join(f"{k} {v}" for k, v in machine().items())
        + ".\n"
    )
    with whole_folder(out) as scratch:
        draw(scratch)
        (scratch / "report.md").write_text(text, encoding="utf-8")
        write_json(scratch / f"{name}.json", {"rows": list(rows), "machine": machine()})
        with (scratch / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def save(figure: Any, folder: Path, name: str) -> None:
    """Write a figure as PNG and SVG."""
    import matplotlib

    figure.savefig(folder / f"{name}.png", dpi=160, bbox_inches="tight")
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(
            folder / f"{name}.svg", bbox_inches="tight", metadata={"Date": None}
        )


def size_axis(axis: Any, chips: Sequence[int]) -> None:
    """Chips on a logarithmic axis, written as people write them."""
    from matplotlib.ticker import NullFormatter

    axis.set_xscale("log", base=2)
    axis.set_xticks(chips)
    axis.set_xticklabels(tick_labels(chips), rotation=45, ha="right")
    axis.set_axisbelow(True)
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(True, alpha=0.3)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def tick_labels(chips: Sequence[int]) -> list[str]:
    """Label every size, but one that stands closer to the next than the others do.

    >>> tick_labels([1024, 16384, 65536, 131072])
    ['1k', '16k', '', '131k']
    """
    steps = np.diff(np.log2(np.asarray(chips, float)))
    typical = float(np.median(steps)) if len(steps) else 0.0
    close = [*(step < 0.75 * typical for step in steps), False]
    return ["" if near else short(n) for n, near in zip(chips, close, strict=True)]


def short(count: float) -> str:
    """Write a number of chips.

    >>> short(64), short(65536), short(131072)
    ('64', '64k', '131k')
    """
    return chips_label(count)


def parser(name: str, text: str) -> argparse.ArgumentParser:
    """Return what every experiment on training understands."""
    made = argparse.ArgumentParser(
        prog=f"python -m experiments.{name}", description=text
    )
    made.add_argument("--out", type=Path, default=Path("out") / name, metavar="DIR")
    made.add_argument(
        "--precision", default="bf16", choices=("bf16", "fp8"),
        help="of the matrix products",
    )  # fmt: skip
    return made


def run(console: Console, work: Callable[[], None]) -> int:
    """Run in double precision; a bad input is one line and status 2."""
    try:
        with jax.enable_x64(True):
            work()
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", highlight=False)
        return 2
    return 0

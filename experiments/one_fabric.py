"""What would "tens of thousands of chips as one" need?

The step on the real fabric against the least that one ideal switch could take, which
joins every chip at the bandwidth of all its links, without latency, and reduces what
passes through it.

    python -m experiments.one_fabric [--model NAME] [--chips N ...]
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from experiments.training import study
from fabricmodel.fabric import Fabric, Level
from fabricmodel.training.platforms import Platform, load_platform

PLATFORMS = ("trn2", "trn3", "h100", "gb200", "tpu-v5p", "tpu-v7x")
CHIPS = (64, 256, 1024, 4096, 16384, 65536, 131072)


def injection_Bps(fabric: Fabric) -> float:
    """Bytes that a rank sends at once over all its links, in one direction.

    A ring has two links a rank, a line or switch port one, a clique one to each other
    member; where a level has shared uplinks, the rank's share of them.
    """
    total, inside = 0.0, 1.0
    for level in fabric.levels:
        size = float(np.asarray(level.capacity))
        links = {"ring": 2.0, "line": 2.0, "clique": size - 1.0, "switch": 1.0}
        shared = float(np.asarray(level.uplinks))
        share = min(shared / inside, 1.0) if shared else 1.0
        total += share * links[level.kind] / float(np.asarray(level.byte_s))
        inside *= size
    return total


def ideal(platform: Platform) -> Platform:
    """Join every rank by one switch: no latency, no launch, reduction on the way.

    What is left of a collective is the bytes that a rank can't avoid to send, at the
    bandwidth of all its links together: the lower bound of any fabric whose ranks have
    these links (``timing.bounds``), so no step on the real one is shorter. Hosts, whose
    ranks slow down together, stay what they are.
    """
    switch = Level(
        name="ideal",
        kind="switch",
        grows=True,
        byte_s=1.0 / injection_Bps(platform.fabric),
    )
    fabric = dataclasses.replace(
        platform.fabric,
        name="ideal",
        strategies=tuple(dict.fromkeys((*platform.fabric.strategies, "sharp"))),
        levels=(switch,),
        launch_s={},
        reduce_byte_s=0.0,
        memory_round_s=0.0,
        memory_byte_s=0.0,
    )
    return dataclasses.replace(
        platform, fabric=fabric, together=platform.ranks_per_node
    )


def domain_chips(platform: Platform) -> int:
    """Chips that one scale-up domain holds."""
    sizes = [float(np.asarray(level.capacity)) for level in platform.fabric.levels[:-1]]
    return int(np.prod(sizes) / platform.ranks_per_chip)


def rows_of(
    names: list[str], model: str, chips: list[int], precision: str, console: Console
) -> list[dict[str, Any]]:
    """Step on the real and on the ideal fabric, each with its own fastest layout.

    The ideal has the shorter step, draw by draw, of its own layout and of the real
    one's: what is fastest at the median need not be so at every draw.
    """
    real = study.grid(names, [model], chips, console, precision=precision)
    rows = []
    for (name, _), plans in real.items():
        one = ideal(load_platform(name))
        wished = [
            study.plan(name, model, p.chips, precision=precision, platform=one)
            for p in plans
        ]
        kept = [(a, b) for a, b in zip(plans, wished, strict=True) if b is not None]
        plans, better = [a for a, _ in kept], [b for _, b in kept]
        same = [dataclasses.replace(p, platform=one) for p in plans]
        least = np.minimum(study.steps(better, precision), study.steps(same, precision))
        ratio = study.steps(plans, precision) / least
        middle, low, high = study.median_and_ends(ratio)
        for at, (each, other) in enumerate(kept):
            rows.append(
                {
                    "platform": name,
                    "model": model,
                    "chips": each.chips,
                    "domain_chips": domain_chips(each.platform),
                    "layout": each.layout_text,
                    "ideal_layout": other.layout_text,
                    "ratio": float(middle[at]),
                    "ratio_low": float(low[at]),
                    "ratio_high": float(high[at]),
                }
            )
    return rows


def draw(rows: list[dict[str, Any]], chips: list[int], folder: Path) -> None:
    """Step against the ideal, by chips."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.9))
    axis = figure.subplots()
    for name in dict.fromkeys(row["platform"] for row in rows):
        mine = [row for row in rows if row["platform"] == name]
        x = [row["chips"] for row in mine]
        label = f"{study.LABELS[name]} (domain {mine[0]['domain_chips']:,})"
        axis.plot(x, [r["ratio"] for r in mine], color=study.COLOURS[name],
                  marker=study.MARKS[name], markersize=5, label=label)  # fmt: skip
        axis.fill_between(x, [r["ratio_low"] for r in mine],
                          [r["ratio_high"] for r in mine], color=study.COLOURS[name],
                          alpha=0.12, linewidth=0)  # fmt: skip
    axis.axhline(1.0, color="black", linewidth=0.8)
    axis.set_xlabel("chips")
    axis.set_ylabel("step / step on one ideal switch")
    study.size_axis(axis, chips)
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    study.save(figure, folder, "one_fabric")


def answer(rows: list[dict[str, Any]]) -> str:
    """Say in words how far each fabric is from one."""
    last = max(row["chips"] for row in rows)
    parts = [
        f"{study.LABELS[row['platform']]} {100 * (row['ratio'] - 1):.0f} % "
        f"({100 * (row['ratio_low'] - 1):.0f} to {100 * (row['ratio_high'] - 1):.0f})"
        for row in rows
        if row["chips"] == last
    ]
    return (
        f"At {last:,} chips a step takes longer than on one ideal switch by: "
        + "; ".join(parts)
        + ". NeuronLink itself joins 64 chips (Trn2 UltraServer) or 144 (Trn3 Gen2), "
        "NVLink 8 or 72, and only TPU pods join thousands on one scale-up fabric; what "
        "joins tens of thousands is EFA, InfiniBand, Ethernet or a data centre "
        "network. "
        "A job works 'as one' as far as its layout keeps the heavy traffic (tensor, "
        "expert, context) inside a domain and sends outside only what "
        "computation hides "
        "(gradients, pipeline). The figure shows what that discipline costs; it says "
        "nothing on failures, which `months_long_run` asks about."
    )


def verdict(rows: list[dict[str, Any]]) -> str:
    """Say where the claim holds."""
    last = max(row["chips"] for row in rows)
    trn = [r for r in rows if r["chips"] == last and r["platform"].startswith("trn")]
    loss = ", ".join(
        f"{study.LABELS[r['platform']]} {100 * (r['ratio_low'] - 1):.0f} to "
        f"{100 * (r['ratio_high'] - 1):.0f} %"
        for r in trn
    )
    return (
        "NeuronLink makes tens of thousands of chips one: fails as a statement on the "
        "fabric, whose domains end at "
        + " and ".join(f"{r['domain_chips']:,}" for r in trn)
        + " chips; as a statement on the step it can be read off what is lost at "
        f"{last:,} chips ({loss}), catalogue prices and unseen habits."
        if trn
        else "about NeuronLink, which was not asked for."
    )


def main(argv: list[str] | None = None) -> int:
    """Read the command line, plan both fabrics and write."""
    parser = study.parser("one_fabric", "How far a fabric is from one ideal switch.")
    parser.add_argument("--chips", type=int, nargs="+", default=list(CHIPS))
    parser.add_argument("--model", default="llama3.1-405b")
    parser.add_argument("--platforms", nargs="+", default=list(PLATFORMS))
    options = parser.parse_args(argv)
    console = Console(stderr=True)

    def work() -> None:
        rows = rows_of(
            options.platforms, options.model, options.chips, options.precision, console
        )
        table = [
            {
                "platform": study.LABELS[row["platform"]],
                "chips": f"{row['chips']:,}",
                "domain": f"{row['domain_chips']:,}",
                "layout": row["layout"],
                "layout on the ideal": row["ideal_layout"],
                "step / ideal": f"{row['ratio']:.3f} ({row['ratio_low']:.3f} to "
                f"{row['ratio_high']:.3f})",
            }
            for row in rows
            if row["chips"] >= 4096 or row["chips"] == max(options.chips)
        ]
        study.publish(
            "one_fabric",
            options.out,
            title="Tens of thousands of chips as one",
            question=f"How much longer is a step of {options.model} than on one ideal "
            "switch, without latency, that joins every chip at the bandwidth of all "
            f"its links? Each has its own fastest layout ({options.precision}).",
            answer=answer(rows),
            verdict=verdict(rows),
            table=table,
            rows=rows,
            standing=study.standing(options.platforms)
            + "\n- The ideal is no product: one switch of that many ports does not "
            "exist. It has no latency, no launch and no contention, reduces what "
            "passes through it, and asks of each rank only the bytes that no algorithm "
            "can avoid: a lower bound. The ratio is at least 1 for that reason alone, "
            "and what it leaves above 1 no fabric of these links could win back in "
            "full.",
            draw=lambda folder: draw(rows, options.chips, folder),
        )
        console.print(f"wrote {options.out}", highlight=False)

    return study.run(console, work)


if __name__ == "__main__":
    sys.exit(main())

"""The benchmark's table and figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from experiments.output import duration, markdown_table
from fabricmodel.plots.figures import LOOKS, dress, label, legend_below, make_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _rate(per_s: float) -> str:
    """Write a rate.

    >>> _rate(2.34e9), _rate(512.0)
    ('2.34e+09 /s', '512 /s')
    """
    return f"{per_s:,.0f} /s" if per_s < 1e5 else f"{per_s:.3g} /s"


def _ratio(number: float) -> str:
    return f"{number:.3g} x"


def _memory(number: float) -> str:
    return f"{number / 1e9:.2f} GB"


KEYS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "predictions_per_s": ("one ring all_reduce, predictions", _rate),
    "value_and_grad_per_s": ("the same with all gradients of each", _rate),
    "copy_floor_ratio": ("its time over that of copying its bytes", _ratio),
    "gradient_cost_ratio": ("with all gradients, over the value, in cache", _ratio),
    "gradient_cost_ratio_largest": ("beyond the caches, in pieces", _ratio),
    "gradient_cost_ratio_largest_at_once": ("the same in one call", _ratio),
    "summed_gradient_cost_ratio": ("gradients of a sum, over the value", _ratio),
    "numpy_ratio": ("numpy's time for the same over ours", _ratio),
    "copy_Bps": ("bytes copied, in and out", _rate),
    "candidate_set_predictions_per_s": ("choice on a 3D torus, predictions", _rate),
    "candidate_set_value_and_grad_per_s": ("the same with all gradients", _rate),
    "every_algorithm_predictions_per_s": ("every known algorithm there", _rate),
    "every_algorithm_value_and_grad_per_s": ("the same with all gradients", _rate),
    "seconds_per_100k_chip_answer": (
        "100,000 Trainium2 chips, each of a batch",
        duration,
    ),
    "seconds_per_100k_chip_answer_with_terms": (
        "the same with interval and terms",
        duration,
    ),
    "astra_sim_ratio": ("ASTRA-sim's time for 4,096 chips over it", _ratio),
    "sweep_points_per_s": ("points of a sweep over a cluster, to disk", _rate),
    "sweep_overhead_ratio": ("its time over that of its answers", _ratio),
    "two_process_scaling": ("a sweep by two processes over by one", _ratio),
    "layouts_per_s": ("layouts of a training step", _rate),
    "layouts_searched_per_s": ("layouts searched, invalid ones included", _rate),
    "fit_all_series_s": ("fit of every shipped series, one after another", duration),
    "import_s": ("import, in a fresh process", duration),
    "first_prediction_s": ("first prediction after it, compiled", duration),
    "first_prediction_peak_bytes": ("most memory of that process", _memory),
    "peak_memory_bytes": ("most memory of the benchmark", _memory),
}
"""What bench.json holds, besides details: in words, and how to write it."""


def report(found: Mapping[str, Any]) -> str:
    """Write the figures as a table of Markdown, with the machine."""
    rows = []
    for key, (words, write) in KEYS.items():
        value = found[key]
        shown = "not asked" if value is None else write(value)
        rows.append((words, shown, f"`{key}`"))
    described = ", ".join(f"{key} {text}" for key, text in found["machine"].items())
    first = ", ".join(
        f"`{name}` {duration(seconds)}"
        for name, seconds in found["first_calls_s"].items()
    )
    lines = [
        "# How fast",
        "",
        markdown_table(("what", "figure", "key"), rows),
        "",
        f"The choice on the torus is among {found['candidate_set_candidates']} "
        f"candidates, or {found['every_algorithm_candidates']} with every algorithm. "
        "Gradients are those of each case by every price and by its size.",
        "",
        f"First calls of fresh processes, catalogue and compilation included: {first}.",
        "",
        f"Made by `python -m experiments.bench` on {described}.",
        "",
    ]
    return "\n".join(lines)


_LINES = {
    "copy": "copy of its bytes in and out (the floor)",
    "value": "value",
    "value_and_grad": "value and all gradients of each",
    "value_and_grad_in_pieces": "value and all gradients, in pieces",
    "numpy": "numpy, value",
}


def figure(found: Mapping[str, Any]) -> Figure:
    """Draw nanoseconds a case of one formula against the cases of a call."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    drawn = make_figure(6.4, 4.2)
    axes = drawn.subplots()
    rows = found["ring_seconds"]
    cases = [row["cases"] for row in rows]
    for look, (key, words) in zip(LOOKS, _LINES.items(), strict=False):
        axes.plot(
            cases, [1e9 * row[key] / row["cases"] for row in rows], label=words,
            color=look.colour, linestyle=look.style, marker=look.marker, markersize=4,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(cases, [f"{count:,}" for count in cases])
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    dress(axes, "one ring all_reduce, counts x prices")
    label(axes, "cases of one call (count)", "time of a case (ns)")
    legend_below(drawn, axes.get_lines())
    return drawn

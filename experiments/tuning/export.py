"""Write a model's choices for NCCL: the tuner's CSV, the constants, the gain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
from rich.console import Console

import fabricmodel as fm
from experiments.output import duration, machine, markdown_table, size, whole_folder
from fabricmodel.baselines.nccl import Communicator, dgx, nccl_choice
from fabricmodel.tuning import (
    constants_of,
    find_rule,
    nccl_rules,
    read_rules,
    write_constants,
    write_rules,
)
from fabricmodel.tuning.nccl import SIZES, candidates

_TUNED = ("all_reduce", "all_gather", "reduce_scatter")
_UNKNOWN = (
    "The table doesn't name two algorithms, so it can't tell what each costs here, nor "
    "what NCCL's own choice does: measure with NCCL_ALGO=Ring and NCCL_ALGO=Tree, name "
    "them in the column algorithm, and export again before this is put to use."
)
_OWN = {"Ring": "ring", "Tree": "tree", "NVLS": "nvls", "NVLSTree": "nvls_tree"}


def export(
    times: fm.Measurements,
    fabric: str,
    nodes: Sequence[int],
    generation: str,
    folder: Path,
    console: Console,
) -> str:
    """Fit the fabric, write rules and constants, and report the expected gain.

    A gain is claimed only between algorithms that were measured by themselves: a log
    in which the library chose doesn't tell what it chose.

    Raises:
      FabricModelError: where ranks don't fit, or the fabric runs no NCCL algorithm.
    """
    with console.status(f"Fitting {fabric} to {len(times)} times"):
        model = fm.fit(fm.load_fabric(fabric), times)
    there = [dgx(generation, count) for count in nodes]
    forced = _forced(times)
    with console.status("Comparing algorithms"):
        rules = nccl_rules(model, _TUNED, there, algorithms=forced)
        rows = [row for one in there for row in _gains(model, one, rules, forced)]
        constants = constants_of(model, "all_reduce", there)
    text = _report(fabric, times, nodes, rows, forced)
    with whole_folder(folder) as scratch:
        comment = f"fabricmodel, {fabric}, fitted to {len(times)} times"
        if len(forced) < 2:
            comment += f"\n{_UNKNOWN}"
        write_rules(scratch / "tuner.csv", rules, comment)
        if read_rules(scratch / "tuner.csv") != tuple(rules):
            raise fm.FabricModelError(
                "tuner.csv", "does not read back as written", "Report this"
            )
        write_constants(scratch / "constants.json", constants)
        data = {"machine": machine(), "fabric": fabric, "rows": rows}
        (scratch / "tuner.json").write_text(json.dumps(data, indent=1) + "\n")
        (scratch / "report.md").write_text(text)
    return text


def _forced(times: fm.Measurements) -> tuple[str, ...]:
    """Algorithms that the table names, in NCCL's words: two at least, or none.

    Against a single one nothing can be chosen.
    """
    names = {_OWN.get(str(label)) for label in times.algorithm} - {None}
    return tuple(sorted(str(name) for name in names)) if len(names) > 1 else ()


def _report(
    fabric: str,
    times: fm.Measurements,
    nodes: Sequence[int],
    rows: Sequence[dict],
    forced: Sequence[str],
) -> str:
    lines = [
        f"# NCCL tuner settings for {fabric}, {', '.join(map(str, nodes))} nodes",
        "",
        f"Fitted to {len(times)} times. `tuner.csv` is read by NCCL's example tuner "
        "plugin (NCCL_TUNER_CONFIG_FILE), `constants.json` has NCCL's own constants "
        "bent to the fit. Sizes at which NCCL would run what this fabric isn't said to "
        "run are left to it, without a rule.",
        "",
    ]
    if not forced:
        return "\n".join([*lines, f"**{_UNKNOWN}**", ""])
    lines += [
        f"Chosen among {', '.join(forced)}, which were measured by themselves. "
        "Expected is the time of the exported choice over that of NCCL's own (by its "
        "tuning model), both at the fitted prices; sure is how probable a gain is at "
        "least.",
        "",
        markdown_table(
            ("ranks", "size", "NCCL's", "exported", "expected", "sure"),
            [
                (
                    row["ranks"],
                    size(row["size_bytes"]),
                    f"{row['default']} {duration(row['default_s'])}",
                    f"{row['chosen']} {duration(row['chosen_s'])}",
                    f"{row['chosen_s'] / row['default_s']:.2f}",
                    f"{row['sure']:.0%}",
                )
                for row in rows
            ],
        ),
    ]
    return "\n".join(lines) + "\n"


def _gains(
    model: fm.FittedModel, one: Communicator, rules: list, forced: Sequence[str]
) -> list[dict]:
    """All_reduce at every other size: NCCL's choice and ours, at the fitted prices.

    ``sure`` is how probable it is that ours is no slower, as if the errors of the two
    had nothing in common; they share most prices, so it is surer than that.
    """
    ranks, nodes = int(one.ranks), int(one.nodes)
    sizes = SIZES[::2]
    priced = {
        name: model.predict("all_reduce", sizes, one.ranks, algorithm=counted)
        for name, counted in candidates(model, "all_reduce", ranks).items()
        if name in forced
    }
    vendor = nccl_choice(one, "all_reduce", sizes)["algorithm"]
    rows = []
    for index, volume in enumerate(np.asarray(sizes)):
        default = _OWN.get(str(vendor[index]))
        rule = find_rule(rules, "all_reduce", float(volume), nodes, ranks)
        if rule is None or default not in priced or rule.algorithm not in priced:
            continue
        own, ours = priced[default], priced[rule.algorithm]
        gap = float(np.log(own.median_s[index] / ours.median_s[index]))
        sd = float(np.hypot(own.log_scale[index], ours.log_scale[index]))
        rows.append(
            {
                "ranks": ranks,
                "size_bytes": float(volume),
                "default": default,
                "default_s": float(own.median_s[index]),
                "chosen": rule.algorithm,
                "chosen_s": float(ours.median_s[index]),
                "sure": 1.0 if gap == 0.0 else NormalDist().cdf(gap / sd),
            }
        )
    return rows

"""Write a model's choices for NCCL: the tuner's CSV, the constants, the gain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

import fabricmodel as fm
from experiments.output import duration, machine, size, whole_folder
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

    Raises:
      FabricModelError: where ranks don't fit, or the fabric runs no NCCL algorithm.
    """
    with console.status(f"Fitting {fabric} to {len(times)} times"):
        model = fm.fit(fm.load_fabric(fabric), times)
    there = [dgx(generation, count) for count in nodes]
    with console.status("Comparing algorithms"):
        rules = nccl_rules(model, _TUNED, there)
        rows = [row for one in there for row in _gains(model, one, rules)]
        constants = constants_of(model, "all_reduce", there)
    lines = [
        f"# NCCL tuner settings for {fabric}, {', '.join(map(str, nodes))} nodes",
        "",
        f"Fitted to {len(times)} times. `tuner.csv` is read by NCCL's example tuner "
        "plugin (NCCL_TUNER_CONFIG_FILE), `constants.json` has NCCL's own constants "
        "bent to the fit. Expected is the time of the exported choice over that of "
        "NCCL's own, both at the fitted prices.",
        "",
        "| ranks | size | NCCL's | exported | expected |",
        "|---|---|---|---|---|",
        *(
            f"| {row['ranks']} | {size(row['size_bytes'])} | {row['default']} "
            f"{duration(row['default_s'])} | {row['chosen']} "
            f"{duration(row['chosen_s'])} | {row['chosen_s'] / row['default_s']:.2f} |"
            for row in rows
        ),
    ]
    text = "\n".join(lines) + "\n"
    with whole_folder(folder) as scratch:
        comment = f"fabricmodel, {fabric}, fitted to {len(times)} times"
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


def _gains(model: fm.FittedModel, one: Communicator, rules: list) -> list[dict]:
    """All_reduce at every other size: NCCL's choice and ours, at the fitted prices."""
    ranks, nodes = int(one.ranks), int(one.nodes)
    sizes = SIZES[::2]
    priced = {
        name: model.predict("all_reduce", sizes, one.ranks, algorithm=counted).median_s
        for name, counted in candidates(model, "all_reduce", ranks).items()
    }
    vendor = nccl_choice(one, "all_reduce", sizes)["algorithm"]
    rows = []
    for index, volume in enumerate(np.asarray(sizes)):
        default = _OWN.get(str(vendor[index]))
        rule = find_rule(rules, "all_reduce", float(volume), nodes, ranks)
        if rule is None or default not in priced:
            continue
        rows.append(
            {
                "ranks": ranks,
                "size_bytes": float(volume),
                "default": default,
                "default_s": float(priced[default][index]),
                "chosen": rule.algorithm,
                "chosen_s": float(priced[rule.algorithm][index]),
            }
        )
    return rows

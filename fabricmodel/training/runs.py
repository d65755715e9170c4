"""Published training runs: a table's rows read into workload, layout and platform.

What a row leaves out is assumed where a step depends on it little, and said; a row
that can't be asked about says why. Nothing is dropped.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from fabricmodel.errors import FabricModelError, MeasurementError
from fabricmodel.training.cells import COLUMNS, clean
from fabricmodel.training.layout import Layout
from fabricmodel.training.platforms import Platform, platform_of
from fabricmodel.training.recipes import (
    Recipe,
    before_fusing,
    default_layout,
    must_recompute,
    recipe_of,
    takes_whole_batch,
    unasked_microbatch,
)
from fabricmodel.training.shapes import Unusable, work_of
from fabricmodel.training.software import software_of
from fabricmodel.training.workload import Workload


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One published run.

    Attributes:
      row: its place in the table, from 0.
      name, group, stack: of the run, of its series, of the software that made it.
      release: the source; version: of the software, where it is told.
      model: what tells models apart.
      platform, precision, chips: what it ran on; numerics: the precision as written,
        with the way that numbers are scaled.
      work, layout: what it did and how; None where unusable.
      domain: ranks of one scale-up domain, where the run says so; 0 otherwise.
      step_s: measured, or None.
      measured_from: the column that gave it.
      assumed: what the row does not say and was assumed.
      reason: why it is unusable, or "".
    """

    row: int
    name: str
    group: str
    stack: str
    release: str = ""
    version: str = ""
    model: str = ""
    platform: Platform | None = None
    precision: str = "bf16"
    numerics: str = ""
    chips: float = math.nan
    work: Workload | None = None
    layout: Layout | None = None
    domain: float = 0.0
    step_s: float | None = None
    measured_from: str = ""
    assumed: tuple[str, ...] = ()
    reason: str = ""


def read_runs(path: str | os.PathLike[str]) -> tuple[pl.DataFrame, list[Run]]:
    """Read a table of runs: the frame as it stands, and each row as a ``Run``.

    Raises:
      MeasurementError: if the file can't be read, or has no column ``chip``.
    """
    place = str(Path(path))
    try:
        frame = pl.read_csv(place, infer_schema_length=None, ignore_errors=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise MeasurementError(
            place, f"can't be read as CSV: {error}", "Give a CSV file of runs"
        ) from error
    if "chip" not in frame.columns:
        raise MeasurementError(
            place, "has no column 'chip'", f"Columns are {', '.join(COLUMNS)}"
        )
    rows = frame.to_dicts()
    told = _told_to_series(rows)
    return frame, [
        read_run(i, {**row, **told.get(str(row.get("group") or ""), {})})
        for i, row in enumerate(rows)
    ]


def _told_to_series(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Remarks of one run of a series on what all of them do, as a cell of its own.

    A microbatch in words, of one or several runs of a series alike, holds for all of
    the series: tables fill the column with 1 where a log says nothing.
    """
    found: dict[str, set[float]] = {}
    for row in rows:
        group = str(row.get("group") or "")
        size = recipe_of(str(row.get("notes") or "")).microbatch
        if group and size:
            found.setdefault(group, set()).add(size)
    return {
        group: {"series_remarks": f"microbatch {sizes.pop():g}"}
        for group, sizes in found.items()
        if len(sizes) == 1
    }


def read_run(index: int, row: Mapping[str, Any]) -> Run:
    """Read one row; never raises, an unusable row carries its reason."""
    cells, passed, odd = clean(row)
    remarks = str(row.get("series_remarks") or "")
    if remarks and remarks not in cells["notes"]:
        passed.append(f"{remarks}, as another run of its series says")
        cells["notes"] = f"{cells['notes']}; {remarks}"
    name = cells["run"] or f"row {index + 1}"
    plain = Run(
        row=index,
        name=name,
        group=cells["group"] or name,
        release=cells["source"],
        stack=software_of(name, cells["source"]),
    )
    if odd:
        return dataclasses.replace(plain, reason=odd)
    try:
        return _run(plain, cells, passed)
    except Unusable as error:
        return dataclasses.replace(plain, reason=str(error))
    except FabricModelError as error:
        return dataclasses.replace(plain, reason=f"{error.place}: {error.what}")


def _run(plain: Run, cells: Mapping[str, Any], passed: list[str]) -> Run:
    assumed = list(passed)
    recipe = recipe_of(" ".join((cells["notes"], plain.name, cells["source"])))
    if not cells["chip"]:
        raise Unusable("no chip named")
    peak = cells["bf16_peak_tflops_used"]
    platform = platform_of(
        cells["chip"], notes=cells["notes"], peak_flops=peak * 1e12 if peak else None
    )
    if not platform.known:
        assumed.append(f"chip {cells['chip']!r} made up from its peak")
    work = work_of(cells, recipe, assumed)
    chips = _chips(cells, platform, assumed)
    tokens, step_s, origin = _measured(cells, work, recipe, chips, assumed)
    ranks = chips * platform.ranks_per_chip
    product = math.prod(cells[key] or 1.0 for key in ("tp", "pp", "dp", "cp"))
    if platform.counts_dies and abs(product / chips - 1.0) < 0.02:
        ranks = chips
        assumed.append("a chip of the table is one die")
    recipe = _with_recomputing(recipe, cells, work, chips, tokens, step_s, assumed)
    layout = _layout(cells, work, recipe, platform, ranks, tokens, assumed)
    layout = _as_software_does(layout, plain, recipe, platform, assumed)
    memory = float(platform.chip.memory_bytes) / platform.ranks_per_chip
    if must_recompute(recipe, work, layout, platform.chip, memory):
        assumed.append("recomputed in full: its activations would not fit")
        layout = dataclasses.replace(layout, recompute=1.0)
    slices = recipe.slices
    return dataclasses.replace(
        plain,
        model="/".join(
            f"{value:g}"
            for value in (work.parameters, work.layers, work.width, work.sequence)
        ),
        platform=platform,
        precision=_precision(cells["precision"], assumed),
        numerics=cells["precision"].lower(),
        chips=chips,
        work=work,
        layout=layout,
        version=recipe.version,
        domain=ranks / slices if slices else 0.0,
        step_s=step_s,
        measured_from=origin,
        assumed=tuple(assumed),
    )


def _precision(text: str, assumed: list[str]) -> str:
    """Read the precision of the matrix products: fp8, mxfp8 and their like are fp8."""
    lower = text.lower()
    for stem in ("fp4", "fp8", "int8", "fp16", "bf16"):
        if stem in lower:
            return stem
    assumed.append("precision bf16" if not text else f"precision {text!r} as bf16")
    return "bf16"


def _chips(cells: Mapping[str, Any], platform: Platform, assumed: list[str]) -> float:
    if cells["num_chips"]:
        return cells["num_chips"]
    degrees = [cells[key] for key in ("tp", "pp", "dp")]
    if all(degrees):
        ranks = math.prod(degrees) * (cells["cp"] or 1.0)
        assumed.append("chips from the product of the degrees")
        return ranks / platform.ranks_per_chip
    raise Unusable("the number of chips is not given")


def _measured(
    cells: Mapping[str, Any],
    work: Workload,
    recipe: Recipe,
    chips: float,
    assumed: list[str],
) -> tuple[float, float | None, str]:
    """Tokens of a step; its measured seconds, and the column that they come from."""
    tokens, step, rate = (
        cells[key] for key in ("global_batch_tokens", "step_time_s", "tokens_per_s")
    )
    flops = float(work.model_flops())
    if cells["flops_convention"] == "hardware":
        flops = float(work.hardware_flops())
    job = cells["tflops_per_chip"]
    if job is not None:
        job *= 1e12 * chips
    elif cells["mfu"] and cells["bf16_peak_tflops_used"] and "8" not in recipe.narrow:
        job = cells["mfu"] * cells["bf16_peak_tflops_used"] * 1e12 * chips
    if tokens is None and cells["dp"] and cells["microbatch"] and recipe.accumulate:
        tokens = cells["dp"] * cells["microbatch"] * recipe.accumulate * work.sequence
        assumed.append("batch from dp x microbatch x accumulation")
    if tokens is None and step is not None and (rate or job):
        tokens = step * (rate or (job or 0.0) / flops)
        assumed.append("batch from the published rate x the published step")
    if tokens is None:
        raise Unusable("the global batch is not given and can't be worked out")
    if step is not None:
        return tokens, step, "step_time_s"
    if rate is not None:
        return tokens, tokens / rate, "tokens_per_s"
    if job is not None:
        origin = "tflops_per_chip" if cells["tflops_per_chip"] else "mfu"
        return tokens, tokens * flops / job, origin
    return tokens, None, ""


_AGAIN = 0.03
"""How near the FLOPs of a token must be to those of recomputing, as a share."""


def _with_recomputing(
    recipe: Recipe,
    cells: Mapping[str, Any],
    work: Workload,
    chips: float,
    tokens: float,
    step_s: float | None,
    assumed: list[str],
) -> Recipe:
    """Recognise recomputing by printed FLOPs that a step must have done.

    Where a dense model's shape, its FLOPs a second and its step are all printed, the
    FLOPs of a token tell three passes (no recomputing) from four.
    """
    told = all(cells[key] for key in ("layers", "d_model", "heads", "d_ff"))
    rate = cells["tflops_per_chip"]
    if recipe.recompute or not (told and rate and cells["step_time_s"] and step_s):
        return recipe
    if float(work.experts) > 1.0:
        return recipe
    done = rate * 1e12 * chips * step_s / tokens
    if abs(done / float(work.hardware_flops()) - 1.0) > _AGAIN:
        return recipe
    assumed.append("recomputed in full: printed FLOPs are those of four passes")
    return dataclasses.replace(recipe, recompute=1.0)


def _layout(
    cells: Mapping[str, Any],
    work: Workload,
    recipe: Recipe,
    platform: Platform,
    ranks: float,
    tokens: float,
    assumed: list[str],
) -> Layout:
    tp, pp, cp = (cells[key] for key in ("tp", "pp", "cp"))
    zero = recipe.zero
    sharded = zero == 3 or platform.name.startswith("tpu")
    if tp is None or pp is None:
        memory = float(platform.chip.memory_bytes) / platform.ranks_per_chip
        guess = default_layout(work, ranks, memory, sharded=sharded)
        tp, pp = tp or guess.tp, pp or guess.pp
        assumed.append(f"tp {tp:g}, pp {pp:g}")
    if zero is None:
        zero = 3.0 if sharded else 1.0
    cp = cp or 1.0
    if tp * pp * cp > 1.001 * ranks:
        raise Unusable(
            f"tp {tp:g} x pp {pp:g} x cp {cp:g} ranks are more than the job's {ranks:g}"
        )
    pp = min(pp, max(float(work.layers), 1.0))
    dp = max(ranks / (tp * pp * cp), 1.0)
    if cells["dp"] and abs(math.log(cells["dp"] / dp)) > 0.02:
        assumed.append(
            f"dp {dp:g}, since the printed {cells['dp']:g} does not multiply"
        )
    sequences = max(tokens / (dp * work.sequence), 1e-6)
    shard = _shard(recipe, float(dp), float(cp))
    cut = Layout(
        tp=tp, cp=cp, pp=pp, dp=dp,
        ep=min(cells["ep"] or 1.0, max(work.experts, 1.0), ranks / pp),
        zero=float(zero),
        shard=shard,
        sequence_parallel=1.0 if tp > 1 else 0.0,
        recompute=recipe.recompute,
        recompute_attention=1.0 if recipe.selective else 0.0,
        overlap_tp=1.0 if recipe.overlap_tp else 0.0,
        gradient_bytes=recipe.gradient_bytes,
    )  # fmt: skip
    memory = float(platform.chip.memory_bytes) / platform.ranks_per_chip
    microbatch = recipe.microbatch or cells["microbatch"]
    if microbatch is None:
        microbatch = min(unasked_microbatch(work, cut, memory), sequences)
        assumed.append(f"microbatch {microbatch:g}")
    microbatch = min(microbatch, sequences)
    count = sequences / microbatch
    if pp > 1 and recipe.split_local:
        count = max(count, min(pp, sequences))
    elif pp > 1 and count < pp and sequences >= pp:
        count = pp
        assumed.append(f"{pp:g} microbatches, to fill the pipeline")
    microbatch = sequences / count
    virtual = recipe.virtual if pp > 1 else 1.0
    return dataclasses.replace(
        cut,
        microbatch=microbatch,
        microbatches=count,
        virtual=max(min(virtual, work.layers / pp), 1.0),
    )


def _as_software_does(
    layout: Layout, plain: Run, recipe: Recipe, platform: Platform, assumed: list[str]
) -> Layout:
    """Put in what no run prints, but its framework and its date tell."""
    whole = takes_whole_batch(plain.stack, platform.name)
    if whole and layout.pp == 1.0 and not recipe.accumulate:
        together = layout.microbatch * layout.microbatches
        layout = dataclasses.replace(layout, microbatch=together, microbatches=1.0)
    if before_fusing(plain.release):
        assumed.append("attention not fused, before 2022-06")
        split = 1.0 if recipe.sequence_parallel and layout.tp > 1 else 0.0
        layout = dataclasses.replace(
            layout, fused_attention=0.0, overlap_tp=0.0, sequence_parallel=split
        )
    return layout


def _shard(recipe: Recipe, dp: float, cp: float) -> float:
    """Ranks that share one copy, where fewer than all; else 0."""
    if recipe.slices > 1:
        return max(dp / recipe.slices, 1.0)
    return recipe.shard if recipe.shard and recipe.shard < dp * cp else 0.0

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
    recipe_of,
    takes_whole_batch,
    unasked_microbatch,
)
from fabricmodel.training.software import software_of
from fabricmodel.training.workload import (
    Transformer,
    Workload,
    with_sizes,
    workload,
    workload_of_size,
)

_SEQUENCE = 4096.0  # tokens, where a row gives no length


class Unusable(Exception):
    """Why a row can't be asked about; its text goes into the report."""


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
    return frame, [read_run(i, row) for i, row in enumerate(frame.to_dicts())]


def read_run(index: int, row: Mapping[str, Any]) -> Run:
    """Read one row; never raises, an unusable row carries its reason."""
    cells, passed, odd = clean(row)
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
    work = _work(cells, recipe, assumed)
    chips = _chips(cells, platform, assumed)
    tokens, step_s, origin = _measured(cells, work, recipe, chips, assumed)
    ranks = chips * platform.ranks_per_chip
    product = math.prod(cells[key] or 1.0 for key in ("tp", "pp", "dp", "cp"))
    if platform.counts_dies and abs(product / chips - 1.0) < 0.02:
        ranks = chips
        assumed.append("a chip of the table is one die")
    recipe = _with_recomputing(recipe, cells, work, chips, tokens, step_s, assumed)
    layout = _layout(cells, work, recipe, platform, ranks, tokens, assumed)
    if layout.pp == 1.0 and not recipe.accumulate:
        if takes_whole_batch(plain.stack, platform.name):
            whole = layout.microbatch * layout.microbatches
            layout = dataclasses.replace(layout, microbatch=whole, microbatches=1.0)
    if before_fusing(plain.release):
        assumed.append("attention not fused, before 2022-06")
        split = 1.0 if recipe.sequence_parallel and layout.tp > 1 else 0.0
        layout = dataclasses.replace(
            layout, fused_attention=0.0, overlap_tp=0.0, sequence_parallel=split
        )
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


def _work(cells: Mapping[str, Any], recipe: Recipe, assumed: list[str]) -> Workload:
    sequence = cells["seq_len"]
    if sequence is None:
        sequence = _SEQUENCE
        assumed.append(f"sequences of {sequence:g} tokens")
    total, active = cells["model_params_total"], cells["model_params_active"]
    total = total or active
    if total is not None and active is not None:
        active = min(active, total)
    shape = [cells[key] for key in ("layers", "d_model", "heads", "d_ff")]
    if not any(value is None for value in shape) and not _fits(shape, total, active):
        shape = [None]
        assumed.append("printed shape set aside: it does not make the printed size")
        cells = {**cells, "layers": None, "d_model": None}
    if any(value is None for value in shape) or len(shape) < 4:
        if total is None and cells["tflops_per_chip"] and cells["tokens_per_s"]:
            per_token = cells["tflops_per_chip"] * 1e12 * (cells["num_chips"] or 0.0)
            active = 0.9 * per_token / cells["tokens_per_s"] / 6.0
            total = active * (10.0 if cells["ep"] else 1.0)
            assumed.append("size of the model from its published FLOPs a token")
        if not total:
            raise Unusable("neither the size nor the shape of the model is given")
        assumed.append("shape of the model guessed from its size")
        return workload_of_size(
            total,
            active or total,
            sequence,
            vocabulary=cells["vocab"] or 128_000.0,
            layers=cells["layers"],
            width=cells["d_model"],
        )
    layers, width, heads, feed_forward = (float(value or 0.0) for value in shape)
    model = Transformer(
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=min(cells["kv_heads"] or heads, heads),
        head_width=max(width / heads, 128.0 if width / heads < 64.0 else 1.0),
        feed_forward=feed_forward,
        vocabulary=cells["vocab"] or 51_200.0,
    )
    active = active or total
    if total is not None and active is not None and active < 0.9 * total:
        model = _with_experts(model, total, active)
    elif total is not None:
        model = min(
            (
                dataclasses.replace(model, matrices=m, embeddings=e, head_width=w)
                for w in dict.fromkeys((model.head_width, 128.0, 256.0))
                for m in (2.0, 3.0)
                for e in (1.0, 2.0)
            ),
            key=lambda each: abs(math.log(each.parameters / total)),
        )
    work = workload(model, sequence, trained=recipe.trained)
    return with_sizes(work, total, active)


def _fits(
    shape: Sequence[float | None], total: float | None, active: float | None
) -> bool:
    """Whether a printed shape could make the printed size, within a factor of 3."""
    if total is None:
        return True
    layers, width, _, feed_forward = (float(value or 0.0) for value in shape)
    dense = layers * width * (4.0 * width + 2.5 * feed_forward)
    least = 0.1 * (active or total) if (active or total) < 0.9 * total else total / 3.0
    return least <= dense <= 3.0 * total


def _with_experts(model: Transformer, total: float, active: float) -> Transformer:
    """Find experts whose number and choice explain both published sizes.

    The printed width is that of one expert, or of a dense block of the same model: then
    the experts that would fit are fewer than one token's choice, and they are narrower.
    """
    one = float(3.0 * model.width * model.feed_forward * model.layers)
    base = float(dataclasses.replace(model, experts=1.0, feed_forward=0.0).parameters)
    chosen = max((active - base) / one, 0.05)
    spread = (total - active) / one + chosen
    if chosen >= 1.5:
        scale = chosen / round(chosen)
    else:
        scale = chosen / 8.0 if spread / chosen > 8.0 else chosen
    width = model.feed_forward * min(scale, 1.0)
    return dataclasses.replace(
        model,
        feed_forward=width,
        experts=max(round(spread / min(scale, 1.0)), 2.0),
        experts_per_token=max(round(chosen / min(scale, 1.0)), 1.0),
    )


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


def _shard(recipe: Recipe, dp: float, cp: float) -> float:
    """Ranks that share one copy, where fewer than all; else 0."""
    if recipe.slices > 1:
        return max(dp / recipe.slices, 1.0)
    return recipe.shard if recipe.shard and recipe.shard < dp * cp else 0.0

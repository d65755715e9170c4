"""The model of a published run: its printed shape, or one that makes its size."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fabricmodel.training.recipes import Recipe
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


def work_of(cells: Mapping[str, Any], recipe: Recipe, assumed: list[str]) -> Workload:
    """Find what a run trains, from its printed sizes, shape or FLOPs.

    Args:
      cells: of its row, cleaned; recipe: of its remarks.
      assumed: to which what was guessed is added.

    Raises:
      Unusable: where neither size nor shape is given.
    """
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

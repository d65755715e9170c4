"""The cells of a table of runs: texts, plausible numbers, and what is passed over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

COLUMNS = (
    "run", "source", "model_params_total", "model_params_active", "layers", "d_model",
    "heads", "kv_heads", "d_ff", "vocab", "seq_len", "global_batch_tokens", "chip",
    "num_chips", "tp", "pp", "dp", "ep", "cp", "microbatch", "precision",
    "tokens_per_s", "tflops_per_chip", "mfu", "step_time_s", "notes", "group",
    "flops_convention", "bf16_peak_tflops_used",
)  # fmt: skip
"""Columns that are read; a table may lack any but ``chip`` and have others."""

PLAUSIBLE: dict[str, tuple[float, float]] = {
    "model_params_total": (1e4, 1e15),
    "model_params_active": (1e4, 1e15),
    "layers": (1.0, 1e4),
    "d_model": (8.0, 1e6),
    "heads": (1.0, 1e4),
    "kv_heads": (1.0, 1e4),
    "d_ff": (8.0, 1e7),
    "vocab": (16.0, 1e7),
    "seq_len": (1.0, 1e9),
    "global_batch_tokens": (1.0, 1e12),
    "num_chips": (1.0, 1e8),
    "tokens_per_s": (1e-3, 1e15),
    "tflops_per_chip": (1e-3, 1e6),
    "mfu": (1e-4, 2.0),
    "step_time_s": (1e-6, 1e7),
    "bf16_peak_tflops_used": (0.1, 1e6),
    "microbatch": (1e-4, 1e7),
    **dict.fromkeys(("tp", "pp", "dp", "ep", "cp"), (1.0, 1e7)),
}
"""Least and greatest value of each number that a real run could have."""

_OUTCOMES = ("tokens_per_s", "tflops_per_chip", "mfu", "step_time_s")
_TEXT = {"run", "source", "chip", "precision", "notes", "group", "flops_convention"}


def clean(row: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], str]:
    """Read the cells: texts as texts, numbers as floats or None where not given.

    Returns them with what was passed over (a word or 0 where a number belongs, an
    outcome that can't be), and with why the row can't be used (a size that can't be).
    """
    cells: dict[str, Any] = {}
    passed: list[str] = []
    odd = ""
    for name in COLUMNS:
        value = row.get(name)
        if name in _TEXT:
            cells[name] = "" if value is None else str(value).strip()
            continue
        cells[name] = None
        if value is None or not str(value).strip():
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            passed.append(f"{name} {value!r} passed over")
            continue
        if math.isnan(number) or number == 0.0:
            continue
        low, high = PLAUSIBLE[name]
        if low <= number <= high:
            cells[name] = number
        elif name in _OUTCOMES:
            passed.append(f"{name} {number:g} passed over")
        else:
            odd = odd or f"{name} is {number:g}, not within {low:g} to {high:g}"
    return cells, passed, odd

"""Published-looking runs whose times follow from habits that the test knows."""

import dataclasses
import functools

import numpy as np
import polars as pl

from fabricmodel.training.batch import batch
from fabricmodel.training.runs import COLUMNS, read_run
from fabricmodel.training.step import Habits, step_terms

FIT_MAX_CHIPS = 128

TRUTH = Habits(
    matrix=0.72,
    layer_s=1.5e-4,
    step_s=0.02,
    narrow=1.2,
    half_tokens=80.0,
    hidden={"tp": 0.5, "cp": 0.7, "ep": 0.4, "pp": 0.8, "dp": 0.6, "copies": 0.2},
    crowding=0.03,
    jitter=0.004,
)

SHAPES = {
    "8B": (8.03e9, 32, 4096, 32, 8, 14336, 128256, 8192),
    "70B": (7.06e10, 80, 8192, 64, 8, 28672, 128256, 8192),
}
CUTS = {  # model, tp, pp, microbatch, sequences a rank, notes, software
    "fsdp": ("8B", 1, 1, 2, 2, "FSDP", "alpha"),
    "tp2": ("8B", 2, 1, 1, 8, "", "beta"),
    "pp": ("70B", 4, 4, 1, 32, "VP5", "beta"),
}


def rows() -> list[dict]:
    """List the runs of every cut at every size, without their times."""
    found = []
    for name, (model, tp, pp, microbatch, local, notes, software) in CUTS.items():
        size, layers, width, heads, kv_heads, d_ff, vocab, seq = SHAPES[model]
        for chips in (16, 32, 64, 128, 256, 1024):
            dp = chips // (tp * pp)
            for precision in ("bf16", "fp8"):
                found.append(
                    dict.fromkeys(COLUMNS)
                    | {
                        "run": f"{software}-{name}-{precision}-{chips}",
                        "group": f"{software}-{name}-{precision}",
                        "source": software,
                        "model_params_total": size,
                        "model_params_active": size,
                        "layers": layers,
                        "d_model": width,
                        "heads": heads,
                        "kv_heads": kv_heads,
                        "d_ff": d_ff,
                        "vocab": vocab,
                        "seq_len": seq,
                        "global_batch_tokens": dp * local * seq,
                        "chip": "H100-SXM-80GB",
                        "num_chips": chips,
                        "tp": tp,
                        "pp": pp,
                        "dp": dp,
                        "cp": 1,
                        "microbatch": microbatch,
                        "precision": precision,
                        "notes": notes,
                        "flops_convention": "model",
                    }
                )
    return found


def timed() -> list[dict]:
    """Give every run the time of the truth, with 0.5 % of noise."""
    return [dict(row) for row in _timed()]


@functools.cache
def _timed() -> tuple[dict, ...]:
    table = rows()
    runs = [read_run(i, row) for i, row in enumerate(table)]
    assert not any(run.reason for run in runs)
    made = batch(runs)
    terms = step_terms(
        made.work, made.layout, made.machine, TRUTH, made.spent, made.cause_of
    )
    step = np.asarray(sum(terms.values()))
    noise = np.exp(0.005 * np.random.default_rng(1).standard_normal(len(step)))
    for row, seconds in zip(table, step * noise, strict=True):
        row["step_time_s"] = float(seconds)
    return tuple(table)


def hard() -> list[dict]:
    """Rows that say too little, or what can't be."""
    good = timed()[0] | {"step_time_s": None}
    return [
        good | {"run": "no-chip", "chip": None},
        good | {"run": "no-size", "num_chips": None, "dp": None},
        good | {"run": "no-batch", "global_batch_tokens": None},
        good | {"run": "unheard-chip", "chip": "Abacus 3000"},
        good
        | {"run": "made-up-chip", "chip": "Abacus", "bf16_peak_tflops_used": 500.0},
        good | {"run": "negative", "layers": -3.0},
        good | {"run": "too-cut", "tp": 64, "pp": 64},
        good | {"run": "no-shape", "layers": None, "d_model": None},
        good | {"run": "no-layout", "tp": None, "pp": None, "dp": None},
    ]


def write(path) -> None:
    """Write the whole table."""
    frame = pl.DataFrame(timed() + hard(), infer_schema_length=None)
    frame.write_csv(path)


def with_times(runs, factor: float):
    """The same runs, measured that many times slower."""
    return [
        dataclasses.replace(run, step_s=(run.step_s or 1.0) * factor) for run in runs
    ]

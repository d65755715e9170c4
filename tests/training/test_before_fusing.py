"""What Megatron's early runs did, by what their papers print."""

import dataclasses

import numpy as np
import pytest

from fabricmodel.training.layout import Layout
from fabricmodel.training.platforms import load_platform
from fabricmodel.training.runs import read_run
from fabricmodel.training.search import evaluate
from fabricmodel.training.step import Habits
from fabricmodel.training.workload import Transformer, workload

A100 = load_platform("a100")
GPT_22B = workload(
    Transformer(
        layers=48.0, width=6144.0, heads=64.0, kv_heads=64.0, head_width=96.0,
        feed_forward=24576.0, vocabulary=51200.0, matrices=2.0, embeddings=1.0,
    ),
    sequence=2048.0,
)  # fmt: skip
PLAIN = Layout(
    tp=8.0, microbatch=4.0, zero=0.0, fused_attention=0.0, overlap_tp=0.0,
    sequence_parallel=0.0,
)  # fmt: skip


def layers_s(**changes):
    """Seconds of the layers of a step, without its optimiser."""
    cut = dataclasses.replace(PLAIN, **changes)
    terms = evaluate(A100, GPT_22B, cut, Habits(layer_s=0.0))
    return sum(float(v[0]) for key, v in terms.items() if key != "optimiser")


def test_recomputing_costs_what_korthikanti_measured():
    """Table 4 of arXiv 2205.05198, a layer of 22B: 19.6 ms, in full +39 %."""
    full = layers_s(recompute=1.0) / layers_s()
    assert full == pytest.approx(1.39, abs=0.06)


def test_selective_recomputing_costs_what_korthikanti_measured():
    """The same table: attention alone again, +7 %."""
    selective = layers_s(recompute_attention=1.0) / layers_s()
    assert selective == pytest.approx(1.07, abs=0.03)


def test_attention_written_to_memory_costs_narrow_models_most():
    def dearer(width):
        work = workload(
            Transformer(layers=24.0, width=width, heads=width / 96.0,
                        kv_heads=width / 96.0, head_width=96.0,
                        feed_forward=4.0 * width, vocabulary=51200.0),
            sequence=2048.0,
        )  # fmt: skip
        cut = Layout(microbatch=4.0)
        loose = dataclasses.replace(cut, fused_attention=0.0)
        step = [
            sum(float(v[0]) for v in evaluate(A100, work, each, Habits()).values())
            for each in (cut, loose)
        ]
        return step[1] / step[0] - 1.0

    found = np.array([dearer(width) for width in (2304.0, 6144.0, 12288.0)])
    assert np.all(np.diff(found) < 0) and 0.2 < found[0] < 0.7


ROW = {
    "run": "early", "source": "images/tables.tex (2020)", "chip": "A100-40GB",
    "model_params_total": 1.16e9, "layers": 24, "d_model": 1920, "heads": 20,
    "d_ff": 7680, "vocab": 51200, "seq_len": 1024, "global_batch_tokens": 16384,
    "num_chips": 1, "tp": 1, "pp": 1, "dp": 1, "step_time_s": 1.076,
}  # fmt: skip


@pytest.mark.parametrize(
    ("tflops", "again"), [(149.8, 1.0), (114.7, 0.0), (None, 0.0), (190.0, 0.0)]
)
def test_printed_flops_tell_recomputing(tflops, again):
    """149.8 TFLOP/s in 1.076 s: four passes; three of them are 114.7 TFLOP/s."""
    run = read_run(0, {**ROW, "tflops_per_chip": tflops})
    assert run.layout is not None
    assert float(run.layout.recompute) == again
    assert any("recomputed" in each for each in run.assumed) == bool(again)


def test_hardware_flops_leave_the_output_layer_out_of_the_fourth_pass():
    """Equation 3 of Narayanan et al. 2021: 96 B s l h^2 (1 + s/6h + V/16lh)."""
    layers, width, sequence, vocabulary = 48.0, 6144.0, 2048.0, 51200.0
    token = 96.0 * layers * width**2
    token *= 1 + sequence / (6 * width) + vocabulary / (16 * layers * width)
    assert float(GPT_22B.hardware_flops()) == pytest.approx(token, rel=1e-6)


def test_the_date_of_a_source_tells_its_kernels():
    old = read_run(0, {**ROW, "tp": 2, "num_chips": 2}).layout
    new = read_run(0, {**ROW, "tp": 2, "num_chips": 2, "source": "README 2024"}).layout
    assert old is not None and new is not None
    assert (old.fused_attention, old.overlap_tp, old.sequence_parallel) == (0, 0, 0)
    assert (new.fused_attention, new.overlap_tp, new.sequence_parallel) == (1, 1, 1)
    split = read_run(0, {**ROW, "tp": 2, "num_chips": 2, "notes": "sequence parallel"})
    assert split.layout is not None and split.layout.sequence_parallel == 1.0


def test_jax_takes_a_whole_batch_at_once():
    row = {**ROW, "run": "MaxText-1B", "source": "maxtext README", "microbatch": 4,
           "chip": "TPU v5p"}  # fmt: skip
    run = read_run(0, row)
    assert run.layout is not None
    assert (run.layout.microbatch, run.layout.microbatches) == (16.0, 1.0)
    other = read_run(0, {**ROW, "microbatch": 4}).layout
    assert other is not None
    assert (other.microbatch, other.microbatches) == (4.0, 4.0)


def test_a_run_that_could_not_fit_recomputes():
    """MT-NLG 530B by its shape: unfused scores of 35 stages in flight, not split."""
    row = {
        **ROW, "source": "PaLM paper Table 3", "model_params_total": 5.3e11,
        "layers": 105, "d_model": 20480, "heads": 128, "d_ff": 81920, "seq_len": 2048,
        "global_batch_tokens": 3932160, "num_chips": 2240, "tp": 8, "pp": 35, "dp": 8,
        "chip": "A100-80GB", "step_time_s": None, "mfu": 0.3,
        "bf16_peak_tflops_used": 312,
    }  # fmt: skip
    run = read_run(0, row)
    assert run.layout is not None and run.layout.recompute == 1.0
    assert "recomputed in full: its activations would not fit" in run.assumed
    later = read_run(0, {**row, "source": "README 2024"}).layout
    assert later is not None and later.recompute == 0.0
    told = read_run(0, {**row, "notes": "selective recompute"}).layout
    assert told is not None and told.recompute == 0.0

"""A truth recovered, larger runs predicted, and nothing of them in the fit."""

import dataclasses

import numpy as np
import pytest
import sample

from fabricmodel.errors import MeasurementError
from fabricmodel.training.fit import fit_runs
from fabricmodel.training.layout import Layout
from fabricmodel.training.models import load_model
from fabricmodel.training.recipes import recipe_of, unasked_microbatch
from fabricmodel.training.runs import read_runs
from fabricmodel.training.software import software_of
from fabricmodel.training.workload import workload


def large(runs):
    return [run for run in runs if run.chips > sample.FIT_MAX_CHIPS and run.step_s]


def test_larger_runs_are_predicted(sample_fit, sample_runs):
    """Eight times the largest fitted size, 0.5 % noise: within 2 % at the median."""
    asked = large(sample_runs)
    found = sample_fit.predict(asked)
    step = np.array([run.step_s for run in asked])
    error = np.abs(found.median_s / step - 1)
    assert len(asked) == 12
    assert np.median(error) < 0.02 and np.max(error) < 0.08
    inside = (found.low_s <= step) & (step <= found.high_s)
    assert np.mean(inside) >= 0.75  # 10 of 12 when written


def test_terms_add_up_to_the_median(sample_fit, sample_runs):
    found = sample_fit.predict(sample_runs[:10])
    np.testing.assert_allclose(sum(found.terms.values()), found.median_s, rtol=1e-5)


def test_habits_move_towards_the_truth(sample_fit):
    space = sample_fit.space
    here = {key: np.zeros(1, int) for key in ("platform", "chip", "software")}
    kind = space.precisions.index("h100/bf16")
    habits = space.habits(sample_fit.theta, {**here, "precision": np.array([kind])})
    assert float(habits.matrix[0]) == pytest.approx(sample.TRUTH.matrix, rel=0.15)


def test_wider_intervals_further_out(sample_fit, sample_runs):
    series = [run for run in sample_runs if run.name.startswith("beta-pp-bf16")]
    found = sample_fit.predict(series)
    width = np.log(found.high_s / found.low_s)
    chips = np.array([run.chips for run in series])
    order = np.argsort(chips)
    assert width[order][-1] > width[order][0]


def test_an_unseen_chip_is_less_sure(sample_fit, sample_runs):
    run = next(run for run in sample_runs if run.name.startswith("alpha-fsdp-bf16"))
    other = next(run for run in sample_runs if run.name == "made-up-chip")
    found = sample_fit.predict([run, other])
    ratio = found.high_s / found.low_s
    assert ratio[1] > 1.2 * ratio[0]


def test_rows_that_cannot_be_asked_say_why(sample_csv):
    reasons = {run.name: run.reason for run in read_runs(sample_csv)[1]}
    assert "no chip" in reasons["no-chip"]
    assert "number of chips" in reasons["no-size"]
    assert "global batch" in reasons["no-batch"]
    assert "Abacus 3000" in reasons["unheard-chip"]
    assert "layers is -3" in reasons["negative"]
    assert "more than the job's 16" in reasons["too-cut"]
    for name in ("made-up-chip", "no-shape", "no-layout"):
        assert reasons[name] == ""


def test_assumptions_are_said(sample_csv):
    runs = {run.name: run for run in read_runs(sample_csv)[1]}
    assert any("guessed from its size" in each for each in runs["no-shape"].assumed)
    assert any("made up" in each for each in runs["made-up-chip"].assumed)


def test_nothing_to_fit_is_one_clear_error(sample_runs):
    untimed = [dataclasses.replace(run, step_s=None) for run in sample_runs]
    with pytest.raises(MeasurementError, match="measured step"):
        fit_runs(untimed)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("virtual-pipeline 1; DP=1", "virtual", 1.0),
        ("VP12 weak scaling GBS=2xGPUs", "virtual", 12.0),
        ("FSDP FULL_SHARD; grad_accum 4; act-ckpt True", "zero", 3.0),
        ("FSDP FULL_SHARD; grad_accum 4; act-ckpt True", "recompute", 1.0),
        ("FSDP SHARD_GRAD_OP; act-ckpt False", "zero", 2.0),
        ("2 slices of 16x16; remat full", "slices", 2.0),
        ("VP n/a; FSDP n/a; dp derived", "zero", 1.0),
        ("MLPerf llama2_70b_lora", "trained", 0.02),
        ("MaxText multislice", "gradient_bytes", 4.0),
    ],
)
def test_remarks_are_read(text, field, value):
    assert getattr(recipe_of(text), field) == value


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("Trn1-Llama2-7B-nemo-16n", "aws-neuron-sdk", "nemo"),
        ("Trn1-BERT-Large-1n", "aws-neuron-sdk benchmarks", "neuron"),
        ("NeMoLauncher-GPT3-20B", "NVIDIA/NeMo-Megatron-Launcher", "nemo"),
        ("MLPerf-v5.0-NVIDIA-eos_nemo", "", "mlperf"),
        ("MCore-H100-32B", "NVIDIA/Megatron-LM README", "megatron"),
        ("Megatron-A100-22B", "arXiv 2104.04473", "megatron"),
    ],
)
def test_the_framework_is_read(name, source, found):
    assert software_of(name, source) == found


def test_a_microbatch_not_told_is_the_largest_that_fits():
    work = workload(load_model("llama3.1-8b"), sequence=8192.0)
    sizes = [
        unasked_microbatch(work, Layout(dp=64.0, zero=3.0), memory)
        for memory in (30e9, 85e9, 160e9)
    ]
    assert sizes == [1.0, 2.0, 4.0]
    assert unasked_microbatch(work, Layout(pp=2.0, dp=8.0), 1e12) == 1.0


def test_the_search_ended(sample_fit):
    assert sample_fit.converged

"""Parameters and FLOPs against model cards and hand counts."""

import pytest

from fabricmodel.errors import FabricError
from fabricmodel.training.models import list_models, load_model
from fabricmodel.training.workload import with_sizes, workload, workload_of_size

CARDS = {  # total and active parameters, as their cards print them
    "llama3.1-8b": (8.03e9, 8.03e9),
    "llama3.1-70b": (70.6e9, 70.6e9),
    "llama3.1-405b": (405.9e9, 405.9e9),
    "gpt3-175b": (175e9, 175e9),
    "nemotron4-340b": (341e9, 341e9),
    "mixtral-8x7b": (46.7e9, 12.9e9),
    "mixtral-8x22b": (141e9, 39e9),
    "qwen3-30b-a3b": (30.5e9, 3.3e9),
    "gpt-oss-120b": (116.8e9, 5.7e9),
    "grok1-314b": (314e9, 86e9),
    "deepseek3-671b": (671e9, 37e9),
    "kimi-k2": (1.04e12, 32e9),
}


@pytest.mark.parametrize("name", CARDS)
def test_parameters_are_those_of_the_card(name):
    model = load_model(name)
    total, active = CARDS[name]
    assert float(model.parameters) == pytest.approx(total, rel=0.03)
    assert float(model.active_parameters) == pytest.approx(active, rel=0.06)


def test_llama_8b_counted_by_hand():
    model = load_model("llama3.1-8b")
    attention = 4096 * (4096 + 1024 + 1024 + 4096)
    block = 3 * 4096 * 14336
    head = 128256 * 4096
    assert float(model.parameters) == 32 * (attention + block) + 2 * head
    assert float(model.matrix_parameters) == 32 * (attention + block)


def test_forward_flops_by_hand():
    work = workload(load_model("llama3.1-8b"), sequence=8192.0)
    matrices, head, attention = work.forward_flops()
    assert float(matrices) == 2.0 * float(work.matrix_parameters)
    assert float(head) == 2.0 * 128256 * 4096
    # queries x keys and weights x values over half a sequence, 32 layers
    assert float(attention) == 2 * 2 * 4096 * 4096 * 32


def test_long_sequences_are_attention():
    short = workload(load_model("llama3.1-8b"), sequence=2048.0)
    long = workload(load_model("llama3.1-8b"), sequence=1048576.0)
    share = [
        work.forward_flops()[2] / sum(work.forward_flops()) for work in (short, long)
    ]
    assert share[0] < 0.04 < 0.9 < share[1]


def test_window_bounds_attention():
    model = load_model("llama3.1-8b")
    assert workload(model, sequence=32768.0, window=1024.0).span == 1024.0


def test_size_alone_keeps_the_flops():
    guessed = workload_of_size(7.06e10, 7.06e10, 8192.0, vocabulary=128256.0)
    known = workload(load_model("llama3.1-70b"), sequence=8192.0)
    assert guessed.model_flops() == pytest.approx(float(known.model_flops()), rel=0.1)


def test_published_sizes_replace_counted_ones():
    work = with_sizes(workload(load_model("mixtral-8x7b"), sequence=4096.0), 50e9, 14e9)
    assert float(work.parameters) == 50e9
    assert float(work.expert_parameters) == pytest.approx(36e9 * 8 / 6)
    assert float(work.matrix_parameters) < 14e9


def test_unknown_model_names_the_known_ones():
    with pytest.raises(FabricError, match=r"llama3\.1-405b"):
        load_model("llama9")
    assert "gpt3-175b" in list_models()

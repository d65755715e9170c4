"""Which software made a run: what its name, or else its source, says of it."""

from __future__ import annotations

import re

_FRAMEWORKS: tuple[tuple[str, str], ...] = (
    ("mlperf", r"mlperf"),
    ("torchtitan", r"torchtitan"),
    ("maxtext", r"maxtext|tpu-recipes"),
    ("paxml", r"paxml"),
    ("llm-foundry", r"llm-foundry"),
    ("bridge", r"\bbridge\b|megatron-bridge"),
    ("neuronx-distributed", r"\bnxd\b|neuronx-distributed"),
    ("nemo", r"nemo|dgxc"),
    ("megatron", r"megatron"),
    ("neuron", r"neuron"),
)
"""Names of frameworks and the words that tell them, the more special ones first."""


def software_of(name: str, source: str) -> str:
    """Find the framework by the name of a run, or by its source, or its first word.

    Runs of one machine differ by their framework as much as by anything else: on
    Trainium1, the same model took 1.6 times as long with NeMo Megatron as with NxD.

    >>> software_of("Trn1-Llama2-7B-NxD-16n", "aws-neuron-sdk benchmarks")
    'neuronx-distributed'
    >>> software_of("DGXC-MaxText-70B-FSDP", ""), software_of("homemade-1", "a blog")
    ('maxtext', 'homemade')
    """
    for text in (name.lower(), source.lower()):
        for framework, words in _FRAMEWORKS:
            if re.search(words, text):
                return framework
    return re.split(r"[- ]", name)[0]

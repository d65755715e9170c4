"""What the remarks beside a run say of how it was made."""

from __future__ import annotations

import dataclasses
import re

from fabricmodel.catalog.chips import Chip
from fabricmodel.training.layout import Layout, memory_bytes
from fabricmodel.training.workload import Workload


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a job was run, as far as its remarks tell.

    Attributes:
      recompute: share of the forward work done again.
      virtual: pieces of the model on each pipeline rank.
      zero: sharding stage; None where not told.
      shard: ranks that share one copy; 0 where not told.
      slices: scale-up domains, where told.
      accumulate: microbatches a step; 0 where not told.
      split_local: whether the local batch is cut into one microbatch a stage.
      trained: share of the parameters with gradients.
      narrow: precisions whose peak a printed utilisation may refer to.
      version: of the software, as far as a release or a container is named.
      microbatch: of a data-parallel rank, in sequences; 0 where not told.
      selective: whether attention alone is recomputed.
      offloads: whether activations are said to move to the host.
      sequence_parallel: whether the sequence is said to be split.
      overlap_tp: False where the run is the one of a pair without overlap.
      gradient_bytes: 4 where weights and gradients are kept in fp32 (MaxText).
    """

    recompute: float = 0.0
    virtual: float = 1.0
    zero: float | None = None
    shard: float = 0.0
    slices: float = 0.0
    accumulate: float = 0.0
    split_local: bool = False
    trained: float = 1.0
    narrow: str = ""
    gradient_bytes: float = 2.0
    version: str = ""
    microbatch: float = 0.0
    selective: bool = False
    offloads: bool = False
    sequence_parallel: bool = False
    overlap_tp: bool = True


_FULL = r"full activation recompute|act-ckpt true|full ac\b|remat[ _:]*full|full remat"
_FSDP = r"fsdp|full_shard|zero-?3|fully sharded"


def recipe_of(text: str) -> Recipe:
    """Read the remarks of a run: recomputing, interleaving, sharding, slices.

    >>> found = recipe_of("VP12 GA16; full activation recompute")
    >>> found.virtual, found.accumulate, found.recompute
    (12.0, 16.0, 1.0)
    >>> recipe_of("FSDP 64; VP n/a").shard
    64.0
    """
    lower = text.lower()
    zero: float | None = None
    if re.search(r"shard_grad_op|zero-?2", lower):
        zero = 2.0
    elif re.search(r"zero-?1", lower) or re.search(r"fsdp (n/a|0)\b", lower):
        zero = 1.0
    elif re.search(_FSDP, lower) or "torchtitan" in lower or "maxtext" in lower:
        zero = 3.0
    virtual = _number(r"\b(?:vp ?|virtual-pipeline )(\d+)", lower)
    if not virtual:
        virtual = 2.0 if "interleaved" in lower else 1.0
    return Recipe(
        recompute=1.0 if re.search(_FULL, lower) else 0.0,
        virtual=virtual,
        zero=zero,
        shard=_number(r"\bfsdp (\d+)", lower),
        slices=_number(r"\b(\d+) slices?\b", lower) or _number(r"(\d+)xv\d", lower),
        accumulate=_number(r"(?:grad_accum |\bga ?)(\d+)", lower),
        split_local="split into pp" in lower or "torchtitan" in lower,
        trained=0.02 if re.search(r"\blora\b|[_-]lora|adapter", lower) else 1.0,
        gradient_bytes=4.0 if re.search(r"maxtext|tpu-recipes", lower) else 2.0,
        version=version_of(text),
        microbatch=_number(r"\bmicrobatch (\d+)", lower),
        selective="selective" in lower,
        offloads="offload" in lower,
        sequence_parallel=bool(re.search(r"seqpar|sequence.parallel", lower)),
        overlap_tp="vanillatp" not in lower,
        narrow="fp8" if "fp8 peak" in lower else "",
    )


FUSED_SINCE = 2206
"""Month of FlashAttention (Dao et al., arXiv 2205.14135, end of May 2022), written as
arXiv does: runs published before had neither fused attention, nor collectives of tensor
parallelism beside computation, nor split sequences unless they say so."""

_DATED = ((r"palm paper", 2204), (r"mlperf v?1\.1", 2112))


def before_fusing(source: str) -> bool:
    """Whether a source is older than fused attention, as far as it tells its date.

    >>> before_fusing("SC21 (arXiv 2104.04473)"), before_fusing("tables.tex (2020)")
    (True, True)
    >>> before_fusing("Megatron-Bridge docs"), before_fusing("README (2025)")
    (False, False)
    """
    lower = source.lower()
    found = re.search(r"\b(\d{4})\.\d{4,5}\b", lower)
    if found:
        return int(found.group(1)) < FUSED_SINCE
    for words, month in _DATED:
        if re.search(words, lower):
            return month < FUSED_SINCE
    years = [int(year) for year in re.findall(r"\b(20[12]\d)\b", lower)]
    return bool(years) and 100 * (max(years) % 100) + 12 < FUSED_SINCE


_WHOLE_BATCH = {"maxtext", "paxml"}
"""Frameworks that take a rank's whole batch at once unless they are told otherwise."""


def takes_whole_batch(stack: str, chip: str) -> bool:
    """Whether a run without a pipeline accumulates no gradients unless it says so.

    JAX trainers state the batch of a device, whatever tensor parallelism makes of it.

    >>> takes_whole_batch("maxtext", "h100"), takes_whole_batch("nemo", "h100")
    (True, False)
    """
    return stack in _WHOLE_BATCH or chip.startswith("tpu")


def version_of(text: str) -> str:
    """Find the release, or the container, that a run was made with.

    >>> version_of("7.3 seq/s published, Neuron SDK 2.18.0; trn1.32xl")
    'sdk 2.18'
    >>> version_of("docs/performance-summary.md (26.08 container)")
    '26.08 container'
    """
    for pattern in (
        r"sdk ?\d+\.\d+",
        r"\d+\.\d+(?:\.\d+)? container",
        r"\bv\d+\.\d+\b",
    ):
        found = re.search(pattern, text.lower())
        if found:
            return found.group(0)
    return ""


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found.group(1)) if found else 0.0


def unasked_microbatch(work: Workload, layout: Layout, memory: float) -> float:
    """Sequences at once, where not told: up to 4 if they fit, 1 in a pipeline.

    A pipeline wants many small microbatches, anything else few large ones.
    """
    if layout.pp > 1:
        return 1.0
    for size in (4.0, 2.0):
        trial = dataclasses.replace(layout, microbatch=size)
        if float(memory_bytes(work, trial)) <= memory:
            return size
    return 1.0


TOO_MUCH = 1.5
"""Memory needed over that of a rank, from which a layout surely does not fit."""

_HOST_MEMORY = ("gb", "gh", "tpu")


def must_recompute(
    recipe: Recipe, work: Workload, layout: Layout, chip: Chip, memory: float
) -> bool:
    """Whether a run that says nothing of recomputing can't have done without.

    Its activations would need far more than the memory of a rank, and with recomputing
    they fit. Where chips commonly move activations to the host (Grace, TPU), or the run
    says so, that may be what it did.
    """
    if layout.recompute or recipe.selective or recipe.offloads:
        return False
    if chip.name.startswith(_HOST_MEMORY):
        return False
    again = dataclasses.replace(layout, recompute=1.0)
    needed = float(memory_bytes(work, layout)), float(memory_bytes(work, again))
    return needed[0] > TOO_MUCH * memory and needed[1] <= memory


def default_layout(
    work: Workload, ranks: float, memory: float, *, sharded: bool
) -> Layout:
    """Give the least tensor and pipeline degree whose state fits; sharded, none.

    Tensor parallelism grows to 8 ranks first, then the pipeline.
    """
    if sharded:
        return Layout(dp=ranks, zero=3.0)
    best = Layout(dp=ranks)
    for tp, pp in [(1, 1), (2, 1), (4, 1), (8, 1), (8, 2), (8, 4), (8, 8), (8, 16)]:
        if tp * pp > ranks or pp > work.layers:
            break
        best = Layout(tp=float(tp), pp=float(pp), dp=max(ranks / (tp * pp), 1.0))
        if float(memory_bytes(work, best)) < 0.9 * memory:
            break
    return best

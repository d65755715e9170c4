"""What a training step has to do: parameters, floating-point work, bytes of a token."""

from __future__ import annotations

import dataclasses

import numpy as np

from fabricmodel._pytree import pytree
from fabricmodel.algorithms import arrays as xp
from fabricmodel.training.numeric import Numeric

ELEMENTWISE_BYTES = 140.0
"""Memory traffic of a token in a layer outside its matrix products, per unit of width.

Two norms (read and write, 2 bytes each: 8), two residual sums (12), the gated
activation at a feed-forward of 3.5 widths (21) and the rotation of queries and keys
(6) make 47 bytes forwards; backwards twice that. What a framework fuses less, or more,
is learned (``Habits.memory``).
"""

WHOLE_BYTES = 60.0
"""The part of it, norms and residual sums, that tensor parallelism leaves whole on each
rank unless the sequence is split too (Korthikanti et al. 2022)."""

LOGIT_BYTES = 30.0
"""Memory traffic of each logit of a token: written (2), made fp32 (2 + 4), the softmax
of the loss (4 + 4) and its gradient (4 + 4), back to 2 bytes (4 + 2)."""

SCORE_BYTES = {"forwards": 13.0, "backwards": 21.0}
"""Memory traffic of each score of attention that is not fused into one kernel, 2 bytes
a number and 1 of a dropout mask: the product with the keys writes it (2), the masked
softmax reads and writes (4), dropout too (5), the product with the values reads (2);
backwards the gradients of both products (2 + 2 + 4), of dropout (5) and of the softmax
(6) and the weights for the values' (2)."""


@pytree
class Transformer:
    """A decoder by its public hyperparameters; numbers, so that batches broadcast.

    Attributes:
      layers, width: depth and model width.
      heads, kv_heads, head_width: of attention.
      feed_forward: width of the dense feed-forward block, or of one expert.
      vocabulary: entries of the embedding.
      matrices: of a feed-forward block: 3 where it is gated (SwiGLU), else 2.
      embeddings: 2, or 1 where input and output share theirs.
      experts, experts_per_token: 1 and 1 for a dense model.
      shared_feed_forward: width of the experts that every token passes.
      dense_layers, dense_feed_forward: the first layers that have no experts, and the
        width of their block.
    """

    layers: Numeric
    width: Numeric
    heads: Numeric
    kv_heads: Numeric
    head_width: Numeric
    feed_forward: Numeric
    vocabulary: Numeric
    matrices: Numeric = 3.0
    embeddings: Numeric = 2.0
    experts: Numeric = 1.0
    experts_per_token: Numeric = 1.0
    shared_feed_forward: Numeric = 0.0
    dense_layers: Numeric = 0.0
    dense_feed_forward: Numeric = 0.0

    @property
    def attention_width(self) -> Numeric:
        """Width of all query heads together."""
        return self.heads * self.head_width

    @property
    def kv_width(self) -> Numeric:
        """Width of all keys; the values have as much."""
        return self.kv_heads * self.head_width

    def _block(self, experts: Numeric) -> Numeric:
        """Parameters of all layers if so many experts count."""
        attention = 2.0 * self.width * (self.attention_width + self.kv_width)
        routed = experts * self.feed_forward + self.shared_feed_forward
        router = xp.where(xp.asarray(self.experts) > 1, self.width * self.experts, 0.0)
        mixed = self.layers - self.dense_layers
        return (
            self.layers * attention
            + mixed * (self.matrices * self.width * routed + router)
            + self.dense_layers * self.matrices * self.width * self.dense_feed_forward
        )

    @property
    def head_parameters(self) -> Numeric:
        """Of the output layer."""
        return self.vocabulary * self.width

    @property
    def parameters(self) -> Numeric:
        """All of them.

        >>> f"{llama_like().parameters:.3g}"
        '8.03e+09'
        """
        return self._block(self.experts) + self.embeddings * self.head_parameters

    @property
    def matrix_parameters(self) -> Numeric:
        """Those that a token is multiplied with, the output layer aside."""
        return self._block(self.experts_per_token)

    @property
    def active_parameters(self) -> Numeric:
        """Those that a token meets, in the convention of model cards."""
        return self.matrix_parameters + self.embeddings * self.head_parameters

    @property
    def expert_parameters(self) -> Numeric:
        """Those that expert parallelism spreads."""
        mixed = self.layers - self.dense_layers
        every = mixed * self.experts * self.matrices * self.width * self.feed_forward
        return xp.where(xp.asarray(self.experts) > 1, every, 0.0)


def llama_like() -> Transformer:
    """Llama 3.1 8B, for examples."""
    return Transformer(
        layers=32.0, width=4096.0, heads=32.0, kv_heads=8.0, head_width=128.0,
        feed_forward=14336.0, vocabulary=128256.0,
    )  # fmt: skip


@pytree
class Workload:
    """What a step needs to know of a model; every field broadcasts with the others.

    Attributes:
      parameters: all of them; expert_parameters: those in experts.
      matrix_parameters: that a token is multiplied with, the output layer aside;
        head_parameters: those of the output layer.
      layers, width, attention_width, kv_width: as of ``Transformer``.
      columns: of a token's matrix products on average, before tensor parallelism; of
        one expert where there are several.
      experts, experts_per_token: 1 for a dense model.
      heads: of queries.
      sequence: tokens of one sequence.
      span: tokens that one attends to on average: half a sequence where causal.
      trained: share of the parameters with gradients; 1, or near 0 for adapters.
    """

    parameters: Numeric
    expert_parameters: Numeric
    matrix_parameters: Numeric
    head_parameters: Numeric
    layers: Numeric
    width: Numeric
    attention_width: Numeric
    kv_width: Numeric
    columns: Numeric
    experts: Numeric = 1.0
    experts_per_token: Numeric = 1.0
    heads: Numeric = 32.0
    sequence: Numeric = 4096.0
    span: Numeric = 2048.0
    trained: Numeric = 1.0

    def forward_flops(self) -> tuple[Numeric, Numeric, Numeric]:
        """FLOPs of a token forwards: matrix products, output layer, attention.

        2 per parameter; attention multiplies queries with keys and weights with
        values, 4 span x attention_width a layer.
        """
        attention = 4.0 * self.span * self.attention_width * self.layers
        return 2.0 * self.matrix_parameters, 2.0 * self.head_parameters, attention

    def model_flops(self) -> Numeric:
        """FLOPs of a trained token as papers count them: no recomputing, no mask.

        6 (P + head) + 12 layers x attention_width x sequence (Chowdhery et al. 2022,
        appendix B): attention in full, although a causal mask halves it.

        >>> work = workload(llama_like(), sequence=8192.0)
        >>> f"{work.model_flops():.4g}"
        '5.791e+10'
        """
        matrices, head, _ = self.forward_flops()
        full = 12.0 * self.layers * self.attention_width * self.sequence
        return 3.0 * (matrices + head) + full

    def hardware_flops(self) -> Numeric:
        """FLOPs of a trained token with every layer computed again, as papers count.

        Four passes of the layers for three, the output layer not again: 8 P + 6 head
        + 16 layers x attention_width x sequence (Narayanan et al. 2021, equation 3).

        >>> work = workload(llama_like(), sequence=8192.0)
        >>> f"{work.hardware_flops():.4g}"
        '7.617e+10'
        """
        return self.model_flops() * 4.0 / 3.0 - 2.0 * self.head_parameters


def workload(
    model: Transformer,
    sequence: Numeric,
    *,
    window: Numeric = np.inf,
    trained: Numeric = 1.0,
) -> Workload:
    """Derive what a step needs from the hyperparameters.

    Args:
      model: its shape.
      sequence: tokens of one sequence, attended causally.
      window: tokens that local attention reaches back, at most.
      trained: share of the parameters with gradients.

    >>> work = workload(llama_like(), sequence=8192.0)
    >>> f"{work.matrix_parameters:.3g} {work.span:.0f}"
    '6.98e+09 4096'
    """
    return Workload(
        parameters=model.parameters,
        expert_parameters=model.expert_parameters,
        matrix_parameters=model.matrix_parameters,
        head_parameters=model.head_parameters,
        layers=model.layers,
        width=model.width,
        attention_width=model.attention_width,
        kv_width=model.kv_width,
        columns=xp.where(
            xp.asarray(model.experts) > 1,
            model.feed_forward,
            model.matrix_parameters / (4.0 * model.layers * model.width),
        ),
        experts=model.experts,
        experts_per_token=model.experts_per_token,
        heads=model.heads,
        sequence=sequence,
        span=xp.minimum(sequence / 2.0, window),
        trained=trained,
    )


def workload_of_size(
    parameters: float,
    active_parameters: float,
    sequence: float,
    *,
    vocabulary: float = 128_000.0,
    layers: float | None = None,
    width: float | None = None,
) -> Workload:
    """Guess the shape of a model of which only the size is known.

    A transformer of width 128 times its depth has 12 layers x width^2 parameters,
    which fixes both; one with experts is as deep as the dense model of three times its
    active parameters. The guess moves the small terms of a step (traffic of tensor
    parallelism, memory-bound work), not its FLOPs.

    >>> work = workload_of_size(7e9, 7e9, 4096.0)
    >>> f"{work.layers:.0f} layers of {work.width:.0f}"
    '33 layers of 4211'
    """
    like = active_parameters * (3.0 if active_parameters < 0.9 * parameters else 1.0)
    like = min(like, parameters)
    depth = layers or (like / (12.0 * 128.0**2)) ** (1.0 / 3.0)
    wide = width or (like / (12.0 * depth)) ** 0.5
    head = min(vocabulary * wide, 0.3 * active_parameters)
    routed = parameters - active_parameters
    return Workload(
        parameters=parameters,
        expert_parameters=routed * 1.05 if routed > 0.1 * parameters else 0.0,
        matrix_parameters=active_parameters - head,
        head_parameters=head,
        layers=depth,
        width=wide,
        attention_width=wide,
        kv_width=wide / 4.0,
        columns=3.0 * wide if routed <= 0.1 * parameters else wide / 2.0,
        experts=64.0 if routed > 0.1 * parameters else 1.0,
        experts_per_token=4.0 if routed > 0.1 * parameters else 1.0,
        heads=wide / 128.0,
        sequence=sequence,
        span=sequence / 2.0,
    )


def with_sizes(
    work: Workload, parameters: Numeric | None, active: Numeric | None
) -> Workload:
    """Put published parameter counts in the place of those that a shape implies.

    What the shape leaves out (or has too much) goes to the matrix products.

    >>> work = workload(llama_like(), sequence=8192.0)
    >>> f"{with_sizes(work, 9e9, 9e9).matrix_parameters:.3g}"
    '7.95e+09'
    """
    known = work.parameters if parameters is None else parameters
    met = known if active is None else active
    embedding = work.parameters - work.matrix_parameters - work.expert_parameters
    embedding = xp.minimum(
        xp.maximum(embedding, work.head_parameters), 2.0 * work.head_parameters
    )
    routed = xp.where(xp.asarray(work.experts) > 1, known - met, 0.0)
    share = xp.where(
        xp.asarray(work.experts) > 1,
        work.experts / xp.maximum(work.experts - work.experts_per_token, 1.0),
        0.0,
    )
    return dataclasses.replace(
        work,
        parameters=known,
        expert_parameters=xp.minimum(routed * share, known),
        matrix_parameters=xp.maximum(met - embedding, 0.3 * met),
    )

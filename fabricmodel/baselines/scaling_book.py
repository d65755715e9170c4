"""The scaling book's rule for TPU slices: latency or bandwidth, whichever is more."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from chex import Numeric


def scaling_book_seconds(
    hop_s: Numeric, axis_Bps: Numeric, size_bytes: Numeric, sides: Sequence[float]
) -> Numeric:
    """Return ``max(Tmin sum n_i / 2, V / (W axes))`` of an all_gather.

    ``axis_Bps`` W is both directions of one axis; an all_reduce takes twice as long.
    Source: Austin et al., "How to scale your model" (2025), sharding chapter.

    >>> float(scaling_book_seconds(1e-6, 9e10, 9e8, [4, 4]))
    0.005
    """
    latency_s = hop_s * sum(sides) / 2.0
    return jnp.maximum(latency_s, size_bytes / (axis_Bps * len(sides)))

"""mlsysim: a double binary tree with two factors."""

from __future__ import annotations

import jax.numpy as jnp
from chex import Numeric


def mlsysim_all_reduce_seconds(
    latency_s: Numeric, bandwidth_Bps: Numeric, size_bytes: Numeric, ranks: Numeric
) -> Numeric:
    """Return ``1.2 x 2 log2(N) a + 1.05 x 2 (N-1)/N S/B``.

    Source: mlsysim, double-binary-tree all-reduce.

    >>> f"{mlsysim_all_reduce_seconds(1e-6, 1e9, 1e6, 4.0):.7f}"
    '0.0015798'
    """
    moved = 2.0 * (ranks - 1.0) / ranks * size_bytes
    return 2.4 * jnp.log2(ranks) * latency_s + 1.05 * moved / bandwidth_Bps

"""LLMCompass: a ring whose packets have headers."""

from __future__ import annotations

import jax.numpy as jnp
from chex import Numeric


def llmcompass_all_reduce_seconds(
    latency_s: Numeric,
    bandwidth_Bps: Numeric,
    internal_Bps: Numeric,
    size_bytes: Numeric,
    ranks: Numeric,
    header_bytes: Numeric = 16.0,
    payload_bytes: Numeric = 256.0,
) -> Numeric:
    """Return ``2 (N-1) (l + (S/N + hdr + ceil(S/(N pl)) hdr)/B) + S/B_int``.

    Source: Zhang et al., "LLMCompass" (2024), ring all-reduce.

    >>> f"{llmcompass_all_reduce_seconds(1e-6, 1e9, 1e12, 1e6, 4.0):.6f}"
    '0.001601'
    """
    part = size_bytes / ranks
    packets = jnp.ceil(part / payload_bytes)
    step = latency_s + (part + header_bytes + packets * header_bytes) / bandwidth_Bps
    return 2.0 * (ranks - 1.0) * step + size_bytes / internal_Bps

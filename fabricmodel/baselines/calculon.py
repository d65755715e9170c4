"""Calculon and SimuMax: one latency, and the bytes of a ring."""

from __future__ import annotations

from chex import Numeric


def calculon_seconds(
    latency_s: Numeric,
    bandwidth_Bps: Numeric,
    efficiency: Numeric,
    size_bytes: Numeric,
    ranks: Numeric,
    scale: Numeric = 2.0,
    offset: Numeric = -1.0,
) -> Numeric:
    """Return ``lat + S scale (1 + offset/N) / (B efficiency)``.

    ``scale`` is 2 for all_reduce and 1 for its halves; ``offset`` is -1.
    Source: Isaev et al., "Calculon" (2023), its network model.

    >>> calculon_seconds(1e-6, 1e9, 0.5, 1e6, 4.0)
    0.003001
    """
    moved = size_bytes * scale * (1.0 + offset / ranks)
    return latency_s + moved / (bandwidth_Bps * efficiency)

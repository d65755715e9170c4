"""GenZ: five microseconds, and a ring."""

from __future__ import annotations

from chex import Numeric


def genz_all_reduce_seconds(
    latency_s: Numeric, bandwidth_Bps: Numeric, size_bytes: Numeric, ranks: Numeric
) -> Numeric:
    """Return ``5 us + 2 (N-1) l + 2 (N-1)/N S/B``.

    Source: Bambhaniya et al., "GenZ" (2024), its all-reduce.

    >>> genz_all_reduce_seconds(1e-6, 1e9, 1e6, 4.0)
    0.001511
    """
    rounds = 2.0 * (ranks - 1.0)
    return 5e-6 + rounds * latency_s + rounds / ranks * size_bytes / bandwidth_Bps

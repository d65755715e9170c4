"""ASTRA-sim's congestion-unaware message."""

from __future__ import annotations

from chex import Numeric


def astra_message_seconds(
    latency_s: Numeric, bandwidth_Bps: Numeric, size_bytes: Numeric, hops: Numeric = 1.0
) -> Numeric:
    """Return ``hops L + S/B``; nothing is shared. Its collectives chain such messages.

    Source: astra-network-analytical at 599a047. ``experiments.compare_astra_sim``
    composes whole collectives of it.

    >>> astra_message_seconds(5e-7, 1e9, 1e6, hops=2.0)
    0.001001
    """
    return hops * latency_s + size_bytes / bandwidth_Bps

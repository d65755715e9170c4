"""Hockney's line: two numbers for each system, collective and number of ranks."""

from __future__ import annotations

from chex import Numeric


def hockney_seconds(
    latency_s: Numeric, byte_s: Numeric, size_bytes: Numeric
) -> Numeric:
    """Return ``alpha + S beta``. Source: Hockney (1994).

    >>> hockney_seconds(1e-5, 1e-9, 1e6)
    0.00101
    """
    return latency_s + size_bytes * byte_s

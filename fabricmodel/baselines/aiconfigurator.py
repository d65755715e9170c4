"""AIConfigurator: the largest measured run, carried on by what a rank sends."""

from __future__ import annotations

from chex import Numeric


def aiconfigurator_seconds(
    measured_s: Numeric,
    measured_ranks: Numeric,
    ranks: Numeric,
    bandwidth_ratio: Numeric = 1.0,
) -> Numeric:
    """Return ``t(M) (N - 1)/N M/(M - 1) r``, from M measured ranks to N.

    ``bandwidth_ratio`` r is the measured bandwidth over the new one.
    Source: NVIDIA AIConfigurator, its scaling beyond the largest table.

    >>> aiconfigurator_seconds(7.0, 8.0, 16.0)
    7.5
    """
    share = (ranks - 1.0) / ranks
    known = (measured_ranks - 1.0) / measured_ranks
    return measured_s * share / known * bandwidth_ratio

"""Which prices the data tell apart, and which only together, in words.

From the posterior covariance of the parameters alone. Two prices whose correlation r
is near -1 cost the same rows the same time: if one is dearer the other must be cheaper,
and only their sum is known. Near +1 both move together, and only their ratio is known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from fabricmodel.fabric import RULE_KIND, is_factor

_PRICES = {
    "round_s": "a round of {}",
    "hop_s": "a hop of {}",
    "message_s": "a message on {}",
    "jitter_s": "the stragglers of {}",
    "byte_s": "a byte over {}",
    "crowd_byte_s": "a byte over a crowded {}",
}
_PLAIN = {
    "launch_s": "the launch",
    "reduce_byte_s": "a reduced byte",
    "copy_byte_s": "a byte of a rank's own copy",
    "memory_round_s": "a round through memory",
    "memory_byte_s": "a byte through memory",
}
_FACTORS = {
    "latency": "the latency of {}",
    "transfer": "the bytes of {}",
    "choice": "the library's liking of {}",
    RULE_KIND: "the size from which {} is taken",
}

KNOWN = 0.1
"""Posterior width, as a share of the belief, below which a price is known by itself."""


def in_words(name: str) -> str:
    """Say what a parameter is the price of.

    >>> in_words("efa.round_s"), in_words("launch_s")
    ('a round of efa', 'the launch')
    >>> in_words("all_gather.neuronlink.mesh.latency")
    "the latency of neuronlink's mesh in all_gather"
    """
    if name in _PLAIN:
        return _PLAIN[name]
    stem, _, kind = name.rpartition(".")
    if not is_factor(name):
        return _PRICES[kind].format(stem)
    *collective, domain, algorithm = stem.split(".")
    whole = f"{domain}'s {algorithm}"
    if domain == "protocol":
        whole = f"protocol {algorithm}"
    where = f" in {collective[0]}" if collective else ""
    return _FACTORS[kind].format(whole) + where


@dataclasses.dataclass(frozen=True, kw_only=True)
class TradeOff:
    """Two prices that the data tell apart badly.

    Attributes:
      first, second: their names.
      correlation: of their logarithms, a posteriori; from -1 to 1.
      alone: log standard deviation of each by itself.
      together: standard deviation of the combination of the two that the data narrowed
        most, as a share of the belief in it.
    """

    first: str
    second: str
    correlation: float
    alone: tuple[float, float]
    together: float

    def __str__(self) -> str:
        known = "sum" if self.correlation < 0 else "ratio"
        first, second = in_words(self.first), in_words(self.second)
        return f"{first} against {second}: only their {known} is known"


def trade_offs(
    names: Sequence[str],
    covariance: np.ndarray,
    spread: np.ndarray,
    at_least: float = 0.9,
) -> tuple[TradeOff, ...]:
    """List the pairs of prices that trade off, the closest first.

        r_ij = C_ij / sqrt(C_ii C_jj)

    A priori all are independent, so it takes data to tie two together. Two that the
    data know to a tenth of the belief each are no such pair, however correlated.

    Args:
      names: of the n parameters.
      covariance: (n, n) posterior, in units of the prior belief.
      spread: (n,) log standard deviations of that belief.
      at_least: the |r| from which a pair counts.

    >>> cov = np.array([[0.5, -0.49, 0.0], [-0.49, 0.5, 0.0], [0.0, 0.0, 0.2]])
    >>> names = ("net.round_s", "launch_s", "net.byte_s")
    >>> (pair,) = trade_offs(names, cov, np.ones(3))
    >>> str(pair), round(pair.correlation, 2), round(pair.together, 2)
    ('a round of net against the launch: only their sum is known', -0.98, 0.1)
    """
    sd = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(sd, sd)
    tied = (np.abs(correlation) >= at_least) & (np.maximum.outer(sd, sd) > KNOWN)
    first, second = np.nonzero(np.triu(tied, 1))
    found = [
        TradeOff(
            first=names[i],
            second=names[j],
            correlation=float(correlation[i, j]),
            alone=(float(sd[i] * spread[i]), float(sd[j] * spread[j])),
            together=_narrowest(covariance[np.ix_([i, j], [i, j])]),
        )
        for i, j in zip(first.tolist(), second.tolist(), strict=True)
    ]
    return tuple(sorted(found, key=lambda pair: -abs(pair.correlation)))


def informed_apart(covariance: np.ndarray) -> np.ndarray:
    """How far each price would be narrowed if all others were known, (n,).

    1 - posterior / prior spread, with the others held: 1 - 1 / sqrt((C^-1)_ii). Where
    this is large and ``informed`` small, the data speak of the price, but not of it
    alone.

    >>> cov = np.array([[0.5, -0.49], [-0.49, 0.5]])
    >>> informed_apart(cov).round(2).tolist()
    [0.86, 0.86]
    """
    return 1.0 - 1.0 / np.sqrt(np.diag(np.linalg.inv(covariance)))


def _narrowest(block: np.ndarray) -> float:
    return float(np.sqrt(max(np.linalg.eigvalsh(block)[0], 0.0)))

"""From findings to one sentence and an exit status."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from fabricmodel.health.evidence import Evidence, Point

OUTLIER_Z = 2.58
"""Only one healthy machine in 200 is slower than this many standard deviations."""
BLIND_RATIO = 4.0
"""A bandwidth finding that would pass a slowdown this large tells nothing."""
BYTES_SHARE = 0.8
"""Of the expected time, from which on larger sizes would tell no more of bandwidth."""
STRANGER_Z = -4.0
"""So much faster than expected that it is another machine than the one named."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer.

    Attributes:
      status: 0 healthy, 1 unhealthy, 2 can't tell.
      sentence: the verdict in one sentence.
      remedy: what to look at, or to measure; "" where nothing is to be done.
    """

    status: int
    sentence: str
    remedy: str = ""


def judge(points: Sequence[Point], found: Sequence[Evidence]) -> Verdict:
    """Judge a cluster from what ``gather`` found.

    Unhealthy where a latency or a bandwidth is further out than one healthy machine in
    200; healthy where bandwidth could be judged and nothing is; else it can't be told.

    >>> finding = Evidence(
    ...     kind="bandwidth", cause="fabric (roce-400)", share=0.9, ranks=16.0,
    ...     collectives=("all_reduce",), ratio=3.0, log_sd=0.25, bias=0.0,
    ... )
    >>> judge([], [finding]).sentence
    'UNHEALTHY: slower at large sizes, fabric (roce-400) moves bytes 3.2 times slower \
than expected on 16 ranks.'
    """
    slow = sorted((e for e in found if e.z > OUTLIER_Z), key=lambda e: -e.z)
    seeing = [e for e in found if e.kind == "bandwidth" and _sees(e)]
    strange = [e for e in found if e.z < STRANGER_Z]
    if slow:
        return _unhealthy(slow)
    if strange:
        one = strange[0]
        return Verdict(
            status=2,
            sentence=(
                f"CAN'T TELL: {1 / one.ratio:.1f} times faster than this fabric is "
                f"expected to be on {one.ranks:.0f} ranks: it is another machine."
            ),
            remedy="Name the fabric of this machine with --fabric",
        )
    if not seeing:
        return _blind(points, found)
    judged = ", ".join(f"{e.ranks:.0f}" for e in seeing)
    worst = max(seeing, key=lambda e: e.ratio)
    kinds = "latency and bandwidth" if _has_latency(found) else "bandwidth"
    return Verdict(
        status=0,
        sentence=(
            f"HEALTHY: as expected, {kinds} on {judged} ranks; bytes take "
            f"{worst.ratio:.2f} of the expected time at most, "
            f"{worst.limit(OUTLIER_Z):.2f} would be too much."
        ),
        remedy="" if _has_latency(found) else "Measure sizes below 16 KiB for latency",
    )


def _blind(points: Sequence[Point], found: Sequence[Evidence]) -> Verdict:
    """Bandwidth can't be judged: it doesn't show, or what to expect is unknown."""
    vague = [e for e in found if e.kind == "bandwidth"]
    if not vague or max(p.bytes_share for p in points) < BYTES_SHARE:
        return Verdict(
            status=2,
            sentence="CAN'T TELL: no size in the log shows the bandwidth.",
            remedy=_larger(points),
        )
    least = min(e.limit(OUTLIER_Z) for e in vague)
    return Verdict(
        status=2,
        sentence=(
            "CAN'T TELL: the log shows the bandwidth, but of this fabric so little is "
            f"known that even {least:.0f} times slower would pass."
        ),
        remedy="Name the fabric of this machine with --fabric, or describe it in a "
        "file with rates that you know",
    )


def _sees(evidence: Evidence) -> bool:
    return evidence.limit(OUTLIER_Z) < BLIND_RATIO


def _has_latency(found: Sequence[Evidence]) -> bool:
    return any(e.kind == "latency" for e in found)


def _unhealthy(slow: Sequence[Evidence]) -> Verdict:
    parts = []
    for kind in ("bandwidth", "latency"):
        mine = [e for e in slow if e.kind == kind]
        if mine:
            worst = max(mine, key=lambda e: e.slowdown)
            what = "moves bytes" if kind == "bandwidth" else "answers"
            where = "large" if kind == "bandwidth" else "small"
            parts.append(
                f"slower at {where} sizes, {worst.cause} {what} "
                f"{worst.slowdown:.1f} times slower than expected "
                f"on {worst.ranks:.0f} ranks"
            )
    return Verdict(
        status=1,
        sentence=f"UNHEALTHY: {'; '.join(parts)}.",
        remedy=_look_at(slow),
    )


def _look_at(slow: Sequence[Evidence]) -> str:
    """What to look at first, by what is slow."""
    advice = []
    if any(e.kind == "bandwidth" for e in slow):
        advice.append(
            "rate, width and errors of that level's links, the PCIe path of its "
            "adapters, direct access to device memory, and one run per pair of nodes"
        )
    if any(e.kind == "latency" for e in slow):
        advice.append(
            "clocks and idle states, transport (direct or through the host's memory) "
            "and placement of processes"
        )
    return f"Look at {'; and at '.join(advice)}"


def _larger(points: Sequence[Point]) -> str:
    """Up to which size to measure, so that bandwidth shows."""
    best = max(points, key=lambda p: p.bytes_share, default=None)
    if best is None:
        return "Measure from 8 bytes to 1 GiB"
    # Bytes grow with the size and the rest doesn't: nine parts to one, if the steps of
    # the protocol for large messages cost four times those of small ones.
    rest = (1.0 - best.bytes_share) / max(best.bytes_share, 1e-3)
    size = best.size_bytes * 9.0 * 4.0 * rest
    return f"Measure up to {max(size, best.size_bytes) / 1e6:,.0f} MB or more"

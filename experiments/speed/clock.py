"""Seconds of several calls, in turns, so that a busy machine slows all alike."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

Call = Callable[[], Any]


BLOCK_S = 0.01
"""A shorter call is repeated until so much time is over."""


def race(calls: Mapping[str, Call], rounds: int) -> dict[str, float]:
    """Time each call in every round, after one to warm it up; the best round of each.

    A round repeats a short call, and takes the mean of those. Waits for arrays of JAX.
    The best round, for whatever else runs can only add to it.

    >>> sorted(race({"a": lambda: None, "b": lambda: sum(range(9))}, rounds=2))
    ['a', 'b']
    """
    for call in calls.values():
        jax.block_until_ready(call())
    repeats = {name: int(BLOCK_S / once(call)) + 1 for name, call in calls.items()}
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            best[name] = min(best[name], once(call, repeats[name]))
    return best


def once(call: Call, repeats: int = 1) -> float:
    """Time a call, in seconds: the mean of so many, one after another."""
    began = time.perf_counter()
    for _ in range(repeats):
        jax.block_until_ready(call())
    return (time.perf_counter() - began) / repeats


def copying(moved_bytes: int) -> Call:
    """Return a call that copies, reading and writing ``moved_bytes`` together.

    One core's copy, into memory that is there already: the floor that counts.
    """
    source = np.ones(max(moved_bytes // 8, 1), np.float32)
    target = np.empty_like(source)
    return lambda: np.copyto(target, source)


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held.

    Linux passes the peak of ``getrusage`` on to a process's children, so it is read
    elsewhere there.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak

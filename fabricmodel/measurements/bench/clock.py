"""One start and one end for all processes, and what each of them found.

Processes of one machine share a monotonic clock: they agree on a moment and start
there, and a repetition lasts from the last start to the last end. Others leave a
barrier together and the longest of their own durations counts; that includes the skew
of the barrier.
"""

from __future__ import annotations

import dataclasses
import hashlib
import socket
import time

import jax
import numpy as np
from jax.experimental import multihost_utils

from fabricmodel.measurements.bench.machine import boot_id


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clock:
    """How processes keep together.

    Attributes:
      shared: whether all of them read the same monotonic clock.
      exchange_s: how long they take to tell one another something.
      hosts: of each process, the first process on the same host.
    """

    shared: bool
    exchange_s: float
    hosts: tuple[int, ...]


def synchronise() -> Clock:
    """Find out whether the processes share a clock, and how long they take to talk."""
    if jax.process_count() == 1:
        return Clock(shared=True, exchange_s=0.0, hosts=(0,))
    # A container or namespace with a name of its own counts as a host of its own.
    names = everyones(np.array([_digest(boot_id()), _digest(socket.gethostname())]))
    taken = []
    for _ in range(5):
        start = time.monotonic()
        everyones(np.zeros(1))
        taken.append(time.monotonic() - start)
    longest = float(np.max(everyones(np.array([max(taken)]))))
    same = bool(boot_id()) and bool(np.all(names[:, 0] == names[0, 0]))
    listed = [tuple(name) for name in names.tolist()]
    hosts = tuple(listed.index(name) for name in listed)
    return Clock(shared=same, exchange_s=longest, hosts=hosts)


def _digest(text: str) -> float:
    """A number that texts share by accident once in a million million."""
    return float(int.from_bytes(hashlib.sha256(text.encode()).digest()[:5]))


def everyones(values: np.ndarray) -> np.ndarray:
    """Values of every process, (processes, ...), on every process; float64 kept whole.

    Without x64 JAX would round times to float32: they travel as two halves.
    """
    if jax.process_count() == 1:
        return values[None]
    high = values.astype(np.float32)
    low = (values - high.astype(np.float64)).astype(np.float32)
    gathered = np.asarray(multihost_utils.process_allgather(np.stack([high, low])))
    both = gathered.reshape(jax.process_count(), 2, *values.shape).astype(np.float64)
    return both[:, 0] + both[:, 1]


def agree(clock: Clock, count: int, spacing_s: float) -> np.ndarray:
    """Moments at which the next repetitions start, the same on every process.

    On the monotonic clock, (count,); zeros where there is none in common.
    """
    if not clock.shared:
        return np.zeros(count)
    now = time.monotonic()
    latest = float(np.max(everyones(np.array([now]))))
    begin = max(latest, now) + 1.5 * clock.exchange_s + 5e-4
    return begin + spacing_s * np.arange(count)


def wait_until(moment: float) -> None:
    """Wait for a moment of the monotonic clock; return at once where it has passed."""
    left = moment - time.monotonic()
    if left > 2e-3:
        time.sleep(left - 1e-3)
    while time.monotonic() < moment:
        pass

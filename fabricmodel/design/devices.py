"""Cases shared out over JAX devices, of this process or of all that run together.

Every public function takes such an array and works on it where it lies: XLA splits the
program, each device answers its own cases, and no two of them need to talk. Started
under ``jax.distributed.initialize()`` the devices of all processes take part, and each
process makes the same calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def across_devices(values: np.ndarray, devices: Sequence[Any] | None = None) -> Array:
    """Share an array out over devices, along its first axis.

    Args:
      values: (n, ...) the same in every process; filled up with its last value to a
        multiple of the devices.
      devices: all of them by default, those of other processes included.

    >>> import fabricmodel as fm
    >>> sizes = across_devices(np.array([1e3, 1e6, 1e9]))
    >>> fabric = fm.load_fabric("generic-network")
    >>> spread = fm.collective_time(fabric, "broadcast", sizes)
    >>> whole(spread, 3).shape
    (3,)
    """
    every = np.array(jax.devices() if devices is None else devices)
    extra = -len(values) % len(every)
    filled = np.concatenate([values, np.repeat(values[-1:], extra, axis=0)])
    sharding = NamedSharding(Mesh(every, ("cases",)), PartitionSpec("cases"))
    return jax.make_array_from_callback(filled.shape, sharding, filled.__getitem__)


def whole(answers: Array, rows: int) -> np.ndarray:
    """Collect the first rows of a shared array, in every process."""
    if answers.is_fully_addressable:
        return np.asarray(answers)[:rows]
    return np.asarray(multihost_utils.process_allgather(answers, tiled=True))[:rows]

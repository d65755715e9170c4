"""The question most sweeps ask: how long does a collective take, here and there?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import polars as pl

from fabricmodel.catalog import load_fabric
from fabricmodel.design.devices import across_devices, whole
from fabricmodel.errors import FabricError
from fabricmodel.placement import place
from fabricmodel.timing.collective import collective_bound, collective_time


def collective_cases(case: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Answer cases of ``fabric``, ``collective``, ``ranks`` and ``size_bytes``.

    Each shape is placed and counted once for all of its sizes, so the sweep is fastest
    with ``size_bytes`` the last axis. Sizes are filled up to a power of two, for few
    programs, and shared out over the devices of this process.

    Args:
      case: (n,) of each: catalogue names, collectives, ranks, bytes of the full
        vector.

    Returns:
      ``time_s`` and ``bound_s`` at catalogue prices, NaN where the ranks do not fit the
      fabric, and ``why`` not, empty where they do.

    Raises:
      FabricError: for a name that is not in the catalogue, or no collective.

    >>> found = collective_cases({
    ...     "fabric": np.array(["trn2-instance"] * 2), "ranks": np.array([64, 7]),
    ...     "collective": np.array(["all_gather"] * 2), "size_bytes": np.full(2, 2e6)})
    >>> bool(found["time_s"][0] >= found["bound_s"][0]), found["why"][1][:7]
    (True, 'ranks: ')
    """
    rows = len(case["size_bytes"])
    size_bytes = np.asarray(case["size_bytes"], float)
    time_s, bound_s = np.full(rows, np.nan), np.full(rows, np.nan)
    reasons, reason = [""], np.zeros(rows, int)
    columns = [np.asarray(case[key]) for key in ("fabric", "collective", "ranks")]
    changes = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
    for start, end in zip(starts, [*starts[1:], rows], strict=True):
        name, collective, ranks = (column[start] for column in columns)
        catalogue = load_fabric(str(name))
        here = slice(start, end)
        try:
            fabric = place(catalogue, float(ranks))
        except FabricError as error:
            reason[here] = len(reasons)
            reasons.append(str(error))
            continue
        sizes = across_devices(_filled(size_bytes[here]), jax.local_devices())
        for answer, function in (
            (time_s, collective_time), (bound_s, collective_bound),
        ):  # fmt: skip
            found = function(fabric, str(collective), sizes)
            answer[here] = whole(found, end - start)
    return {
        "time_s": time_s,
        "bound_s": bound_s,
        "why": pl.Series(reasons).gather(reason),
    }


def _filled(values: np.ndarray) -> np.ndarray:
    """Repeat the last value up to a power of two of them."""
    wanted = 1 << (len(values) - 1).bit_length()
    return np.concatenate([values, np.repeat(values[-1:], wanted - len(values))])

"""The words of the table: canonical collectives, their other names, element sizes."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np

from fabricmodel.errors import MeasurementError
from fabricmodel.units import COLLECTIVES as COLLECTIVES

# Short names of benchmarks; spelling, case and tool prefixes are removed first.
_ALIASES = {name.replace("_", ""): name for name in COLLECTIVES} | {
    "allr": "all_reduce",
    "ar": "all_reduce",
    "allg": "all_gather",
    "ag": "all_gather",
    "redsct": "reduce_scatter",
    "rs": "reduce_scatter",
    "reducescatterblock": "reduce_scatter",
    "a2a": "all_to_all",
    "bcast": "broadcast",
    "sendreceive": "send_recv",
}

SCHEDULES = {"ring_pass": "all_gather", "dissemination": "all_reduce"}
"""Hand-written schedules that move what a collective does, under the name of how."""

SHARDED = ("all_gather", "reduce_scatter", "all_to_all", "gather", "scatter")
"""Collectives of which a rank's own part is size / ranks: bus factor (r-1)/r."""

DTYPE_BYTES = {
    **dict.fromkeys(("int8", "uint8", "char", "byte", "fp8", "f8e4m3", "f8e5m2"), 1),
    **dict.fromkeys(("fp8_e4m3", "fp8_e5m2", "bool"), 1),
    **dict.fromkeys(("half", "bfloat16", "fp16", "bf16", "int16", "uint16"), 2),
    **dict.fromkeys(("float", "fp32", "int32", "uint32", "float32", "int"), 4),
    **dict.fromkeys(("double", "int64", "uint64", "float64", "fp64"), 8),
}
"""Bytes of one element, by the names that the benchmarks print."""


@functools.lru_cache(maxsize=1024)
def find_collective(name: str) -> str | None:
    """Canonical name of a collective, or None where there is none.

    >>> find_collective("MPI_Allreduce"), find_collective("alltoall_perf")
    ('all_reduce', 'all_to_all')
    >>> find_collective("barrier") is None
    True
    """
    plain = re.sub(r"^(mpi|nccl|rccl)[_-]?|[_-]perf$", "", name.strip().lower())
    return _ALIASES.get(re.sub(r"[\s_-]", "", plain))


def canonical_collective(name: str) -> str:
    """Canonical name of a collective that must exist.

    Raises:
      MeasurementError: for a name that is neither canonical nor an alias.

    >>> canonical_collective("redsct")
    'reduce_scatter'
    """
    found = find_collective(name) if isinstance(name, str) else None
    if found is None:
        raise MeasurementError(
            "collective", f"{name!r} is unknown", f"Use one of {', '.join(COLLECTIVES)}"
        )
    return found


def bus_factor(collective: str, ranks: float) -> float:
    """Bus bandwidth over algorithm bandwidth (size / time), without unit.

    >>> bus_factor("all_reduce", 4), bus_factor("all_gather", 4)
    (1.5, 0.75)
    >>> bus_factor("broadcast", 4)
    1.0
    """
    if collective == "all_reduce":
        return 2.0 * (ranks - 1.0) / ranks
    return (ranks - 1.0) / ranks if collective in SHARDED else 1.0


def check_count(name: str, value: Any) -> int | None:
    """A positive whole number (of ranks, of nodes), or None where none was given.

    Raises:
      MeasurementError: for zero, a negative number, a fraction or another type.

    >>> check_count("ranks", 64)
    64
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if value is None or (whole and value > 0):
        return None if value is None else int(value)
    raise MeasurementError(
        name, f"{value!r} is not a positive whole number", f"Give {name} as 1 or more"
    )

"""Units and words at the border; inside the library everything is SI floats.

Sizes are floats before JAX sees them: an integer of 4 GiB becomes 0 without x64.

>>> 64 * MiB
67108864.0
"""

KiB = 2.0**10
MiB = 2.0**20
GiB = 2.0**30
GB = 1e9
US = 1e-6
MS = 1e-3

COLLECTIVES = (
    "all_reduce",
    "all_gather",
    "reduce_scatter",
    "all_to_all",
    "broadcast",
    "reduce",
    "gather",
    "scatter",
    "send_recv",
)


def bus_factor(collective: str, ranks: float) -> float:
    """Bus bandwidth over size / time, the convention of nccl-tests.

    2 (N - 1)/N for all_reduce, (N - 1)/N for all_gather, reduce_scatter and
    all_to_all, 1 otherwise.

    >>> bus_factor("all_reduce", 4), bus_factor("broadcast", 4)
    (1.5, 1.0)
    """
    share = (ranks - 1.0) / ranks
    if collective == "all_reduce":
        return 2.0 * share
    if collective in ("all_gather", "reduce_scatter", "all_to_all"):
        return share
    return 1.0

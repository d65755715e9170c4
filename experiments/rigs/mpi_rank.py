"""One rank of Open MPI: runs a collective at agreed moments and prints its times.

Of the standard library alone; Open MPI is called through its shared library, so that
nothing has to be compiled. Ranks of a rig share one monotonic clock: a repetition lasts
from the agreed moment to the end of the last rank.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable

from experiments.rigs.relay import hurry

FLOAT_BYTES = 4


class Library:
    """The few functions of MPI that are needed, on floats and all ranks."""

    def __init__(self, path: str) -> None:
        """Load Open MPI's library and start it."""
        self.mpi = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        self.world = self._handle("ompi_mpi_comm_world")
        self.float, self.double = map(
            self._handle, ("ompi_mpi_float", "ompi_mpi_double")
        )
        self.sum = self._handle("ompi_mpi_op_sum")
        self.call("Init", None, None)
        rank, ranks = ctypes.c_int(), ctypes.c_int()
        self.call("Comm_rank", self.world, ctypes.byref(rank))
        self.call("Comm_size", self.world, ctypes.byref(ranks))
        self.rank, self.ranks = rank.value, ranks.value

    def _handle(self, name: str) -> ctypes.c_void_p:
        return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(self.mpi, name)))

    def call(self, name: str, *arguments: object) -> None:
        """Call ``MPI_name``; end loudly where it fails."""
        if status := getattr(self.mpi, f"MPI_{name}")(*arguments):
            raise RuntimeError(f"MPI_{name} failed with {status}")

    def operation(self, collective: str, size_bytes: int) -> tuple[Callable, int]:
        """Return a collective of whole floats on every rank, and its true size."""
        n, world, kind = self.ranks, self.world, self.float
        share = max(round(size_bytes / n / FLOAT_BYTES), 1)
        count = max(size_bytes // FLOAT_BYTES, 1)
        whole = share * n if collective not in ("all_reduce", "broadcast") else count
        one = (ctypes.c_float * whole)()
        other = (ctypes.c_float * whole)()
        shares = (ctypes.c_int * n)(*[share] * n)
        arguments = {
            "all_reduce": ("Allreduce", one, other, count, kind, self.sum, world),
            "all_gather": ("Allgather", one, share, kind, other, share, kind, world),
            "all_to_all": ("Alltoall", one, share, kind, other, share, kind, world),
            "reduce_scatter": (
                "Reduce_scatter", one, other, shares, kind, self.sum, world,
            ),
            "broadcast": ("Bcast", one, count, kind, 0, world),
        }[collective]  # fmt: skip
        return lambda: self.call(*arguments), whole * FLOAT_BYTES

    def agree(self, lead_s: float) -> float:
        """Tell everyone a moment far enough ahead."""
        moment = ctypes.c_double(time.monotonic() + lead_s)
        self.call("Bcast", ctypes.byref(moment), 1, self.double, 0, self.world)
        return moment.value

    def last(self, value: float) -> list[float]:
        """Values of all ranks on the first one."""
        mine, everyone = ctypes.c_double(value), (ctypes.c_double * self.ranks)()
        self.call(
            "Gather", ctypes.byref(mine), 1, self.double, everyone, 1, self.double, 0,
            self.world,
        )  # fmt: skip
        return list(everyone)


def main() -> None:
    """Run each size several times; the first rank prints one JSON line for each."""
    path, collective, sizes, iterations, lead_s = sys.argv[1:6]
    # Ranks poll: on the last core together, and the relay keeps the others.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    library = Library(path)
    hurry(5)
    for size in sizes.split(","):
        run, size_bytes = library.operation(collective, int(float(size)))
        run()
        times = []
        for _ in range(int(iterations)):
            moment = library.agree(float(lead_s))
            if (left := moment - time.monotonic()) > 2e-3:
                time.sleep(left - 1e-3)
            while time.monotonic() < moment:
                pass
            run()
            times.append(max(library.last(time.monotonic())) - moment)
        if library.rank == 0:
            print(json.dumps({"size_bytes": size_bytes, "times_s": times}), flush=True)
    library.call("Finalize")


if __name__ == "__main__":
    main()

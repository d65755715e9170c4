import numpy as np
import pytest

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements import COLLECTIVES, canonical_collective
from fabricmodel.measurements.vocabulary import bus_factor, check_count


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("allreduce", "all_reduce"),
        ("allr", "all_reduce"),
        ("all_reduce_perf", "all_reduce"),
        ("MPI_Allreduce", "all_reduce"),
        ("ncclAllReduce", "all_reduce"),
        ("allg", "all_gather"),
        ("All-Gather", "all_gather"),
        ("redsct", "reduce_scatter"),
        ("MPI_Reduce_scatter_block", "reduce_scatter"),
        ("alltoall", "all_to_all"),
        ("alltoall_perf", "all_to_all"),
        ("MPI_Bcast", "broadcast"),
        ("bcast", "broadcast"),
        ("sendrecv", "send_recv"),
        (" reduce ", "reduce"),
        *((name, name) for name in COLLECTIVES),
    ],
)
def test_aliases(alias, name):
    assert canonical_collective(alias) == name


@pytest.mark.parametrize("name", ["", "barrier", "alltoallv", "permute", "perf"])
def test_unknown_collective_lists_the_known(name):
    with pytest.raises(MeasurementError, match="Use one of all_reduce, all_gather"):
        canonical_collective(name)


def test_bus_factors_on_four_ranks():
    factors = {name: bus_factor(name, 4) for name in COLLECTIVES}
    assert factors["all_reduce"] == 1.5
    for name in ("all_gather", "reduce_scatter", "all_to_all", "gather", "scatter"):
        assert factors[name] == 0.75
    for name in ("broadcast", "reduce", "send_recv"):
        assert factors[name] == 1.0


@pytest.mark.parametrize("value", [0, -4, 2.5, 8.0, True, "8", float("nan")])
def test_counts_are_positive_whole_numbers(value):
    with pytest.raises(MeasurementError, match="ranks"):
        check_count("ranks", value)
    assert check_count("ranks", np.int64(8)) == 8

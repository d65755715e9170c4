import pytest

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements.evidence import Given
from fabricmodel.measurements.pico import matches, read

HEAD = "buffer_size,collective_type,algo_name,nnodes,tasks_per_node,median"


def test_a_summary_in_nanoseconds():
    table = read(f"{HEAD}\n4096,ALLREDUCE,ring_ompi,8,4,35200\n", "s.csv")
    row = table.frame.row(0, named=True)
    assert (row["ranks"], row["nodes"], row["ranks_per_node"]) == (32.0, 8.0, 4.0)
    assert (row["time_us"], row["algorithm"]) == (35.2, "ring_ompi")
    assert row["collective"] == "all_reduce"


def test_a_unit_in_the_name_wins():
    table = read(f"{HEAD}_us\n4096,ALLREDUCE,x,8,4,35.5\n", "s.csv")
    assert table.frame["time_us"].to_list() == [35.5]


def test_a_wrong_unit_is_not_guessed():
    with pytest.raises(MeasurementError, match="too short for a collective"):
        read(f"{HEAD}\n4096,ALLREDUCE,x,8,4,35.5\n", "s.csv")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("4096,BARRIER,x,8,4,35200", "not among the table's"),
        ("0,ALLREDUCE,x,8,4,35200", "size is not"),
        ("4096,ALLREDUCE,x,8,4,-1", "time is not"),
        ("4096,ALLREDUCE,x,8,4,nan", "time is not"),
        ("4096,ALLREDUCE,x,,4,35200", "how many ranks"),
        ("4096,ALLREDUCE,x,8", "4 fields under 6"),
    ],
)
def test_rows_that_are_refused(row, reason):
    table = read(f"{HEAD}\n4096,ALLREDUCE,x,8,4,35200\n{row}\n", "s.csv")
    assert len(table) == 1
    assert reason in table.set_aside[0].reason
    assert table.set_aside[0].line == 3


def test_rows_that_contradict_their_ranks_or_the_caller_are_refused():
    """Metadata and allocation of a job may differ: nobody knows what then ran."""
    head = HEAD.replace("tasks_per_node", "tasks_per_node,ranks")
    rows = [
        "4096,ALLREDUCE,x,4,4,16,35200",
        "4096,ALLREDUCE,x,4,1,16,35200",
        "4096,ALLREDUCE,x,,4,16,35200",
    ]
    text = "\n".join([head, *rows])
    table = read(text, "s.csv")
    assert len(table) == 2
    assert [(row.line, row.reason) for row in table.set_aside] == [
        (3, "its ranks are not its nodes times its tasks per node")
    ]
    table = read(f"{HEAD}\n8,ALLREDUCE,x,4,4,35200\n8,ALLREDUCE,x,8,4,35200\n",
                 "s.csv", Given(nodes=4))  # fmt: skip
    assert table.ranks.tolist() == [16.0]
    assert table.set_aside[0].reason == "the argument nodes says 4"


def test_a_median_outside_its_own_statistics_lost_a_digit():
    head = HEAD + ",min,percentile_90"
    rows = [f"4096,ALLREDUCE,x,8,4,{t},35000,36000" for t in (35200, 3520, 352000)]
    table = read("\n".join([head, *rows]), "s.csv")
    assert table.frame["time_us"].to_list() == [35.2]
    assert [row.line for row in table.set_aside] == [3, 4]
    assert "shortest" in table.set_aside[0].reason


def test_iterations():
    times = "\n".join(
        f"{t},{t - 5},{t}" for t in (90_000, 30_000, 31_000, 33_000, 32_000)
    )
    text = f"highest,rank0,rank1\n{times}\n"
    assert matches(text)
    table = read(text, "all_reduce_1024_ring_ompi_int32.csv")
    row = table.frame.row(0, named=True)
    assert (row["size_bytes"], row["ranks"], row["time_us"]) == (4096.0, 2.0, 31.5)
    assert row["algorithm"] == "ring_ompi"
    with pytest.raises(MeasurementError, match="whose name doesn't say"):
        read(text, "x.csv")
    with pytest.raises(MeasurementError, match="how many ranks"):
        read(text, "all_reduce_1024_ring_ompi_int32.csv", Given(ranks=4))

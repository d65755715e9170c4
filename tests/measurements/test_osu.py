import pytest

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements.evidence import Given
from fabricmodel.measurements.osu import matches, read


def log(title="Allreduce", head="Avg Latency(us)", rows=("4   1.86", "1024   12.50")):
    lines = [f"# OSU MPI {title} Latency Test v5.9", f"# Size       {head}", *rows]
    return "\n".join(lines) + "\n"


FULL = "Avg Latency(us)   Min Latency(us)   Max Latency(us)  Iterations"


@pytest.mark.parametrize(
    ("title", "kind", "factor"),
    [
        ("Allreduce", "all_reduce", 1),
        ("Reduce", "reduce", 1),
        ("Reduce_scatter", "reduce_scatter", 1),
        ("Broadcast", "broadcast", 1),
        ("Allgather", "all_gather", 16),
        ("All-to-All", "all_to_all", 16),
        ("Gather", "gather", 16),
        ("Non-blocking Allgather", "all_gather", 16),
    ],
)
def test_sizes_become_those_of_the_full_vector(title, kind, factor):
    head = "Pure Comm.(us)" if "Non" in title else "Avg Latency(us)"
    table = read(log(title, head), "run.log", Given(ranks=16))
    assert set(table.collective) == {kind}
    assert list(table.size_bytes) == [4.0 * factor, 1024.0 * factor]
    assert table.frame["time_us"].to_list() == [1.86, 12.5]


def test_full_output_and_the_launchers_ranks():
    text = "$ srun -N 4 -n 64 ./osu_allreduce -f\n"
    text += log(head=FULL, rows=("4   2.54   2.43   2.71   1000",))
    table = read(text, "run.log")
    row = table.frame.row(0, named=True)
    assert (row["ranks"], row["nodes"], row["min_us"]) == (64.0, 4.0, 2.43)
    assert row["notes"] == "OMB 5.9"
    with pytest.raises(MeasurementError, match="the argument ranks says 8"):
        read(text, "run.log", Given(ranks=8))


def test_ranks_must_come_from_somewhere():
    with pytest.raises(MeasurementError, match="how many ranks"):
        read(log(), "run.log")


def test_several_runs_in_one_file():
    text = "mpirun -np 4 osu_allreduce\n" + log() + "noise\n"
    text += "mpirun -np 8 osu_allgather\n" + log("Allgather")
    table = read(text, "run.log")
    assert list(table.ranks) == [4.0, 4.0, 8.0, 8.0]
    assert list(table.size_bytes) == [4.0, 1024.0, 32.0, 8192.0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("0   1.20", "size 0"),
        ("8   0.00", "not a positive number"),
        ("8   1.2", "not the 2 decimals"),
        ("8", "not the 2 columns"),
        ("8   nan", "not the 2 columns"),
        ("8   -1.00", "not the 2 columns"),
        ("8   1.20   3", "not the 2 columns"),
        ("host x 8   1.20", "fused"),
    ],
)
def test_rows_that_are_refused(row, reason):
    table = read(log(rows=("4   1.86", "16   2.00", row)), "run.log", Given(ranks=4))
    assert len(table) == 2
    assert reason in table.set_aside[0].reason
    assert table.set_aside[0].line == 5


def test_failed_validation_and_an_impossible_average():
    head = "Avg Latency(us)   Min Latency(us)   Max Latency(us)  Validation"
    rows = ("4  2.00  1.00  3.00  Pass", "8  2.00  1.00  3.00  Fail")
    rows += ("16  9.00  1.00  3.00  Pass",)
    table = read(log(head=head, rows=rows), "run.log", Given(ranks=4))
    assert list(table.size_bytes) == [4.0]
    reasons = [row.reason for row in table.set_aside]
    assert "validation failed" in reasons[0]
    assert "between shortest and longest" in reasons[1]


def test_latency_between_two_and_bandwidths():
    text = "# OSU MPI Latency Test v7.2\n# Size          Latency (us)\n8    1.50\n"
    table = read(text, "x.log")
    assert (table.collective[0], table.ranks[0]) == ("send_recv", 2.0)
    text = "# OSU MPI Bandwidth Test v7.2\n# Size      Bandwidth (MB/s)\n8    150.00\n"
    assert matches(text)
    with pytest.raises(MeasurementError, match="bandwidth tests keep many"):
        read(text, "x.log")
    with pytest.raises(MeasurementError, match="barrier, is not among"):
        read(log("Barrier"), "x.log", Given(ranks=4))

from typing import Any

import pytest

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements.evidence import Given
from fabricmodel.measurements.nccom_command import find_command
from fabricmodel.measurements.nccom_text import matches, read

OLD = """\
   size(B)    count(elems)    type    time(us)    algbw(GB/s)    busbw(GB/s)
      2048             512    fp32          61           0.03           0.06
 536870912       134217728    fp32       21350          23.42          45.37
Avg bus bandwidth:      22.7150GB/s
"""  # GiB/s on 32 ranks
NEW = """\
size(B)    count(elems)    type    time:avg(us)    algbw(GB/s)    busbw(GB/s)    algorithm
   4096            1024    bf16          150.25           0.03           0.05         mesh
4194304         1048576    bf16          800.50           5.24           9.82          rdh
67108864       16777216    bf16         4000.00          16.78          31.46    kangaring
Avg bus bandwidth:	13.7767GB/s
"""  # noqa: E501  # GB/s on 16 ranks


def test_old_text_on_the_command_lines_ranks():
    text = "$ nccom-test -r 32 -b 2kb -e 512mb -f 16 -d fp32 allr\n" + OLD
    table = read(text, "old.txt")
    assert list(table.collective) == ["all_reduce"] * 2
    assert list(table.ranks) == [32.0] * 2
    assert list(table.size_bytes) == [2048.0, 536870912.0]
    assert table.frame["time_us"].to_list() == [61.0, 21350.0]
    assert table.frame["statistic"].to_list() == ["time(us)"] * 2
    assert table.frame["series"][0] == "old"
    assert table.set_aside == ()


def test_new_text_tells_collective_ranks_and_algorithm():
    table = read(NEW, "new.txt")
    assert list(table.collective) == ["all_reduce"] * 3
    assert list(table.ranks) == [16.0] * 3
    assert list(table.algorithm) == ["mesh", "rdh", "kangaring"]
    assert list(table.dtype) == ["bf16"] * 3
    assert set(table.frame["statistic"]) == {"average"}


def test_a_blank_algorithm():
    table = read(NEW.replace("mesh", "    "), "new.txt")
    assert list(table.algorithm) == ["", "rdh", "kangaring"]


def test_percentiles():
    text = (
        "size(B) count(elems) total_input_size(B) total_output_size(B) type "
        "time:avg(us) time:p25(us) time:p90(us) algbw(GB/s) busbw(GB/s)\n"
        "33554432 8388608 33554432 33554432 fp32 2754.15 2700.5 2901.25 12.18 22.84\n"
    )
    table = read(text, "run.log")
    assert table.frame["time_us"].to_list() == [2754.15]
    assert table.frame["p90_us"].to_list() == [2901.25]
    assert list(table.ranks) == [16.0]
    median = text.replace("time:avg", "time:p50")
    assert read(median, "run.log").frame["statistic"][0] == "time:p50(us)"


@pytest.mark.parametrize(
    "failure",
    [
        "  33554432    Failure running neuron-bench - log file /tmp/x.log",
        "1 errors found - test failed",
        "12 errors found - test failed",
    ],
)
def test_a_failed_test_is_an_error(failure):
    with pytest.raises(MeasurementError, match=r"new\.txt, line 4: the test failed"):
        read("\n".join([*NEW.split("\n")[:3], failure]), "new.txt")
    read(NEW + "0 errors found\n", "new.txt")


def test_the_output_does_not_tell_all_gather_from_all_to_all():
    text = NEW.replace("9.82", "4.91").replace("31.46", "15.73").replace("0.05", "0.03")
    with pytest.raises(MeasurementError) as caught:
        read(text, "new.txt")
    assert str(caught.value) == (
        "new.txt, line 2: nccom-test doesn't print which collective ran; "
        "the bandwidths fit all_gather or reduce_scatter or all_to_all. "
        "Give collective=NAME (--collective NAME)."
    )
    table = read(text, "new.txt", Given(collective="allg"))
    assert list(table.ranks) == [16.0] * 3


def test_two_ranks_look_like_send_and_receive():
    text = OLD.replace("0.06", "0.03").replace("45.37", "23.42")
    with pytest.raises(MeasurementError, match=r"fit all_reduce or .* or send_recv"):
        read(text, "old.txt")
    assert list(read(text, "old.txt", Given(collective="allr")).ranks) == [2.0, 2.0]


def test_ranks_that_the_digits_do_not_tell():
    text = OLD.replace("21350          23.42          45.37", "x 1 1")
    with pytest.raises(MeasurementError, match=r"Give ranks=N \(--ranks N\)"):
        read(text, "old.txt", Given(collective="allr"))
    table = read(text, "old.txt", Given(collective="allr", ranks=32, nodes=2))
    assert list(table.ranks_per_node) == [16.0]
    assert len(table.set_aside) == 1


def test_contradictions():
    command = "$ nccom-test -r 32 allr\n"
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"collective": "allg"}, "the log is of all_reduce, the argument"),
        ({"ranks": 8}, "the log says 32, the argument ranks says 8"),
    )
    for arguments, message in cases:
        with pytest.raises(MeasurementError, match=message):
            read(command + OLD, "old.txt", Given(**arguments))
    with pytest.raises(MeasurementError, match=r"not the 1\.750 of all_reduce on 8"):
        read(command.replace("32", "8") + OLD, "old.txt")
    with pytest.raises(MeasurementError, match="impossible for all_gather"):
        read(OLD, "old.txt", Given(collective="allg"))


def test_an_impossible_ratio_is_no_evidence():
    text = OLD.replace("45.37", "726.02").replace("0.06", "0.93")
    table = read(text, "old.txt", Given(collective="allr", ranks=32))
    assert len(table) == 2


def test_groups_are_smaller_than_the_number_of_workers():
    command = "nccom-test -r 64 --custom-replica-groups g.json allr\n"
    assert list(read(command + OLD, "old.txt").ranks) == [32.0, 32.0]


def test_several_tables():
    text = f"nccom-test -r 32 allr\n{OLD}nccom-test -r 16 allr\n{NEW}{NEW}"
    table = read(text, "two.txt")
    assert list(table.ranks) == [32.0] * 2 + [16.0] * 6
    listed = "nccom-test -r 32 allr\nnccom-test -r 16 allr\n"  # which one printed it?
    assert list(read(listed + NEW, "two.txt").ranks) == [16.0] * 3


def test_other_operations_are_set_aside():
    with pytest.raises(MeasurementError, match=r"no usable row, 3 refused.*permute"):
        read("nccom-test -r 16 permute\n" + NEW, "new.txt")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("   4096 ", "   0 ", "size 0"),
        ("150.25", "nan", "time 'nan'"),
        ("150.25", "N/A", "time 'N/A'"),
        ("150.25", "0.00", "time '0.00'"),
        ("150.25", "-1.5", "time '-1.5'"),
        ("4000.00", "400.00", "far from size / time"),
        ("bf16", "bf", "type 'bf' is unknown"),
        ("bf16", "", "whole row"),
        ("67108864 ", "x7108864 ", "size 'x7108864'"),
        ("67108864 ", "", "whole row"),
        ("31.46", "N/A", "busbw 'N/A'"),
        ("13.7767", "13.7767\n8 2 fp32 5.0 0.00 0.00 mesh\n", "without a header"),
    ],
)
def test_damaged_rows_are_listed(old, new, reason):
    table = read(
        NEW.replace(old, new, 1), "new.txt", Given(ranks=16, collective="allr")
    )
    (row,) = table.set_aside
    assert reason in row.reason
    assert len(table) == (3 if "header" in reason else 2)


def test_commands():
    def parts(text):
        found = find_command(text)
        return found and (found.collective, found.ranks, found.nodes)

    assert parts("nccom-test --nworkers=64 --nnodes 2 alltoall") == (
        "all_to_all",
        64,
        2,
    )
    assert parts("x/nccom-test -r32 redsct") == ("reduce_scatter", 32, None)
    assert parts("nccom-test -r $N allg") == ("all_gather", None, None)
    assert parts("run nccom-test for allr") is None
    text = "$ srun nccom-test -r 32 \\\n  -d fp32 \\\n  allr\n" + OLD
    assert list(read(text, "old.txt").ranks) == [32.0, 32.0]


def test_matches():
    assert matches(OLD)
    assert matches(NEW)
    assert not matches("size count type time algbw busbw")

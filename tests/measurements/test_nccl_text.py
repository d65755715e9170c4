from typing import Any

import pytest

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements.evidence import Given
from fabricmodel.measurements.nccl_text import matches, read
from fabricmodel.measurements.vocabulary import bus_factor


def half(size, time, factor, wrong):
    bandwidth = size / float(time) / 1e3
    return f"{time:>8} {bandwidth:7.2f} {bandwidth * factor:7.2f} {wrong:>6}"


def line(size, times, *, ranks, kind="all_reduce", middle="sum -1", wrong="0 0"):
    """One row of the table as the benchmark prints it."""
    factor = bus_factor(kind, ranks)
    parts = ranks if factor < 1 else 1
    first, second = (
        half(size, time, factor, result)
        for time, result in zip(times.split(), wrong.split(), strict=True)
    )
    return f"{size:>12} {size // 4 // parts:>12} float {middle} {first} {second}"


def heading(middle="redop root", last="#wrong"):
    part = f"time algbw busbw {last}"
    return (
        "#                      out-of-place         in-place\n"
        f"#  size   count   type  {middle}  {part}  {part}\n"
        "#   (B)  (elements)   (us) (GB/s) (GB/s)   (us) (GB/s) (GB/s)\n"
    )


def devices(ranks, per_host, group=""):
    return "# Using devices\n" + "".join(
        f"#  Rank {rank:2} {group}Pid {100 + rank} on node{rank // per_host} "
        f"device {rank % per_host} [0x1{rank}] Test GPU 9\n"
        for rank in range(ranks)
    )


SIZES = (1024, 1 << 20, 1 << 28)


def rows(**options):
    return "".join(line(size, "50.25 49.5", **options) + "\n" for size in SIZES)


FOOTER = "# Out of bounds values : 0 OK\n# Avg bus bandwidth    : 12.5\n#\n"
RUN = devices(8, 4) + heading() + rows(ranks=8) + FOOTER


def test_a_run_with_device_lines():
    table = read(RUN, "logs/run8.log")
    assert len(table) == 6
    assert set(table.collective) == {"all_reduce"}
    assert set(table.ranks) == {8.0}
    assert set(table.nodes) == {2.0}
    assert set(table.ranks_per_node) == {4.0}
    assert list(table.size_bytes) == [size for size in SIZES for _ in range(2)]
    assert table.frame["time_us"].to_list() == [50.25, 49.5] * 3
    assert table.frame["statistic"].to_list() == ["out-of-place", "in-place"] * 3
    first = table.frame.row(0, named=True)
    assert first["series"] == "run8"
    assert first["system"] == "Test GPU 9"
    assert first["source"] == "nccl-tests log run8.log"
    assert first["dtype"] == "float"
    assert table.set_aside == ()


@pytest.mark.parametrize(
    "prefix",
    [
        "[1,0]<stdout>:",
        "[prterun-host-7@1,0]<stdout>: ",
        "Tue Jan 11 13:20:03 2022[1,0]<stdout>:",
        "0: ",
        " 12: ",
        "[0] ",
        "[pod/job-launcher-x7/main] ",
        "2026-01-29T18:02:19.123456Z ",
        "node-17: ",
        "launcher-1  | ",
        "\x1b[36m2026-01-29T18:02:19Z\x1b[0m [1,0]<stdout>:",
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_launcher_prefixes(prefix, ending):
    text = "".join(prefix + text + ending for text in RUN.splitlines())
    table = read(text, "run.log")
    assert table.frame.equals(read(RUN, "run.log").frame)
    assert table.set_aside == ()


def test_lines_of_other_programs_do_no_harm():
    noise = (
        "[1622514238.641009] [g04:2422:0] ucp_context.c:1437 UCX  WARN  too old 1.8\n"
        "node0:25:66 [0] NCCL INFO Channel 00/08 :    0   1   2   3   4   5   6   7\n"
        "node0:25:66 [0] NCCL INFO threadThresholds 8/8/64 | 128/8/64 | 8/8/512\n"
        "node0:25:66 [0] NCCL INFO comm 0x7f ranks 3\n\n"
        "NCCL version 2.29.2+cuda13.0\nWARNING: 8 GPUs seen\n"
    )
    text = noise + noise.join(part + "\n" for part in RUN.splitlines()) + noise
    table = read(text, "run.log")
    assert len(table) == 6
    assert table.set_aside == ()
    assert table.frame["notes"][0] == "NCCL 2.29.2+cuda13.0"


@pytest.mark.parametrize(
    ("kind", "columns", "middle"),
    [
        ("all_reduce", "redop root", "sum -1"),
        ("all_reduce", "redop", "sum"),
        ("reduce_scatter", "redop root", "sum -1"),
        ("broadcast", "root", "0"),
        ("broadcast", "redop root", "none 3"),
        ("reduce", "redop root", "sum 0"),
    ],
)
def test_collective_from_the_rows_alone(kind, columns, middle):
    text = heading(columns, "error") + rows(
        ranks=8, kind=kind, middle=middle, wrong="0e+00 5e-07"
    )
    table = read(devices(8, 8) + text, "run.log")
    assert set(table.collective) == {kind}
    assert len(table) == 6
    assert len(read(text, "run.log", Given(ranks=8))) == 6


def test_all_gather_and_all_to_all_look_alike_so_the_log_or_the_caller_must_say():
    text = heading("", "error") + rows(ranks=8, kind="all_to_all", middle="")
    with pytest.raises(MeasurementError) as caught:
        read(text, "run.log")
    assert str(caught.value) == (
        "run.log, line 4: the log doesn't name its collective; the rows fit all_gather "
        "or all_to_all. Give collective=NAME (--collective NAME)."
    )
    assert set(read(text, "run.log", Given(collective="a2a")).ranks) == {8.0}
    for above in (
        "# Collective test starting: alltoall_perf\n",
        "+ mpirun -np 8 ./build/alltoall_perf -b 1K -e 256M\n",
        "Linking alltoall.o > alltoall_perf\nLinking x > all_reduce_perf\n",
    ):
        assert set(read(above + text, "run.log").collective) == {"all_to_all"}
    text += FOOTER + "# Collective test concluded: all_gather_perf\n"
    assert set(read(text, "run.log").collective) == {"all_gather"}


def test_contradictions():
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"collective": "all_gather"}, "not the rows of all_gather"),
        ({"ranks": 16}, "the log says 8, the argument ranks says 16"),
        ({"nodes": 9}, "9 nodes for 8 ranks"),
    )
    for arguments, message in cases:
        with pytest.raises(MeasurementError, match=message):
            read(RUN, "run.log", Given(**arguments))
    title = "# Collective test starting: all_reduce_perf\n"
    with pytest.raises(MeasurementError, match="the log is of all_reduce, the argum"):
        read(title + RUN, "run.log", Given(collective="broadcast"))
    cut = devices(4, 4) + heading("", "error")
    with pytest.raises(MeasurementError, match="log says 4, size / count says 8"):
        text = cut + rows(ranks=8, kind="all_gather", middle="")
        read(text, "run.log", Given(collective="all_gather"))
    with pytest.raises(MeasurementError, match="busbw / algbw"):
        table = heading() + rows(ranks=8)
        read(table, "run.log", Given(ranks=64, collective="all_reduce"))


def test_ranks_from_counts_from_bandwidths_or_from_the_caller():
    text = rows(ranks=512, kind="all_to_all", middle="")
    assert set(read(text, "run.log", Given(collective="alltoall")).ranks) == {512.0}
    assert set(read(rows(ranks=24), "run.log").ranks) == {24.0}
    coarse = line(4096, "50.25 49.5", ranks=24)
    with pytest.raises(MeasurementError, match=r"ranks.*Give ranks=N \(--ranks N\)"):
        read(coarse, "run.log", Given(collective="all_reduce"))
    given = Given(ranks=24, collective="all_reduce")
    assert set(read(coarse, "run.log", given).ranks) == {24.0}
    joined = "node0:1:2 [0] NCCL INFO comm 0x7f rank 3 nranks 24 cudaDev 3\n"
    assert set(read(joined + coarse, "r.log", Given(collective="allr")).ranks) == {24.0}


def test_device_lines_with_gaps_say_nothing():
    text = devices(8, 4).replace("#  Rank  3", "#  Rnk  3")
    table = read(text + heading() + rows(ranks=8), "run.log")
    assert set(table.ranks) == {8.0}  # from the bandwidths
    assert table.frame["nodes"].null_count() == 6


def test_groups_are_separate_communicators():
    split = "".join(
        f"# Rank {rank} Group {rank % 2} Pid 1 on node{rank // 4} device 0 [0x1] GPU\n"
        for rank in range(8)
    )
    table = read(split + heading() + rows(ranks=4), "run.log")
    assert set(table.ranks) == {4.0}
    assert set(table.ranks_per_node) == {2.0}


def test_uneven_nodes_and_nodes_from_the_caller():
    table = read(devices(8, 5) + heading() + rows(ranks=8), "run.log")
    assert set(table.nodes) == {2.0}
    assert table.frame["ranks_per_node"].null_count() == 6
    table = read(RUN, "run.log", Given(nodes=1))  # two containers on one host
    assert set(table.ranks_per_node) == {8.0}


def test_several_runs_in_one_file():
    gather = rows(ranks=4, kind="all_gather", middle="none -1")
    second = devices(4, 4) + heading() + gather + FOOTER
    text = (
        "# nccl-tests version 2.17.8\n# Collective test starting: all_reduce_perf\n"
        f"{RUN}# Collective test concluded: all_reduce_perf\n\n"
        "# nccl-tests version 2.17.8\n# Collective test starting: all_gather_perf\n"
        f"{second}# Collective test concluded: all_gather_perf\n"
    )
    table = read(text, "run.log")
    assert list(table.collective) == ["all_reduce"] * 6 + ["all_gather"] * 6
    assert list(table.ranks) == [8.0] * 6 + [4.0] * 6
    # Without titles: command lines, one above each run.
    text = f"$ all_reduce_perf -g 8\n{RUN}$ all_gather_perf -g 4\n{second}{RUN}"
    table = read(text, "run.log")
    assert list(table.collective) == (
        ["all_reduce"] * 6 + ["all_gather"] * 6 + ["all_reduce"] * 6
    )


def test_a_benchmark_of_something_else_is_set_aside():
    title = "# Collective test starting: hypercube_perf\n"
    with pytest.raises(MeasurementError, match="no usable row, 3 refused"):
        read(title + RUN, "run.log")
    table = read(title + RUN + RUN, "run.log")
    assert len(table) == 6
    assert len(table.set_aside) == 3


@pytest.mark.parametrize(
    ("damage", "kept", "reason"),
    [
        (lambda text: text.replace("1024 ", "0 "), 4, "size 0"),
        (lambda text: text.replace(" 50.25", " N/A", 1), 5, "time 'N/A'"),
        (lambda text: text.replace(" 50.25", " XXX.XX", 1), 5, "time 'XXX.XX'"),
        (lambda text: text.replace(" 50.25", " 0.00", 1), 5, "time '0.00'"),
        (lambda text: text.replace(" 50.25", " nan", 1), 5, "time 'nan'"),
        (lambda text: text.replace(" 50.25", " -50.25", 1), 5, "time '-50.25'"),
        (lambda text: text.replace("      0\n", "      2\n", 1), 5, "wrong result (2"),
        (lambda text: text.replace("0\n", "1e+06\n", 1), 5, "wrong result (1e+06"),
        (lambda text: text.replace("268435456 ", "268435450 "), 4, "size and count"),
        (lambda text: text.replace("268435456 ", "68435456 "), 4, "isn't size / time"),
        (lambda text: text.replace("sum", "", 1), 6, None),
        (lambda text: text.replace("float", "flxat", 1), 4, "whole row"),
        (lambda text: text.replace("float ", "float{ ", 1), 4, "whole row"),
        (lambda text: text.replace("float sum -1", "float sum -1host:1:2 [0] INFO", 1)
         .replace("INFO", "NCCL INFO\n", 1), 4, "whole row"),
        (lambda text: text.replace("\n# Out", "x\n# Out", 1)[:-1], 5, "not a number"),
    ],
)  # fmt: skip
def test_damaged_rows_are_listed(damage, kept, reason):
    table = read(damage(RUN), "run.log", Given(ranks=8, collective="all_reduce"))
    assert len(table) == kept
    assert bool(table.set_aside) == (kept < 6)
    for row in table.set_aside:
        assert reason in row.reason
        said = damage(RUN).split("\n")[row.line - 1]
        assert row.text[:30].split()[0] in said


def test_a_row_cut_at_any_place_is_refused_or_whole():
    whole = heading() + rows(ranks=8)
    for cut in range(len(whole) - 100, len(whole) - 1):
        table = read(whole[:cut], "run.log")
        assert len(table) in (4, 5)
        last = whole[:cut].rsplit("\n", 1)[1].strip()
        assert table.set_aside or not last


def test_old_deviations_are_no_errors_unless_the_check_failed():
    """Old alltoall in place deviates by 1, and the footer still counts 0."""
    kind = {"ranks": 8, "kind": "all_to_all", "middle": "", "wrong": "0e+00 1e+00"}
    for head in ("", heading("redop", "error")):
        table = read(
            head + rows(**kind) + FOOTER, "run.log", Given(collective="alltoall")
        )
        assert len(table) == 6
    failed = FOOTER.replace("0 OK", "3 FAILED")
    text = heading("redop", "error") + rows(**kind) + failed
    table = read(text, "run.log", Given(collective="alltoall"))
    assert set(table.frame["statistic"]) == {"out-of-place"}
    assert len(table.set_aside) == 3
    text = heading("redop", "#wrong") + rows(**kind) + FOOTER
    assert len(read(text, "run.log", Given(collective="alltoall"))) == 3
    starred = text.replace("1e+00", "2e-07*").replace("#wrong", "error")
    assert len(read(starred, "run.log", Given(collective="alltoall"))) == 3


def test_a_failed_check_without_a_faulty_row_is_listed():
    table = read(RUN.replace("0 OK", "1 FAILED"), "run.log")
    assert len(table) == 6
    assert "Out of bounds" in table.set_aside[0].text


def test_unchecked_results_are_kept():
    table = read(heading() + rows(ranks=8, wrong="N/A N/A"), "run.log")
    assert len(table) == 6


def test_a_crash_is_listed():
    crash = "node0: Test CUDA failure common.cu:295 'out of memory'\n"
    table = read(RUN.replace("# Out", crash + "# Out"), "run.log")
    assert len(table) == 6
    assert table.set_aside[0].reason == "the benchmark failed here"


def test_rows_fused_with_a_trace_are_refused_one_by_one():
    fused = "".join(
        f"TimeTest(), common.cu:610, {text.replace('-1', '-1BenchTime(), c.cu:561,')}\n"
        for text in rows(ranks=8).splitlines()
    )
    with pytest.raises(MeasurementError, match=r"no usable row, 3 refused \(line 4: "):
        read(heading() + fused, "run.log")


def test_a_run_whose_rows_are_all_refused_leaves_no_trace_on_the_next():
    broken = RUN.replace("float", "flxat")
    table = read(broken + devices(4, 4) + heading() + rows(ranks=4), "run.log")
    assert set(table.ranks) == {4.0}
    assert len(table.set_aside) == 3


def test_a_run_that_crashed_before_its_rows_leaves_no_trace_on_the_next():
    table = read(devices(16, 4) + heading() + RUN, "run.log")
    assert set(table.ranks) == {8.0}


def test_a_command_that_does_not_fit_the_rows_is_not_believed():
    built = "nvcc -o build/all_gather_perf\n"
    assert set(read(built + RUN, "run.log").collective) == {"all_reduce"}


def test_matches():
    assert matches(RUN)
    assert matches(rows(ranks=8))
    assert matches("# nThread 1 nGpus 8 minBytes 8")
    assert matches("# nThreads: 1 nGpus: 1 nRanks: 1 minBytes: 8")
    assert not matches("size,count\n1 2 3 4 5 6 7 8 9 10 11 12\n")


def look_alikes(last, wrong):
    """Rows that all_gather and all_to_all print alike."""
    part = rows(ranks=8, kind="all_to_all", middle="none -1", wrong=wrong)
    return devices(8, 8) + heading("redop root", last) + part + FOOTER


@pytest.mark.parametrize(
    ("last", "wrong", "kind"),
    [
        ("#wrong", "0 N/A", "all_to_all"),
        ("error", "0e+00 1e+00", "all_to_all"),
        ("#wrong", "0 0", "all_gather"),
    ],
)
def test_the_in_place_results_tell_all_to_all_from_all_gather(last, wrong, kind):
    table = read(look_alikes(last, wrong), "run.log")
    assert set(table.collective) == {kind}
    assert len(table) == 6


def test_a_word_in_the_files_name_or_text_is_the_last_resort():
    text = look_alikes("#wrong", "N/A N/A")
    with pytest.raises(MeasurementError, match="doesn't name its collective"):
        read(text, "run.log")
    table = read(text, "runs/alltoall_8.log")
    assert set(table.collective) == {"all_to_all"}
    assert table.frame["notes"][0] == "collective from the file's name"
    table = read("# sweep of AllGather\n" + text, "run.log")
    assert set(table.collective) == {"all_gather"}
    assert table.frame["notes"][0] == "collective from a word of the log"
    both = "# all-gather, then alltoall\n" + text
    with pytest.raises(MeasurementError, match="doesn't name its collective"):
        read(both, "run.log")


def test_very_long_lines_neither_hang_nor_hide_rows():
    fused = RUN.replace("\n", " ") * 200
    with pytest.raises(MeasurementError, match="refused"):
        read(heading() + fused, "run.log", Given(ranks=8))

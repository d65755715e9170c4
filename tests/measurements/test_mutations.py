"""Damage logs at random: nothing but the one exception, and no invented number."""

import json
import pathlib
import re

import hypothesis
import hypothesis.strategies as st
import pytest

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements import (
    COLLECTIVES,
    Measurements,
    nccom_json,
    read_measurements,
)
from fabricmodel.measurements import nccl_text as nccl
from fabricmodel.measurements import nccom_text as nccom
from fabricmodel.measurements import tidy_csv as tidy
from fabricmodel.measurements.evidence import Given

NCCL = """\
[1,0]<stdout>:# Collective test starting: all_gather_perf
[1,0]<stdout>:# nThread 1 nGpus 1 minBytes 4096 maxBytes 16777216 step: 64(factor)
[1,0]<stdout>:# Using devices
[1,0]<stdout>:#  Rank  0 Group  0 Pid 11 on host0 device  0 [0000:1b:00] Test GPU
[1,0]<stdout>:#  Rank  1 Group  0 Pid 12 on host1 device  0 [0000:1b:00] Test GPU
[1,0]<stdout>:#                       out-of-place                  in-place
[1,0]<stdout>:# size count type redop root time algbw busbw #wrong time algbw busbw #wrong
[1,0]<stdout>:     4096     512  float none -1  20.50  0.20  0.10  0  19.75  0.21  0.10  0
[1,1]<stdout>:host1:12:12 [0] NCCL INFO Channel 00/0 : 1[1b] -> 0[1b] via NET/IB/1
[1,0]<stdout>:   262144   32768  float none -1  41.25  6.35  3.18  0  40.50  6.47  3.24 N/A
[1,0]<stdout>: 16777216 2097152  float none -1  850.5 19.73  9.86  0  842.5 19.91  9.96  0
[1,0]<stdout>:# Out of bounds values : 0 OK
[1,0]<stdout>:# Avg bus bandwidth    : 4.3
"""  # noqa: E501
NCCOM = """\
$ nccom-test -r 16 -N 1 -b 4kb -e 64mb -f 128 -d bf16 allr
size(B)    count(elems)    type    time:avg(us)  time:p90(us)  algbw(GB/s)    busbw(GB/s)
   4096            2048    bf16          150.25        161.75         0.03           0.05
 524288          262144    bf16          301.75        320.25         1.74           3.26
67108864       33554432    bf16         4000.50       4210.75        16.78          31.45
Avg bus bandwidth:	11.5867GB/s
"""  # noqa: E501
REPORT = json.dumps(
    {
        "results": [
            {
                "size(B)": size,
                "count(elems)": size // 2,
                "type": "bf16",
                "time:avg(us)": time,
                "algbw(GB/s)": size / time / 1e3,
                "busbw(GB/s)": size / time / 1e3 * 1.875,
            }
            for size, time in ((4096, 150.25), (524288, 301.75))
        ]
    },
    indent=1,
)
TIDY = """\
series,ranks,collective,size_bytes,time_us,notes
a,8,all_reduce,1024,5.5,"x, y"
a,16,barrier,1024,6.5,
a,16,all_gather,4096,7.25,
"""
SAMPLES = {"nccl": (nccl, NCCL), "nccom": (nccom, NCCOM)} | {
    "report": (nccom_json, REPORT),
    "tidy": (tidy, TIDY),
}

places = st.integers(0, 2000)
snippets = st.one_of(
    st.sampled_from(
        ["0", "9", ".", "-", "e", " ", "\n", "\r", "#", ",", '"', "\0", "\\"]
    ),
    st.sampled_from(["N/A", "nan", "inf", "1e999", "float", "root", "9" * 5000, "٣"]),
    st.sampled_from(["size", "Rank 7", "[1,0]<stdout>:", "nccom-test -r", "{", "]"]),
    st.text(max_size=3),
)
edits = st.lists(
    st.tuples(st.sampled_from(["delete", "copy", "insert"]), places, places, snippets),
    min_size=1,
    max_size=4,
)


def damage(text, changes):
    for kind, first, second, snippet in changes:
        start = first % (len(text) + 1)
        stop = min(start + second % 60, len(text))
        if kind == "delete":
            text = text[:start] + text[stop:]
        elif kind == "copy":
            text = text[:stop] + text[start:stop] + text[stop:]
        else:
            text = text[:start] + snippet + text[start:]
    return text


def printed_numbers(text):
    return {float(token) for token in re.findall(r"[0-9.]+(?:e[+-]?[0-9]+)?", text)
            if re.fullmatch(r"[0-9]+\.?[0-9]*(e.*)?", token)}  # fmt: skip


def check(table: Measurements, text: str):
    frame = table.frame
    assert len(table) > 0
    assert set(table.collective) <= set(COLLECTIVES)
    for name in ("ranks", "size_bytes", "time_us"):
        assert frame[name].is_finite().all()
        assert (frame[name] > 0).all()
    known = printed_numbers(text)
    assert set(frame["size_bytes"]) <= known
    assert set(frame["time_us"]) <= known
    assert set(frame["p90_us"].drop_nulls()) <= known
    lines = text.count("\n") + 1
    for row in table.set_aside:
        assert 1 <= row.line <= lines
        assert row.reason


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_sound(name):
    form, text = SAMPLES[name]
    assert form.matches(text)
    check(form.read(text, "x.log"), text)


@pytest.mark.parametrize("name", SAMPLES)
@hypothesis.given(changes=edits, given=st.booleans())
@hypothesis.settings(deadline=None, max_examples=300)
def test_damaged_text(name, changes, given):
    form, text = SAMPLES[name]
    text = damage(text, changes)
    arguments = {"ranks": 16, "collective": "all_reduce"} if given else {}
    form.matches(text)
    try:
        table = form.read(text, "x.log", Given(**arguments))
    except MeasurementError as error:
        assert str(error).startswith("x.log")
    else:
        check(table, text)


@hypothesis.given(changes=edits, name=st.sampled_from(sorted(SAMPLES)))
@hypothesis.settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_damaged_files(tmp_path: pathlib.Path, changes, name):
    path = tmp_path / "x.log"
    path.write_bytes(damage(SAMPLES[name][1], changes).encode(errors="surrogatepass"))
    try:
        table = read_measurements(path)
    except MeasurementError as error:
        assert str(path) in str(error)
    else:
        assert len(table) > 0


def test_one_wrong_digit_of_a_large_row_is_noticed():
    """What the bandwidth and the count can tell, they do."""
    row = NCCL.split("\n")[10]
    size, time = row.index("16777216"), row.index("850.5")
    for place in [*range(size, size + 8), time, time + 1]:
        for digit in "0123456789":
            if row[place] == digit:
                continue
            text = NCCL.replace(row, row[:place] + digit + row[place + 1 :])
            table = nccl.read(text, "x.log")
            assert len(table) < 6, row[:place] + digit + row[place + 1 :]
            assert table.set_aside


@pytest.mark.parametrize(("name", "first"), [("nccl", 7), ("nccom", 2)])
@pytest.mark.parametrize("new", ["x", " ", "", "7", "\n"])
def test_no_row_vanishes(name, first, new):
    """Whatever character of a row is spoilt, the row is used, listed or an error."""
    form, text = SAMPLES[name]
    whole = form.read(text, "x.log")
    each = len(whole) // 3
    lines = text.split("\n")
    indent = lines[first].index(":") + 1 if name == "nccl" else 0
    for place in range(indent, len(lines[first])):
        changed = lines[first][:place] + new + lines[first][place + 1 :]
        damaged = "\n".join([*lines[:first], changed, *lines[first + 1 :]])
        try:
            table = form.read(damaged, "x.log")
        except MeasurementError:
            continue
        listed = {row.line for row in table.set_aside}
        assert len(table) == len(whole) or listed & {first + 1, first + 2}, changed
        assert len(table) >= len(whole) - each

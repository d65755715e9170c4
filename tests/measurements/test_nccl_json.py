import json

import pytest

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements import nccom_json, read_measurements
from fabricmodel.measurements.evidence import Given
from fabricmodel.measurements.nccl_json import matches, read


def half(size, time, wrong=0):
    algbw = size / time / 1e3
    return {"time": time, "alg_bw": algbw, "bus_bw": algbw * 1.875, "nwrong": wrong}


def report(ranks=16, sizes=(4096, 1 << 20), **extra):
    results = [
        {
            "size": size,
            "count": size // 4,
            "type": "float",
            "redop": "sum",
            "root": -1,
            "out_of_place": half(size, 20.5),
            "in_place": half(size, 21.25),
        }
        for size in sizes
    ]
    devices = [
        {"rank": r, "group": 0, "hostname": f"h{r // 8}", "device_info": "Test GPU"}
        for r in range(ranks)
    ]
    start = {"nccl_version": 22703, "args": ["./build/all_reduce_perf", "-J", "x"]}
    end = {"out_of_bounds": {"count": 0, "okay": True}}
    return {**start, "devices": devices, "results": results, **end, **extra}


def test_a_report():
    table = read(json.dumps(report()), "r.json")
    assert list(table.collective) == ["all_reduce"] * 4
    assert list(table.ranks) == [16.0] * 4
    assert list(table.nodes) == [2.0] * 4
    assert table.frame["time_us"].to_list() == [20.5, 21.25] * 2
    assert table.frame["statistic"].to_list() == ["out-of-place", "in-place"] * 2
    assert table.frame["notes"][0] == "NCCL 2.27.3"
    assert table.frame["system"][0] == "Test GPU"


def test_several_reports_in_one_file():
    texts = json.dumps(report(), indent=1), json.dumps(report(sizes=(8192,)))
    table = read("\n".join(texts), "r.json", Given(collective="all_reduce"))
    assert len(table) == 6


def test_unchecked_wrong_and_senseless_results_are_judged():
    odd = report()
    odd["results"][0]["out_of_place"]["nwrong"] = 7
    odd["results"][0]["in_place"]["nwrong"] = None
    odd["results"][1]["in_place"]["time"] = -1.0
    text = json.dumps(odd, indent=1)
    table = read(text, "r.json")
    assert len(table) == 2
    first, second = table.set_aside
    assert "wrong result (7 elements)" in first.reason
    assert "time '-1.0'" in second.reason
    for row, size in ((first, "4096"), (second, "1048576")):
        assert f'"size": {size}' in text.split("\n")[row.line - 1]


def test_a_failed_run_without_a_culprit_is_listed():
    table = read(json.dumps(report(out_of_bounds={"okay": False})), "r.json")
    assert "none shows it" in table.set_aside[0].reason


@pytest.mark.parametrize("cut", [60, 300, 900, -1])
def test_truncated(cut):
    text = json.dumps(report(), indent=1)[:cut]
    assert matches(text)
    with pytest.raises(MeasurementError, match=r"r\.json, line [0-9]+: .*truncated"):
        read(text, "r.json")


def test_contradictions_and_nothing():
    text = json.dumps(report())
    with pytest.raises(MeasurementError, match="the argument ranks says 4"):
        read(text, "r.json", Given(ranks=4))
    with pytest.raises(MeasurementError, match="no row of results"):
        read(json.dumps(report(sizes=())), "r.json")


def test_the_two_reports_are_told_apart(tmp_path):
    path = tmp_path / "x"
    path.write_text(json.dumps(report()))
    assert len(read_measurements(path)) == 4
    other = '{"results": [{"size(B)": 8, "type": "fp32", "busbw(GB/s)": 1}]}'
    assert not matches(other)
    assert nccom_json.matches(other)

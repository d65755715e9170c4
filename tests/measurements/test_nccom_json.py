import json

import pytest

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements.evidence import Given
from fabricmodel.measurements.nccom_json import matches, read


def report(ranks=32, **extra):
    results = [
        {
            "size(B)": size,
            "count(elems)": size // 4,
            "type": "fp32",
            "algbw(GB/s)": size / time / 1e3,
            "busbw(GB/s)": size / time / 1e3 * (ranks - 1) / ranks,
            "time:avg(us)": time,
        }
        for size, time in ((1024, 6.25), (4096, 7.5))
    ]
    return json.dumps({**extra, "results": results}, indent=1)


def test_json():
    table = read(report(), "r.json", Given(collective="allg"))
    assert list(table.ranks) == [32.0] * 2
    assert table.frame["time_us"].to_list() == [6.25, 7.5]
    assert list(table.collective) == ["all_gather"] * 2
    config = {"op": "redsct", "nworkers": 32, "nnodes": 2}
    table = read(report(config=config), "r.json")
    assert list(table.collective) == ["reduce_scatter"] * 2
    assert list(table.ranks_per_node) == [16.0] * 2


@pytest.mark.parametrize("cut", [20, 100, 250, -3, -1])
def test_truncated_json_names_the_line(cut):
    text = report()[:cut]
    assert matches(text)
    with pytest.raises(MeasurementError, match=r"r\.json, line [0-9]+: .*truncated"):
        read(text, "r.json", Given(collective="allg"))


def test_bad_results_in_json_are_listed_with_their_line():
    text = report().replace("6.25", "NaN")
    table = read(text, "r.json", Given(collective="allg"))
    assert len(table) == 1
    (row,) = table.set_aside
    assert "time 'NaN'" in row.reason
    assert '"size(B)": 1024' in text.split("\n")[row.line - 1]
    odd = json.loads(report())
    odd["results"] += [{"error": 1}, 7]
    table = read(json.dumps(odd), "r.json", Given(collective="allg"))
    assert (len(table), len(table.set_aside)) == (2, 2)


@pytest.mark.parametrize("text", ["{}", '{"results": []}', "[]", "[" * 100_000])
def test_json_without_results(text):
    with pytest.raises(MeasurementError, match=r"r\.json"):
        read(text, "r.json")

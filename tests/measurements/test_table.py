import pathlib

import numpy as np
import polars as pl
import pytest

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements import COLUMNS, Measurements, SetAside


def row(**change):
    base = {"ranks": 4, "collective": "allr", "size_bytes": 1024, "time_us": 5.0}
    return base | change


@pytest.fixture
def table():
    aside = SetAside(file="a.log", line=3, text="x", reason="broken")
    records = [
        row(
            series="a", nodes=2, ranks_per_node=2, min_us=4.0, p90_us=6.0, dtype="half"
        ),
        row(series="b", ranks=8, size_bytes=2e9, algorithm="ring"),
        row(series="b", ranks=16, collective="allg", time_us=7.5),
    ]
    return Measurements.from_records(records, [aside])


def test_schema_and_defaults(table):
    assert tuple(table.frame.columns) == COLUMNS
    kinds = set(table.frame.dtypes)
    assert kinds == {pl.String, pl.Float64}
    assert table.frame["system"].to_list() == ["", "", ""]
    assert table.frame["nodes"].to_list() == [2.0, None, None]


def test_accessors_are_si(table):
    assert len(table) == 3
    np.testing.assert_array_equal(table.ranks, [4.0, 8.0, 16.0])
    np.testing.assert_array_equal(table.size_bytes, [1024.0, 2e9, 1024.0])
    np.testing.assert_allclose(table.time_s, [5e-6, 5e-6, 7.5e-6])
    np.testing.assert_allclose(table.min_s, [4e-6, np.nan, np.nan])
    np.testing.assert_allclose(table.p90_s, [6e-6, np.nan, np.nan])
    np.testing.assert_array_equal(table.nodes, [2.0, np.nan, np.nan])
    np.testing.assert_array_equal(table.ranks_per_node, [2.0, np.nan, np.nan])
    for array in (table.ranks, table.time_s, table.nodes, table.p90_s):
        assert array.dtype == np.float64
    assert list(table.collective) == ["all_reduce", "all_reduce", "all_gather"]
    assert list(table.algorithm) == ["", "ring", ""]
    assert list(table.series) == ["a", "b", "b"]
    assert list(table.dtype) == ["half", "", ""]


def test_repr_says_what_is_there(table):
    assert repr(table) == (
        "Measurements(3 rows; series a, b; all_gather, all_reduce; 4 to 16 ranks; "
        "1.02 kB to 2 GB; 1 set aside)"
    )
    empty = table.select(max_ranks=1)
    assert repr(empty) == "Measurements(0 rows; 1 set aside)"


def test_select(table):
    assert len(table.select()) == 3
    assert len(table.select(series="b")) == 2
    assert len(table.select(series=["a", "b"], collective="all_reduce_perf")) == 2
    assert len(table.select(collective=("allr", "allg"))) == 3
    assert len(table.select(algorithm="ring")) == 1
    assert list(table.select(min_ranks=8, max_ranks=8).ranks) == [8.0]
    assert table.select(series="b").set_aside == table.set_aside
    with pytest.raises(MeasurementError, match="collective"):
        table.select(collective="all_redcue")


def test_filter(table):
    assert list(table.filter(table.ranks > 4).ranks) == [8.0, 16.0]
    assert len(table.filter([True, False, False])) == 1
    empty = table.filter(np.zeros(3, bool))
    assert len(empty) == len(empty.filter([])) == len(empty.time_s) == 0
    for mask in ([True], [1, 0, 1], [0.5, 0.0, 1.0], True):
        with pytest.raises(MeasurementError, match="mask"):
            table.filter(mask)


def test_concat_keeps_order_and_what_was_set_aside(table):
    both = table.select(series="b").concat(table.select(series="a"), table)
    assert list(both.series) == ["b", "b", "a", "a", "b", "b"]
    assert len(both.set_aside) == 3


def test_records_are_checked():
    with pytest.raises(MeasurementError, match="'time_ms' is unknown"):
        Measurements.from_records([row(time_ms=5.0)])
    with pytest.raises(MeasurementError, match="collective"):
        Measurements.from_records([{"ranks": 4}])
    for value in (0.0, -1.0, float("nan"), float("inf"), None, "fast"):
        with pytest.raises(MeasurementError, match=r"row 1: time_us is"):
            Measurements.from_records([row(), row(time_us=value)])


def test_the_table_is_frozen(table):
    with pytest.raises(AttributeError):
        table.frame = None
    with pytest.raises(TypeError):
        Measurements(table.frame)  # pyright: ignore[reportCallIssue]


def test_csv_is_written_whole_or_not_at_all(table, tmp_path: pathlib.Path):
    out = tmp_path / "out.csv"
    out.write_text("old")
    table.to_csv(out)
    lines = out.read_text().split("\n")
    assert lines[0].startswith("series,system,fabric,")
    assert lines[1].startswith("a,,,,2.0,4.0,2.0,all_reduce,,1024.0,half,5.0,4.0,6.0,")
    for bad in (tmp_path / "no" / "such.csv", tmp_path):
        with pytest.raises(MeasurementError, match="can't be written"):
            table.to_csv(bad)
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert list(tmp_path.parent.glob(".*.part")) == []

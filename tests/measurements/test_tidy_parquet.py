import io

import polars as pl
import pytest

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements import parquet_process, read_measurements
from fabricmodel.measurements.tidy_parquet import read


def parquet(**columns):
    frame = {"ranks": [8, 16], "collective": ["ar", "ag"], "size_bytes": [64, 128]}
    file = io.BytesIO()
    pl.DataFrame(frame | {"time_us": [5.0, 6.5]} | columns).write_parquet(file)
    return file.getvalue()


def test_a_table(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet(nodes=[None, 2]))
    table = read_measurements(path)
    assert list(table.collective) == ["all_reduce", "all_gather"]
    assert table.frame["nodes"].to_list() == [None, 2.0]
    assert table.frame["time_us"].to_list() == [5.0, 6.5]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"time_us": [5.0, float("nan")]}, "line 3: time_us is 'nan'"),
        ({"size_bytes": [0, 1]}, "line 2: size_bytes is '0'"),
        ({"time_us": [None, 1.0]}, "line 2: time_us is ''"),
        ({"tme_us": [1, 1]}, "column 'tme_us' is unknown"),
    ],
)
def test_bad_values(columns, message):
    with pytest.raises(MeasurementError, match=message):
        read(parquet(**columns), "t.parquet")


def test_a_damaged_file_is_one_error_even_where_polars_panics():
    data = bytearray(parquet())
    with pytest.raises(MeasurementError, match="broken Parquet"):
        read(bytes(data[:-20]), "t.parquet")
    data[-8:-4] = b"\xff\xff\xff\x7f"  # the footer's length
    with pytest.raises(MeasurementError, match=r"t\.parquet: broken Parquet"):
        read(bytes(data), "t.parquet")


def test_one_process_serves_all_files_and_is_replaced_when_it_comes_down():
    read(parquet(), "t.parquet")
    (first,) = parquet_process._running.values()
    read(parquet(), "t.parquet")
    assert list(parquet_process._running.values()) == [first]
    first.kill()
    first.wait()
    assert len(read(parquet(), "t.parquet")) == 2
    (second,) = parquet_process._running.values()
    assert second is not first
    parquet_process._stop()
    assert second.returncode == 0


def test_a_file_that_brings_the_parser_down_is_one_error(monkeypatch):
    """Each attempt gets a process that dies of its first message."""
    parquet_process._stop()
    monkeypatch.setattr(
        parquet_process, "_CHILD", "import sys; sys.stdin.buffer.read(8)"
    )
    with pytest.raises(
        MeasurementError, match=r"broken Parquet \(the parser came down"
    ):
        read(parquet(), "t.parquet")
    assert not parquet_process._running

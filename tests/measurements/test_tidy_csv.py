import pathlib
import tempfile

import hypothesis
import hypothesis.strategies as st
import polars.testing
import pytest

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements import COLLECTIVES, COLUMNS, Measurements
from fabricmodel.measurements.evidence import Given
from fabricmodel.measurements.tidy_csv import matches, read

HEADER = "ranks,collective,size_bytes,time_us"


def test_required_columns_are_enough():
    table = read(f"{HEADER}\n8,allreduce,1024,5.5\n16, bcast ,2048.0,6e1\n", "t.csv")
    assert list(table.ranks) == [8.0, 16.0]
    assert list(table.collective) == ["all_reduce", "broadcast"]
    assert list(table.frame["time_us"]) == [5.5, 60.0]
    assert tuple(table.frame.columns) == COLUMNS
    assert table.set_aside == ()


def test_any_order_spaces_blank_lines_quotes_and_crlf():
    head = "\r\ntime_us, ranks ,collective,size_bytes,notes\r\n\r\n"
    text = head + '5,8,ar,64,"a, ""b"""\r\n'
    table = read(text, "t.csv")
    assert table.frame["notes"].to_list() == ['a, "b"']
    assert list(table.ranks) == [8.0]


@pytest.mark.parametrize("column", ["time_ms", "size_kb", "tme_us", ""])
def test_unknown_column_is_named_and_the_known_are_listed(column):
    with pytest.raises(MeasurementError) as caught:
        read(f"{HEADER},{column}\n8,ar,64,5,1\n", "t.csv")
    assert f"t.csv, line 1: column {column!r} is unknown." in str(caught.value)
    assert "size_bytes, dtype, time_us" in str(caught.value)


def test_a_slip_of_the_pen_gets_a_hint():
    with pytest.raises(MeasurementError, match=r"Rename it, to time_us\?"):
        read("ranks,collective,size_bytes,tme_us\n8,ar,64,5\n", "t.csv")


def test_missing_and_repeated_columns():
    with pytest.raises(MeasurementError, match="no column size_bytes, time_us"):
        read("ranks,collective\n8,ar\n", "t.csv")
    with pytest.raises(MeasurementError, match="'ranks' comes twice"):
        read(f"{HEADER},ranks\n8,ar,64,5,8\n", "t.csv")


@pytest.mark.parametrize("value", ["0", "-1", "nan", "NaN", "inf", "-inf", "", "5ms"])
@pytest.mark.parametrize("column", ["ranks", "size_bytes", "time_us"])
def test_bad_numbers_name_file_line_value_and_remedy(column, value):
    good = {"ranks": "8", "collective": "ar", "size_bytes": "64", "time_us": "5"}
    lines = [
        HEADER,
        ",".join(good.values()),
        ",".join((good | {column: value}).values()),
    ]
    with pytest.raises(MeasurementError) as caught:
        read("\n".join(lines), "t.csv")
    message = str(caught.value)
    assert message.startswith(f"t.csv, line 3: {column} is {value!r}")
    assert message.endswith("Correct the value or remove the row.")


def test_optional_numbers():
    head = f"{HEADER},nodes,min_us"
    table = read(f"{head}\n8,ar,64,5,,\n8,ar,64,5,2,0.0\n", "t.csv")
    assert table.frame["nodes"].to_list() == [None, 2.0]
    assert table.frame["min_us"].to_list() == [None, 0.0]  # a coarse clock
    for bad in ("0,1", "1,-1", "nan,1", "x,1"):
        with pytest.raises(MeasurementError, match=r"line 2: (nodes|min_us) is"):
            read(f"{head}\n8,ar,64,5,{bad}\n", "t.csv")


def test_ranks_are_whole():
    with pytest.raises(MeasurementError, match=r"ranks is '2\.5'"):
        read(f"{HEADER}\n2.5,ar,64,5\n", "t.csv")


def test_the_first_bad_line_is_the_one_named():
    with pytest.raises(MeasurementError, match="line 3: size_bytes"):
        read(f"{HEADER}\n8,ar,64,5\n8,ar,0,5\n0,ar,64,5\n8,ar,64,-1\n", "t.csv")


@pytest.mark.parametrize("tail", ["8,ar,64", "8,ar,64,5,9", '8,ar,64,"5', 'a"b"c",1'])
def test_rows_cut_off_or_broken(tail):
    with pytest.raises(MeasurementError, match=r"t\.csv, line 3"):
        read(f"{HEADER}\n8,ar,64,5\n{tail}", "t.csv")


def test_other_collectives_are_set_aside_with_their_line():
    text = f'{HEADER},notes\n8,barrier,64,5,\n8,ar,64,5,"two\nlines"\n8,huh,-1,x,\n'
    table = read(text, "t.csv")
    assert len(table) == 1
    assert [(row.line, row.file) for row in table.set_aside] == [
        (2, "t.csv"),
        (5, "t.csv"),
    ]
    assert "'barrier' is unknown" in table.set_aside[0].reason
    assert table.set_aside[0].text == "8,barrier,64,5,"


def test_hand_written_schedules_are_collectives_of_a_forced_algorithm():
    text = f"{HEADER},algorithm\n8,ring_pass,64,5,\n8,dissemination,64,5,nway_test\n"
    table = read(text, "t.csv")
    assert table.collective.tolist() == ["all_gather", "all_reduce"]
    assert table.algorithm.tolist() == ["ring_pass", "nway_test"]
    bare = read(f"{HEADER}\n8,ring_pass,64,5\n8,ar,64,5\n", "t.csv")
    assert bare.algorithm.tolist() == ["ring_pass", ""]


def test_no_usable_row():
    with pytest.raises(MeasurementError, match=r"no usable row, 1 refused \(line 2"):
        read(f"{HEADER}\n8,barrier,64,5\n", "t.csv")
    with pytest.raises(MeasurementError, match="no row of results"):
        read(f"{HEADER}\n", "t.csv")
    with pytest.raises(MeasurementError, match="no header line"):
        read("\n", "t.csv")


def test_arguments_must_agree_and_fill_what_is_missing():
    text = f"{HEADER}\n8,ar,64,5\n"
    given = Given(ranks=8, nodes=2, collective="all_reduce")
    assert list(read(text, "t.csv", given).nodes) == [2.0]
    for wrong in (Given(ranks=16), Given(collective="all_gather")):
        with pytest.raises(MeasurementError, match=r"line 2: .* the argument"):
            read(text, "t.csv", wrong)


def test_matches_by_header():
    assert matches("collective,ranks\n")
    assert not matches("a,b,c\n1,2,3\n")
    assert not matches("# Rank 0, collective\n")


words = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8
)
numbers = st.floats(1e-300, 1e300)
records = st.lists(
    st.fixed_dictionaries(
        {
            "ranks": st.integers(1, 2**53).map(float),
            "collective": st.sampled_from(COLLECTIVES),
            "size_bytes": numbers,
            "time_us": numbers,
        },
        optional={
            **dict.fromkeys(("nodes", "ranks_per_node", "min_us", "p90_us"), numbers),
            **dict.fromkeys(("series", "algorithm", "dtype", "notes"), words),
        },
    ),
    min_size=1,
    max_size=5,
)


@hypothesis.given(records)
def test_round_trip(rows):
    table = Measurements.from_records(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "t.csv")
        table.to_csv(path)
        text = path.read_bytes().decode()
        again = read(text, "t.csv")
        again.to_csv(path)
        assert path.read_bytes().decode() == text
    polars.testing.assert_frame_equal(again.frame, table.frame, check_exact=True)
    assert again.set_aside == ()

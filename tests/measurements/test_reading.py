import csv
import gzip
import os
import pathlib
import subprocess
import sys

import pytest

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements import read_measurements, supported_formats
from fabricmodel.measurements.__main__ import main

NCCL = """\
#  size   count   type  redop  root  time algbw busbw #wrong  time algbw busbw #wrong
1048576  262144  float  sum    -1   485.3  2.16  4.05   0    486.3  2.16  4.04   0
      0       0  float  sum    -1    1.30  0.00  0.00   0     1.20  0.00  0.00   0
"""
NCCOM = """\
size(B)    count(elems)    type    time:avg(us)    algbw(GB/s)    busbw(GB/s)
33554432        8388608    fp32         2754.15          12.18          22.84
"""
TIDY = "ranks,collective,size_bytes,time_us,notes\n8,ar,64,5,nccom-test size(B)\n"


@pytest.fixture
def files(tmp_path: pathlib.Path):
    contents = {"a.csv": NCCL, "b.log": NCCOM, "c.txt": TIDY}
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    return [tmp_path / name for name in contents]


def test_formats_are_recognised_by_content_and_kept_in_order(files):
    table = read_measurements(*files)
    assert list(table.ranks) == [16.0, 16.0, 16.0, 8.0]
    assert list(table.frame["statistic"]) == ["out-of-place", "in-place", "average", ""]
    assert [row.line for row in table.set_aside] == [3, 3]
    assert table.set_aside[0].file == str(files[0])
    for path in files:
        assert len(read_measurements(os.fspath(path))) in (1, 2)


def test_byte_order_mark_and_foreign_bytes(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbf" + TIDY.encode().replace(b"nccom", b"\xe9t\xe9"))
    assert len(read_measurements(path)) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"\x7fELF\0\0", "a binary file"),
        (gzip.compress(NCCL.encode()), "a binary file"),
        (b"hello\n", "the format is unknown. Give one of: tidy CSV, PICO CSV"),
        (b"a,b\n1,2\n", "the format is unknown"),
        (b'{"some": "json"}', "the format is unknown"),
        (b"# nThread 1 nGpus 8 minBytes 8\n", "no row of results"),
        (b"$ nccom-test -r 2 allr\n", "no row of results"),
    ],
)
def test_useless_files(tmp_path, content, message):
    path = tmp_path / "x.log"
    path.write_bytes(content)
    with pytest.raises(MeasurementError) as caught:
        read_measurements(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_missing_file_directory_and_nothing(tmp_path):
    with pytest.raises(MeasurementError, match="paths: no file given"):
        read_measurements()
    for path in (tmp_path / "none.log", tmp_path):
        with pytest.raises(MeasurementError, match="can't be read"):
            read_measurements(path)


@pytest.mark.parametrize(
    "arguments", [{"ranks": 0}, {"ranks": 2.5}, {"nodes": -1}, {"collective": "sing"}]
)
def test_arguments_are_checked_before_any_file(arguments):
    with pytest.raises(MeasurementError, match=next(iter(arguments))):
        read_measurements("none.log", **arguments)


def test_supported_formats():
    assert len(set(supported_formats())) == 8


def test_command_converts_and_lists(files, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert main([*map(str, files[:2]), "--csv", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "3 rows" in printed
    assert f"set aside: {files[0]}, line 3: out-of-place: size 0" in printed
    with out.open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 3
    assert len(read_measurements(out)) == 3


def test_command_fails_with_one_message_and_writes_nothing(files, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("old")
    before = sorted(tmp_path.iterdir())
    command = [sys.executable, "-m", "fabricmodel.measurements", str(files[0])]
    root = pathlib.Path(__file__).parents[2]
    for extra in (["none.log"], ["--ranks", "7"], ["--collective", "sing"]):
        done = subprocess.run(
            [*command, *extra, "--csv", str(out)],
            cwd=root,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.strip().split("\n")) == 1
    assert out.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == before


def test_command_needs_a_place_to_write(files, tmp_path, capsys):
    missing = tmp_path / "no" / "out.csv"
    assert main([str(files[2]), "--csv", str(missing)]) == 2
    assert "can't be written" in capsys.readouterr().err

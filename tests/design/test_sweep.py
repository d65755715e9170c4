import pathlib
import signal
import subprocess
import sys
import textwrap

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fabricmodel as fm
from fabricmodel.design import collective_cases, sweep

AXES = {"x": [1.0, 2.0, 5.0], "word": ["a", "bb"], "y": [10, 20, 30, 40]}


def question(case):
    letters = np.array([len(word) for word in case["word"]])
    return {"z": case["x"] * case["y"] + letters}


def direct():
    return np.array(
        [[[x * y + len(w) for y in AXES["y"]] for w in AXES["word"]] for x in AXES["x"]]
    )


@pytest.mark.parametrize("chunk", [1, 5, 24, 1000])
def test_every_point_once_in_order(tmp_path, chunk):
    found = sweep(question, AXES, tmp_path, chunk=chunk)
    np.testing.assert_array_equal(found.cube("z"), direct())
    frame = found.scan().collect()
    assert frame.height == 24 == frame.select("x", "word", "y").n_unique()
    assert found.evaluated == len(list(tmp_path.glob("part-*"))) == -(-24 // chunk)


@given(lost=st.sets(st.integers(0, 4)), torn=st.sets(st.integers(0, 4)))
def test_lost_and_torn_chunks_are_answered_again_and_no_others(
    tmp_path_factory, lost, torn
):
    folder = tmp_path_factory.mktemp("sweep")
    sweep(question, AXES, folder, chunk=5)
    for number in torn:
        part = folder / f"part-{number:08d}.parquet"
        part.write_bytes(part.read_bytes()[:-30])
    for number in lost:
        (folder / f"part-{number:08d}.parquet").unlink()
    told = []
    again = sweep(
        question, AXES, folder, chunk=5, progress=lambda *pair: told.append(pair)
    )
    assert again.evaluated == len(lost | torn)
    assert told == [(done, 5) for done in range(6)]
    np.testing.assert_array_equal(again.cube("z"), direct())


def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    script = textwrap.dedent(f"""
        import os, signal
        from fabricmodel.design import sweep
        def square(case):
            if case["x"][0] == 6:
                os.kill(os.getpid(), signal.SIGKILL)
            return {{"y": case["x"] ** 2}}
        sweep(square, {{"x": list(range(10))}}, {str(tmp_path)!r}, chunk=2, name="sq")
    """)
    root = pathlib.Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", script], cwd=root, check=False)
    assert killed.returncode == -signal.SIGKILL
    asked = []

    def square(case):
        asked.extend(case["x"].tolist())
        return {"y": case["x"] ** 2}

    found = sweep(square, {"x": list(range(10))}, tmp_path, chunk=2, name="sq")
    assert asked == [6, 7, 8, 9]
    assert found.cube("y").tolist() == [x**2 for x in range(10)]


def test_an_error_leaves_nothing_half_written(tmp_path):
    def broken(case):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sweep(broken, AXES, tmp_path, name="broken")
    assert [file.name for file in tmp_path.iterdir()] == ["sweep.json"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"axes": {"x": [1.0]}}, "axes"),
        ({"chunk": 7}, "chunk"),
        ({"name": "other"}, "question"),
    ],
)
def test_a_folder_holds_one_sweep(tmp_path, change, place):
    given = {"axes": AXES, "chunk": 5, "name": "first"}
    sweep(question, folder=tmp_path, **given)
    with pytest.raises(fm.FabricModelError, match=f"another sweep: its {place}"):
        sweep(question, folder=tmp_path, **(given | change))


@pytest.mark.parametrize(
    ("function", "axes", "message"),
    [
        (question, {}, "axes: none"),
        (question, {"x": []}, "axes.'x'.: no values"),
        (question, {"x": [1.0, np.nan]}, "holds NaN"),
        (lambda case: {}, {"x": [1]}, "question: has no name"),
    ],
)
def test_bad_questions_are_refused_before_anything_is_written(
    tmp_path, function, axes, message
):
    with pytest.raises(fm.FabricModelError, match=message):
        sweep(function, axes, tmp_path / "new")
    assert not list(tmp_path.rglob("part-*"))


@pytest.mark.parametrize("answers", [{"z": np.zeros(3)}, {"x": np.zeros(24)}])
def test_answers_of_a_wrong_shape_or_name_are_refused(tmp_path, answers):
    with pytest.raises(fm.FabricModelError, match="answers"):
        sweep(lambda case: answers, AXES, tmp_path, name="wrong")


def test_collectives_are_those_of_the_direct_call(tmp_path):
    axes = {
        "fabric": ["trn2-instance"],
        "collective": ["all_gather"],
        "ranks": [16, 64, 7],
        "size_bytes": [2.0**k for k in range(10, 31, 5)],
    }
    found = sweep(collective_cases, axes, tmp_path, chunk=4)  # cuts shapes in two
    times = found.cube("time_s")[0, 0]
    for at, ranks in enumerate(axes["ranks"][:2]):
        fabric = fm.place(fm.load_fabric("trn2-instance"), ranks)
        sizes = np.array(axes["size_bytes"])
        expected = fm.collective_time(fabric, "all_gather", sizes)
        np.testing.assert_allclose(times[at], expected, rtol=1e-12)
    refused = found.scan().filter(pl.col("why") != "").collect()
    assert refused["ranks"].unique().to_list() == [7]
    assert refused["time_s"].is_nan().all()

"""The page of algorithms is what the registry would write today."""

import pathlib
import re

import pytest

from experiments import write_algorithm_page
from fabricmodel.algorithms.registry import every_algorithm

DOCS = pathlib.Path(__file__).parents[2] / "docs"
AGAIN = "run python -m experiments.write_algorithm_page"


@pytest.fixture(scope="module")
def files():
    return write_algorithm_page.pages()


def test_the_page_is_up_to_date(files):
    assert (DOCS / "algorithms.md").read_text() == files["algorithms.md"], AGAIN


def test_the_figures_are_up_to_date(files):
    """The same marks and words; coordinates within what another machine may round."""
    drawn = {f"algorithms/{path.name}" for path in (DOCS / "algorithms").iterdir()}
    assert drawn == set(files) - {"algorithms.md"}, AGAIN
    number = re.compile(r"-?\d+\.\d+")
    for name in drawn:
        old, new = (DOCS / name).read_text(), files[name]
        assert number.sub("#", old) == number.sub("#", new), AGAIN
        ours, theirs = ([float(x) for x in number.findall(text)] for text in (new, old))
        assert ours == pytest.approx(theirs, abs=0.11), AGAIN


def test_every_algorithm_says_what_it_is(files):
    page = files["algorithms.md"]
    for family, collective, name, algorithm in every_algorithm():
        where = f"{family}.{collective}.{name}"
        assert algorithm.summary and len(algorithm.summary) <= 100, where
        assert algorithm.formula.startswith("T = "), where
        assert algorithm.formula.count("{") == algorithm.formula.count("}"), where
        left, right = (algorithm.formula.count(rf"\{x}") for x in ("left", "right"))
        assert left == right, where
        assert algorithm.source and algorithm.supported, where
        assert f"algorithms/{family}-{collective}-{name}.svg" in page, where
        assert algorithm.summary in page, where


def test_it_writes_and_removes(tmp_path, capsys, monkeypatch, files):
    monkeypatch.setattr(write_algorithm_page, "pages", lambda: files)
    gone = tmp_path / "algorithms" / "flat-all_reduce-carrier_pigeon.svg"
    gone.parent.mkdir()
    gone.write_text("")
    assert write_algorithm_page.main(["--out", str(tmp_path)]) == 0
    assert not gone.exists() and (tmp_path / "algorithms.md").exists()
    assert "algorithms in" in capsys.readouterr().out

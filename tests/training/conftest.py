"""Let the tests of this folder import the sample beside them, and share its fit."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import sample

from fabricmodel.training.fit import fit_runs
from fabricmodel.training.runs import read_runs


@pytest.fixture(scope="session")
def sample_csv(tmp_path_factory):
    """Runs with a known truth, and rows that are hard to read."""
    path = tmp_path_factory.mktemp("runs") / "runs.csv"
    sample.write(path)
    return path


@pytest.fixture(scope="session")
def sample_runs(sample_csv):
    return [run for run in read_runs(sample_csv)[1] if not run.reason]


@pytest.fixture(scope="session")
def sample_fit(sample_runs):
    small = [
        run
        for run in sample_runs
        if run.chips <= sample.FIT_MAX_CHIPS and run.stack in ("alpha", "beta")
    ]
    return fit_runs(small, calibrate=False)

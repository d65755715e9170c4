"""Fits that several tests look at, each made once."""

import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from lab import NOISE, QUESTIONS, RANKS, SIZES, lab, true_time

from fabricmodel import Measurements, fit, load_fabric, load_reference


@pytest.fixture(scope="session")
def measured() -> Measurements:
    rng = np.random.default_rng(7)
    rows = [
        {
            "series": "lab",
            "ranks": ranks,
            "collective": collective,
            "algorithm": algorithm,
            "size_bytes": size,
            "time_us": 1e6
            * true_time(collective, size, ranks, algorithm)
            * rng.lognormal(sigma=NOISE),
        }
        for collective, algorithm in QUESTIONS
        for ranks in RANKS
        for size in SIZES
    ]
    return Measurements.from_records(rows)


@pytest.fixture(scope="session")
def model(measured):
    """The lab's prices from its measurements."""
    return fit(lab(), measured)


@pytest.fixture(scope="session")
def trn1():
    return load_reference("trn1_scaling_allreduce_nccom")


@pytest.fixture(scope="session")
def trn2_model():
    return fit(load_fabric("trn2-instance"), load_reference("trn2_48xl_nccom_r64"))

"""What the model misses: the field, its scales, and what it does to predictions."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabricmodel.fitting.discrepancy import (
    Discrepancy,
    Points,
    conditioned,
    kernel,
    scaled,
    variance,
    whitener,
)

SIZES = 2.0 ** np.arange(10, 30, 2)
RANKS = np.array([4.0, 16.0, 64.0])


def grid(ranks=RANKS, sizes=SIZES, label=""):
    n, s = (x.ravel() for x in np.meshgrid(ranks, sizes, indexing="ij"))
    return points(s, n, label)


def points(sizes, ranks, label=""):
    return Points(
        size_bytes=sizes,
        ranks=ranks,
        local=np.ones(len(sizes)),
        algorithm=np.array([label] * len(sizes)),
    )


def field(at, residual):
    return conditioned(Discrepancy(), 2.0, at, residual, np.zeros((len(at), 1)))


@given(
    sizes=st.lists(st.floats(1.0, 1e10), min_size=2, max_size=12, unique=True),
    ranks=st.lists(st.integers(2, 100_000), min_size=12, max_size=12),
    field_sd=st.floats(0.01, 1.0),
    walk_sd=st.floats(0.01, 1.0),
)
def test_it_is_a_covariance(sizes, ranks, field_sd, walk_sd):
    d = Discrepancy(field_sd=field_sd, walk_sd=walk_sd)
    at = points(np.array(sizes), np.array(ranks[: len(sizes)], float))
    both = kernel(d, 1.0, at, at)
    np.testing.assert_allclose(both, both.T, rtol=1e-12)
    assert np.linalg.eigvalsh(both).min() > -1e-9
    np.testing.assert_allclose(np.diag(both), variance(d, 1.0, at), rtol=1e-12)


def test_the_walk_is_brownian_in_octaves_of_ranks():
    d = Discrepancy(field_sd=0.0, walk_sd=0.1)
    one = points(np.array([1e6, 1e6]), np.array([16.0, 256.0]))
    # 2 octaves from the anchor at 4 ranks to 16, 6 to 256; the earlier one is shared
    np.testing.assert_allclose(
        kernel(d, 2.0, one, one), [[0.02, 0.02], [0.02, 0.06]], rtol=1e-12
    )


def test_beyond_the_data_it_carries_on_what_was_missed_at_the_largest_scale():
    at = grid()
    residual = np.where(at.size_bytes > 1e6, 0.3, 0.0) + 0.05 * np.log2(at.ranks / 4)
    mean, left, _ = field(at, residual).ask(grid(ranks=np.array([1024.0])))
    last = residual[at.ranks == 64.0]
    np.testing.assert_allclose(mean, last, atol=0.14)
    assert np.corrcoef(mean, last)[0, 1] > 0.94
    assert np.all(left < Discrepancy().field_sd ** 2)


def test_another_algorithm_says_nothing():
    mean, left, _ = field(grid(label="ring"), np.full(len(grid()), 0.4)).ask(grid())
    np.testing.assert_allclose(mean, 0.0, atol=1e-12)
    np.testing.assert_allclose(left, variance(Discrepancy(), 2.0, grid()))


def test_an_outlier_pulls_no_more_than_three_deviations():
    at = grid()
    residual = np.zeros(len(at))
    residual[7] = 3.0
    some = field(at, residual).ask(at)[0]
    residual[7] = 30.0
    most = field(at, residual).ask(at)[0]
    np.testing.assert_allclose(most, some, atol=1e-12)
    assert 0.0 < np.max(np.abs(most)) < 0.5


@pytest.mark.parametrize(("field_sd", "noise_sd"), [(0.3, 0.02), (0.01, 0.1)])
def test_scales_are_told_from_residuals(field_sd, noise_sd):
    at = grid(ranks=2.0 ** np.arange(2, 8))
    truth = Discrepancy(field_sd=field_sd, walk_sd=field_sd / 2, noise_sd=noise_sd)
    draw = np.random.default_rng(3).normal(size=len(at))
    residual = np.linalg.solve(whitener(truth, 2.0, at), draw)
    typical = dataclasses.replace(Discrepancy(), walk_sd=Discrepancy().field_sd / 2)
    found = scaled(typical, [(at, residual, np.zeros((len(at), 2)))], 2.0)
    assert 0.5 < found.field_sd / max(field_sd, 0.01) < 2.9
    assert 0.5 < found.noise_sd / noise_sd < 3.0


def test_what_parameters_absorbed_is_no_proof_of_a_good_fit():
    """Residuals of a fit with many parameters are smaller than the noise."""
    rng = np.random.default_rng(5)
    at = grid(ranks=2.0 ** np.arange(2, 8))
    slopes = 30.0 * rng.normal(size=(len(at), 25))
    noise = rng.normal(scale=0.1, size=len(at))
    left = noise - slopes @ np.linalg.lstsq(slopes, noise, rcond=None)[0]
    typical = Discrepancy()
    aware = scaled(typical, [(at, left, slopes)], 2.0)
    blind = scaled(typical, [(at, left, np.zeros_like(slopes))], 2.0)
    assert aware.noise_sd >= blind.noise_sd
    assert aware.noise_sd + aware.field_sd > blind.noise_sd + blind.field_sd

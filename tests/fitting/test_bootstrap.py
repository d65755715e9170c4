"""Refits to simulated measurements, beside Laplace's approximation."""

import numpy as np
import pytest
from lab import RANKS, SIZES, lab, true_time

from fabricmodel import FabricError, bootstrap, prior_model

DRAWS = 64


@pytest.fixture(scope="module")
def refits(model, measured):
    return bootstrap(model, measured, draws=DRAWS)


def test_refits_arrive(refits, model):
    assert refits.theta.shape == (DRAWS, len(model.theta))
    assert refits.converged.mean() > 0.7
    assert np.all(np.isfinite(refits.theta))
    assert np.std(refits.theta, axis=0).min() > 0.01  # each was moved


def test_refits_scatter_about_the_fit(refits, model):
    sd = np.sqrt(np.diag(model.covariance))
    off = (np.median(refits.theta, axis=0) - model.theta) / sd
    assert np.abs(off).max() < 0.9
    assert np.median(np.abs(off)) < 0.2


def test_laplace_says_the_same_of_the_prices(refits, model):
    laplace = np.sqrt(np.diag(model.covariance)) * model.parameters.spread
    ratio = np.array(list(refits.spreads().values())) / laplace
    assert 0.8 < np.median(ratio) < 1.2
    informed = np.array(list(model.informed().values())) > 0.5
    assert informed.sum() > 3
    assert np.all((ratio[informed] > 0.5) & (ratio[informed] < 2.2)), ratio[informed]


def test_laplace_says_the_same_of_predictions(refits, model):
    """Or is wider: it takes the library's choice for made, and so sees less cancel."""
    for ranks, size in [(n, s) for n in (16.0, 64.0, 1024.0) for s in SIZES[::4]]:
        here, there = (
            each.predict("all_gather", size, ranks) for each in (model, refits)
        )
        assert there.draws_s.shape == (DRAWS,)
        assert there.median_s == pytest.approx(float(here.median_s), rel=0.1)
        widths = [np.log(np.divide(*x.interval(0.9)[::-1])) for x in (here, there)]
        assert 0.4 < widths[1] / widths[0] < 1.4, (ranks, size)


def test_refits_cover_the_truth(refits):
    ranks = np.repeat(np.array(RANKS, float), len(SIZES))
    sizes = np.tile(SIZES, len(RANKS))
    truth = np.array(
        [true_time("all_gather", s, int(n)) for n, s in zip(ranks, sizes, strict=True)]
    )
    low, high = refits.predict("all_gather", sizes, ranks).interval(0.9)
    assert np.mean((truth > low) & (truth < high)) > 0.9


def test_the_same_seed_gives_the_same(model, measured, refits):
    again = bootstrap(model, measured, draws=DRAWS)
    np.testing.assert_array_equal(again.theta, refits.theta)


def test_other_measurements_are_refused(model, measured):
    with pytest.raises(FabricError, match="fitted to"):
        bootstrap(model, measured.filter(measured.ranks > 2))
    with pytest.raises(FabricError, match="not fitted"):
        bootstrap(prior_model(lab()), measured)

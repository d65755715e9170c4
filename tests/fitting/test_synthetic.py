"""Measurements made from known prices: what the fit says about them."""

import dataclasses

import numpy as np
import pytest
from lab import NOISE, QUESTIONS, RANKS, SIZES, lab, true_time

from fabricmodel import (
    FabricError,
    FabricModelError,
    Level,
    Measurements,
    fit,
    load_fabric,
    prior_model,
)
from fabricmodel.fitting.labels import algorithm_of
from fabricmodel.fitting.model import MISSED
from fabricmodel.fitting.parameters import prices
from fabricmodel.fitting.posterior import octaves_outside

GRID = [(ranks, size) for ranks in RANKS for size in SIZES]


def ask(model, collective, algorithm="", *, times_size=1.0, grid=GRID):
    """Return the prediction on the grid, and the truth."""
    ranks = np.array([ranks for ranks, _ in grid], float)
    sizes = np.array([size for _, size in grid]) * times_size
    truth = [
        true_time(collective, size, int(count), algorithm)
        for count, size in zip(ranks, sizes, strict=True)
    ]
    return model.predict(collective, sizes, ranks, algorithm=algorithm), truth


def test_the_search_converged(model):
    assert model.converged
    assert model.solution.distance < 1e-2
    assert model.solution.agreeing >= 1
    assert np.all(np.diff(model.solution.losses) >= 0)
    assert model.seen.rows == len(QUESTIONS) * len(GRID)
    assert model.seen.ranks == (2.0, 64.0)
    for belief in model.beliefs.values():
        assert 0.4 * NOISE < belief.noise_sd < 2.5 * NOISE


def test_informed_prices_are_recovered(model):
    truth, catalogue = prices(lab(1.0)), prices(lab())
    found = prices(model.fabric)
    informed = model.informed()
    sd = np.sqrt(np.diag(model.covariance)) * model.parameters.spread
    known = [name for name in truth if informed[name] > 0.5]
    assert {"bus.byte_s", "bus.round_s", "cable.byte_s"} <= set(known)
    for name in known:
        width = sd[model.parameters.names.index(name)]
        error = np.log(found[name] / truth[name])
        assert abs(error) < 3 * width, name
        assert abs(error) < abs(np.log(catalogue[name] / truth[name])), name


def test_an_untouched_price_is_the_catalogues_and_uninformed(model):
    """Nothing but an all_reduce reduces, and none was measured."""
    fabric = dataclasses.replace(lab(), reduce_byte_s=1e-12)
    carried = model.on(fabric)
    assert carried.fabric.reduce_byte_s == pytest.approx(1e-12, rel=1e-12)
    assert carried.informed()["reduce_byte_s"] == pytest.approx(0.0, abs=1e-9)
    assert all(-1e-6 < share < 1 for share in model.informed().values())


@pytest.mark.parametrize(("collective", "algorithm"), QUESTIONS)
def test_predictions_between_the_measured_sizes(model, collective, algorithm):
    prediction, truth = ask(model, collective, algorithm, times_size=0.6)
    errors = np.abs(prediction.median_s / truth - 1)
    assert np.median(errors) < 0.02
    assert np.quantile(errors, 0.95) < 0.05


@pytest.mark.parametrize(("collective", "algorithm"), QUESTIONS)
def test_intervals_cover_a_new_measurement(model, collective, algorithm):
    prediction, truth = ask(model, collective, algorithm)
    rng = np.random.default_rng(11)
    low, high = prediction.interval(0.9)
    drawn = truth * rng.lognormal(sigma=NOISE, size=(40, len(truth)))
    covered = np.mean((drawn > low) & (drawn < high))
    assert 0.82 < covered < 0.995
    narrow = prediction.interval(0.5)
    assert np.mean((drawn > narrow[0]) & (drawn < narrow[1])) < covered - 0.2


def test_intervals_cover_larger_scales(model):
    grid = [(ranks, size) for ranks in (128, 512, 2048) for size in SIZES]
    prediction, truth = ask(model, "all_gather", grid=grid)
    low, high = prediction.interval(0.9)
    assert np.mean((truth > low) & (truth < high)) > 0.9
    assert np.median(np.abs(prediction.median_s / truth - 1)) < 0.1


def test_intervals_widen_with_the_distance(model):
    inside = model.predict("all_gather", 1e6, 64.0).log_scale
    ranks = model.predict("all_gather", 1e6, [64.0, 128.0, 1024.0, 65_536.0]).log_scale
    sizes = model.predict("all_gather", 2.0 ** np.arange(30, 38, 2), 64.0).log_scale
    small = model.predict("all_gather", 2.0 ** np.arange(10, 0, -3), 64.0).log_scale
    assert np.all(np.diff(ranks) > 0.03), ranks
    for widths in (sizes, small):  # towards what models typically miss, and no further
        assert np.all(np.diff(widths) > 0), widths
        assert widths[-1] > widths[0] + 0.08, widths
    unseen = model.predict("all_reduce", 1e6, 64.0).log_scale
    assert unseen > inside + 0.05
    assert inside > 0.5 * NOISE


def test_terms_add_up_to_the_median(model):
    for collective in ("all_gather", "all_to_all", "all_reduce"):
        prediction = model.predict(
            collective, np.array(SIZES)[:, None], [2.0, 64.0, 4096.0]
        )
        assert prediction.median_s.shape == (len(SIZES), 3)
        assert set(prediction.terms) == {
            "bus latency",
            "bus bandwidth",
            "cable latency",
            "cable stragglers",
            "cable bandwidth",
            "launch",
            MISSED,
        }
        summed = sum(prediction.terms.values())
        np.testing.assert_allclose(summed, prediction.median_s, rtol=1e-6)
        for name, term in prediction.terms.items():
            assert name == MISSED or np.all(term >= -1e-12)
    launch = model.fabric.launch_s["all_gather"]
    np.testing.assert_allclose(prediction.terms["launch"], launch, rtol=1e-6)
    assert prediction.terms["cable latency"][0, 0] == pytest.approx(0.0, abs=1e-12)


def test_interval_is_symmetric_about_the_median_in_log_time(model):
    prediction = model.predict("all_gather", 1e6, 64)
    low, high = prediction.interval(0.9)
    assert low * high == pytest.approx(prediction.median_s**2)
    assert np.log(high / low) == pytest.approx(
        2 * 2.1318 * prediction.log_scale, rel=1e-4
    )
    for level in (0.0, 1.0, -0.5, 90):
        with pytest.raises(ValueError, match="probability"):
            prediction.interval(level)


def test_a_forced_algorithm(model):
    """Dearer than the library's choice, and read from a label in any spelling."""
    chosen = model.predict("all_gather", 1e4, 64.0).median_s
    ring = model.predict("all_gather", 1e4, 64.0, algorithm="ring").median_s
    assert ring > 2 * chosen
    mixed = model.predict("all_gather", 1e4, 64.0, algorithm=["ring"])
    assert mixed.median_s == pytest.approx(ring)
    several = model.predict("all_gather", [1e4] * 3, 64.0, algorithm=["", "ring", ""])
    np.testing.assert_allclose(several.median_s, [chosen, ring, chosen], rtol=1e-9)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Ring", "ring"),
        (" KangaRing ", "kangaring"),
        ("recursive-doubling", "recursive_doubling"),
        ("rabenseifner", "halving_doubling"),
        ("pairwise_ompi", "pairwise"),
        ("NCCL default selection", ""),
        ("hier", ""),
        ("", ""),
    ],
)
def test_labels(label, name):
    assert algorithm_of(label) == name


def test_warnings_in_words(model):
    def said(*question, **kwargs):
        return " / ".join(model.predict(*question, **kwargs).warnings)

    assert said("all_gather", 1e6, 64) == ""
    assert "all_reduce was not measured" in said("all_reduce", 1e6, 64)
    far = said("all_gather", 1e6, 65_536)
    assert "1.02e+03 times beyond your largest run (64 ranks)" in far or (
        "1,02" in far and "largest run (64 ranks)" in far
    )
    assert "below your smallest run (2 ranks)" in said("all_gather", 1e6, 1)
    assert "sizes outside the measured 1,024 to 1,073,741,824" in said(
        "all_gather", 1e10, 64
    )


def test_on_another_fabric(model):
    """The shared links keep what was learned, and how sure it is; the rest is new."""
    spine = Level(
        name="spine",
        kind="switch",
        link="fibre",
        grows=True,
        round_s=3e-5,
        byte_s=2e-10,
    )
    node, net = lab().levels
    net = dataclasses.replace(net, grows=False, members=16.0, capacity=16.0)
    larger = dataclasses.replace(lab(), name="hall", levels=(node, net, spine))
    carried = model.on(larger)
    ours, theirs = prices(carried.fabric), prices(model.fabric)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=1e-12)
    assert ours["fibre.byte_s"] == pytest.approx(2e-10)
    before, after = model.informed(), carried.informed()
    for name in set(before) & set(after):
        assert after[name] == pytest.approx(before[name], abs=1e-12)
    assert after["fibre.byte_s"] == pytest.approx(0.0, abs=1e-9)
    both = [name for name in carried.parameters.names if name in before]
    old = [model.parameters.names.index(name) for name in both]
    new = [carried.parameters.names.index(name) for name in both]
    np.testing.assert_allclose(
        carried.covariance[np.ix_(new, new)], model.covariance[np.ix_(old, old)]
    )
    assert carried.fabric.name == "hall"
    there = carried.predict("all_to_all", 1e6, 512)
    assert there.log_scale > model.predict("all_to_all", 1e6, 64).log_scale
    assert there.terms["fibre latency"] > 0


def test_arrays_broadcast(model):
    sizes, ranks = np.array([[1e3], [1e7]]), np.array([2.0, 8.0, 64.0])
    together = model.predict("all_gather", sizes, ranks)
    assert together.median_s.shape == together.log_scale.shape == (2, 3)
    one = model.predict("all_gather", 1e7, 8)
    assert one.median_s.shape == ()
    assert together.median_s[1, 1] == pytest.approx(float(one.median_s), rel=1e-9)
    assert together.log_scale[1, 1] == pytest.approx(float(one.log_scale), rel=1e-6)


def test_prior_model_is_as_wide_as_the_catalogue(model):
    prior = prior_model(lab())
    prediction = prior.predict("all_gather", 1e6, 64)
    assert prior.converged
    assert prediction.warnings == ("no measurements: catalogue prices alone",)
    assert prediction.log_scale > 3 * model.predict("all_gather", 1e6, 64).log_scale
    assert set(prior.informed().values()) == {0.0}
    low, high = prediction.interval(0.9)
    assert low < true_time("all_gather", 1e6, 64) < high


def test_bad_questions(model):
    with pytest.raises(FabricError, match="no measurements"):
        fit(lab(), Measurements.from_records([]))
    with pytest.raises(FabricError, match="all_gahter"):
        model.predict("all_gahter", 1e6, 64)
    for ranks in (7, 2.5, np.nan, 0, -8):
        with pytest.raises(FabricError, match="ranks"):
            model.predict("all_gather", 1e6, ranks)
    row = {"ranks": 7, "collective": "all_gather", "size_bytes": 8, "time_us": 1.0}
    with pytest.raises(FabricError, match="7 ranks do not divide"):
        fit(lab(), Measurements.from_records([row]))
    with pytest.raises(FabricError, match="exceed trn1-instance"):
        fit(
            load_fabric("trn1-instance"),
            Measurements.from_records([row | {"ranks": 64}]),
        )


def test_rows_tell_prices_from_what_they_miss(model, measured):
    rows = model.predict_rows(measured)
    assert np.all((rows.low_s < rows.median_s) & (rows.median_s < rows.high_s))
    part = measured.select(collective="all_to_all")
    asked = model.predict("all_to_all", part.size_bytes, part.ranks)
    at = measured.collective == "all_to_all"
    np.testing.assert_allclose(rows.median_s[at], asked.median_s, rtol=1e-9)
    np.testing.assert_allclose(
        rows.median_s[at] - rows.priced_s[at], asked.terms[MISSED], atol=1e-12
    )


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize("size", [np.nan, np.inf, -1.0])
def test_bad_sizes(model, size):
    with pytest.raises(FabricModelError):
        model.predict("all_gather", size, 64)


def test_no_octaves_outside_without_data():
    values = np.array([1.0, 2.0])
    np.testing.assert_array_equal(octaves_outside(values, np.nan, np.nan), [0.0, 0.0])
    np.testing.assert_allclose(octaves_outside(np.array([1.0, 32.0]), 4.0, 8.0), [2, 2])

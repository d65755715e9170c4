"""Best and 90th percentile: learned where they are told, refused where they are not."""

import dataclasses

import numpy as np
import pytest
from lab import lab

from fabricmodel import FabricError, Measurements, load_reference, prior_model
from fabricmodel.fitting.model import FittedModel
from fabricmodel.fitting.statistic import Ratio, ask, ratios

SIZES = 2.0 ** np.arange(8, 28)
RANKS = np.array([4.0, 16.0, 64.0])
RNG = np.random.default_rng(3)


def table(p90=None, best=None, series="lab", repeats=1):
    """Rows of every size and rank count; the functions give ratios to the median."""
    rows = []
    for ranks in RANKS:
        for size in SIZES:
            row = {
                "series": series,
                "ranks": ranks,
                "collective": "all_reduce",
                "size_bytes": size,
                "time_us": 10.0,
            }
            if p90 is not None:
                row["p90_us"] = 10.0 * p90(size, ranks)
            if best is not None:
                row["min_us"] = 10.0 * best(size, ranks)
            rows += [row] * repeats
    return Measurements.from_records(rows)


def noisy(typical):
    return lambda size, ranks: np.exp(typical(size, ranks) * RNG.lognormal(sigma=0.4))


def test_a_constant_ratio_is_recovered_and_no_slope_invented():
    times = table(p90=noisy(lambda s, n: 0.1), best=noisy(lambda s, n: -0.05))
    found = ratios(times)
    for name, truth in (("p90", 0.1), ("best", -0.05)):
        learned = found[name]["lab"]
        log, spread = learned.at(SIZES, np.full(len(SIZES), 16.0))
        np.testing.assert_allclose(log, truth, rtol=0.2)
        assert learned.line[1:] == (0.0, 0.0)
        assert 0.2 * abs(truth) < spread[0] < 0.6 * abs(truth)
        assert learned.rows == len(times)


def test_a_slope_in_size_is_found():
    def truth(size, ranks):
        return 0.2 * (size / 2**18) ** -0.25

    learned = ratios(table(p90=noisy(truth)))["p90"]["lab"]
    log, _ = learned.at(SIZES, np.full(len(SIZES), 16.0))
    np.testing.assert_allclose(log, truth(SIZES, 16.0), rtol=0.3)
    assert learned.line[2] == 0.0
    assert learned.line[1] == pytest.approx(-0.25 * np.log(2.0), rel=0.2)


def test_a_slope_in_ranks_is_found_and_not_carried_beyond_the_data():
    learned = ratios(table(p90=noisy(lambda s, n: 0.02 * n**0.8)))["p90"]["lab"]
    assert learned.line[2] > 0.3
    ranks = np.array([64.0, 128.0, 100_000.0])
    log, spread = learned.at(np.full(3, 2.0**18), ranks)
    assert log[0] == log[1] == log[2]
    assert spread[0] < spread[1] < spread[2] < 12 * log[0]


def test_outliers_do_not_move_it():
    def burst(size, ranks):
        return 30.0 if RNG.random() < 0.1 else 1.05

    learned = ratios(table(p90=burst))["p90"]["lab"]
    log, _ = learned.at(SIZES, np.full(len(SIZES), 16.0))
    np.testing.assert_allclose(log, np.log(1.05), rtol=0.05)


def test_from_repeats_where_no_column_tells():
    records = [
        {"ranks": 8, "collective": "all_reduce", "size_bytes": size, "time_us": time}
        for size in (1e3, 1e6)
        for time in np.arange(10.0, 21.0)  # median 15, best 10, 90 % within 19
    ]
    found = ratios(Measurements.from_records(records))
    one = np.array([1e3]), np.array([8.0])
    assert np.exp(found["p90"][""].at(*one)[0][0]) == pytest.approx(19 / 15)
    assert np.exp(found["best"][""].at(*one)[0][0]) == pytest.approx(10 / 15)
    assert ratios(Measurements.from_records(records[:9])) == {}


def test_several_series_speak_for_one_that_is_unknown():
    far = table(p90=lambda s, n: 1.4, series="far")
    found = ratios(table(p90=lambda s, n: 1.1).concat(far))
    one = np.array([1e6]), np.array([16.0])
    for name, truth in (("lab", 1.1), ("far", 1.4)):
        assert np.exp(ask(found, "p90", name, *one)[0][0]) == pytest.approx(truth)
    log, spread = ask(found, "p90", None, *one)
    assert np.log(1.1) < log[0] < np.log(1.4)
    assert spread[0] == pytest.approx(np.log(1.4 / 1.1) / 2, rel=1e-3)


def answering(found) -> FittedModel:
    return dataclasses.replace(prior_model(lab()), ratios=found)


def test_predictions():
    model = answering(ratios(table(p90=lambda s, n: 1.25, best=lambda s, n: 0.9)))
    question = ("all_gather", np.array([1e4, 1e8]), 64)
    plain = model.predict(*question)
    np.testing.assert_array_equal(
        plain.median_s, model.predict(*question, statistic="median").median_s
    )
    late = model.predict(*question, statistic="p90")
    best = model.predict(*question, statistic="best")
    np.testing.assert_allclose(late.median_s / plain.median_s, 1.25, rtol=1e-6)
    np.testing.assert_allclose(best.median_s / plain.median_s, 0.9, rtol=1e-6)
    assert np.all(late.log_scale >= plain.log_scale)
    for each in (late, best):
        total = np.sum(list(each.terms.values()), axis=0)
        np.testing.assert_allclose(total, each.median_s)
    assert (
        late.terms["p90 beside median"].min()
        > 0
        > best.terms["best beside median"].max()
    )


def test_the_best_is_never_below_the_bound():
    found = {"best": {"": Ratio(
        sign=-1.0, line=(5.0, 0.0, 0.0), share=0.0, sizes=(1.0, 1e9), ranks=(2.0, 64.0),
        rows=9,
    )}}  # fmt: skip
    model = answering(found)
    best = model.predict("all_gather", 1e8, 64, statistic="best")
    plain = model.predict("all_gather", 1e8, 64)
    assert 0.05 < best.median_s / plain.median_s < 1


def test_refused_where_no_row_told():
    model = answering({})
    with pytest.raises(FabricError, match="column p90_us, or ask for the median"):
        model.predict("all_gather", 1e6, 64, statistic="p90")
    with pytest.raises(FabricError, match="column min_us"):
        model.predict("all_gather", 1e6, 64, statistic="best")
    with pytest.raises(FabricError, match="'p99' is none"):
        model.predict("all_gather", 1e6, 64, statistic="p99")


LARGER = {
    "leonardo_pico": 256, "fugaku_bine_torus": 512, "aurora_chiara_ag": 1664,
    "alps_nccl_gh200": 64,
}  # fmt: skip


@pytest.mark.parametrize("statistic", ["best", "p90"])
def test_small_runs_tell_of_larger_ones(statistic):
    """What the smaller scales say of 90 % of the rows beyond, over all series."""
    held = []
    for name, last in LARGER.items():
        times = load_reference(name)
        learned = ratios(times.select(max_ranks=last))
        for rows, beyond in (
            (times.select(max_ranks=last), False),
            (times.filter(times.ranks > last), True),
        ):
            told = {"best": rows.min_s, "p90": rows.p90_s}[statistic]
            known = np.isfinite(told)
            at = rows.size_bytes[known], rows.ranks[known]
            log, spread = ask(learned, statistic, name, *at)
            off = np.abs(np.log(told[known] / rows.time_s[known]) - log)
            inside = np.mean(off <= 2.132 * np.maximum(spread, 1e-3))
            if beyond:
                held.append(inside)
            else:
                assert inside > 0.88, (name, inside)
    assert min(held) > 0.6, held
    assert 0.75 < np.mean(held) <= 1.0, held

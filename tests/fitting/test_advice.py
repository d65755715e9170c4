"""What a measurement is worth before it is taken, against conditioning on it."""

import dataclasses

import numpy as np
import pytest
from lab import NOISE, lab, true_time

import fabricmodel as fm
from fabricmodel import FabricError, Measurements, advise, fit, prior_model
from fabricmodel.fitting.advice import rank_counts
from fabricmodel.fitting.discrepancy import conditioned, kernel
from fabricmodel.fitting.questions import Questions

FAR = ("all_gather", 2.0**20, 4096.0)


def after_taking(model, collective, size, ranks):
    """Condition the whole model on one more row: dense algebra, nothing updated."""
    asked = Questions(
        collective=collective,
        size_bytes=np.array([size]),
        ranks=np.array([ranks]),
        ranks_per_node=np.array([np.nan]),
        labels=[""],
    )
    field = model.fields[collective, "lab"]
    one, more = field.at, asked.points()
    at = dataclasses.replace(
        one,
        **{
            x.name: np.concatenate([getattr(one, x.name), getattr(more, x.name)])
            for x in dataclasses.fields(one)
        },
    )
    slopes = np.concatenate([field.slopes, -model._priced(asked, "lab")[2]])
    d, anchor = field.discrepancy, field.anchor

    def information(at, slopes):
        total = kernel(d, anchor, at, at) + d.noise_sd**2 * np.eye(len(at))
        return slopes.T @ np.linalg.solve(total, slopes)

    # what this row adds to what the others say of the parameters
    gained = information(at, slopes) - information(one, field.slopes)
    residual = np.concatenate([field.residual, [0.0]])
    seen = model.seen
    return dataclasses.replace(
        model,
        covariance=np.linalg.inv(np.linalg.inv(model.covariance) + gained),
        fields=model.fields
        | {(collective, "lab"): conditioned(d, anchor, at, residual, slopes)},
        seen=dataclasses.replace(
            seen,
            ranks=(min(seen.ranks[0], ranks), max(seen.ranks[1], ranks)),
            sizes=(min(seen.sizes[0], size), max(seen.sizes[1], size)),
        ),
    )


def ratio(prediction):
    low, high = prediction.interval(0.9)
    return float(high / low)


@pytest.fixture(scope="module")
def suggestions(model):
    return advise(
        model, *FAR, max_ranks=512, sizes=2.0 ** np.array([8.0, 14.0, 20.0, 28.0])
    )


def test_the_first_is_best_and_nothing_widens(model, suggestions):
    now = ratio(model.predict(*FAR))
    assert all(x.now == pytest.approx(now) for x in suggestions)
    after = [x.after for x in suggestions]
    assert after == sorted(after)
    assert max(after) <= now + 1e-9
    assert np.log(after[0]) < 0.8 * np.log(now)
    assert {x.collective for x in suggestions} == {"all_gather", "all_to_all"}
    assert {x.ranks for x in suggestions} == {2.0**k for k in range(1, 10)}
    # at the size asked about, as far out as can be measured
    best = suggestions[0]
    assert (best.collective, best.ranks, best.size_bytes) == (FAR[0], 512.0, FAR[1])


def test_it_is_what_conditioning_on_the_measurement_gives(model, suggestions):
    checked = 0
    for x in suggestions:
        if x.collective == "all_gather" and x.ranks in (2.0, 64.0, 512.0):
            there = after_taking(model, x.collective, x.size_bytes, x.ranks)
            assert x.after == pytest.approx(ratio(there.predict(*FAR)), rel=1e-6), x
            checked += 1
    assert checked == 12


def test_another_collective_helps_by_the_prices_alone(model, suggestions):
    other = [x for x in suggestions if x.collective == "all_to_all"]
    own = [x for x in suggestions if x.collective == "all_gather"]
    assert min(x.after for x in own) < min(x.after for x in other)
    inside = next(x for x in other if x.ranks == 64.0 and x.size_bytes == 2.0**20)
    there = after_taking(model, "all_to_all", inside.size_bytes, inside.ranks)
    assert inside.after == pytest.approx(ratio(there.predict(*FAR)), rel=1e-6)


def test_costs(model, suggestions):
    for x in suggestions[::7]:
        time = float(model.predict(x.collective, x.size_bytes, x.ranks).median_s)
        assert x.time_s == pytest.approx(time)
        assert x.cost_rank_s == pytest.approx(time * x.ranks)
    thrifty = [x for x in suggestions if x.thrifty]
    assert suggestions[0].thrifty
    for x in suggestions:
        as_good = [y for y in suggestions if y.after <= x.after and y is not x]
        cheaper = [y for y in as_good if y.cost_rank_s <= x.cost_rank_s]
        assert x.thrifty == (not cheaper)
    assert len(thrifty) < len(suggestions)


def test_a_refit_with_the_measurement_keeps_the_promise(model, measured, suggestions):
    """Linear algebra foretells what the whole fit then says, to a fifth."""
    best = suggestions[0]
    truth = true_time(best.collective, best.size_bytes, int(best.ranks))
    row = {
        "series": "lab",
        "ranks": best.ranks,
        "collective": best.collective,
        "size_bytes": best.size_bytes,
        "time_us": 1e6 * truth * np.exp(0.5 * NOISE),
    }
    refitted = fit(lab(), measured.concat(Measurements.from_records([row])))
    kept = np.log(ratio(refitted.predict(*FAR)))
    assert kept == pytest.approx(np.log(best.after), rel=0.2)
    assert kept < np.log(best.now)


def test_without_data_and_of_an_unmeasured_collective(model):
    """As wide as the model says, and the first rows of its own teach most."""
    one = {"max_ranks": 256, "sizes": [2.0**20]}
    for each, kind in ((prior_model(lab()), "all_gather"), (model, "all_reduce")):
        found = each.advise(kind, 2.0**20, 4096, **one)
        now = ratio(each.predict(kind, 2.0**20, 4096))
        assert found[0].now == pytest.approx(now)
        assert found[0].collective == kind
        assert np.log(found[0].after) < 0.8 * np.log(now)


def test_numbers_of_ranks():
    cluster = fm.load_fabric("trn2-ultracluster")
    found = rank_counts(cluster, 200)
    assert found.tolist() == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    uneven = dataclasses.replace(lab().levels[0], members=6.0, capacity=6.0)
    fabric = dataclasses.replace(lab(), levels=(uneven, lab().levels[1]))
    assert rank_counts(fabric, 30).tolist() == [2.0, 4.0, 6.0, 12.0, 24.0, 30.0]
    assert rank_counts(fabric, 9, ranks_per_node=3).tolist() == [2.0, 3.0, 6.0, 9.0]


def test_bad_questions(model):
    with pytest.raises(FabricError, match="no job of 2 to 1"):
        advise(model, *FAR, max_ranks=1)
    with pytest.raises(FabricError, match="ranks"):
        advise(model, "all_gather", 1e6, 7, max_ranks=64)
    with pytest.raises(FabricError, match="size"):
        advise(model, "all_gather", -1.0, 64, max_ranks=64)
    with pytest.raises(FabricError, match="size"):
        advise(model, "all_gather", 1e6, 64, max_ranks=64, sizes=[0.0])
    with pytest.raises(FabricError, match="all_gahter"):
        advise(model, "all_gahter", 1e6, 64, max_ranks=64)

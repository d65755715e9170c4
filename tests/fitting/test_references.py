"""The shipped series: how well a fit explains them, and predicts twice the ranks."""

import numpy as np
import pytest

from fabricmodel import collective_time, fit, load_fabric, load_reference
from fabricmodel.fitting.model import MISSED
from fabricmodel.fitting.parameters import prices


def errors(model, times):
    """Absolute relative errors of the medians, and the share inside 90 %."""
    found, inside = [], []
    for collective in sorted(set(times.collective)):
        part = times.select(collective=collective)
        prediction = model.predict(
            collective, part.size_bytes, part.ranks, part.ranks_per_node
        )
        low, high = prediction.interval(0.9)
        found += list(np.abs(prediction.median_s / part.time_s - 1))
        inside += list((part.time_s >= low) & (part.time_s <= high))
    return np.array(found), np.mean(inside)


def test_trn1_is_explained(trn1):
    model = fit(load_fabric("trn1-instance"), trn1)
    assert model.converged
    missed, inside = errors(model, trn1)
    assert np.median(missed) <= 0.04
    assert np.mean(missed) <= 0.06
    assert inside > 0.75


def test_trn1_up_to_16_ranks_predicts_32(trn1):
    model = fit(load_fabric("trn1-instance"), trn1.select(max_ranks=16))
    assert model.converged
    unseen = trn1.select(min_ranks=32)
    assert len(unseen) == 22
    missed, inside = errors(model, unseen)
    assert np.median(missed) <= 0.15
    assert inside > 0.5


def test_trn2_is_explained(trn2_model):
    times = load_reference("trn2_48xl_nccom_r64")
    assert trn2_model.converged
    missed, inside = errors(trn2_model, times)
    assert np.median(missed) <= 0.03
    assert np.mean(missed) <= 0.05
    assert inside > 0.75


def test_an_instance_speaks_for_a_cluster(trn2_model):
    """On one instance the cluster's answer is the instance's own, but for the field."""
    cluster = load_fabric("trn2-instance-cluster")
    carried = trn2_model.on(cluster)
    fitted, here = prices(trn2_model.fabric), prices(carried.fabric)
    for name, value in fitted.items():
        assert here[name] == pytest.approx(value, rel=1e-9)
    assert here["efa-v3.round_s"] == pytest.approx(prices(cluster)["efa-v3.round_s"])
    sizes = [2.0**20, 2.0**28]
    one = trn2_model.predict("all_gather", sizes, 64)
    same = carried.predict("all_gather", sizes, 64)
    own = one.median_s - one.terms[MISSED]
    np.testing.assert_allclose(same.median_s, own, rtol=1e-6)
    assert MISSED not in same.terms
    assert np.all(same.log_scale >= one.log_scale)
    far = carried.predict("all_gather", sizes, 64_000)
    assert np.all(far.median_s > same.median_s)
    assert np.all(far.log_scale > 2 * same.log_scale)
    assert far.terms["efa-v3 latency"][0] > 0.5 * far.median_s[0]


def test_a_fitted_fabric_is_a_fabric(trn2_model):
    sizes = [2.0**20, 2.0**28]
    prediction = trn2_model.predict("all_gather", sizes, 64)
    predicted = prediction.median_s - prediction.terms[MISSED]
    direct = collective_time(trn2_model.fabric, "all_gather", np.array(sizes))
    np.testing.assert_allclose(direct, predicted, rtol=1e-6)

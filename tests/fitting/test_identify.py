"""Which prices data tell apart: known from how the measurements were chosen."""

import numpy as np
from lab import lab

from fabricmodel import prior_model
from fabricmodel.fitting.identify import in_words, informed_apart, trade_offs
from fabricmodel.fitting.questions import Questions

NOISE = 0.003


def posterior(ranks, sizes, collective="all_gather"):
    """Names, covariance and spread of the lab after measurements of a ring."""
    n, s = (x.ravel() for x in np.meshgrid(np.array(ranks, float), sizes))
    model = prior_model(lab())
    asked = Questions(
        collective=collective,
        size_bytes=s,
        ranks=n,
        ranks_per_node=np.full(len(n), np.nan),
        labels=["ring"] * len(n),
    )
    slopes = model._priced(asked, None)[2]
    size = slopes.shape[1]
    found = np.linalg.inv(np.eye(size) + slopes.T @ slopes / NOISE**2)
    return model.parameters.names, found, np.asarray(model.parameters.spread)


def pairs(*measured):
    names, covariance, spread = posterior(*measured)
    return {(x.first, x.second): x for x in trade_offs(names, covariance, spread)}


def test_one_number_of_rounds_tells_launch_and_rounds_apart_not_at_all():
    """Two ranks of one node: one launch and one round in each row, and bytes."""
    found = pairs([2.0], 2.0 ** np.arange(10, 31, 2))
    pair = found["bus.round_s", "launch_s"]
    assert pair.correlation < -0.95
    assert pair.together < 0.05 < min(pair.alone)
    assert str(pair) == ("a round of bus against the launch: only their sum is known")


def test_several_numbers_of_rounds_tell_them_apart():
    assert ("bus.round_s", "launch_s") not in pairs(
        [2.0, 3.0, 4.0], 2.0 ** np.arange(10, 31, 2)
    )


def test_two_that_are_known_anyway_are_no_trade_off():
    cov = 0.005 * np.array([[1.0, -0.95], [-0.95, 1.0]])
    assert trade_offs(("a.byte_s", "b.byte_s"), cov, np.ones(2)) == ()
    assert len(trade_offs(("a.byte_s", "b.byte_s"), 10 * cov, np.ones(2))) == 1


def test_nothing_is_tied_together_by_nothing():
    names, _, spread = posterior([2.0], np.array([1e6]))
    assert trade_offs(names, np.eye(len(names)), spread) == ()


def test_a_ratio_is_known_where_both_move_together():
    cov = np.array([[0.5, 0.49], [0.49, 0.5]])
    (pair,) = trade_offs(("a.byte_s", "b.byte_s"), cov, np.array([0.5, 0.2]))
    assert str(pair).endswith("only their ratio is known")
    np.testing.assert_allclose(pair.alone, [0.5**1.5, 0.2 * 0.5**0.5])
    np.testing.assert_allclose(pair.together, 0.1)


def test_what_one_price_would_be_if_the_others_were_known():
    """By hand: with the others held, rows of slope j leave 1 / sqrt(1 + j^2 / v)."""
    names, covariance, _ = posterior([2.0], np.array([64.0]))
    slopes = np.linalg.inv(covariance) - np.eye(len(names))
    expected = 1.0 - 1.0 / np.sqrt(1.0 + np.diag(slopes))
    np.testing.assert_allclose(informed_apart(covariance), expected, atol=1e-9)
    assert informed_apart(covariance)[names.index("launch_s")] > 0.95


def test_every_price_of_the_lab_has_words(model):
    words = [in_words(name) for name in model.parameters.names]
    assert len(set(words)) == len(words)
    assert "a round of cable" in words
    assert in_words("protocol.ll.choice") == "the library's liking of protocol ll"
    assert in_words("all_gather.net.ring.above_bytes") == (
        "the size from which net's ring is taken in all_gather"
    )


def test_a_fitted_model_lists_its_own(model):
    loose = model.trade_offs(0.0)
    n = len(model.parameters.names)
    assert n < len(loose) <= n * (n - 1) // 2
    ordered = [abs(pair.correlation) for pair in loose]
    assert ordered == sorted(ordered, reverse=True)
    assert model.trade_offs(0.9) == tuple(
        pair for pair in loose if abs(pair.correlation) >= 0.9
    )

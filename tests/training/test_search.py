"""Layouts found, all of them valid; the published one among them; the tax's bounds."""

import numpy as np
import pytest

from fabricmodel.errors import FabricModelError
from fabricmodel.training.habits import drawn_habits, list_habits, load_habits
from fabricmodel.training.layout import Layout, check
from fabricmodel.training.models import load_model
from fabricmodel.training.platforms import list_platforms, load_platform
from fabricmodel.training.search import evaluate, search, take, valid_layouts
from fabricmodel.training.tax import communication_tax
from fabricmodel.training.workload import workload

MODEL = load_model("llama3.1-405b")
WORK = workload(MODEL, sequence=8192.0)
H100 = load_platform("h100")
PUBLISHED = Layout(  # Grattafiori et al. 2024, table 4: 16,384 GPUs, 16M tokens
    tp=8.0, cp=1.0, pp=16.0, dp=128.0, microbatches=16.0, virtual=8.0, zero=2.0
)


@pytest.fixture(scope="module")
def found():
    return search(H100, MODEL, WORK, 16_384, 2048, load_habits("h100"))


def test_every_layout_found_is_valid(found):
    for at in range(0, len(found.step_s), 97):
        check(WORK, take(found.layout, at), heads=128.0, kv_heads=8.0, memory=80e9)
    assert np.all(np.asarray(found.layout.ranks) == 16_384)
    assert np.all(np.diff(found.step_s) >= 0)


def test_the_published_layout_is_among_them_and_not_better(found):
    """405B on 16,384: the best is at least as good, and the published one near it."""
    same = [
        np.isclose(np.asarray(getattr(found.layout, key)), getattr(PUBLISHED, key))
        for key in ("tp", "cp", "pp", "dp", "virtual", "recompute", "zero")
    ]
    assert np.any(np.all(same, axis=0))
    terms = evaluate(H100, WORK, PUBLISHED, load_habits("h100"))
    published = float(np.sum([float(np.ravel(v)[0]) for v in terms.values()]))
    assert found.step_s[0] <= 1.03 * published
    assert published <= 1.25 * found.step_s[0]


def test_the_published_utilisation_is_met():
    """41 % of peak on 16,384 GPUs (the paper's own count of FLOPs)."""
    terms = evaluate(H100, WORK, PUBLISHED, load_habits("h100"))
    step = float(np.sum([float(np.ravel(v)[0]) for v in terms.values()]))
    utilisation = float(WORK.model_flops()) * 2048 * 8192 / step / 16_384 / 989e12
    assert utilisation == pytest.approx(0.41, abs=0.06)


def test_no_layout_is_one_clear_error():
    with pytest.raises(FabricModelError, match="divides and fits"):
        search(H100, MODEL, WORK, 8, 256, load_habits("h100"))


def test_experts_are_spread():
    model = load_model("mixtral-8x7b")
    work = workload(model, sequence=4096.0)
    layout, tried = valid_layouts(model, work, 64, 256, 80e9)
    assert tried > np.size(layout.tp) > 0
    assert set(np.unique(layout.ep)) >= {1.0, 8.0} or set(np.unique(layout.ep)) >= {8.0}


def test_tax_lies_between_its_bounds_and_adds_up(found):
    best = found.best()
    draws = np.random.default_rng(0).standard_normal((16, len(_beliefs()) + 1))
    tax = communication_tax(H100, WORK, best, drawn_habits("h100", "bf16", draws))
    assert np.all((tax.least <= tax.exposed) & (tax.exposed <= tax.most))
    assert np.all((tax.exposed > 0) & (tax.exposed < 1))
    causes = sum(tax.causes[key] for key in ("tp", "cp", "ep", "pp", "dp", "copies"))
    np.testing.assert_allclose(causes, tax.exposed, rtol=1e-5)
    assert np.all(tax.latency <= tax.exposed)
    assert np.all((tax.energy >= 0) & (tax.energy < 1))


def test_every_platform_has_habits():
    assert set(list_habits()) == set(list_platforms())


def _beliefs():
    from fabricmodel.training.beliefs import BELIEFS

    return BELIEFS

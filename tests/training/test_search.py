"""Layouts found, all of them valid; the published one among them; the tax's bounds."""

import dataclasses

import numpy as np
import pytest

from fabricmodel.errors import FabricModelError
from fabricmodel.training.habits import drawn_habits, list_habits, load_habits
from fabricmodel.training.layout import Layout, check
from fabricmodel.training.models import load_model
from fabricmodel.training.platforms import list_platforms, load_platform
from fabricmodel.training.price import PriceList
from fabricmodel.training.pricing import _distinct
from fabricmodel.training.search import evaluate, search, take, valid_layouts
from fabricmodel.training.slopes import price_slopes
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
    latency = sum(tax.latency_causes.values())
    np.testing.assert_allclose(latency, tax.latency, rtol=1e-5, atol=1e-9)
    assert np.all((tax.energy_least <= tax.energy) & (tax.energy <= tax.energy_most))
    assert np.all((tax.energy > 0) & (tax.energy < tax.exposed))  # waiting draws less


def test_cost_is_time_where_energy_is_inside_and_between_where_it_is_not(found):
    tax = communication_tax(H100, WORK, found.best(), load_habits("h100"))
    rented = tax.cost(PriceList(name="cloud", usd_per_hour=2.0), watts=1300.0)
    np.testing.assert_allclose(rented, (tax.exposed, tax.least, tax.most))
    owned = tax.cost(
        PriceList(name="own", usd_per_hour=0.9, energy_usd_per_kWh=0.1), watts=1000.0
    )
    np.testing.assert_allclose(owned[0], 0.9 * tax.exposed + 0.1 * tax.energy)


def test_slopes_are_those_of_differences(found):
    """Every price of the fabric, by 0.1 % up and down, as the search prices it."""
    best = found.best()
    habits = load_habits("h100")
    slopes = price_slopes(H100, WORK, best, habits)

    def step(name: str, by: float) -> float:
        level_name, _, field = name.partition(".")
        levels = tuple(
            dataclasses.replace(lvl, **{field: getattr(lvl, field) * by})
            if lvl.name == level_name
            else lvl
            for lvl in H100.fabric.levels
        )
        fabric = dataclasses.replace(H100.fabric, levels=levels)
        on = dataclasses.replace(H100, fabric=fabric)
        terms = evaluate(on, WORK, best, habits)
        return float(sum(np.ravel(value)[0] for value in terms.values()))

    for name in ("nvlink.byte_s", "infiniband.byte_s", "infiniband.round_s"):
        difference = np.log(step(name, 1.02) / step(name, 1 / 1.02)) / np.log(1.02**2)
        assert float(slopes[name][0]) == pytest.approx(difference, rel=0.02, abs=2e-5)
    assert slopes["infiniband.byte_s"][0] > 0 > slopes["machine.linear_flops"][0]


def test_equal_questions_are_found_and_counted_once():
    rows = np.random.default_rng(0).integers(0, 4, (500, 5)).astype(float)
    first, back = _distinct(rows)
    np.testing.assert_array_equal(rows[first][back], rows)
    assert len(first) == len(np.unique(rows, axis=0))


def test_every_platform_has_habits():
    assert set(list_habits()) == set(list_platforms())


def _beliefs():
    from fabricmodel.training.beliefs import BELIEFS

    return BELIEFS


def test_the_search_knows_every_way_to_shard_and_to_split_a_context():
    model = load_model("llama3.1-8b")
    work = workload(model, sequence=8192.0)
    layout, _ = valid_layouts(model, work, 64, 64, 80e9)
    columns = [np.asarray(getattr(layout, key)) for key in ("zero", "shard", "ring")]
    seen = set(zip(*columns, strict=True))
    assert {zero for zero, _, _ in seen} == {0.0, 1.0, 2.0, 3.0}
    assert {shard for _, shard, _ in seen} == {0.0, 8.0, 16.0, 32.0}
    assert {ring for _, _, ring in seen} == {0.0, 1.0}
    for at in range(0, np.size(layout.tp), 53):
        check(work, take(layout, at), heads=32.0, kv_heads=8.0, memory=80e9)
    exchanged = np.asarray(layout.ring) == 0.0
    per_rank = 32.0 / np.asarray(layout.tp) / np.asarray(layout.cp)
    assert np.all(per_rank[exchanged] >= 1.0)

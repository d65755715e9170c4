import json

import jax.numpy as jnp
import pytest
from jax.lax import stop_gradient

from experiments import check_gradients
from experiments.gradients import check as gradients
from fabricmodel import list_fabrics, load_fabric
from fabricmodel.algorithms.registry import COLLECTIVES


def test_the_command_compares_and_writes(tmp_path):
    names = ["generic-network", "trn2-flat-ring"]
    asked = ["--fabric", *names, "--collective", "all_gather", "--rows", "8"]
    assert check_gradients.main([*asked, "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "result.json").read_text())["rows"]
    assert [row["fabric"] for row in rows] == names
    for row in rows:
        assert row["faults"] == 0
        assert row["derivatives"] == 3 * 8 * 8
        assert row["worst"] < gradients.TOLERANCE
        assert row["prices"] >= 5
    text = (tmp_path / "report.md").read_text()
    assert all(f"| {name} | 1 |" in text for name in names)


def test_every_fabric_is_stood_for_once():
    groups = gradients.structures(list_fabrics())
    assert sorted(name for group in groups.values() for name in group) == sorted(
        list_fabrics()
    )
    assert all(name == group[0] for name, group in groups.items())
    assert 20 < len(groups) < len(list_fabrics())
    assert len(COLLECTIVES) == 9


@pytest.mark.parametrize("damage", ["wrong slope", "not a number", "kink"])
def test_what_is_wrong_is_found_and_a_kink_is_no_fault(damage, monkeypatch):
    """Seconds with a slope that lies, one that is NaN, and one of two sides."""

    def seconds(fabric, rows):
        byte_s = fabric.levels[0].byte_s
        if damage == "kink":
            # at the catalogue's price both are equal; beyond it one is twice as steep
            past = jnp.maximum(byte_s / catalogue, (byte_s / catalogue) ** 2)
            return past + 0.0 * rows.sizes
        scale = jnp.nan if damage == "not a number" else 2.0
        honest = jnp.asarray(stop_gradient(byte_s))
        return honest + scale * (byte_s - honest) + 0.0 * rows.sizes

    catalogue = load_fabric("generic-network").levels[0].byte_s
    monkeypatch.setattr(gradients, "seconds", seconds)
    gradients._slopes.clear_cache()  # pyright: ignore
    (found,) = gradients.check(
        ("generic-network",), collectives=("all_gather",), rows=4, points=2,
        directions=4,
    )  # fmt: skip
    gradients._slopes.clear_cache()  # pyright: ignore
    if damage == "kink":
        assert (found.faults, found.kinks) == (0, 4 * 4)
    else:
        assert found.faults >= 2 * 4

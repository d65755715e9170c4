"""The catalogue in words, and a fabric's own."""

import dataclasses

import jax
import numpy as np
import pytest

from fabricmodel import Fabric, FabricError, Level, list_fabrics, load_fabric
from fabricmodel.catalog import compare, describe, list_chips, listing
from fabricmodel.catalog.__main__ import main
from fabricmodel.timing.scale import tier_hops


def test_every_entry_is_listed_and_described():
    text = listing()
    for name in [*list_fabrics(), *list_chips()]:
        assert any(line.startswith(f"{name} ") for line in text.splitlines())
        words = describe(name)
        assert words.startswith(f"{name}: ")
        rows = [line for line in words.splitlines() if "[" in line]
        assert len(rows) > 4
        last = max(int(row.split("[")[1].split("]")[0]) for row in rows)
        assert f"\n[{last}] " in words


def test_an_entry_shows_figures_in_their_units_with_their_sources():
    words = describe("h100-roce", chips=6144)
    assert "8 x 384 x 2 = 6,144 ranks" in words
    assert "switch of 384, full" in words
    line = next(x for x in words.splitlines() if x.startswith("roce-400.bandwidth"))
    assert line.split()[1:6] == ["44", "GB/s", "30", "to", "50"]
    assert "quoted" in line
    at = line[line.index("[") : line.index("]") + 1]
    assert f"\n{at} xAI Colossus" in words
    chip = describe("trn2")
    assert "667 TFLOP/s" in chip
    assert "650 to 668.8" in chip
    assert "capacity block, 2026-10" in chip
    assert "2.23 USD/h" in chip
    unknown = [x for x in describe("tpu-v3").splitlines() if " unknown " in x]
    assert [x.split()[0] for x in unknown] == ["measured", "power", "price"]
    assert all("give your own" in x or "plan with" in x for x in unknown)
    assert "reserved, date unknown" in describe("trn1")


def test_two_side_by_side():
    rows = [x.split("  ") for x in compare("h100", "gb200").splitlines()]
    memory = next(row for row in rows if row[0] == "memory")
    assert [word.strip() for word in memory if word.strip()] == [
        "memory",
        "80 GB",
        "186 GB (184 to 192)",
    ]
    rows = compare("trn1", "h100").splitlines()
    (power,) = (row.split() for row in rows if row.startswith("power"))
    assert power == ["power", "unknown", "700", "W"]
    (reserved,) = (row.split() for row in rows if "reserved" in row)
    assert reserved == ["USD/h,", "reserved", "0.512", "unknown"]
    fabrics = compare("trn1-instance", "hgx-h100")
    assert "level 3" in fabrics
    assert "ring of 4" in fabrics
    with pytest.raises(FabricError, match="a fabric and a chip"):
        compare("trn1", "trn1-instance")


def test_command(capsys):
    assert main([]) == 0
    assert "trn2-ultracluster " in capsys.readouterr().out
    assert main(["trn2-ultracluster", "--chips", "4096"]) == 0
    assert "16,384 ranks" in capsys.readouterr().out
    assert main(["trn1-instance", "trn2-instance"]) == 0
    assert "neuronlink" not in capsys.readouterr().err
    assert main(["trn2", "--chips", "16"]) == 2
    assert "trn2 is a chip" in capsys.readouterr().err
    assert main(["trn2-ultracuster"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "nearest trn2-ultracluster" in told.err
    assert main(["alps", "--chips", "20000"]) == 2
    assert "level 'global' is full at 24" in capsys.readouterr().err


def test_repr_of_a_fabric():
    text = repr(load_fabric("trn2-ultracluster", chips=100_000))
    head, *levels = text.splitlines()
    assert head == (
        "Fabric 'trn2-ultracluster': 4 x 4 x 4 x 4 x 1,563 = 400,128 ranks, staged"
    )
    assert " ".join(levels[-1].split()) == (
        "efa switch of 1,563 64 links a unit 19.3 GB/s 15 us a round, "
        "4 tiers of 64 ports"
    )
    assert "ring of 2 in 4" in repr(load_fabric("trn1-instance", chips=2))


def test_repr_of_what_is_no_number():
    """Batches and tracers have shapes; a free link has no bandwidth."""
    fabric = load_fabric("hgx-h100")
    batch = jax.tree.map(lambda x: np.full(3, x), fabric)
    assert "switch of array[3]" in repr(batch)
    assert "ranks" not in repr(batch).splitlines()[0]
    seen = []
    jax.jit(lambda f: seen.append(repr(f)) or f.levels[0].members)(fabric)
    assert "array[]" in seen[0]
    free = Fabric(name="free", levels=(Level(name="net", kind="switch"),))
    assert "- GB/s" in repr(free)
    assert "?" in repr(jax.tree.map(lambda _: object(), free))


def test_tiers_agree_with_the_hops_that_are_priced():
    rng = np.random.default_rng(3)
    for _ in range(200):
        level = Level(
            name="net",
            kind="switch",
            members=float(rng.integers(1, 200_000)),
            uplinks=float(rng.choice([0, 1, 4, 8, 64, 438.857])),
            radix=float(rng.choice([0, 36, 40, 64, 144])),
            rails=float(rng.integers(0, 2)),
        )
        fields = ("members", "uplinks", "radix", "rails")
        leaves = [np.float64(getattr(level, field)) for field in fields]
        hops = float(tier_hops(*(jax.numpy.asarray(x) for x in leaves)))
        assert hops == max(2 * level.tiers - 2, 0), dataclasses.asdict(level)

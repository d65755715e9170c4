import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from fabricmodel import Fabric, FabricError, Level, load_fabric, place
from fabricmodel.placement import LARGEST_PADDING, balanced
from fabricmodel.timing.scale import tier_hops


def members(fabric):
    return [level.members for level in fabric.levels]


def torus(sides):
    levels = tuple(
        Level(name=name, kind="ring", domain="torus", grows=True)
        for name in "xyz"[:sides]
    )
    return Fabric(name="torus", levels=levels)


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        (1, [1, 1, 1, 1]),
        (3, [3, 1, 1, 1]),
        (4, [4, 1, 1, 1]),
        (8, [4, 2, 1, 1]),
        (16, [4, 4, 1, 1]),
        (48, [4, 4, 3, 1]),
        (64, [4, 4, 4, 1]),
        (128, [4, 4, 4, 2]),
        (64_000, [4, 4, 4, 1000]),
    ],
)
def test_innermost_levels_first(ranks, expected):
    placed = place(load_fabric("trn2-instance-cluster"), ranks)
    assert members(placed) == expected
    assert math.prod(members(placed)) == ranks
    assert [level.capacity for level in placed.levels] == [4, 4, 4, max(expected[3], 1)]


def test_the_fabric_itself_stays():
    fabric = load_fabric("trn2-instance-cluster")
    before = members(fabric)
    place(fabric, 8)
    assert members(fabric) == before
    assert place(fabric, 64.0) == place(fabric, 64)


def test_a_large_job_may_end_in_a_part_filled_unit():
    """100,000 ranks in units of 256: 390.6 of them, priced as 391."""
    placed = place(load_fabric("trn2-ultracluster"), 100_000)
    assert members(placed) == [4, 4, 4, 4, 391]
    assert math.prod(members(placed)) / 100_000 < 1 + LARGEST_PADDING


def test_padding_is_at_most_a_fiftieth():
    """40 nodes of 100: 70 empty places are 1.8 %, 90 are 2.3 %."""
    node = Level(name="node", kind="switch", capacity=100.0, in_node=True)
    net = Level(name="net", kind="switch", grows=True)
    fabric = Fabric(name="cluster", levels=(node, net))
    assert members(place(fabric, 3930)) == [100, 40]
    assert 70 / 3930 < LARGEST_PADDING < 90 / 3910
    with pytest.raises(FabricError, match=r"Ask for 3900 or 4000\."):
        place(fabric, 3910)


def test_no_padding_where_nothing_grows():
    """2 % of an instance is not to be had: it is all there is."""
    node = Level(name="node", kind="switch", capacity=64.0)
    rack = Level(name="rack", kind="switch", capacity=64.0)
    with pytest.raises(FabricError, match="do not divide"):
        place(Fabric(name="rack", levels=(node, rack)), 64 * 63 - 1)


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        (7, r"ranks: 7 ranks do not divide into trn1-instance.*Ask for "),
        (2048, r"ranks: 2048 ranks exceed trn1-instance, which holds 32\. Ask for"),
        (2.5, r"ranks: 2\.5 is no whole number"),
        (0, "ranks: 0 is no whole number"),
        (-4, "ranks: -4 is no whole number"),
        (math.nan, "ranks: nan is no whole number"),
        (math.inf, "ranks: inf is no whole number"),
    ],
)
def test_errors_name_the_remedy(ranks, message):
    with pytest.raises(FabricError, match=message) as caught:
        place(load_fabric("trn1-instance"), ranks)
    assert caught.value.remedy


def test_what_the_remedy_asks_for_works():
    """The numbers that the message offers can be placed."""
    fabric = load_fabric("trn2-instance-cluster")
    with pytest.raises(FabricError) as caught:
        place(fabric, 100)
    assert "64 or 128" in caught.value.remedy
    for ranks in (64, 128):
        assert math.prod(members(place(fabric, ranks))) == ranks


def test_what_the_remedy_asks_for_is_near():
    with pytest.raises(FabricError) as caught:
        place(load_fabric("trn1-instance"), 7)
    assert "8" in caught.value.remedy
    place(load_fabric("trn1-instance"), 8)


def test_ranks_per_node():
    fabric = load_fabric("h100-infiniband")
    assert members(place(fabric, 12, ranks_per_node=4)) == [4, 3]
    assert members(place(fabric, 2, ranks_per_node=1)) == [1, 2]
    assert members(place(fabric, 2, ranks_per_node=8)) == [2, 1]
    assert members(place(fabric, 16, ranks_per_node=math.nan)) == [8, 2]
    assert members(place(load_fabric("trn1-instance"), 8, ranks_per_node=8)) == [
        2, 4, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ranks", "local", "message"),
    [
        (10, 4, r"10 ranks do not divide into nodes of 4.*multiple of 4"),
        (16, 2.5, "ranks_per_node: 2.5 is no whole number"),
        (16, 0, "ranks_per_node: 0 is no whole number"),
        (32, 16, "16 ranks (exceed|do not divide)"),
    ],
)
def test_bad_ranks_per_node(ranks, local, message):
    with pytest.raises(FabricError, match=message):
        place(load_fabric("h100-infiniband"), ranks, ranks_per_node=local)


def test_a_torus_is_near_a_cube():
    assert members(place(torus(3), 64)) == [4, 4, 4]
    assert members(place(torus(3), 100)) == [4, 5, 5]
    assert members(place(torus(2), 32)) == [4, 8]
    assert members(place(torus(3), 7)) == [1, 1, 7]
    for number in (1, 2, 12, 97, 512, 1000, 131_072):
        for parts in (1, 2, 3, 6):
            sides = balanced(number, parts)
            assert math.prod(sides) == number
            assert sides == sorted(sides)
            assert len(sides) == parts


def test_sides_of_a_torus():
    assert members(place(torus(3), 32, sides="2x4x4")) == [2, 4, 4]
    assert members(place(torus(3), 32, sides="8X4")) == [8, 4, 1]
    cluster = dataclasses.replace(
        torus(2),
        levels=(
            Level(name="chip", kind="clique", capacity=2.0, in_node=True),
            *torus(2).levels,
        ),
    )
    assert members(place(cluster, 32, sides="2x8")) == [2, 2, 8]


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ("4x4x4", r"4x4x4 is not 32.*multiply to the ranks"),
        ("2x2x2x4", "Give 3 numbers"),
        ("4by8", "Give 3 numbers"),
        ("4x-8", "Give 3 numbers"),
        ("x", "Give 3 numbers"),
    ],
)
def test_bad_sides(sides, message):
    with pytest.raises(FabricError, match=message):
        place(torus(3), 32, sides=sides)


# Levels that grow up to a limit: slices of a pod, groups of a dragonfly


def pods(wrap=4, cube=True, sides=(1, 2, 4, 8, 12, 16)):
    """Pods of up to 16x16x16 chips, over a network."""
    levels = tuple(
        Level(
            name=name,
            kind="ring",
            domain="torus",
            grows=True,
            sides=sides,
            wrap=wrap,
            cube=cube,
        )
        for name in "xyz"
    )
    net = Level(name="net", kind="switch", grows=True)
    return Fabric(name="pods", levels=(*levels, net))


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        (1, [1, 1, 1, 1]),
        (8, [2, 2, 2, 1]),
        (32, [2, 4, 4, 1]),
        (64, [4, 4, 4, 1]),
        (128, [4, 4, 8, 1]),
        (512, [8, 8, 8, 1]),
        (3072, [12, 16, 16, 1]),
        (4096, [16, 16, 16, 1]),
        (6144, [12, 16, 16, 2]),  # PaLM: two pods of 3,072
        (8192, [16, 16, 16, 2]),
        (1_000_000, [16, 16, 16, 245]),  # 244.1 pods
    ],
)
def test_slices_are_the_largest_that_share_the_job(ranks, expected):
    assert members(place(pods(), ranks)) == expected


def test_a_slice_that_does_not_exist():
    with pytest.raises(FabricError, match=r"100 ranks make no shape of pods.*'x' x"):
        place(pods(), 100)
    with pytest.raises(FabricError, match=r"Ask for 96 or 128\."):
        place(pods(), 100)
    with pytest.raises(FabricError, match=r"level 'x' has no side of 3.*Use 1, 2, 4"):
        place(pods(), 36, sides="3x3x4")
    assert members(place(pods(), 64, sides="2x4x8")) == [2, 4, 8, 1]
    assert members(place(pods(), 128, sides="4x4x4")) == [4, 4, 4, 2]


def wrapped(fabric):
    return [level.members >= level.capacity for level in fabric.levels[:3]]


def test_sides_that_close():
    """A v4 slice is made of cubes of 4, or has no closing links; a v5e side needs 16.

    A side that does not close is part of a longer ring: a line.
    """
    cubes, sixteen = pods(), pods(wrap=16, cube=False)
    assert wrapped(place(cubes, 512, sides="8x8x8")) == [True, True, True]
    assert wrapped(place(cubes, 128, sides="4x4x8")) == [True, True, True]
    assert wrapped(place(cubes, 32, sides="2x4x4")) == [False, False, False]
    assert wrapped(place(sixteen, 512, sides="4x8x16")) == [False, False, True]
    assert wrapped(place(torus(3), 32, sides="2x4x4")) == [True, True, True]


def groups(limit=10.0):
    group = Level(name="group", kind="switch", grows=True, limit=limit)
    whole = Level(name="global", kind="switch", grows=True, limit=5.0)
    node = Level(name="node", kind="switch", capacity=4.0, in_node=True)
    return Fabric(name="dragon", levels=(node, group, whole))


def test_a_job_is_spread_evenly_over_groups():
    assert members(place(groups(), 40)) == [4, 10, 1]
    assert members(place(groups(), 48)) == [4, 6, 2]  # 12 nodes: two groups of 6
    assert [x.capacity for x in place(groups(), 48).levels] == [4, 10, 5]
    assert members(place(groups(), 200)) == [4, 10, 5]
    assert members(place(groups(), 6, ranks_per_node=2)) == [2, 3, 1]


def test_a_full_level_is_named():
    with pytest.raises(
        FabricError, match=r"204 ranks exceed dragon, which holds 200\. Ask for at most"
    ) as caught:
        place(groups(), 204)
    assert "level 'global' is full at 5" in caught.value.remedy
    with pytest.raises(FabricError, match=r"level 'y' is full at 4"):
        place(load_fabric("trn1-instance"), 64)


def test_rails_save_hops_where_one_leaf_joins_the_nodes():
    nodes, rails = np.array([32.0, 32.0, 33.0, 512.0]), np.array([1.0, 0.0, 1.0, 1.0])
    hops = tier_hops(jnp.array(nodes), jnp.array(8.0), jnp.array(64.0), rails)
    assert np.asarray(hops).tolist() == [0.0, 2.0, 2.0, 4.0]

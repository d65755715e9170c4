"""What has to hold at any prices, on any shape, for every collective."""

import dataclasses

import numpy as np
import pytest
from sweeps import (
    COSTLY,
    STRUCTURES,
    WHOLE,
    answers,
    grown,
    prices,
    random_cases,
    times,
)

from fabricmodel import Fabric, Level, collective_time, list_fabrics, load_fabric
from fabricmodel.algorithms.registry import COLLECTIVES

# A structure's tests run together, in one process: they share its programs.
each_structure = pytest.mark.parametrize("structure", WHOLE, scope="module")
ROUNDING = 1e-9
DIMENSIONS = {"byte_s": (1, -1), "_s": (1, 0)}  # of a price, by its ending


def powers(name: str) -> tuple[int, int]:
    """Return the powers of a second and of a byte in a price."""
    return next(power for ending, power in DIMENSIONS.items() if name.endswith(ending))


@each_structure
@pytest.mark.parametrize("collective", COLLECTIVES)
def test_sound(structure, collective):
    check_sound(structure, collective)


@pytest.mark.parametrize(
    ("structure", "collective"),
    [(structure, kind) for structure, kinds in COSTLY.items() for kind in kinds],
)
def test_sound_where_compiling_is_costly(structure, collective):
    check_sound(structure, collective)


def check_sound(structure, collective):
    """One program for all of it, which is what takes the time."""
    fabric, sizes = random_cases(structure)
    time, bound = answers(fabric, collective, sizes)
    assert time.shape == sizes.shape
    assert np.all(np.isfinite(time))
    assert np.all(bound > 0)
    assert np.all(time >= bound * (1 - ROUNDING))

    larger, bound_of_larger = answers(fabric, collective, sizes * 1.3)
    assert np.all(larger >= time * (1 - ROUNDING)), "monotone in the size"
    assert np.all(larger <= 1.3 * time * (1 + ROUNDING)), "no faster than the size"
    assert np.all(bound_of_larger >= bound)

    doubled, bound_doubled = answers(
        prices(fabric, lambda _, price: 2 * price), collective, sizes
    )
    np.testing.assert_allclose(doubled, 2 * time, rtol=1e-9)
    np.testing.assert_allclose(bound_doubled, 2 * bound, rtol=1e-9)

    rng = np.random.default_rng(1)
    dearer = prices(fabric, lambda _, price: price * rng.uniform(1, 1.3, sizes.shape))
    more = times(dearer, collective, sizes)
    assert np.all(more >= time * (1 - ROUNDING)), "monotone in the prices"
    assert np.all(more <= 1.3 * time * (1 + ROUNDING))

    second, byte = 1e3, 8.0  # in other units the answer is the same

    def change(name, price):
        in_seconds, in_bytes = powers(name)
        return price * second**in_seconds * byte**in_bytes

    in_other_units = answers(prices(fabric, change), collective, sizes * byte)
    np.testing.assert_allclose(in_other_units[0], time * second, rtol=1e-9)
    np.testing.assert_allclose(in_other_units[1], bound * second, rtol=1e-9)

    check_every_scale(structure, collective)


def check_every_scale(structure, collective):
    """From 2 to 131,072 chips."""
    fabric, sizes, labels = grown(structure)
    time, bound = answers(fabric, collective, sizes)
    wrong = [
        f"{label}: {seconds}"
        for label, seconds in zip(labels, time, strict=True)
        if not (np.isfinite(seconds) and 1e-7 < seconds < 1e5)
    ]
    assert not wrong, wrong[:5]
    assert np.all(time >= bound * (1 - ROUNDING))


def test_every_kind_of_level_is_swept():
    """Every fabric, at every scale: tests/catalog, at catalogue prices alone."""
    swept = {kind for names in STRUCTURES.values() for kind in kinds(names)}
    assert swept == set(kinds(list_fabrics()))


def kinds(names):
    """Yield kind and family of every level of some fabrics."""
    for name in names:
        for level in load_fabric(name).levels:
            yield level.kind, level.family


@each_structure
def test_all_reduce_is_no_dearer_than_its_two_halves(structure):
    fabric, sizes = random_cases(structure)
    whole = times(fabric, "all_reduce", sizes)
    halves = times(fabric, "reduce_scatter", sizes) + times(fabric, "all_gather", sizes)
    assert np.all(whole <= halves * (1 + ROUNDING))


@pytest.mark.parametrize(
    "collective", ["all_to_all", "broadcast", "reduce", "gather", "scatter"]
)
def test_sides_of_a_torus_may_change_places(collective):
    """Where an algorithm treats all sides alike, their order is a mere name."""
    fabric, sizes = random_cases("torus")
    chip, x, y, z = fabric.levels
    time = times(fabric, collective, sizes)
    assert not np.allclose(x.members, y.members)
    turned = dataclasses.replace(
        fabric,
        levels=(chip, _at(z, x), _at(x, y), _at(y, z)),
    )
    np.testing.assert_allclose(times(turned, collective, sizes), time, rtol=1e-9)


@pytest.mark.parametrize("collective", ["all_reduce", "all_to_all", "broadcast"])
def test_equal_levels_may_swap_names(collective):
    """Two levels that agree in all but their names: either may come first."""
    x = Level(
        name="x",
        kind="ring",
        family="torus",
        domain="torus",
        link="red",
        members=4.0,
        capacity=4.0,
        round_s=1e-6,
        hop_s=2e-7,
        byte_s=1e-10,
    )
    y = dataclasses.replace(x, name="y", link="blue")
    sizes = 2.0 ** np.arange(0, 34, 4)
    one, other = (
        collective_time(Fabric(name="", levels=levels), collective, sizes)
        for levels in ((x, y), (y, x))
    )
    np.testing.assert_allclose(one, other, rtol=1e-12)


def _at(level, place):
    """Put a level's shape and prices where another one was."""
    return dataclasses.replace(
        level, name=place.name, link=place.link, domain=place.domain
    )

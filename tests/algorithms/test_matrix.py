"""Every count of the registry equals what the executing oracle sees, on every shape."""

import dataclasses

import matrix
import pytest

from fabricmodel.algorithms.counts import Phases
from fabricmodel.algorithms.registry import every_algorithm


@pytest.mark.parametrize(
    ("family", "name"),
    [
        pytest.param(family, name, id=f"{family.name}-{name}")
        for family in matrix.FAMILIES
        for name in family.names
    ],
)
def test_equal(family, name):
    for collective, named in family.table.items():
        if name in named:
            line = matrix.compare(family, collective, name, family.light)
            assert not line.wrong, (collective, line.wrong[:5])
            assert line.ran >= 10, collective


def test_nothing_is_left_out():
    walked = {
        (family.name, collective, name)
        for family in matrix.FAMILIES
        for collective, named in family.table.items()
        for name in named
    }
    assert walked == {(f, c, n) for f, c, n, _ in every_algorithm()}


@pytest.mark.parametrize("field", ["rounds", "hops", "bytes", "reduced_bytes", "valid"])
def test_a_wrong_count_is_seen(field):
    """One in a thousand more, of anything, on one phase."""
    family, shape = matrix.TORUS, ((4, 4), (True, False))
    count = family.table["all_reduce"]["bucket"].count
    wanted = family.seen("all_reduce", "bucket", shape)

    def changed(phases: Phases) -> Phases:
        first, *rest = phases
        if field in ("reduced_bytes", "valid"):
            more = 1.001 * getattr(first, field) if field != "valid" else 0.0
            return (dataclasses.replace(first, **{field: more}), *rest)
        level = first.levels[1]
        level = dataclasses.replace(level, **{field: 1.001 * getattr(level, field)})
        return (dataclasses.replace(first, levels=(first.levels[0], level)), *rest)

    phases = count(family.dims(shape), 1.0)
    assert not matrix.differences(phases, wanted)
    (found,) = matrix.differences(changed(phases), wanted)
    assert found.startswith(field.split("_")[0])

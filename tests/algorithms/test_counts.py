"""What holds for every count: by hand, and as properties of the whole registry."""

import functools
import itertools
import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fabricmodel.algorithms.counts import (
    Counts,
    Dim,
    diameter,
    exchange_load,
    is_power_of_two,
    log2_ceil,
    log2_floor,
    total,
)
from fabricmodel.algorithms.registry import ALGORITHMS, COLLECTIVES, algorithms

few = hypothesis.settings(max_examples=30, deadline=None, derandomize=True)
sizes = st.floats(1.0, 1e9, width=32)
sides = st.integers(1, 9)
FAMILIES = {
    "flat": ("switch",),
    "torus": ("ring", "ring", "ring"),
    "neuronlink": ("clique", "ring", "ring"),
}


@functools.lru_cache(maxsize=4096)
def evaluate_all(family, members, capacity, size, only) -> dict[str, Counts]:
    dims = [
        Dim(kind=kind, members=n, capacity=c)
        for kind, n, c in zip(FAMILIES[family], members, capacity, strict=True)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            f"{collective}/{name}": total(algorithm.count(dims, size))
            for collective, names in ALGORITHMS[family].items()
            for name, algorithm in names.items()
            if not only or name in only
        }


def evaluate(
    family, members, capacity=None, size=2.0**20, only: tuple[str, ...] = ()
) -> dict[str, Counts]:
    """Count with everything in the family, or some of it, by "collective/name"."""
    capacity = members if capacity is None else capacity
    shape = (tuple(float(n) for n in x) for x in (members, capacity))
    return evaluate_all(family, *shape, size, only)


@st.composite
def groups(draw):
    """Draw a family and a shape of it, parts of rings included."""
    family = draw(st.sampled_from(sorted(FAMILIES)))
    members = [draw(sides) for _ in FAMILIES[family]]
    return family, members, [n + draw(st.integers(0, 2)) for n in members]


# By hand


@pytest.mark.parametrize(
    ("collective", "name", "n", "rounds", "moved", "reduced"),
    [
        ("all_reduce", "ring", 4, 6, 1.5, 0.75),
        ("all_reduce", "recursive_doubling", 8, 3, 3.0, 3.0),
        ("all_reduce", "recursive_doubling", 6, 4, 4.0, 3.0),
        ("all_reduce", "halving_doubling", 8, 6, 1.75, 0.875),
        ("all_reduce", "halving_doubling", 5, 6, 3.5, 1.75),
        ("all_reduce", "double_tree", 16, 8, 2.0, 1.0),
        ("all_reduce", "one_shot", 8, 1, 7.0, 7.0),
        ("all_gather", "bruck", 5, 3, 0.8, 0.0),
        ("all_to_all", "bruck", 8, 3, 1.5, 0.0),
        ("broadcast", "binomial", 9, 4, 4.0, 0.0),
        ("broadcast", "scatter_all_gather", 8, 10, 1.75, 0.0),
    ],
)
def test_flat_by_hand(collective, name, n, rounds, moved, reduced):
    counts = evaluate("flat", [n], size=1.0)[f"{collective}/{name}"]
    (level,) = counts.levels
    assert float(level.rounds) == rounds
    assert float(level.bytes) == pytest.approx(moved)
    assert float(counts.reduced_bytes) == pytest.approx(reduced)


def test_cubic_torus_by_hand():
    """All ports busy on 4x4x4: 2 (N - 1)/N S over six links of a rank, 18 rounds."""
    counts = evaluate("torus", [4, 4, 4], size=1.0)["all_reduce/multiport_bucket"]
    for level in counts.levels:
        assert float(level.rounds) == 18.0
        assert float(level.bytes) == pytest.approx(2 * 63 / 64 / 6)


def test_routed_load_is_that_of_the_bisection():
    """Half of the ranks send S/2 each across the 2 N/n links of a cut: S n/8."""
    counts = evaluate("torus", [8, 4, 4], size=1.0)["all_to_all/routed"]
    assert [float(level.bytes) for level in counts.levels] == [1.0, 0.5, 0.5]


def test_64_ranks_of_a_node_by_hand():
    """Four ranks on each of 4x4 chips."""
    counts = evaluate("neuronlink", [4, 4, 4], size=1.0)
    rounds = {
        name: sum(float(level.rounds) for level in counts[name].levels)
        for name in ("all_gather/ring", "all_gather/kangaring", "all_gather/rdh")
    }
    assert list(rounds.values()) == [63.0, 31.0, 5.0]
    mesh = counts["all_gather/mesh"].levels
    assert [float(level.bytes) for level in mesh] == [0.75, 0.5, 0.5]


@pytest.mark.parametrize("n", range(1, 10))
@pytest.mark.parametrize("whole", [True, False])
def test_distances_and_loads_against_enumeration(n, whole):
    """Distances on a ring or line, and the load of its links, by brute force."""
    dim = Dim(kind="ring", members=float(n), capacity=float(n + 1 - whole))
    load = np.zeros((n, 2))
    longest = 0
    for a, b in itertools.permutations(range(n), 2):
        up, down = (b - a) % n, (a - b) % n
        if not whole:
            up, down = (b - a, n * n) if b > a else (n * n, a - b)
        near = min(up, down)
        longest = max(longest, near)
        tie = up == down and n > 2
        for way, length, step in ((0, up, 1), (1, down, -1)):
            if length == near and not (n == 2 and way != (b < a)):
                for i in range(length):
                    load[(a + step * i) % n, way] += 0.5 if tie else 1.0
    assert float(diameter(dim)) == longest
    assert float(exchange_load(dim)) == pytest.approx(load.max() / n)
    line = Dim(kind="line", members=float(n), capacity=float(n))
    part = Dim(kind="ring", members=float(n), capacity=float(n + 1))
    assert float(exchange_load(line)) == float(exchange_load(part))


def test_logarithms_are_exact():
    """Also next to large powers of two, in single precision."""
    many = [*range(1, 70), *(2**k + d for k in range(7, 17) for d in (-1, 0, 1))]
    n = jnp.array(many, jnp.float32)
    assert log2_ceil(n).tolist() == [(k - 1).bit_length() for k in many]
    assert log2_floor(n).tolist() == [k.bit_length() - 1 for k in many]
    assert is_power_of_two(n).tolist() == [float(k & (k - 1) == 0) for k in many]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_traced_counts_are_the_same(family):
    """One program for any shape: what the library chooses among, traced and not."""
    named = {
        f"{collective}/{name}": algorithm.count
        for collective, names in ALGORITHMS[family].items()
        for name, algorithm in names.items()
        if algorithm.automatic
    }

    @jax.jit
    def traced(members, capacity):
        dims = [
            Dim(kind=kind, members=n, capacity=c)
            for kind, n, c in zip(FAMILIES[family], members, capacity, strict=True)
        ]
        return {name: total(count(dims, 2.0**20)) for name, count in named.items()}

    for n in (1.0, 2.0, 3.0, 4.0):
        members = [n] * len(FAMILIES[family])
        plain = evaluate(family, members)
        for name, counts in traced(members, members).items():
            ours = [float(x) for x in jax.tree.leaves(counts)]
            theirs = [float(x) for x in jax.tree.leaves(plain[name])]
            assert ours == pytest.approx(theirs, rel=1e-6), name


@pytest.mark.parametrize("name", ["swing", "bine_1port", "torus_doubling_latency"])
def test_an_exchange_can_be_traced(name):
    count = ALGORITHMS["torus"]["all_reduce"][name].count

    @jax.jit
    def traced(n):
        return total(count([Dim(kind="ring", members=n, capacity=n)] * 2, 1.0))

    for n in (2.0, 8.0):
        plain = total(count([Dim(kind="ring", members=n, capacity=n)] * 2, 1.0))
        ours, theirs = (
            [float(x) for x in jax.tree.leaves(c)] for c in (traced(n), plain)
        )
        assert ours == pytest.approx(theirs, rel=1e-6)


# Properties of all algorithms


@few
@hypothesis.given(groups())
def test_counts_are_never_negative(group):
    for name, counts in evaluate(*group).items():
        leaves = [float(x) for x in jax.tree.leaves(counts)]
        assert all(math.isfinite(x) and x >= 0.0 for x in leaves), name
        assert float(counts.valid) in (0.0, 1.0), name


@few
@hypothesis.given(groups(), sizes, st.floats(0.125, 128.0, width=32))
def test_bytes_are_proportional_to_the_size(group, size, factor):
    family, members, capacity = group
    before = evaluate(family, members, capacity, size)
    after = evaluate(family, members, capacity, size * factor)

    def volumes(counts):
        return np.array(
            [counts.reduced_bytes, counts.memory_bytes]
            + [level.bytes for level in counts.levels]
        )

    def steps(counts):
        return [counts.memory_rounds, counts.valid] + [
            x for y in counts.levels for x in (y.rounds, y.hops, y.messages, y.phases)
        ]

    for name, counts in before.items():
        grown = volumes(after[name])
        assert grown == pytest.approx(volumes(counts) * factor, rel=1e-5), name
        assert steps(after[name]) == steps(counts), name


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_one_rank_costs_nothing(family):
    ones = [1] * len(FAMILIES[family])
    for capacity in (ones, [4] * len(ones)):
        for name, counts in evaluate(family, ones, capacity).items():
            costs = jax.tree.map(float, (counts.levels, counts.reduced_bytes))
            assert not any(jax.tree.leaves(costs)), name
            assert float(counts.memory_bytes) == 0.0, name
            assert float(counts.memory_rounds) == 0.0, name


@few
@hypothesis.given(groups())
def test_all_reduce_is_a_reduce_scatter_and_an_all_gather(group):
    counts = evaluate(*group)
    for both, first, second in [
        ("ring", "ring", "ring"),
        ("two_shot", "direct", "direct"),
        ("bucket", "bucket", "bucket"),
        ("multiport_bucket", "multiport_bucket", "multiport_bucket"),
        ("routed", "routed", "routed"),
        ("mesh", "mesh", "mesh"),
        ("rdh", "rdh", "rdh"),
        ("kangaring", "kangaring", "kangaring"),
    ]:
        if f"all_reduce/{both}" not in counts:
            continue
        whole = counts[f"all_reduce/{both}"]
        halves = (
            counts[f"reduce_scatter/{first}"],
            counts[f"all_gather/{second}"],
        )
        summed = total(halves)
        ours, theirs = ([float(x) for x in jax.tree.leaves(c)] for c in (whole, summed))
        assert ours == pytest.approx(theirs, rel=1e-5), both


@few
@hypothesis.given(st.lists(sides, min_size=3, max_size=3), st.permutations(range(3)))
def test_routed_dimensions_can_be_relabelled(members, order):
    """The load of a dimension does not depend on where it stands."""
    only, name = ("routed",), "all_to_all/routed"
    before = evaluate("torus", members, only=only)[name]
    after = evaluate("torus", [members[i] for i in order], only=only)[name]
    moved = [before.levels[i] for i in order]
    assert jax.tree.leaves(moved) == jax.tree.leaves(list(after.levels))


@few
@hypothesis.given(
    st.lists(st.integers(3, 9), min_size=3, max_size=3), st.permutations(range(3))
)
def test_bucket_sum_does_not_depend_on_the_order(members, order):
    """On whole rings the stages add up to (N - 1)/N S/2, whichever comes first."""
    permuted = [members[i] for i in order]
    n = math.prod(members)
    for sides_in_order in (members, permuted):
        counts = evaluate("torus", sides_in_order, size=1.0, only=("bucket",))
        counts = counts["all_gather/bucket"]
        moved = sum(float(level.bytes) for level in counts.levels)
        assert moved == pytest.approx((n - 1) / n / 2, rel=1e-5)
        assert sum(float(x.rounds) for x in counts.levels) == sum(members) - 3


@few
@hypothesis.given(sides)
def test_equal_sides_are_loaded_equally(n):
    counts = evaluate("torus", [n, n, n], only=("multiport_bucket", "routed"))
    for name in ("all_reduce/multiport_bucket", "all_to_all/routed"):
        first, *others = (
            [float(x) for x in jax.tree.leaves(level)] for level in counts[name].levels
        )
        assert all(first == pytest.approx(other, rel=1e-5) for other in others), name


@few
@hypothesis.given(groups())
def test_no_all_gather_moves_less_than_a_rank_has_to_receive(group):
    """Twice the links of a member at most, in every dimension, take (N - 1)/N S in."""
    family, members, capacity = group
    if family != "torus":
        return
    n = math.prod(members)
    for name in ("bucket", "multiport_bucket", "routed"):
        counts = evaluate(family, members, capacity, 1.0, only=(name,))
        counts = counts[f"all_gather/{name}"]
        taken = sum(2 * float(level.bytes) for level in counts.levels)
        assert taken >= (n - 1) / n * (1 - 1e-5), name


def test_the_registry_is_complete():
    """Every family has the collectives it claims, under names of its own."""
    for family, table in ALGORITHMS.items():
        assert set(table) <= set(COLLECTIVES)
        for collective, names in table.items():
            assert names and algorithms(family, collective) is names

"""Groups of ranks on chips of a torus, and how their counts are compared."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from fabricmodel.algorithms.counts import Counts, Dim, total
from fabricmodel.algorithms.registry import algorithms

SIZE = 2.0**20


class Group(NamedTuple):
    """Ranks of every chip of a part of a torus."""

    ranks: int
    sides: tuple[int, ...]
    whole: tuple[int, ...] = (4, 4)

    @property
    def size(self) -> int:
        return self.ranks * int(np.prod(self.sides))

    @property
    def wrap(self) -> list[bool]:
        return [n == c for n, c in zip(self.sides, self.whole, strict=True)]


GROUPS = [
    Group(r, sides)
    for r in (2, 4)
    for sides in [(4, 4), (1, 1), (4, 1), (1, 4), (4, 2), (2, 4), (2, 2)]
]


def group_name(group: Group) -> str:
    return "x".join(map(str, group.sides)) + f"r{group.ranks}"


every_group = pytest.mark.parametrize("group", GROUPS, ids=group_name)


@functools.cache
def library(collective: str, name: str, group: Group) -> Counts:
    dims = [Dim(kind="clique", members=group.ranks, capacity=group.ranks)]
    dims += [
        Dim(kind="ring", members=jnp.asarray(float(n)), capacity=jnp.asarray(float(c)))
        for n, c in zip(group.sides, group.whole, strict=True)
    ]
    return total(algorithms("neuronlink", collective)[name].count(dims, SIZE))


def per_level(counts: Counts) -> np.ndarray:
    """Return rounds and bytes of every dimension."""
    return np.array(
        [(float(x.rounds), float(x.bytes) / SIZE) for x in counts.levels], float
    )


def expected(group: Group, *tallies: oracle.Tally, streams: bool = False) -> np.ndarray:
    return np.array(
        [
            (
                sum(t.rounds[dim] for t in tallies),
                sum((t.stream if streams else t.bytes).get(dim, 0.0) for t in tallies),
            )
            for dim in range(1 + len(group.sides))
        ]
    )


def near(values):
    return pytest.approx(values, rel=1e-6, abs=1e-9)


def network_of(group: Group) -> oracle.Network:
    return oracle.chips(group.ranks, group.sides, group.wrap)


def chip_groups(network: oracle.Network) -> dict[oracle.Rank, list[oracle.Rank]]:
    """Return the ranks of every chip."""
    inside: dict[oracle.Rank, list[oracle.Rank]] = {}
    for rank in network.ranks:
        inside.setdefault(rank[0], []).append(rank)
    return inside


def same_index(network: oracle.Network) -> list[list[oracle.Rank]]:
    """Return the groups of one rank a chip."""
    return [list(ranks) for ranks in zip(*chip_groups(network).values(), strict=True)]


def two_stages(
    network: oracle.Network, between: Sequence[oracle.Rounds]
) -> tuple[oracle.Rounds, oracle.Rounds]:
    """Gather between chips by rank, then let the ranks of a chip read one another."""
    first = oracle.together(*between)
    held = {rank: ranks for ranks in same_index(network) for rank in ranks}
    inside = chip_groups(network).values()
    return first, oracle.together(*(oracle.direct(ranks, held) for ranks in inside))


def check_both_ways(
    group: Group,
    network: oracle.Network,
    stages: Sequence[oracle.Rounds],
    name: str,
    *,
    rotating: bool = False,
) -> None:
    """Gather in stages, reduce and scatter in their duals, and compare the counts.

    Where the groups rotate over the axes, the links of all sides are busy in a stage
    and the slowest sets its pace: every side is counted with them all.
    """
    one = {r: [r] for r in network.ranks}
    state = oracle.own(network.ranks, one)
    gathered = [oracle.run(network, s, state, 1 / group.size) for s in stages]
    oracle.check_gathered(state, network.ranks, one)
    state = oracle.partial(network.ranks, network.ranks)
    scattered = [
        oracle.run(network, oracle.dual(s), state, 1 / group.size)
        for s in reversed(stages)
    ]
    oracle.check_reduced(state, network.ranks, one)
    for stage in stages:
        oracle.run(network, stage, state, 1 / group.size)
    whole = dict.fromkeys(network.ranks, network.ranks)
    oracle.check_reduced(state, network.ranks, whole)
    adds = sum(tally.reduced for tally in scattered)
    for collective, tallies, reduced in (
        ("all_gather", gathered, 0.0),
        ("reduce_scatter", scattered, adds),
        ("all_reduce", scattered + gathered, adds),
    ):
        ours = library(collective, name, group)
        assert float(ours.valid) == 1.0
        levels, wanted = per_level(ours), expected(group, *tallies)
        if rotating:
            used = levels[1:][levels[1:, 0] > 0]
            assert len(used) == 0 or used == near(np.array([used[0]] * len(used)))
            levels = np.array([levels[0], levels[1:].max(axis=0)])
            slowest = [max([t.bytes[d] for d in t.bytes if d] + [0.0]) for t in tallies]
            crossing = sum(
                1 for t in tallies if any(t.rounds[d] for d in t.rounds if d)
            )
            wanted = np.array([wanted[0], (crossing, sum(slowest))])
        assert levels == near(wanted), collective
        assert float(ours.reduced_bytes) / SIZE == near(reduced), collective

"""NeuronLink's algorithms on parts of an instance, the instance, and an UltraServer."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import oracle

from matrix.flat import back
from matrix.groups import (
    INSTANCE,
    OTHERS,
    ULTRASERVER,
    Group,
    by_chip,
    depth,
    dims,
    network,
    same_index,
)
from matrix.neuronlink_rings import kangaring, ring
from matrix.record import Family, Seen, seen
from matrix.torus import scatter as on_torus
from matrix.torus import snake, tree_steps


def staged(
    collective: str,
    group: Group,
    stages: Sequence[tuple[oracle.Rounds, bool]],
) -> Seen:
    """Gather in stages, routed or not; reduce and scatter in their duals."""
    net = network(group)
    one = {r: [r] for r in net.ranks}
    found = []
    if collective != "all_gather":
        state = oracle.partial(net.ranks, net.ranks)
        for rounds, routed in reversed(stages):
            tally = oracle.run(net, oracle.dual(rounds), state, 1 / group.size)
            found.append(seen(tally, depth(group), routed=routed))
        oracle.check_reduced(state, net.ranks, one)
    if collective != "reduce_scatter":
        state = oracle.own(net.ranks, one)
        for rounds, routed in stages:
            tally = oracle.run(net, rounds, state, 1 / group.size)
            found.append(seen(tally, depth(group), routed=routed))
        oracle.check_gathered(state, net.ranks, one)
    return functools.reduce(Seen.__add__, found)


def inside_stage(group: Group) -> oracle.Rounds:
    """The ranks of a chip read from one another what each has gathered."""
    held = {rank: ranks for ranks in same_index(group) for rank in ranks}
    return oracle.together(
        *(oracle.direct(ranks, held) for ranks in by_chip(group).values())
    )


def mesh(collective: str, group: Group) -> Seen | None:
    """A chip sends its blocks to every other once; its ranks share what arrived."""
    if collective == "all_to_all":
        return mesh_exchange(group)
    one = {r: [r] for r in network(group).ranks}
    between = oracle.together(*(oracle.direct(g, one) for g in same_index(group)))
    return staged(collective, group, [(between, True), (inside_stage(group), False)])


def mesh_exchange(group: Group) -> Seen:
    """A rank sends a chip the blocks of its ranks; they fetch them from one another."""
    net, inside = network(group), by_chip(group)
    first, second = [], []
    for ranks in same_index(group):
        for a, b in itertools.permutations(ranks, 2):
            first.append(oracle.Message(a, b, [(a, c) for c in inside[b[0]]]))
        for via in ranks:
            second += [
                oracle.Message(via, c, [(a, c) for a in ranks])
                for c in inside[via[0]]
                if c != via
            ]
    state = oracle.own(net.ranks, {a: [(a, b) for b in net.ranks] for a in net.ranks})
    found = [
        seen(
            oracle.run(net, [messages] if messages else [], state, 1 / group.size),
            depth(group),
            routed=routed,
        )
        for messages, routed in ((first, True), (second, False))
    ]
    for i, a in enumerate(net.ranks):
        assert all(state[b][a, b] == 1 << i for b in net.ranks)
    return found[0] + found[1]


def single_step_mesh(collective: str, group: Group) -> Seen | None:
    """Every rank sends its whole vector to every other, in one step."""
    del collective
    net = network(group)
    pairs = itertools.permutations(net.ranks, 2)
    rounds = [[oracle.Message(a, b, [0], add=True) for a, b in pairs]]
    state = oracle.partial(net.ranks, [0])
    tally = oracle.run(net, rounds if group.size > 1 else [], state, 1.0)
    oracle.check_reduced(state, net.ranks, dict.fromkeys(net.ranks, (0,)))
    across = seen(tally, depth(group), routed=True)
    return Seen(
        rounds=across.rounds,
        hops=[0.0, *across.hops[1:]],  # inside a chip there is nothing to cross
        bytes=across.bytes,
        reduced=across.reduced,
    )


def rdh(collective: str, group: Group) -> Seen | None:
    """A ring of four is a 2-cube: a step is one hop, each rank starts on an axis."""
    cubes = [
        n <= 2 or (n == 4 and w) for n, w in zip(group.sides, group.wrap, strict=True)
    ]
    if not all(cubes):
        return None
    bits = [n.bit_length() - 1 for n in group.sides]
    axes, schedules = sum(bits), []
    for index, ranks in enumerate(same_index(group)):
        corner = {}
        for rank in ranks:
            at, low = 0, 0
            for place, many in zip(rank[0], bits, strict=True):
                at |= (place ^ (place >> 1)) << low
                low += many
            corner[at] = rank
        line = [corner[i] for i in range(len(ranks))]
        order = [(index + k) % axes for k in range(axes)]
        schedules.append(oracle.doubling(line, {r: [r] for r in ranks}, order))
    steps = [([messages], False) for messages in oracle.together(*schedules)]
    return staged(collective, group, [*steps, (inside_stage(group), False)])


def rooted(collective: str, group: Group) -> Seen | None:
    """Over the chips from corner to corner; in a chip the ranks read from its memory.

    A reduce goes through the ranks of a chip one after another first.
    """
    net, inside = network(group), by_chip(group)
    lead = same_index(group)[0]
    steps = [
        [oracle.Message((m.source, 0), (m.target, 0), [0]) for m in messages]
        for messages in tree_steps(group.sides, group.wrap)
    ]
    if collective == "broadcast":
        held = {(chip, "memory"): {0: 1} for chip in inside}
        state: oracle.State = {r: {} for r in net.ranks}
        state[lead[0]] = {0: 1}
        between = oracle.run(net, steps, state, 1.0)
        assert all(state[rank] == {0: 1} for rank in lead)
        reads = [
            oracle.Message((chip, "memory"), rank, [0])
            for chip, ranks in inside.items()
            for rank in ranks[1:]
        ]
        state |= held
        last = oracle.run(net, [reads] if reads else [], state, 1.0)
        assert all(state[rank] == {0: 1} for rank in net.ranks)
    else:
        state = oracle.partial(net.ranks, [0])
        chain = [
            [oracle.Message(ranks[i], ranks[i - 1], [0], add=True)
             for ranks in inside.values()]
            for i in range(group.ranks - 1, 0, -1)
        ]  # fmt: skip
        whole = oracle.run(net, chain + oracle.dual(steps), state, 1.0)
        assert state[lead[0]][0] == (1 << group.size) - 1
        return seen(whole, depth(group), stream=True)
    idle = [0.0] * len(group.sides)
    return seen(between, depth(group), stream=True) + Seen(
        rounds=[float(last.all_rounds), *idle],  # a read is one round
        hops=[0.0, *idle],
        bytes=[last.stream.get(0, 0.0), *idle],
        reduced=0.0,
    )


def scattered(collective: str, group: Group) -> Seen | None:
    """From or to a rank of the chip in the middle, as on a torus, and inside it."""
    net = network(group)
    middle = tuple(n // 2 for n in group.sides)
    chip = [(middle, i) for i in range(group.ranks)]
    messages = [oracle.Message(chip[0], r, [r]) for r in chip[1:]]
    state: oracle.State = {r: {r: 1} for r in net.ranks}
    state[chip[0]] = {r: 1 for r in net.ranks}
    rounds = [messages] if messages else []
    rounds = rounds if collective == "scatter" else back(rounds)
    inside = oracle.run(net, rounds, state, 1 / group.size)
    between = on_torus(collective, "routed", (group.sides, group.wrap))
    assert between is not None  # every rank of a chip gets what its chip gets, apart
    return Seen(
        rounds=[float(inside.rounds[0]), *between.rounds],
        hops=[0.0, *between.hops],
        bytes=[inside.bytes.get(0, 0.0), *between.bytes],
        reduced=0.0,
    )


def neighbour(collective: str, group: Group) -> Seen | None:
    """Each rank to the next one of its chip, and the last to the next chip's first."""
    del collective
    net, inside = network(group), by_chip(group)
    way = [rank for chip in snake(group.sides) for rank in inside[chip]]
    pairs = list(itertools.pairwise(way))
    state = oracle.own(net.ranks, {r: [r] for r in net.ranks})
    messages = [oracle.Message(a, b, [a]) for a, b in pairs]
    tally = oracle.run(net, [messages] if pairs else [], state, 1.0)
    assert all(a in state[b] for a, b in pairs)
    return seen(tally, depth(group), routed=True)


EXECUTE = {
    "mesh": mesh,
    "single_step_mesh": single_step_mesh,
    "rdh": rdh,
    "ring": ring,
    "kangaring": kangaring,
    "tree": rooted,
    "routed": scattered,
    "neighbour": neighbour,
}


def execute(collective: str, name: str, group: Group) -> Seen | None:
    """Run the algorithm that the registry calls so."""
    return EXECUTE[name](collective, group)


NEURONLINK = Family(
    name="neuronlink",
    execute=execute,
    dims=dims,
    light=[*INSTANCE, *OTHERS],
    heavy=ULTRASERVER,
)

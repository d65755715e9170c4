"""Torus algorithms on rings, lines, planes and spaces of chips."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence

import networkx as nx
import oracle
from oracle.cycles import hamiltonian_decomposition

from matrix.butterflies import bine_tree, butterfly
from matrix.record import Family, Seen, seen
from matrix.shapes import (
    LARGE,
    LINES,
    PLANES,
    SPACES,
    UNEQUAL,
    Shape,
    dims,
    network,
    real_sides,
    run_both,
)


def bucket_orders(name: str, shape: Shape) -> list[tuple[list[int], int]]:
    """The order of sides, and the sense, of every part of a bucket."""
    real = real_sides(shape)
    if name == "bucket_1port" or not real:
        return [(real, 1)]
    if name == "bucket":
        return [(real, 1), (real, -1)]
    return [
        (real[i:] + real[:i], sense)
        for i, side in enumerate(real)
        for sense in ((1, -1) if shape[0][side] > 2 else (1,))
    ]


def bucket(collective: str, name: str, shape: Shape) -> Seen | None:
    """One phase after another, or free-running: every part as soon as it can."""
    net, depth, orders = network(shape), len(shape[0]), bucket_orders(name, shape)
    block = 1 / len(net.ranks) / len(orders)
    if not real_sides(shape):
        return Seen(rounds=[0.0] * depth, hops=[0.0] * depth, bytes=[0.0] * depth,
                    reduced=0.0)  # fmt: skip
    if name != "free_bucket":
        phases, held = oracle.bucket_phases(net, orders, shape[1])
        return run_both(
            collective, shape, phases, held, block, lambda t: seen(t, depth)
        )
    alone = []
    for part, order in enumerate(orders):
        phases, _ = oracle.bucket_phases(net, [order], shape[1])
        named = [
            [m._replace(blocks=[(part, r) for _, r in m.blocks]) for m in messages]
            for messages in itertools.chain(*phases)
        ]
        alone.append(named)
    held = {r: [(part, r) for part in range(len(orders))] for r in net.ranks}

    def read(tally: oracle.Tally) -> Seen:
        whole = seen(tally, depth, stream=True, whole_rounds=True)
        # The hops are those on the way of a part, which turns once along every side.
        return Seen(
            rounds=whole.rounds,
            hops=[sum(n - 1 for n, w in zip(*shape, strict=True) if n > 2 and not w)],
            bytes=whole.bytes,
            reduced=whole.reduced,
            whole_rounds=True,
        )

    phases = [oracle.together(*alone)]
    return run_both(collective, shape, phases, held, block, read)


def routed(collective: str, name: str, shape: Shape) -> Seen | None:
    """Everyone to everyone at once, over minimal routes."""
    del name
    net, depth = network(shape), len(shape[0])
    ranks = net.ranks
    if collective == "all_to_all":
        held = {r: [(r, s) for s in ranks] for r in ranks}
        state = oracle.own(ranks, held)
        rounds = oracle.direct_exchange(ranks)
        tally = oracle.run(net, rounds, state, 1 / len(ranks))
        assert all((s, r) in state[r] for r in ranks for s in ranks)
        return seen(tally, depth, routed=True)
    one = {r: [r] for r in ranks}
    phases = [oracle.direct(ranks, one)]
    return run_both(
        collective, shape, phases, one, 1 / len(ranks),
        lambda t: seen(t, depth, routed=True),
    )  # fmt: skip


def hamiltonian(collective: str, name: str, shape: Shape) -> Seen | None:
    """As many edge-disjoint cycles as sides, both ways round each."""
    del name
    sides, whole = shape
    if any(n > 1 and not (n > 2 and w) for n, w in zip(sides, whole, strict=True)):
        return None
    net, depth = network(shape), len(sides)
    cycles = hamiltonian_decomposition(*shape) or [[net.ranks[0]]]
    orders = cycles + [cycle[::-1] for cycle in cycles]
    held = {r: [(c, r) for c in range(len(orders))] for r in net.ranks}
    rounds = oracle.together(
        *(
            oracle.ring(order, {r: [(c, r)] for r in net.ranks})
            for c, order in enumerate(orders)
        )
    )
    return run_both(
        collective, shape, [rounds], held, 1 / len(net.ranks) / len(orders),
        lambda t: seen(t, depth, stream=True, whole_rounds=True),
    )  # fmt: skip


def _at(rank: oracle.Rank, dim: int, there: int) -> tuple[int, ...]:
    return (*rank[:dim], there, *rank[dim + 1 :])


def tree_steps(sides: Sequence[int], wrap: Sequence[bool]) -> oracle.Rounds:
    """A broadcast along every side in turn, from a corner; both ways round a ring."""
    rounds: oracle.Rounds = []
    reached: list[oracle.Rank] = [(0,) * len(sides)]
    for dim, n in enumerate(sides):
        whole = wrap[dim] and n > 2
        ups, downs = (n // 2, (n - 1) // 2) if whole else (n - 1, 0)
        rounds += [
            [
                oracle.Message(_at(r, dim, step * t % n), there, [0])
                for r in reached
                for step, many in ((1, ups), (-1, downs))
                if t < many
                for there in [_at(r, dim, step * (t + 1) % n)]
            ]
            for t in range(ups)
        ]
        reached = [_at(r, dim, i) for r in reached for i in range(n)]
    return rounds


def tree(collective: str, name: str, shape: Shape) -> Seen | None:
    """Every side in turn, from a corner; both ways round a ring."""
    del name
    net, depth = network(shape), len(shape[0])
    root, rounds = net.ranks[0], tree_steps(*shape)
    if collective == "broadcast":
        state: oracle.State = {r: {} for r in net.ranks}
        state[root] = {0: 1}
        tally = oracle.run(net, rounds, state, 1.0)
        assert all(state[r] == {0: 1} for r in net.ranks)
    else:
        state = oracle.partial(net.ranks, [0])
        tally = oracle.run(net, oracle.dual(rounds), state, 1.0)
        assert state[root][0] == (1 << len(net.ranks)) - 1
    return seen(tally, depth, stream=True)


def scatter(collective: str, name: str, shape: Shape) -> Seen | None:
    """From or to the middle: a part for every side, routed along that side first."""
    del name
    net, depth, real = network(shape), len(shape[0]), real_sides(shape)
    root = tuple(n // 2 for n in shape[0])
    parts = [real[i:] + real[:i] for i in range(len(real))]
    block = 1 / len(net.ranks) / max(len(parts), 1)
    names = {r: [(i, r) for i in range(len(parts))] for r in net.ranks}
    messages = [
        oracle.Message(root, r, [(i, r)])
        for r in net.ranks
        if r != root
        for i in range(len(parts))
    ]
    orders = dict(enumerate(parts))

    def route(source: oracle.Rank, target: oracle.Rank) -> list[oracle.Path]:
        return oracle.torus_route(shape[0], shape[1], source, target, orders[turn[0]])

    turn = [0]
    tallies = []
    state: oracle.State = {r: {} for r in net.ranks}
    if collective == "scatter":
        state[root] = {b: 1 for own in names.values() for b in own}
    else:
        state = {r: dict.fromkeys(own, 1) for r, own in names.items()}
        messages = [m._replace(source=m.target, target=m.source) for m in messages]
        orders = {i: order[::-1] for i, order in orders.items()}
    load: dict = defaultdict(float)
    for i in orders:  # the parts go at once; the loads of their links add up
        turn[0] = i
        one = oracle.Network(net.graph, net.ranks, route)
        part = [m for m in messages if m.blocks[0][0] == i]
        tallies.append(oracle.run(one, [part], state, block))
        for link, size in tallies[-1].links.items():
            load[link] += size
    ends = net.ranks if collective == "scatter" else [root]
    wanted = (
        names
        if collective == "scatter"
        else {root: [b for own in names.values() for b in own]}
    )
    assert all(b in state[r] for r in ends for b in wanted[r])
    reach = max((t.path for t in tallies), default=0)
    used = [1.0 if n > 1 else 0.0 for n in shape[0]]
    busiest = [
        max((v for k, v in load.items() if net.graph.edges[k]["dim"] == d), default=0.0)
        for d in range(depth)
    ]
    return Seen(rounds=used, hops=[reach * u for u in used], bytes=busiest, reduced=0.0)


def snake(sides: Sequence[int]) -> list[tuple[int, ...]]:
    """Every place once, each a neighbour of the one before."""
    places: list[tuple[int, ...]] = [()]
    for n in reversed(sides):
        rows = []
        for i in range(n):
            rows += [(i, *p) for p in (places if i % 2 == 0 else places[::-1])]
        places = rows
    return places


def neighbour(collective: str, name: str, shape: Shape) -> Seen | None:
    """Each rank to the next one of the snake; the last has none."""
    del collective, name
    net, depth = network(shape), len(shape[0])
    way = snake(shape[0])
    messages = [oracle.Message(a, b, [a]) for a, b in itertools.pairwise(way)]
    state = oracle.own(net.ranks, {r: [r] for r in net.ranks})
    tally = oracle.run(net, [messages] if messages else [], state, 1.0)
    assert all(a in state[b] for a, b in itertools.pairwise(way))
    return seen(tally, depth, routed=True)


def shift(collective: str, name: str, shape: Shape) -> Seen | None:
    """Everyone as far as there is along every side."""
    del collective, name
    far = [
        nx.diameter(oracle.torus((n,), (w,)).graph) if n > 1 else 0
        for n, w in zip(*shape, strict=True)
    ]
    return shifted(shape, far)


def shifted(shape: Shape, far: Sequence[int]) -> Seen:
    """Everyone so far along every side, over the edge of a line to its other end."""
    net, depth = network(shape), len(shape[0])
    messages = []
    for rank in net.ranks:
        moved = tuple((x + d) % n for x, d, n in zip(rank, far, shape[0], strict=True))
        if moved != rank:
            messages.append(oracle.Message(rank, moved, [rank]))
    state = oracle.own(net.ranks, {r: [r] for r in net.ranks})
    tally = oracle.run(net, [messages] if messages else [], state, 1.0)
    return seen(tally, depth, routed=True)


EXECUTE = {
    "bucket": bucket,
    "bucket_1port": bucket,
    "multiport_bucket": bucket,
    "free_bucket": bucket,
    "hamiltonian": hamiltonian,
    "neighbour": neighbour,
    "shift": shift,
    "tree": tree,
}
ROOTED = ("broadcast", "reduce", "scatter", "gather")


def execute(collective: str, name: str, shape: Shape) -> Seen | None:
    """Run the algorithm that the registry calls so."""
    if name == "routed":
        run = scatter if collective in ("scatter", "gather") else routed
        return run(collective, name, shape)
    if name in EXECUTE:
        return EXECUTE[name](collective, name, shape)
    return (bine_tree if collective in ROOTED else butterfly)(collective, name, shape)


TORUS = Family(
    name="torus",
    execute=execute,
    dims=dims,
    light=[*LINES, *PLANES, *UNEQUAL, *SPACES],
    heavy=LARGE,
)

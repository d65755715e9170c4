"""Algorithms over nodes of several ranks, which share adapters or drive several."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import oracle

from fabricmodel.algorithms.counts import Dim
from matrix.record import Family, Seen


class Cluster(NamedTuple):
    """Nodes of so many ranks on a switch, and adapters of every node."""

    nodes: int
    ranks: int
    adapters: int

    @property
    def size(self) -> int:
        return self.nodes * self.ranks


def _adapters(ranks: int) -> list[int]:
    return sorted({1, ranks, 2 * ranks, *([ranks // 2] if ranks % 2 == 0 else [])})


CLUSTERS = [
    Cluster(nodes, ranks, adapters)
    for ranks in (1, 2, 3, 4, 8)
    for nodes in range(1, 24 // ranks + 1)
    for adapters in _adapters(ranks)
]


def dims(at: Cluster) -> list[Dim]:
    return [
        Dim(kind="switch", members=float(at.ranks), capacity=float(at.ranks)),
        Dim(
            kind="switch",
            members=float(at.nodes),
            capacity=float(at.nodes),
            ranks_per_link=at.ranks / at.adapters,
            ranks_inside=float(at.ranks),
        ),
    ]


Choose = Callable[[oracle.Rank], list[int]]  # adapters that a rank's message goes by


def network(at: Cluster, choose: Choose) -> oracle.Network:
    """Every rank on the switch of its node, every adapter on the net."""
    net = oracle.nodes_of_adapters(at.nodes, at.ranks, at.adapters)

    def route(source: oracle.Rank, target: oracle.Rank) -> list[oracle.Path]:
        if "hub" in (source[1], target[1]) or source[0] == target[0]:
            return net.route(source, target)
        many = choose(source)
        return [
            (
                1 / len(many),
                [
                    ((source[0], "adapter", k), "net"),
                    ("net", (target[0], "adapter", k)),
                ],
            )
            for k in many
        ]

    return oracle.Network(net.graph, net.ranks, route)


def _summed(
    at: Cluster,
    tallies: Iterable[oracle.Tally],
    rounds: tuple[float, float],
    *,
    whole: bool,
) -> Seen:
    """Channels that run at once: the loads of links and ranks add up."""
    load: dict = defaultdict(float)
    adds: dict = defaultdict(float)
    graph = network(at, lambda _: [0]).graph
    for tally in tallies:
        for link, size in tally.links.items():
            load[link] += size
        for rank, size in tally.adds.items():
            adds[rank] += size
    busiest = [
        max((s for k, s in load.items() if graph.edges[k]["dim"] == d), default=0.0)
        for d in (0, 1)
    ]
    ranks = set(itertools.product(range(at.nodes), range(at.ranks)))
    return Seen(
        rounds=rounds,
        hops=[0.0, 0.0],
        bytes=busiest,
        reduced=max((s for r, s in adds.items() if r in ranks), default=0.0),
        whole_rounds=whole,
    )


def ring(collective: str, at: Cluster) -> Seen | None:
    """One ring an adapter, node by node, each with its part of the vector."""
    order = list(itertools.product(range(at.nodes), range(at.ranks)))
    nets = [network(at, lambda _, k=k: [k]) for k in range(at.adapters)]
    block, one = 1 / at.size / at.adapters, {r: [r] for r in order}
    rounds = oracle.ring(order, one)
    passes = (float(len(rounds)), 0.0)

    def scatter() -> Seen:
        tallies = []
        for net in nets:
            state = oracle.partial(order, order)
            tallies.append(oracle.run(net, oracle.dual(rounds), state, block))
            oracle.check_reduced(state, order, one)
        return _summed(at, tallies, passes, whole=True)

    def gather() -> Seen:
        tallies = []
        for net in nets:
            state = oracle.own(order, one)
            tallies.append(oracle.run(net, rounds, state, block))
            oracle.check_gathered(state, order, one)
        return _summed(at, tallies, passes, whole=True)

    if collective in ("broadcast", "reduce"):
        return chain(collective, at, nets)
    if collective == "all_reduce":
        return scatter() + gather()
    return gather() if collective == "all_gather" else scatter()


def chain(collective: str, at: Cluster, nets: list[oracle.Network]) -> Seen:
    """Along the rings from their first rank, or to it."""
    order = list(itertools.product(range(at.nodes), range(at.ranks)))
    steps = [[oracle.Message(a, b, [0])] for a, b in itertools.pairwise(order)]
    tallies = []
    for net in nets:
        if collective == "broadcast":
            state: oracle.State = {r: {} for r in order}
            state[order[0]] = {0: 1}
            tallies.append(oracle.run(net, steps, state, 1 / at.adapters))
            assert all(state[r] == {0: 1} for r in order)
        else:
            state = oracle.partial(order, [0])
            tallies.append(oracle.run(net, oracle.dual(steps), state, 1 / at.adapters))
            assert state[order[0]] == {0: (1 << at.size) - 1}
    return _summed(at, tallies, (float(len(steps)), 0.0), whole=True)


def tree(collective: str, at: Cluster) -> Seen | None:
    """Up the chain of a node, up and down two trees of the nodes, down the chain."""
    del collective
    order = list(itertools.product(range(at.nodes), range(at.ranks)))
    chain = [
        [oracle.Message((x, i), (x, i + 1), [0, 1]) for x in range(at.nodes)]
        for i in range(at.ranks - 1)
    ]
    down = [
        [
            [oracle.Message((m.source, 0), (m.target, 0), m.blocks) for m in ms]
            for ms in t
        ]
        for t in oracle.double_tree_down(at.nodes)
    ]
    trees = oracle.together(*map(oracle.dual, down)) + oracle.together(*down)
    tallies = []
    for channel in range(at.adapters):
        net = network(at, lambda _, channel=channel: [channel])
        state = oracle.partial(order, [0, 1])
        rounds = oracle.dual(chain) + trees + chain
        tallies.append(oracle.run(net, rounds, state, 0.5 / at.adapters))
        oracle.check_reduced(state, order, dict.fromkeys(order, (0, 1)))
    inside, outside = 2.0 * len(chain), float(len(trees))
    return _summed(at, tallies, (inside, outside), whole=False)


def _own_adapters(at: Cluster) -> Choose:
    """Adapters that a rank drives: neighbours share one, or it has several."""
    each = at.adapters / at.ranks

    def choose(rank: oracle.Rank) -> list[int]:
        first = int(rank[1] * each + 1e-9)
        return list(range(first, first + max(int(each), 1)))

    return choose


def direct(collective: str, at: Cluster) -> Seen | None:
    """Everyone to everyone; neighbours share an adapter, or a rank drives several."""
    del collective
    net = network(at, _own_adapters(at))
    ranks = net.ranks
    state = oracle.own(ranks, {r: [(r, s) for s in ranks] for r in ranks})
    rounds = oracle.direct_exchange(ranks)
    tally = oracle.run(net, rounds, state, 1 / len(ranks))
    assert all((s, r) in state[r] for r in ranks for s in ranks)
    used = (float(at.ranks > 1), float(at.nodes > 1))
    return _summed(at, [tally], used, whole=False)


def nvls_tree(collective: str, at: Cluster) -> Seen | None:
    """Load and add in every node, two trees for every index, store in every node."""
    del collective
    net = network(at, _own_adapters(at))
    members = net.ranks
    parts = [(i, half) for i in range(at.ranks) for half in (0, 1)]
    load: oracle.Rounds = []
    store: oracle.Rounds = []
    if at.ranks > 1:
        load = [
            [oracle.Message(r, (r[0], "hub"), parts, add=True) for r in members],
            [oracle.Message((x, "hub"), (x, i), [(i, 0), (i, 1)]) for x, i in members],
        ]
        store = [
            [oracle.Message((x, i), (x, "hub"), [(i, 0), (i, 1)]) for x, i in members],
            [oracle.Message((r[0], "hub"), r, parts) for r in members],
        ]
    down = [
        [
            [
                oracle.Message((m.source, i), (m.target, i), [(i, half)])
                for m in messages
                for i in range(at.ranks)
            ]
            for messages in one
        ]
        for half, one in enumerate(oracle.double_tree_down(at.nodes))
    ]
    trees = oracle.together(*map(oracle.dual, down)) + oracle.together(*down)
    state = oracle.partial(members, parts)
    state |= {(x, "hub"): dict.fromkeys(parts, 0) for x in range(at.nodes)}
    tally = oracle.run(net, load + trees + store, state, 0.5 / at.ranks)
    oracle.check_reduced(state, members, dict.fromkeys(members, parts))
    rounds = ((len(load) + len(store)) / 2, float(len(trees)))
    return _summed(at, [tally], rounds, whole=False)


EXECUTE = {
    "flat_ring": ring,
    "flat_tree": tree,
    "flat_direct": direct,
    "nvls_tree": nvls_tree,
}


def execute(collective: str, name: str, at: Cluster) -> Seen | None:
    """Run the algorithm that the registry calls so."""
    return EXECUTE[name](collective, at)


SPANNING = Family(name="spanning", execute=execute, dims=dims, light=CLUSTERS)

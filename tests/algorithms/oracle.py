"""An executing oracle: collectives carried out, message by message, on explicit graphs.

Nothing here is shared with the counting functions. A topology is a directed graph,
a schedule is a list of rounds of messages that carry named blocks, and a run moves
the blocks, refuses to send what a rank does not hold or to add a contribution twice,
and tallies what each link carried. Sizes are in units of the size of the collective.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import networkx as nx

Rank = Any  # any name that can be hashed
Block = Any
Path = tuple[float, list[tuple[Rank, Rank]]]  # its part of the message, its links
Held = Mapping[Rank, Sequence[Block]]
State = dict[Rank, dict[Block, int]]  # who contributed to the copy of a block, in bits


class Message(NamedTuple):
    """Blocks on their way; added to what the receiver holds, or replacing it."""

    source: Rank
    target: Rank
    blocks: Sequence[Block]
    add: bool = False


Rounds = list[list[Message]]


@dataclass(frozen=True)
class Network:
    """Links labelled with their dimension, and the routes of a message over them."""

    graph: nx.DiGraph
    ranks: list[Rank]
    route: Callable[[Rank, Rank], list[Path]]


@dataclass
class Tally:
    """What a run asked of the links.

    Attributes:
      rounds: rounds that used the dimension.
      hops: links crossed beyond the first, the longest message of every round.
      messages: sent beyond the first, by the busiest rank of every round.
      bytes: through the busiest link of every round, added up.
      stream: through the busiest link over all rounds.
      reduced: by the busiest rank.
    """

    rounds: Counter[int] = field(default_factory=Counter)
    hops: Counter[int] = field(default_factory=Counter)
    messages: int = 0
    bytes: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    stream: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    reduced: float = 0.0
    sent: float = 0.0
    received: float = 0.0
    all_rounds: int = 0


# Topologies


def switch(n: int) -> Network:
    """Join every rank to a crossbar by one link each way."""
    graph = nx.DiGraph()
    for rank in range(n):
        graph.add_edge(rank, "hub", dim=0)
        graph.add_edge("hub", rank, dim=0, hop=0)  # the crossbar costs no hop
    return Network(
        graph, list(range(n)), lambda a, b: [(1.0, [(a, "hub"), ("hub", b)])]
    )


def clique(n: int) -> Network:
    """Join every pair of ranks by a link each way."""
    graph = nx.complete_graph(n, nx.DiGraph)
    for link in graph.edges:
        graph.edges[link]["dim"] = 0
    return Network(graph, list(range(n)), lambda a, b: [(1.0, [(a, b)])])


def torus(sides: Sequence[int], wrap: Sequence[bool]) -> Network:
    """Join neighbours along every dimension; the product of rings and lines.

    A message goes one dimension after the other, the short way; where both ways are
    as short, half of it goes each way.
    """
    graph = nx.DiGraph()
    places = list(itertools.product(*(range(n) for n in sides)))
    graph.add_nodes_from(places)
    for place in places:
        for dim, n in enumerate(sides):
            for step in (1, -1):
                there = place[dim] + step
                if wrap[dim]:
                    there %= n
                if 0 <= there < n and there != place[dim]:
                    graph.add_edge(place, _moved(place, dim, there), dim=dim)

    def route(source: Rank, target: Rank) -> list[Path]:
        paths: list[Path] = [(1.0, [])]
        here = source
        for dim, n in enumerate(sides):
            ways = _ways(source[dim], target[dim], n, wrap[dim])
            legs = []
            for step, length in ways:
                stops = [
                    _moved(here, dim, (source[dim] + step * i) % n)
                    for i in range(length + 1)
                ]
                legs.append(list(itertools.pairwise(stops)))
            here = _moved(here, dim, target[dim])
            paths = [
                (part / len(legs), links + leg) for part, links in paths for leg in legs
            ]
        return paths

    return Network(graph, list(places), route)


def _moved(place: tuple[int, ...], dim: int, there: int) -> tuple[int, ...]:
    return (*place[:dim], there, *place[dim + 1 :])


def _ways(start: int, end: int, n: int, wrap: bool) -> list[tuple[int, int]]:
    """Return the shortest ways along one dimension: (direction, links)."""
    if not wrap or n < 3:
        return [(1 if end > start else -1, abs(end - start))]
    up, down = (end - start) % n, (start - end) % n
    return [
        (step, length)
        for step, length in ((1, up), (-1, down))
        if length == min(up, down)
    ][: 1 if up == 0 else 2]


def chips(ranks: int, sides: Sequence[int], wrap: Sequence[bool]) -> Network:
    """Put ranks on every chip of a torus.

    A rank reaches the memory of its chip through a port of its own (dimension 0), and
    the ranks of a chip share its links (dimensions 1 and up). A rank is (chip, index).
    """
    outside = torus(sides, wrap)
    graph = nx.DiGraph()
    for a, b, data in outside.graph.edges(data=True):
        graph.add_edge(a, b, dim=data["dim"] + 1)
    for chip in outside.ranks:
        for i in range(ranks):
            graph.add_edge((chip, i), (chip, "memory"), dim=0)
            graph.add_edge((chip, "memory"), (chip, i), dim=0, hop=0)

    def route(source: Rank, target: Rank) -> list[Path]:
        if source[0] == target[0]:
            memory = (source[0], "memory")
            return [(1.0, [(source, memory), (memory, target)])]
        return outside.route(source[0], target[0])

    return Network(
        graph, [(chip, i) for chip in outside.ranks for i in range(ranks)], route
    )


# Running


def run(network: Network, rounds: Rounds, state: State, block: float) -> Tally:
    """Move the blocks, each of ``block`` bytes, and tally.

    Raises:
      KeyError: if a rank sends a block that it does not hold.
      AssertionError: if a contribution is added twice.
    """
    tally = Tally()
    load: dict[Any, float] = defaultdict(float)
    reduced: dict[Rank, float] = defaultdict(float)
    sent: dict[Rank, float] = defaultdict(float)
    received: dict[Rank, float] = defaultdict(float)
    for messages in rounds:
        payloads = [[state[m.source][b] for b in m.blocks] for m in messages]
        now: dict[Any, float] = defaultdict(float)
        hops: Counter[int] = Counter()
        for message, payload in zip(messages, payloads, strict=True):
            size = len(payload) * block
            here = state[message.target]
            for name, bits in zip(message.blocks, payload, strict=True):
                if message.add:
                    assert not here[name] & bits, "added twice"
                    bits |= here[name]
                    reduced[message.target] += block
                here[name] = bits
            sent[message.source] += size
            received[message.target] += size
            for part, links in network.route(message.source, message.target):
                crossed: Counter[int] = Counter()
                for link in links:
                    now[link] += size * part
                    data = network.graph.edges[link]
                    crossed[data["dim"]] += data.get("hop", 1)
                hops |= crossed
        for dim in hops:
            tally.rounds[dim] += 1
            tally.hops[dim] += hops[dim] - 1
        for dim, busiest in _busiest(network, now).items():
            tally.bytes[dim] += busiest
        if messages:
            posted = Counter(m.source for m in messages)
            tally.messages += max(posted.values()) - 1
            tally.all_rounds += 1
        for link, size in now.items():
            load[link] += size
    tally.stream.update(_busiest(network, load))
    tally.reduced = max(reduced.values(), default=0.0)
    tally.sent = max(sent.values(), default=0.0)
    tally.received = max(received.values(), default=0.0)
    return tally


def _busiest(network: Network, load: Mapping[tuple, float]) -> dict[int, float]:
    busiest: dict[int, float] = defaultdict(float)
    for link, size in load.items():
        dim = network.graph.edges[link]["dim"]
        busiest[dim] = max(busiest[dim], size)
    return busiest


def own(ranks: Sequence[Rank], held: Held) -> State:
    """Start with the rank's own blocks only, each marked with its origin."""
    return {r: dict.fromkeys(held[r], 1 << i) for i, r in enumerate(ranks)}


def partial(ranks: Sequence[Rank], blocks: Iterable[Block]) -> State:
    """Start with every rank's contribution to every block."""
    blocks = list(blocks)
    return {r: dict.fromkeys(blocks, 1 << i) for i, r in enumerate(ranks)}


def check_gathered(state: State, ranks: Sequence[Rank], held: Held) -> None:
    """Assert that every rank holds every block, as its owner had it."""
    whole = {b: 1 << i for i, r in enumerate(ranks) for b in held[r]}
    for rank in ranks:
        assert state[rank] == whole


def check_reduced(state: State, ranks: Sequence[Rank], held: Held) -> None:
    """Assert that the blocks a rank is to hold contain every contribution once."""
    everyone = (1 << len(ranks)) - 1
    for rank in ranks:
        assert all(state[rank][b] == everyone for b in held[rank])


# Schedules: each gathers what the ranks hold; its dual reduces and scatters.


def dual(rounds: Rounds) -> Rounds:
    """Run a gather backwards: what was copied outwards is added up on its way in."""
    return [
        [Message(m.target, m.source, m.blocks, add=True) for m in messages]
        for messages in reversed(rounds)
    ]


def together(*schedules: Rounds) -> Rounds:
    """Run schedules side by side, round by round."""
    return [
        list(itertools.chain(*messages))
        for messages in itertools.zip_longest(*schedules, fillvalue=[])
    ]


def ring(group: Sequence[Rank], held: Held) -> Rounds:
    """Pass on to the next rank what came last (Patarasuk and Yuan 2009)."""
    n = len(group)
    return [
        [
            Message(group[i], group[(i + 1) % n], held[group[(i - t) % n]])
            for i in range(n)
        ]
        for t in range(n - 1)
    ]


def doubling(group: Sequence[Rank], held: Held, axes: Iterable[int]) -> Rounds:
    """Exchange everything with the rank that differs in one bit, bit after bit."""
    have = [list(held[r]) for r in group]
    rounds: Rounds = []
    for axis in axes:
        pairs = [(i, i ^ (1 << axis)) for i in range(len(group))]
        rounds.append([Message(group[i], group[j], have[i]) for i, j in pairs])
        have = [have[i] + have[j] for i, j in pairs]
    return rounds


def bruck(group: Sequence[Rank], held: Held) -> Rounds:
    """Send the blocks known to the rank a power of two below (Bruck et al. 1997)."""
    n = len(group)
    rounds: Rounds = []
    distance = 1
    while distance < n:
        many = min(distance, n - distance)
        rounds.append(
            [
                Message(
                    group[i],
                    group[(i - distance) % n],
                    [b for j in range(many) for b in held[group[(i + j) % n]]],
                )
                for i in range(n)
            ]
        )
        distance *= 2
    return rounds


def direct(group: Sequence[Rank], held: Held) -> Rounds:
    """Send to everyone at once."""
    pairs = list(itertools.permutations(group, 2))
    return [[Message(a, b, held[a]) for a, b in pairs]] if pairs else []


def direct_exchange(group: Sequence[Rank]) -> Rounds:
    """Send every rank its own block at once: block (a, b) from a to b."""
    pairs = list(itertools.permutations(group, 2))
    return [[Message(a, b, [(a, b)]) for a, b in pairs]] if pairs else []


def bruck_exchange(n: int) -> Rounds:
    """Forward a block by every power of two in the distance it has to go."""
    rounds: Rounds = []
    distance = 1
    while distance < n:
        messages = []
        for i in range(n):
            moving = [
                (origin, (origin + far) % n)
                for far in range(n)
                if far & distance
                for origin in [(i - far % distance) % n]
            ]
            messages.append(Message(i, (i + distance) % n, moving))
        rounds.append(messages)
        distance *= 2
    return rounds


def binomial(n: int, blocks: Callable[[range], Sequence[Block]]) -> Rounds:
    """Halve the ranks that are still to be served; ``blocks`` says what they get."""
    rounds: Rounds = []
    mask = 1 << max(n - 1, 0).bit_length() >> 1
    while mask:
        rounds.append(
            [
                Message(root, root + mask, blocks(range(root + mask, end)))
                for root in range(0, n - mask, 2 * mask)
                for end in [min(root + 2 * mask, n)]
            ]
        )
        mask //= 2
    return rounds


def folded(n: int, inner: Callable[[list[Rank]], Rounds], blocks: Sequence) -> Rounds:
    """Fold the ranks beyond a power of two into their neighbours, and out again."""
    power = 1 << n.bit_length() - 1
    extra = n - power
    pairs = [(2 * i, 2 * i + 1) for i in range(extra)]
    kept: list[Rank] = [b for _, b in pairs]
    kept += range(2 * extra, n)
    fold = [[Message(a, b, blocks, add=True) for a, b in pairs]] if pairs else []
    unfold = [[Message(b, a, blocks) for a, b in pairs]] if pairs else []
    return fold + inner(kept) + unfold


def binary_tree(n: int) -> dict[int, int]:
    """Return the parents of an in-order binary tree below rank 0; odd ranks are leaves.

    The tree of NCCL, after Sanders, Speck and Träff 2009.
    """
    parents = {}
    for rank in range(1, n):
        low = rank & -rank
        up = (rank ^ low) | (low << 1)
        parents[rank] = up if up < n else rank ^ low
    return parents


def tree_rounds(parents: Mapping[int, int], blocks: Sequence[Block]) -> Rounds:
    """Broadcast down a tree, all children of a rank at once."""
    depth = Counter({0: 0})

    def level(rank: int) -> int:
        return 0 if rank not in parents else 1 + level(parents[rank])

    rounds: Rounds = []
    for rank, parent in parents.items():
        depth[rank] = level(rank)
        while len(rounds) < depth[rank]:
            rounds.append([])
        rounds[depth[rank] - 1].append(Message(parent, rank, blocks))
    return rounds


def rings_along(
    network: Network, dim: int, held: Held, step: int = 1
) -> tuple[Rounds, dict[Rank, list[Block]]]:
    """Gather along one dimension, on all its rings at once; also what is held then."""
    lines: dict[Rank, list[Rank]] = defaultdict(list)
    for place in network.ranks:
        lines[(*place[:dim], *place[dim + 1 :])].append(place)
    groups = [line[::step] for line in lines.values()]
    after = {r: [b for s in group for b in held[s]] for group in groups for r in group}
    return together(*(ring(group, held) for group in groups)), after


def bucket_phases(
    network: Network, orders: Sequence[tuple[Sequence[int], int]]
) -> tuple[list[Rounds], dict[Rank, list[Block]]]:
    """Gather one dimension after the other, every part in an order and direction.

    Returns:
      The phases, in each of which every part gathers along one dimension, and the
      blocks a rank starts with: one a part.
    """
    start: dict[Rank, list[Block]] = {
        r: [(part, r) for part in range(len(orders))] for r in network.ranks
    }
    phases: list[list[Rounds]] = [[] for _ in orders[0][0]]
    for part, (order, step) in enumerate(orders):
        held: Held = {r: [(part, r)] for r in network.ranks}
        for phase, dim in enumerate(order):
            rounds, held = rings_along(network, dim, held, step)
            phases[phase].append(rounds)
    return [together(*parts) for parts in phases], start


def hamiltonian_cycles(graph: nx.Graph, start: Rank) -> Iterator[list[Rank]]:
    """Search all Hamiltonian cycles through ``start``, depth first."""
    path, seen = [start], {start}

    def extend() -> Iterator[list[Rank]]:
        if len(path) == len(graph):
            if len(path) > 2 and graph.has_edge(path[-1], start):
                yield list(path)
            return
        for there in graph.neighbors(path[-1]):
            if there not in seen:
                path.append(there)
                seen.add(there)
                yield from extend()
                seen.remove(path.pop())

    yield from extend()


def edge_disjoint_cycles(graph: nx.Graph, many: int) -> list[list[Rank]] | None:
    """Find Hamiltonian cycles that share no edge, or say that there are none."""
    if many == 0:
        return []
    start = next(iter(graph))
    for cycle in hamiltonian_cycles(graph, start):
        rest = graph.copy()
        rest.remove_edges_from(zip(cycle, cycle[1:] + cycle[:1], strict=True))
        others = edge_disjoint_cycles(rest, many - 1)
        if others is not None:
            return [cycle, *others]
    return None

"""Schedules: each gathers what the ranks hold; its dual reduces and scatters."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import networkx as nx

from oracle.networks import Network, Rank
from oracle.running import Block, Held, Message, Rounds


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


def folded_line(line: Sequence[Rank]) -> list[Rank]:
    """Close a line to a ring of steps of two links: 0, 2, 4, ..., 5, 3, 1."""
    return [*line[::2], *line[1::2][::-1]]


def rings_along(
    network: Network, dim: int, held: Held, step: int = 1, *, closed: bool = True
) -> tuple[Rounds, dict[Rank, list[Block]]]:
    """Gather along one dimension, on all its rings at once; also what is held then."""
    lines: dict[Rank, list[Rank]] = defaultdict(list)
    for place in network.ranks:
        lines[(*place[:dim], *place[dim + 1 :])].append(place)
    rings = [line if closed else folded_line(line) for line in lines.values()]
    groups = [line[::step] for line in rings]
    after = {r: [b for s in group for b in held[s]] for group in groups for r in group}
    return together(*(ring(group, held) for group in groups)), after


def bucket_phases(
    network: Network,
    orders: Sequence[tuple[Sequence[int], int]],
    wrap: Sequence[bool],
) -> tuple[list[Rounds], dict[Rank, list[Block]]]:
    """Gather one dimension after the other, every part in an order and direction.

    A dimension that does not wrap is folded.

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
            rounds, held = rings_along(network, dim, held, step, closed=wrap[dim])
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


def double_tree_down(n: int) -> list[Rounds]:
    """Broadcast halves 0 and 1 of a vector down two complementary trees.

    The second is the first shifted by one (odd n) or mirrored (even n).
    """
    first = binary_tree(n)

    def other(rank: int) -> int:
        return (rank + 1) % n if n % 2 else n - 1 - rank

    return [
        tree_rounds(first, [0]),
        [
            [Message(other(m.source), other(m.target), [1]) for m in messages]
            for messages in tree_rounds(first, [1])
        ],
    ]

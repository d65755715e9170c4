"""Flat algorithms on a switch and in a clique, of 1 to 24 ranks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import oracle
import oracle.more_schedules as more

from fabricmodel.algorithms.counts import Dim
from matrix.record import Family, Seen, seen

Shape = tuple[str, int]
SHAPES: list[Shape] = [(kind, n) for n in range(1, 25) for kind in ("switch", "clique")]


def dims(shape: Shape) -> list[Dim]:
    kind, n = shape
    return [Dim(kind=kind, members=float(n), capacity=float(n))]


@functools.cache
def network(shape: Shape) -> oracle.Network:
    kind, n = shape
    return {"switch": oracle.switch, "clique": oracle.clique}[kind](n)


def _one(n: int) -> dict:
    return {r: [r] for r in range(n)}


def _doubling(n: int) -> oracle.Rounds | None:
    if n & (n - 1):
        return None
    return oracle.doubling(range(n), _one(n), range(n.bit_length() - 1))


GATHERS: dict[str, Callable[[int], oracle.Rounds | None]] = {
    "bruck": lambda n: oracle.bruck(range(n), _one(n)),
    "bruck_4": lambda n: more.bruck_radix(n, 4),
    "direct": lambda n: oracle.direct(range(n), _one(n)),
    "neighbour_exchange": lambda n: (
        None if n % 2 and n > 1 else more.neighbour_exchange(n)
    ),
    "pat": more.pat,
    "recursive_doubling": _doubling,
    "recursive_halving": _doubling,
    "two_shot": lambda n: oracle.direct(range(n), _one(n)),
    "two_way_ring": more.two_way_ring,
}


def rings(name: str, shape: Shape) -> list[list[int]]:
    """One ring, or two of opposite sense; in a clique as many as are counted."""
    kind, n = shape
    up = list(range(n))
    if kind == "clique":
        if name == "ring":
            return more.clique_cycles(n)
        return [up, up[::-1]] if n > 2 else [up]
    return [up] if name == "ring" else [up, up[::-1]]


def _gather(name: str, shape: Shape) -> tuple[oracle.Rounds, dict, float] | None:
    """Rounds that gather, what the ranks start with, and the size of a block."""
    _, n = shape
    if name in ("ring", "ring_channels"):
        orders = rings(name, shape)
        held = {r: [(c, r) for c in range(len(orders))] for r in range(n)}
        return more.rings(orders, held), held, 1 / n / len(orders)
    rounds = GATHERS[name](n)
    return None if rounds is None else (rounds, _one(n), 1 / n)


def gathers(collective: str, name: str, shape: Shape) -> Seen | None:
    """all_gather, the dual of it, or both."""
    made = _gather(name, shape)
    if made is None:
        return None
    rounds, held, block = made
    found, ranks = [], network(shape).ranks
    if collective != "all_gather":
        state = oracle.partial(ranks, [b for own in held.values() for b in own])
        found.append(oracle.run(network(shape), oracle.dual(rounds), state, block))
        oracle.check_reduced(state, ranks, held)
    if collective != "reduce_scatter":
        state = oracle.own(ranks, held)
        found.append(oracle.run(network(shape), rounds, state, block))
        oracle.check_gathered(state, ranks, held)
    parts = [seen(tally, 1, messages=True) for tally in found]
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _sums(shape: Shape, rounds: oracle.Rounds, blocks: int) -> oracle.Tally:
    ranks = network(shape).ranks
    state = oracle.partial(ranks, range(blocks))
    tally = oracle.run(network(shape), rounds, state, 1 / blocks)
    oracle.check_reduced(state, ranks, dict.fromkeys(ranks, range(blocks)))
    return tally


def folded(collective: str, name: str, shape: Shape) -> Seen | None:
    """Any N by folding: recursive doubling, Rabenseifner, and MPICH's halving."""
    _, n = shape
    if collective == "reduce_scatter":
        ranks = network(shape).ranks
        state = oracle.partial(ranks, ranks)
        tally = oracle.run(network(shape), more.folded_halving(n), state, 1 / n)
        oracle.check_reduced(state, ranks, _one(n))
        return seen(tally, 1, messages=True)
    axes, power = range(n.bit_length() - 1), 1 << n.bit_length() - 1

    def exchange(kept: list) -> oracle.Rounds:
        if name == "recursive_doubling":
            return [
                [oracle.Message(m.source, m.target, [0], add=True) for m in messages]
                for messages in oracle.doubling(kept, {r: [0] for r in kept}, axes)
            ]
        held = {r: [i] for i, r in enumerate(kept)}
        rounds = oracle.doubling(kept, held, axes)
        return oracle.dual(rounds) + rounds

    blocks = 1 if name == "recursive_doubling" else power
    return seen(
        _sums(shape, oracle.folded(n, exchange, range(blocks)), blocks),
        1,
        messages=True,
    )


def one_shot(collective: str, name: str, shape: Shape) -> Seen | None:
    del collective, name
    _, n = shape
    pairs = [(a, b) for a in range(n) for b in range(n) if a != b]
    rounds = [[oracle.Message(a, b, [0], add=True) for a, b in pairs]]
    return seen(_sums(shape, rounds if pairs else [], 1), 1, messages=True)


def double_tree(collective: str, name: str, shape: Shape) -> Seen | None:
    del collective, name
    down = oracle.double_tree_down(shape[1])
    rounds = oracle.together(*map(oracle.dual, down)) + oracle.together(*down)
    return seen(_sums(shape, rounds, 2), 1, stream=True)


EXCHANGES: dict[str, Callable[[int], oracle.Rounds]] = {
    "bruck": lambda n: more.bruck_exchange_radix(n, 2),
    "bruck_4": lambda n: more.bruck_exchange_radix(n, 4),
    "direct": lambda n: oracle.direct_exchange(range(n)),
    "pairwise": more.pairwise_exchange,
    "ring": more.relay_exchange,
}


def exchanges(collective: str, name: str, shape: Shape) -> Seen | None:
    del collective
    _, n = shape
    held = {r: [(r, d) for d in range(n)] for r in range(n)}
    state = oracle.own(range(n), held)
    tally = oracle.run(network(shape), EXCHANGES[name](n), state, 1 / n)
    for rank in range(n):
        assert all(state[rank][s, rank] == 1 << s for s in range(n))
    return seen(tally, 1, messages=True)


def _tree(name: str, n: int) -> tuple[oracle.Rounds, int, bool]:
    """Rounds of a broadcast, its blocks, and whether it is a stream."""
    if name == "chain":
        return [[oracle.Message(r, r + 1, [0])] for r in range(n - 1)], 1, True
    if name == "binary_tree":
        return oracle.tree_rounds(oracle.binary_tree(n), [0]), 1, True
    if name == "linear":
        fan = [[oracle.Message(0, r, [0]) for r in range(1, n)]] if n > 1 else []
        return fan, 1, False
    if name == "knomial":
        return more.knomial(n, 4), 1, False
    return oracle.binomial(n, lambda _: [0]), 1, False


def back(rounds: oracle.Rounds) -> oracle.Rounds:
    """The same messages the other way, nothing added."""
    return [
        [oracle.Message(m.target, m.source, m.blocks) for m in messages]
        for messages in reversed(rounds)
    ]


def rooted(collective: str, name: str, shape: Shape) -> Seen | None:
    """broadcast and reduce."""
    _, n = shape
    if name in ("scatter_all_gather", "reduce_scatter_gather"):
        return _in_parts(collective, shape)
    rounds, blocks, stream = _tree(name, n)
    return seen(
        _carried(collective, shape, rounds, blocks),
        1,
        stream=stream,
        messages=not stream,
    )


def _carried(
    collective: str, shape: Shape, rounds: oracle.Rounds, blocks: int
) -> oracle.Tally:
    _, n = shape
    if collective == "broadcast":
        state: oracle.State = {r: {} for r in range(n)}
        state[0] = dict.fromkeys(range(blocks), 1)
        tally = oracle.run(network(shape), rounds, state, 1 / blocks)
        assert all(state[r] == state[0] and len(state[r]) == blocks for r in range(n))
    else:
        state = oracle.partial(range(n), range(blocks))
        tally = oracle.run(network(shape), oracle.dual(rounds), state, 1 / blocks)
        assert state[0] == dict.fromkeys(range(blocks), (1 << n) - 1)
    return tally


def _in_parts(collective: str, shape: Shape) -> Seen:
    """Scatter, then gather round as many rings as there are; or backwards."""
    _, n = shape
    tree = oracle.binomial(n, list)
    orders = rings("ring", shape)
    many = len(orders)
    held = {r: [(c, r) for c in range(many)] for r in range(n)}
    gather = more.rings(orders, held)
    tree = [
        [
            oracle.Message(
                m.source, m.target, [(c, b) for b in m.blocks for c in range(many)]
            )
            for m in messages
        ]
        for messages in tree
    ]
    names = [b for own in held.values() for b in own]
    if collective == "broadcast":
        state: oracle.State = {r: {} for r in range(n)}
        state[0] = dict.fromkeys(names, 1)
        rounds = tree + gather
    else:
        state = oracle.partial(range(n), names)
        rounds = oracle.dual(gather) + back(tree)
    tally = oracle.run(network(shape), rounds, state, 1 / n / many)
    whole = 1 if collective == "broadcast" else (1 << n) - 1
    ends = range(n) if collective == "broadcast" else [0]
    assert all(state[r] == dict.fromkeys(names, whole) for r in ends)
    return seen(tally, 1, messages=True)


def parts(collective: str, name: str, shape: Shape) -> Seen | None:
    """scatter and gather."""
    _, n = shape
    rounds = oracle.binomial(n, list)
    if name == "direct":
        rounds = [[oracle.Message(0, r, [r]) for r in range(1, n)]] if n > 1 else []
    if collective == "scatter":
        state: oracle.State = {r: {} for r in range(n)}
        state[0] = {b: 1 << b for b in range(n)}
        tally = oracle.run(network(shape), rounds, state, 1 / n)
        assert all(state[r][r] == 1 << r for r in range(n))
    else:
        state = {r: {r: 1 << r} for r in range(n)}
        tally = oracle.run(network(shape), back(rounds), state, 1 / n)
        assert state[0] == {r: 1 << r for r in range(n)}
    return seen(tally, 1, messages=True)


def neighbour(collective: str, name: str, shape: Shape) -> Seen | None:
    del collective, name
    _, n = shape
    rounds = [[oracle.Message(r, (r + 1) % n, [r]) for r in range(n)]] if n > 1 else []
    state = oracle.own(range(n), _one(n))
    tally = oracle.run(network(shape), rounds, state, 1.0)
    assert all((r - 1) % n in state[r] for r in range(n))
    return seen(tally, 1, messages=True)


def in_network(collective: str, name: str, shape: Shape) -> Seen | None:
    """Switches that add and copy: up to one and down again is one round."""
    kind, n = shape
    if kind == "clique":
        return None
    net, (above, *_) = oracle.switch_tree(n, max(n, 2))
    hub, ranks = above[0], list(range(n))
    if n == 1:
        return Seen(rounds=[0.0], hops=[0.0], bytes=[0.0], reduced=0.0)
    blocks, gathers_own = (n if name == "nvls" else 1), False
    everything = range(blocks)
    load = [
        [oracle.Message(r, hub, everything, add=True) for r in ranks],
        [oracle.Message(hub, r, [r]) for r in ranks],
    ]
    store = [
        [oracle.Message(r, hub, [r]) for r in ranks],
        [oracle.Message(hub, r, everything) for r in ranks],
    ]
    rounds = {"all_reduce": load + store, "reduce_scatter": load, "all_gather": store}
    state = oracle.partial(ranks, everything)
    if name == "sharp":
        copied = collective == "broadcast"
        up = [oracle.Message(r, hub, [0], add=True) for r in ranks]
        up = [oracle.Message(0, hub, [0])] if copied else up
        steps = [up, [oracle.Message(hub, r, [0]) for r in ranks]]
        state = {r: {} for r in ranks} | {0: {0: 1}} if copied else state
    else:
        steps = rounds[collective]
        gathers_own = collective == "all_gather"
        state = oracle.own(ranks, _one(n)) if gathers_own else state
    state |= {hub: dict.fromkeys(everything, 0)}
    tally = oracle.run(net, steps, state, 1 / blocks)
    whole = (1 << n) - 1
    for rank in ranks:
        if gathers_own:
            assert state[rank] == {b: 1 << b for b in ranks}
        elif collective == "broadcast":
            assert state[rank] == {0: 1}
        else:
            mine = [rank] if collective == "reduce_scatter" else everything
            assert all(state[rank][b] == whole for b in mine)
    return Seen(
        rounds=[tally.all_rounds / 2],
        hops=[0.0],
        bytes=[tally.stream[0]],
        reduced=tally.reduced,
    )


def _execute(collective: str, name: str, shape: Shape) -> Seen | None:
    if name in ("nvls", "sharp"):
        return in_network(collective, name, shape)
    if collective == "all_reduce" and name in (
        "recursive_doubling",
        "halving_doubling",
    ):
        return folded(collective, name, shape)
    if name in ("folded_halving", "one_shot", "double_tree"):
        special = {
            "folded_halving": folded,
            "one_shot": one_shot,
            "double_tree": double_tree,
        }
        return special[name](collective, name, shape)
    by_collective = {
        "all_to_all": exchanges,
        "broadcast": rooted,
        "reduce": rooted,
        "scatter": parts,
        "gather": parts,
        "send_recv": neighbour,
    }
    return by_collective.get(collective, gathers)(collective, name, shape)


UNPOSTED = {("gather", "direct"), ("reduce", "linear")}
"""Posted by many, taken in by one, who pays for them."""


def execute(collective: str, name: str, shape: Shape) -> Seen | None:
    """Run the algorithm that the registry calls so.

    On the rings of a clique, a rank's messages of a round are counted as one.
    """
    found = _execute(collective, name, shape)
    rings_there = shape[0] == "clique" and (
        name in ("ring", "scatter_all_gather", "reduce_scatter_gather")
        and collective != "all_to_all"
    )
    if found is None or not (rings_there or (collective, name) in UNPOSTED):
        return found
    return dataclasses.replace(found, messages=None)


FLAT = Family(
    name="flat",
    execute=execute,
    dims=dims,
    light=SHAPES,
    whole=frozenset({"nvls"}),  # what one half leaves in the switch the other sends on
)

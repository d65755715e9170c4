"""Swing, Bine and recursive doubling on a torus, and Bine's trees."""

from __future__ import annotations

import oracle
import oracle.torus_schedules as steps

from matrix.flat import back
from matrix.record import Seen, seen
from matrix.shapes import Shape, network, real_sides, run_both


def _powers(shape: Shape, *, twist: bool) -> bool:
    sides, whole = shape
    cubes = all(n & (n - 1) == 0 for n in sides)
    rings = all(w or n <= 2 for n, w in zip(sides, whole, strict=True))
    return cubes and (rings or not twist)


def _parts(shape: Shape, ports: str) -> list[tuple[int, int]]:
    """Start and sense of every sub-collective."""
    sides, real = shape[0], real_sides(shape)
    if ports == "one" or not real:
        return [(0, 1)]
    if ports == "sides":
        return [(side, 1) for side in real]
    return [(s, sense) for s in real for sense in ((1, -1) if sides[s] > 2 else (1,))]


def _partners(name: str, shape: Shape, start: int, sense: int) -> list[steps.Partner]:
    bits = [n.bit_length() - 1 for n in shape[0]]
    make = (
        steps.doubling_partner
        if name.startswith("torus_doubling")
        else steps.swing_partner
    )
    return [
        make(shape[0], side, step, sense) for side, step in steps.turns(bits, start)
    ]


def _ports(name: str) -> str:
    return {"1port": "one", "sides": "sides"}.get(name.rpartition("_")[2], "all")


def butterfly(collective: str, name: str, shape: Shape) -> Seen | None:
    """Swing, Bine and recursive doubling, in halves and whole, on one port or more.

    Bine has the partners of Swing.
    """
    if not _powers(shape, twist=not name.startswith("torus_doubling")):
        return None
    net, depth = network(shape), len(shape[0])
    ranks, parts = net.ranks, _parts(shape, _ports(name))
    partners = [_partners(name, shape, *part) for part in parts]
    if "latency" in name:
        made = [steps.exchange_sums(ranks, each, i) for i, each in enumerate(partners)]
        blocks = [(i, 0) for i in range(len(parts))]
        state = oracle.partial(ranks, blocks)
        tally = oracle.run(net, oracle.together(*made), state, 1 / len(parts))
        oracle.check_reduced(state, ranks, dict.fromkeys(ranks, blocks))
        return seen(tally, depth)
    made = [steps.exchange_all(ranks, each, i) for i, each in enumerate(partners)]
    held = {r: [(i, r) for i in range(len(parts))] for r in ranks}
    return run_both(
        collective, shape, [oracle.together(*made)], held,
        1 / len(ranks) / len(parts), lambda t: seen(t, depth),
    )  # fmt: skip


def bine_tree(collective: str, name: str, shape: Shape) -> Seen | None:
    """From or to a root; whole vectors, or what each rank is due."""
    if not _powers(shape, twist=True):
        return None
    net, depth = network(shape), len(shape[0])
    ranks, parts = net.ranks, _parts(shape, _ports(name))
    whole = collective in ("broadcast", "reduce")
    root = ranks[-1]
    down = oracle.together(
        *(
            steps.tree_down(
                root, _partners("bine", shape, *part), i, parts_only=not whole
            )
            for i, part in enumerate(parts)
        )
    )
    names = [(i, x) for i in range(len(parts)) for x in ([0] if whole else ranks)]
    block = 1 / len(parts) / (1 if whole else len(ranks))
    state: oracle.State = {r: {} for r in ranks}
    if collective in ("broadcast", "scatter"):
        state[root] = dict.fromkeys(names, 1)
        tally = oracle.run(net, down, state, block)
        assert all(n in state[r] for r in ranks for n in names if whole or n[1] == r)
    elif collective == "reduce":
        state = oracle.partial(ranks, names)
        tally = oracle.run(net, oracle.dual(down), state, block)
        assert all(state[root][n] == (1 << len(ranks)) - 1 for n in names)
    else:
        state = {r: {(i, r): 1 for i in range(len(parts))} for r in ranks}
        tally = oracle.run(net, back(down), state, block)
        assert set(state[root]) == set(names)
    return seen(tally, depth)

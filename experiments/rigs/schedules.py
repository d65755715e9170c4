"""What each rank sends and waits for, step by step: collectives as known schedules.

One generator serves the ranks that run a collective over sockets and the event model
that counts it. A program is a list of steps for each rank; a step posts its sends, then
waits for its receives; messages between two ranks keep their order.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable

from experiments.rigs import gloo
from experiments.rigs.graph import lines
from experiments.rigs.steps import (
    Program,
    Step,
    exchange,
    folded,
    passes,
    together,
    unfolded,
    whole,
)


def ring_all_reduce(sides: tuple[int, ...], size: float) -> Program:
    """Reduce-scatter, then all-gather: 2 (N - 1) passes of S/N."""
    n = math.prod(sides)
    return passes(whole(n), 2 * (n - 1), size / n)


def ring_pass(sides: tuple[int, ...], size: float) -> Program:
    """Half of that: the ring's all_gather, or its reduce_scatter."""
    n = math.prod(sides)
    return passes(whole(n), n - 1, size / n)


def two_way_ring_all_reduce(sides: tuple[int, ...], size: float) -> Program:
    """Half of the vector each way round."""
    n = math.prod(sides)
    ways = [passes(whole(n), 2 * (n - 1), size / n / 2, turn) for turn in (1, -1)]
    return together(*ways)


def recursive_doubling(sides: tuple[int, ...], size: float) -> Program:
    """All of S with the rank 1, 2, 4, … away; the extra ranks fold in and out."""
    n = math.prod(sides)
    program, power, real = folded(n, size)
    mask = 1
    while mask < power:
        for at in range(power):
            other = real[at ^ mask]
            program[real[at]].append(exchange(other, size, other, size))
        mask *= 2
    return unfolded(program, n, size)


def halving_doubling(sides: tuple[int, ...], size: float) -> Program:
    """Rabenseifner, textbook order: halves with the farthest partner first."""
    return _halving(sides, size, nearest=False)


def nearest_halving_doubling(sides: tuple[int, ...], size: float) -> Program:
    """Rabenseifner as Open MPI does it: halves with the nearest partner first."""
    return _halving(sides, size, nearest=True)


def _halving(sides: tuple[int, ...], size: float, *, nearest: bool) -> Program:
    """Halve, then double back; extra ranks trade halves first, and get the end."""
    n = math.prod(sides)
    program, power, real = folded(n, size / 2, size / 2)
    masks = [1 << bit for bit in range(power.bit_length() - 1)]
    order = masks if nearest else masks[::-1]
    rounds = [(mask, size / 2 ** (at + 1)) for at, mask in enumerate(order)]
    for mask, part in rounds + rounds[::-1]:
        for at in range(power):
            other = real[at ^ mask]
            program[real[at]].append(exchange(other, part, other, part))
    return unfolded(program, n, size)


def dim_ordered_all_reduce(sides: tuple[int, ...], size: float) -> Program:
    """Ring reduce_scatter along each side, last first, then all_gather back."""
    return _dim_ordered(sides, size, tuple(range(len(sides)))[::-1])


def two_way_torus_all_reduce(sides: tuple[int, ...], size: float) -> Program:
    """Half of the vector one order of the sides, half the other, at once."""
    order = tuple(range(len(sides)))
    return together(
        _dim_ordered(sides, size / 2, order), _dim_ordered(sides, size / 2, order[::-1])
    )


def _dim_ordered(
    sides: tuple[int, ...], size: float, order: tuple[int, ...]
) -> Program:
    n = math.prod(sides)
    program: Program = [[] for _ in range(n)]
    stages, part = [], size
    for at in order:
        part /= sides[at]
        stages.append((at, part))
    for at, part in stages + stages[::-1]:
        for line in lines(sides, at):
            passed = passes(line, sides[at] - 1, part)
            for rank, steps in zip(line, passed, strict=True):
                program[rank] += steps
    return program


def pairwise_all_to_all(sides: tuple[int, ...], size: float) -> Program:
    """N - 1 steps: S/N to the rank k ahead, S/N from the rank k behind."""
    n = math.prod(sides)
    return [
        [exchange((at + k) % n, size / n, (at - k) % n, size / n) for k in range(1, n)]
        for at in range(n)
    ]


def flood_all_to_all(sides: tuple[int, ...], size: float) -> Program:
    """Everything posted at once, the next rank first."""
    n = math.prod(sides)
    return [
        [
            Step(
                sends=tuple(((at + k) % n, size / n) for k in range(1, n)),
                receives=tuple(((at - k) % n, size / n) for k in range(1, n)),
            )
        ]
        for at in range(n)
    ]


def binomial_broadcast(sides: tuple[int, ...], size: float) -> Program:
    """Rank 0 first; in each round every holder sends to the rank 2^k further."""
    n = math.prod(sides)
    program: Program = [[] for _ in range(n)]
    reach = 1
    while reach < n:
        for at in range(min(reach, n - reach)):
            program[at].append(Step(sends=((at + reach, size),)))
            program[at + reach].append(Step(receives=((at, size),)))
        reach *= 2
    return program


def chain_broadcast(
    sides: tuple[int, ...], size: float, segment: float = 16384.0
) -> Program:
    """From rank to rank in segments, each passed on as it comes."""
    n = math.prod(sides)
    parts = [segment] * int(size // segment)
    parts += [size % segment] if size % segment else []
    program: Program = [[] for _ in range(n)]
    for part in parts:
        for at in range(n):
            if at > 0:
                program[at].append(Step(receives=((at - 1, part),)))
            if at < n - 1:
                program[at].append(Step(sends=((at + 1, part),)))
    return program


def shift(sides: tuple[int, ...], size: float) -> Program:
    """Everyone to the next rank, once."""
    return passes(whole(math.prod(sides)), 1, size)


def ping_pong(
    sides: tuple[int, ...], size: float, one: int = 0, other: int = 1
) -> Program:
    """From one rank to another and back, the first two if none are named."""
    program: Program = [[] for _ in range(math.prod(sides))]
    program[one] = [Step(sends=((other, size),)), Step(receives=((other, size),))]
    program[other] = [Step(receives=((one, size),)), Step(sends=((one, size),))]
    return program


def bruck_all_gather(sides: tuple[int, ...], size: float) -> Program:
    """Bruck: 1, 2, 4, … blocks from the rank as far ahead, the rest last."""
    n = math.prod(sides)
    program: Program = [[] for _ in range(n)]
    reach = 1
    while reach < n:
        part = min(reach, n - reach) * size / n
        for at in range(n):
            program[at].append(exchange((at - reach) % n, part, (at + reach) % n, part))
        reach *= 2
    return program


def doubling_all_gather(sides: tuple[int, ...], size: float) -> Program:
    """Recursive doubling: with the rank 1, 2, 4, … away; powers of two."""
    n = math.prod(sides)
    program: Program = [[] for _ in range(n)]
    mask = 1
    while mask < n:
        for at in range(n):
            part = mask * size / n
            program[at].append(exchange(at ^ mask, part, at ^ mask, part))
        mask *= 2
    return program


def neighbour_exchange(sides: tuple[int, ...], size: float) -> Program:
    """Neighbour exchange all_gather: N/2 steps, one block, then two at a time; even N.

    Source: Chen et al., "Performance evaluation of allgather algorithms on terascale
    Linux cluster with fast Ethernet" (2005).
    """
    n = math.prod(sides)
    program: Program = [[] for _ in range(n)]
    for step in range(n // 2):
        part = size / n * (1 if step == 0 else 2)
        for at in range(n):
            up = (at % 2 == 0) == (step % 2 == 0)
            other = (at + 1) % n if up else (at - 1) % n
            program[at].append(exchange(other, part, other, part))
    return program


def bruck_all_to_all(sides: tuple[int, ...], size: float) -> Program:
    """Bruck: in round k every block whose number has bit k goes 2^k ranks ahead."""
    n = math.prod(sides)
    program: Program = [[] for _ in range(n)]
    reach = 1
    while reach < n:
        part = sum(1 for block in range(n) if block & reach) * size / n
        for at in range(n):
            program[at].append(exchange((at + reach) % n, part, (at - reach) % n, part))
        reach *= 2
    return program


def linear_all_reduce(sides: tuple[int, ...], size: float) -> Program:
    """Everyone sends all of it to rank 0, which sends the sum to everyone."""
    n = math.prod(sides)
    others = tuple((rank, size) for rank in range(1, n))
    root = [Step(receives=others), Step(sends=others)]
    rest = [Step(sends=((0, size),)), Step(receives=((0, size),))]
    return [root, *([rest] * (n - 1))]


def halving_reduce_scatter(sides: tuple[int, ...], size: float) -> Program:
    """Recursive halving, the farthest partner first; powers of two."""
    n = math.prod(sides)
    program: Program = [[] for _ in range(n)]
    mask, part = n // 2, size / 2
    while mask:
        for at in range(n):
            program[at].append(exchange(at ^ mask, part, at ^ mask, part))
        mask, part = mask // 2, part / 2
    return program


def scatter_ring_broadcast(sides: tuple[int, ...], size: float) -> Program:
    """Binomial scatter from rank 0, then the ring all_gather."""
    n = math.prod(sides)
    program: Program = [[] for _ in range(n)]
    mask = 1 << (n - 1).bit_length() >> 1
    while mask:
        for at in range(0, n, 2 * mask):
            if at + mask < n:
                part = min(mask, n - at - mask) * size / n
                program[at].append(Step(sends=((at + mask, part),)))
                program[at + mask].append(Step(receives=((at, part),)))
        mask //= 2
    gather = ring_pass(sides, size)
    return [a + b for a, b in zip(program, gather, strict=True)]


Schedule = Callable[[tuple[int, ...], float], Program]

SCHEDULES: dict[tuple[str, str], Schedule] = {
    ("all_reduce", "ring"): ring_all_reduce,
    ("all_reduce", "bidirectional_ring"): two_way_ring_all_reduce,
    ("all_reduce", "recursive_doubling"): recursive_doubling,
    ("all_reduce", "rabenseifner"): halving_doubling,
    ("all_reduce", "torus_dim_ordered"): dim_ordered_all_reduce,
    ("all_reduce", "torus_two_way"): two_way_torus_all_reduce,
    ("all_reduce", "segmented_ring"): ring_all_reduce,
    ("all_reduce", "basic_linear"): linear_all_reduce,
    ("all_gather", "ring"): ring_pass,
    ("all_gather", "neighbor"): neighbour_exchange,
    ("all_to_all", "modified_bruck"): bruck_all_to_all,
    ("all_gather", "bruck"): bruck_all_gather,
    ("all_gather", "recursive_doubling"): doubling_all_gather,
    ("reduce_scatter", "ring"): ring_pass,
    ("reduce_scatter", "recursive_halving"): halving_reduce_scatter,
    ("broadcast", "scatter_allgather_ring"): scatter_ring_broadcast,
    ("all_to_all", "pairwise"): pairwise_all_to_all,
    ("all_to_all", "flood"): flood_all_to_all,
    ("all_to_all", "linear"): flood_all_to_all,
    ("broadcast", "binomial"): binomial_broadcast,
    ("broadcast", "chain_seg16k"): chain_broadcast,
    ("send_recv", "shift+1"): shift,
    ("send_recv", "neighbour"): shift,
    ("ping_pong", "neighbour"): ping_pong,
    ("all_reduce", "xla_gloo_default"): gloo.ring_all_reduce,
    ("all_gather", "xla_gloo_default"): gloo.ring_all_gather,
    ("reduce_scatter", "xla_gloo_default"): gloo.halving_reduce_scatter,
    ("all_to_all", "xla_gloo_default"): flood_all_to_all,
    ("send_recv", "xla_gloo_default"): shift,
}
"""By collective and algorithm, as the tables name them."""


SHAPES: dict[tuple[str, str], Callable[[int], bool]] = {
    ("all_gather", "recursive_doubling"): lambda ranks: not ranks & (ranks - 1),
    ("reduce_scatter", "recursive_halving"): lambda ranks: not ranks & (ranks - 1),
    ("all_gather", "neighbor"): lambda ranks: ranks % 2 == 0,
}
"""Of schedules that not every number of ranks has: whether this one does."""


def schedule(collective: str, algorithm: str, ranks: int) -> Schedule | None:
    """Find a schedule by its names; a ping-pong may name its ranks, ``pair1-2``.

    >>> program = schedule("ping_pong", "pair1-2", 4)((4,), 8.0)
    >>> [len(steps) for steps in program]
    [0, 2, 2, 0]
    >>> schedule("all_reduce", "magic", 4) is None
    True
    """
    pair = re.fullmatch(r"pair(\d+)-(\d+)", algorithm)
    if pair and collective == "ping_pong":
        one, other = int(pair[1]), int(pair[2])
        if one == other or max(one, other) >= ranks:
            return None
        return functools.partial(ping_pong, one=one, other=other)
    if not SHAPES.get((collective, algorithm), bool)(ranks):
        return None
    return SCHEDULES.get((collective, algorithm))

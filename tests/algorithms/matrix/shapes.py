"""Shapes of tori, the shared way to run both halves of an all_reduce on them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

import oracle

from fabricmodel.algorithms.counts import Dim
from matrix.record import Seen

Shape = tuple[tuple[int, ...], tuple[bool, ...]]  # sides; which are whole rings


def open_and_closed(sides: Sequence[int]) -> list[Shape]:
    """A shape with every choice of rings and lines that makes a difference."""
    choices = [(True, False) if n > 2 else (n == 2,) for n in sides]
    return [(tuple(sides), wrap) for wrap in itertools.product(*choices)]


def closed(*sides: int) -> Shape:
    return sides, tuple(n > 1 for n in sides)


LINES = [shape for n in range(1, 25) for shape in open_and_closed((n,))]
PLANES = [
    shape
    for sides in itertools.product(range(1, 6), repeat=2)
    for shape in open_and_closed(sides)
]
UNEQUAL = [closed(*s) for s in [(2, 8), (8, 2), (4, 8), (8, 4), (2, 16), (16, 4)]]
SPACES = [
    shape
    for sides in [(4, 4, 4), (3, 4, 5), (2, 2, 2), (3, 1, 4), (1, 5, 1)]
    for shape in (open_and_closed(sides) if sides != (4, 4, 4) else [closed(4, 4, 4)])
] + [closed(*s) for s in [(2, 4, 4), (4, 2, 4), (2, 4, 8), (8, 4, 2), (2, 2, 8)]]
LARGE = [
    *open_and_closed((4, 4, 4))[1:],
    *(closed(*s) for s in [(8, 8), (8, 16), (16, 16), (2, 32), (32, 2)]),
    *(closed(*s) for s in [(2, 2, 2, 2), (2, 4, 2, 4), (2, 4, 8, 2), (3, 2, 3, 2)]),
]


def dims(shape: Shape) -> list[Dim]:
    return [
        Dim(kind="ring", members=float(n), capacity=float(n + (not whole)))
        for n, whole in zip(*shape, strict=True)
    ]


@functools.cache
def network(shape: Shape) -> oracle.Network:
    return oracle.torus(*shape)


def real_sides(shape: Shape) -> list[int]:
    return [side for side, n in enumerate(shape[0]) if n > 1]


def _both(
    collective: str, there: Callable[[], Seen], back_again: Callable[[], Seen]
) -> Seen:
    """The all_gather, its dual, or the one after the other."""
    if collective == "all_gather":
        return there()
    return back_again() + there() if collective == "all_reduce" else back_again()


def run_both(
    collective: str,
    shape: Shape,
    phases: Sequence[oracle.Rounds],
    held: oracle.Held,
    block: float,
    read: Callable[[oracle.Tally], Seen],
) -> Seen:
    """Gather in phases, and reduce and scatter in their duals."""
    net = network(shape)

    def run(state: oracle.State, done: Sequence[oracle.Rounds]) -> Seen:
        return functools.reduce(
            Seen.__add__, [read(oracle.run(net, p, state, block)) for p in done]
        )

    def there() -> Seen:
        state = oracle.own(net.ranks, held)
        found = run(state, phases)
        oracle.check_gathered(state, net.ranks, held)
        return found

    def back_again() -> Seen:
        state = oracle.partial(net.ranks, [b for own in held.values() for b in own])
        found = run(state, [oracle.dual(p) for p in reversed(phases)])
        oracle.check_reduced(state, net.ranks, held)
        return found

    return _both(collective, there, back_again)

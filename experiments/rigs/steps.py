"""Steps of a rank, and how schedules are put together from them."""

from __future__ import annotations

import dataclasses

Message = tuple[int, float]
"""The other rank, and bytes."""


@dataclasses.dataclass(frozen=True)
class Step:
    """Sends and receives posted at once, then the messages that the step waits for.

    Attributes:
      sends: posted.
      receives: posted, and waited for.
      posts: receives posted here that a later step waits for.
      awaits: messages waited for whose receives an earlier step has posted.
      eager: whether both ends know the buffers, so that no message shakes hands.
    """

    sends: tuple[Message, ...] = ()
    receives: tuple[Message, ...] = ()
    posts: tuple[Message, ...] = ()
    awaits: tuple[Message, ...] = ()
    eager: bool = False


Program = list[list[Step]]


def exchange(to: int, sent: float, source: int, got: float) -> Step:
    """Send to one rank and receive from another, in one step."""
    return Step(sends=((to, sent),), receives=((source, got),))


def whole(ranks: int) -> list[int]:
    """All the ranks, in order."""
    return list(range(ranks))


def passes(
    ranks: list[int], steps: int, part: float, turn: int = 1
) -> list[list[Step]]:
    """Each of a ring of ranks hands a part on, so many times; nothing where alone."""
    n = len(ranks)
    if n == 1:
        return [[]]
    return [
        [exchange(ranks[(i + turn) % n], part, ranks[(i - turn) % n], part)] * steps
        for i in range(n)
    ]


def together(*programs: Program) -> Program:
    """Run programs of one shape side by side, step by step."""
    return [
        [
            Step(
                sends=tuple(m for step in steps for m in step.sends),
                receives=tuple(m for step in steps for m in step.receives),
            )
            for steps in zip(*rank, strict=True)
        ]
        for rank in zip(*programs, strict=True)
    ]


def folded(
    n: int, size: float, returned: float = 0.0
) -> tuple[Program, int, list[int]]:
    """First 2 r ranks pair up, the even one hands its vector to the odd one.

    Where something is returned, both send a part and the even one sends its result on.
    """
    power = 1 << (n.bit_length() - 1)
    extra = n - power
    program: Program = [[] for _ in range(n)]
    for even in range(0, 2 * extra, 2):
        odd = even + 1
        if returned:
            program[even].append(exchange(odd, size, odd, returned))
            program[odd].append(exchange(even, returned, even, size))
        program[even].append(Step(sends=((odd, size),)))
        program[odd].append(Step(receives=((even, size),)))
    real = [2 * i + 1 if i < extra else i + extra for i in range(power)]
    return program, power, real


def unfolded(program: Program, n: int, size: float) -> Program:
    """Hand the result back to the even ones of the pairs that ``folded`` made."""
    extra = n - (1 << (n.bit_length() - 1))
    for even in range(0, 2 * extra, 2):
        program[even + 1].append(Step(sends=((even, size),)))
        program[even].append(Step(receives=((even + 1, size),)))
    return program

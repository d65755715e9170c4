"""What JAX's CPU processes send through gloo, collective by collective.

Data of ``psum``, ``all_gather``, ``ppermute`` and ``all_to_all`` wait until their
receiver has told that it is ready; ``psum_scatter`` uses buffers that both ends
registered beforehand, and ends with notes that they may be written again. Source:
gloo's allreduce.cc, allgather.cc and reduce_scatter.h, and XLA's CPU collectives.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from experiments.rigs.steps import Message, Program, Step

SEGMENT_BYTES = 2.0**20
"""Most that one message of the ring carries."""

NOTE_BYTES = 4.0


def _two_in_flight(n: int, messages: int, size: float) -> Program:
    """Pass messages around; the one before the last has come when the next is posted.

    A rank waits for the two in turn, not for each on its own, and for both at the end.
    """
    program: Program = []
    for at in range(n):
        before, after = (at - 1) % n, (at + 1) % n
        post = ((after, size),), ((before, size),)
        steps = [
            Step(sends=post[0], posts=post[1], awaits=post[1] if i else ())
            for i in range(messages)
        ]
        program.append([*steps, Step(awaits=post[1])])
    return program


def ring_all_reduce(sides: tuple[int, ...], size: float) -> Program:
    """Reduce-scatter in halves of S/N, all of it drained, then all-gather alike."""
    n = math.prod(sides)
    segments = 2 * math.ceil(size / (2 * n * SEGMENT_BYTES))
    half = _two_in_flight(n, segments * (n - 1), size / n / segments)
    return [steps * 2 for steps in half]


def ring_all_gather(sides: tuple[int, ...], size: float) -> Program:
    """Blocks of S/N around the ring, each in two halves."""
    n = math.prod(sides)
    return _two_in_flight(n, 2 * (n - 1), size / n / 2)


def halving_reduce_scatter(sides: tuple[int, ...], size: float) -> Program:
    """Halve with the nearest partner first, then send every block to its owner.

    The ranks fall into blocks of powers of two, the largest first. Each halves within
    itself, a smaller one hands its sums to the next larger one, and the largest deals
    S/N to everyone: halving leaves its parts in bit-reversed order.
    """
    n = math.prod(sides)
    blocks = list(_blocks(n))
    program: Program = [[] for _ in range(n)]
    notes: list[list[int]] = [[] for _ in range(n)]  # not yet waited for, by sender
    parts = [(0.0, size)] * n
    for first, count in blocks:
        for bit in range(count.bit_length() - 1):
            for rank in range(first, first + count):
                other = rank ^ (1 << bit)
                low, high = parts[rank]
                middle = (low + high) / 2
                parts[rank] = (middle, high) if rank >> bit & 1 else (low, middle)
                half = ((other, middle - low),)
                program[rank] += [
                    Step(sends=half, receives=half, eager=True),
                    Step(sends=((other, NOTE_BYTES),), eager=True),
                ]
                notes[rank].append(other)
    # From the smallest on: a block has the sums of the smaller ones before it sends.
    for (larger, wider), (first, count) in reversed(list(itertools.pairwise(blocks))):
        for rank in range(larger, larger + wider):
            source = first + (rank - larger) % count
            got = ((source, parts[rank][1] - parts[rank][0]),)
            program[rank].append(Step(receives=got, eager=True))
        for rank in range(first, first + count):
            takers = sorted(
                (parts[x][0], x)
                for x in range(larger, larger + wider)
                if first + (x - larger) % count == rank
            )
            sends = tuple((x, parts[x][1] - parts[x][0]) for _, x in takers)
            program[rank].append(Step(sends=sends, eager=True))
    _deal(program, notes, parts, size, blocks[0][1])
    return program


def _blocks(n: int) -> Iterator[tuple[int, int]]:
    """First rank and number of each binary block, the largest first."""
    first = 0
    for bit in reversed(range(n.bit_length())):
        if n >> bit & 1:
            yield first, 1 << bit
            first += 1 << bit


def _deal(
    program: Program,
    notes: list[list[int]],
    parts: list[tuple[float, float]],
    size: float,
    wide: int,
) -> None:
    """From the largest block to the owners of S/N each, and the last notes back."""
    n = len(program)
    owed: list[list[Message]] = [[] for _ in range(n)]
    came: list[list[Message]] = [[] for _ in range(n)]
    for source in sorted(range(wide), key=lambda rank: parts[rank]):
        for owner in range(n):
            low = max(parts[source][0], owner * size / n)
            shared = min(parts[source][1], (owner + 1) * size / n) - low
            if shared > 1e-9 * size and owner != source:
                owed[source].append((owner, shared))
                came[owner].append((source, shared))
    for rank in range(n):
        if owed[rank]:
            program[rank].append(Step(sends=tuple(owed[rank]), eager=True))
        for source, count in came[rank]:
            # Messages of one sender come in order: its earlier note is there by now.
            early = source in notes[rank]
            if early:
                notes[rank].remove(source)
            got = ((source, NOTE_BYTES),) * early + ((source, count),)
            program[rank] += [
                Step(receives=got, eager=True),
                Step(sends=((source, NOTE_BYTES),), eager=True),
            ]
        left = [*notes[rank], *(owner for owner, _ in owed[rank])]
        last = tuple((source, NOTE_BYTES) for source in left)
        program[rank].append(Step(receives=last, eager=True))

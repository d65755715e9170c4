"""Further schedules on ranks 0 to n - 1, each written from its paper."""

from __future__ import annotations

from collections.abc import Sequence

from oracle.networks import Rank
from oracle.running import Block, Held, Message, Rounds


def two_way_ring(n: int) -> Rounds:
    """Pass every block on to both sides, until the ways meet."""
    rounds: Rounds = []
    for t in range((n - 1 + 1) // 2):
        up = [Message(i, (i + 1) % n, [(i - t) % n]) for i in range(n)]
        down = [Message(i, (i - 1) % n, [(i + t) % n]) for i in range(n)]
        last = n % 2 == 0 and t == n // 2 - 1  # the ways meet at one block
        rounds.append(up if last else up + down)
    return rounds


def neighbour_exchange(n: int) -> Rounds:
    """Even n: pairs (0,1)(2,3).. swap, then (1,2)(3,4).., two blocks at a time."""
    last: list[list[Block]] = [[i] for i in range(n)]
    rounds: Rounds = []
    for t in range(n // 2):
        partner = [(i + 1) % n if (i + t) % 2 == 0 else (i - 1) % n for i in range(n)]
        rounds.append([Message(i, partner[i], list(last[i])) for i in range(n)])
        received = [list(last[partner[i]]) for i in range(n)]
        last = [last[i] + received[i] if t == 0 else received[i] for i in range(n)]
    return rounds


def pat(n: int) -> Rounds:
    """Binomial trees from every rank, the farthest first (Jeaugey 2025)."""
    rounds: Rounds = []
    distance = 1 << max(n - 1, 0).bit_length() >> 1
    while distance:
        messages = []
        for i in range(n):
            # Rank root + place forwards the root's block to root + place + distance.
            carried = [
                (i - place) % n for place in range(0, n - distance, 2 * distance)
            ]
            messages.append(Message(i, (i + distance) % n, carried))
        rounds.append(messages)
        distance //= 2
    return rounds


def bruck_radix(n: int, radix: int) -> Rounds:
    """Gather: hand what is known to the ranks d places below, a round for each d."""
    rounds: Rounds = []
    known = 1
    while known < n:
        for digit in range(1, radix):
            distance = digit * known
            if distance >= n:
                break
            many = min(known, n - distance)
            rounds.append(
                [
                    Message(i, (i - distance) % n, [(i + j) % n for j in range(many)])
                    for i in range(n)
                ]
            )
        known *= radix
    return rounds


def bruck_exchange_radix(n: int, radix: int) -> Rounds:
    """All_to_all: forward a block by each digit of the distance it has to go."""
    rounds: Rounds = []
    place = 1
    while place < n:
        for digit in range(1, radix):
            messages = []
            for i in range(n):
                moving = [
                    (origin, (origin + far) % n)
                    for far in range(n)
                    if far // place % radix == digit
                    for origin in [(i - far % place) % n]
                ]
                if moving:
                    messages.append(Message(i, (i + digit * place) % n, moving))
            if messages:
                rounds.append(messages)
        place *= radix
    return rounds


def relay_exchange(n: int) -> Rounds:
    """All_to_all round a ring, one block of every rank at a time."""
    return [
        [Message((i + t) % n, (i + t + 1) % n, [(i, (i + far) % n)]) for i in range(n)]
        for far in range(1, n)
        for t in range(far)
    ]


def pairwise_exchange(n: int) -> Rounds:
    """All_to_all: in round t everyone sends to the rank t above."""
    return [
        [Message(i, (i + t) % n, [(i, (i + t) % n)]) for i in range(n)]
        for t in range(1, n)
    ]


def folded_halving(n: int) -> Rounds:
    """Reduce_scatter of MPICH: fold, halve among a power of two, hand blocks out."""
    power = 1 << n.bit_length() - 1
    extra = n - power
    everything = range(n)
    fold = [Message(2 * i, 2 * i + 1, everything, add=True) for i in range(extra)]
    old = [2 * i + 1 for i in range(extra)] + list(range(2 * extra, n))
    mine = [[2 * i, 2 * i + 1] for i in range(extra)]
    mine += [[r] for r in range(2 * extra, n)]
    rounds: Rounds = [fold] if fold else []
    half = power // 2
    while half:
        messages = []
        for i in range(power):
            other = i ^ half
            start = other // half * half
            blocks = [b for j in range(start, start + half) for b in mine[j]]
            messages.append(Message(old[i], old[other], blocks, add=True))
        rounds.append(messages)
        half //= 2
    if extra:
        rounds.append([Message(2 * i + 1, 2 * i, [2 * i]) for i in range(extra)])
    return rounds


def knomial(n: int, radix: int) -> Rounds:
    """Broadcast: serve the heads of the largest parts first, one at a time."""
    place = 1
    while place < n:
        place *= radix
    rounds: Rounds = []
    while place > 1:
        below = place // radix
        for digit in range(1, radix):
            messages = [
                Message(head, head + digit * below, [0])
                for head in range(0, n, place)
                if head + digit * below < n
            ]
            if messages:
                rounds.append(messages)
        place = below
    return rounds


def segmented(tree: Rounds, many: int, ahead: int) -> Rounds:
    """Run a broadcast once for each segment, each ``ahead`` rounds after the last."""
    rounds: Rounds = [[] for _ in range(len(tree) + ahead * (many - 1))]
    for segment in range(many):
        for t, messages in enumerate(tree):
            rounds[t + ahead * segment] += [
                Message(m.source, m.target, [segment]) for m in messages
            ]
    return rounds


def rings(orders: Sequence[Sequence[Rank]], held: Held) -> Rounds:
    """Pass blocks (channel, rank) round one ring a channel, all at once."""
    n = len(orders[0])
    return [
        [
            Message(
                order[i],
                order[(i + 1) % n],
                [b for b in held[order[(i - t) % n]] if b[0] == channel],
            )
            for channel, order in enumerate(orders)
            for i in range(n)
        ]
        for t in range(n - 1)
    ]


def clique_cycles(n: int) -> list[list[int]]:
    """Directed Hamiltonian cycles of a clique that use every link equally often.

    Odd n: Walecki's n - 1 of them, each link once. Even n: one member joined to the
    ends of the zigzag 0, 1, -1, 2, -2, ... among the other n - 1, whose differences
    are each there twice; turned and reversed, 2 (n - 1) of them, each link twice.
    (From n = 8 on, n - 1 would do: Tillson 1980.)
    """
    if n < 3:
        return [list(range(n))]
    around = n - 1
    zigzag = [(-1) ** (i + 1) * ((i + 1) // 2) % around for i in range(around)]
    turns = range(around) if n % 2 == 0 else range(around // 2)
    cycles = [[around, *((x + turn) % around for x in zigzag)] for turn in turns]
    return cycles + [cycle[::-1] for cycle in cycles]

"""Schedules on a torus with one partner a step, written from their papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from oracle.networks import Rank
from oracle.running import Block, Message, Rounds

Partner = Callable[[Rank], Rank]


def turns(bits: Sequence[int], start: int) -> list[tuple[int, int]]:
    """Sides take turns from ``start`` on: (side, its own step), until all are done."""
    done = [0] * len(bits)
    order = [*range(start, len(bits)), *range(start)]
    found = []
    while done != list(bits):
        for side in order:
            if done[side] < bits[side]:
                found.append((side, done[side]))
                done[side] += 1
    return found


def swing_partner(sides: Sequence[int], side: int, step: int, sense: int) -> Partner:
    """Even places go rho = (1 - (-2)^(step + 1))/3 one way, odd ones the other."""
    rho = sense * (1 - (-2) ** (step + 1)) // 3

    def partner(rank: Rank) -> Rank:
        at = rank[side]
        there = (at + rho if at % 2 == 0 else at - rho) % sides[side]
        return (*rank[:side], there, *rank[side + 1 :])

    return partner


def doubling_partner(sides: Sequence[int], side: int, step: int, sense: int) -> Partner:
    """The place that differs in one bit, whatever the sense."""
    assert sides and sense

    def partner(rank: Rank) -> Rank:
        return (*rank[:side], rank[side] ^ (1 << step), *rank[side + 1 :])

    return partner


def exchange_all(
    ranks: Sequence[Rank], partners: Sequence[Partner], part: int
) -> Rounds:
    """Gather: swap everything held with each partner, the last one first."""
    have: dict[Rank, list[Block]] = {r: [(part, r)] for r in ranks}
    rounds: Rounds = []
    for partner in reversed(partners):
        rounds.append([Message(r, partner(r), have[r]) for r in ranks])
        have = {r: have[r] + have[partner(r)] for r in ranks}
    return rounds


def exchange_sums(
    ranks: Sequence[Rank], partners: Sequence[Partner], part: int
) -> Rounds:
    """All_reduce: add the partner's sum to one's own, the first partner first."""
    return [
        [Message(r, partner(r), [(part, 0)], add=True) for r in ranks]
        for partner in partners
    ]


def reached(rank: Rank, partners: Sequence[Partner]) -> list[Rank]:
    """Ranks served through a rank by the partners that are left."""
    found = [rank]
    for partner in reversed(partners):
        found += [partner(r) for r in found]
    return found


def tree_down(
    root: Rank, partners: Sequence[Partner], part: int, *, parts_only: bool
) -> Rounds:
    """Broadcast, or scatter, the last partner first."""
    holders = [root]
    rounds: Rounds = []
    for left in range(len(partners) - 1, -1, -1):
        partner = partners[left]
        messages = []
        for holder in holders:
            there = partner(holder)
            blocks: list[Block] = [(part, 0)]
            if parts_only:
                blocks = [(part, r) for r in reached(there, partners[:left])]
            messages.append(Message(holder, there, blocks))
        rounds.append(messages)
        holders += [partner(h) for h in holders]
    return rounds

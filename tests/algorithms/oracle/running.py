"""Moving blocks over links, and what a run asked of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from oracle.networks import Network, Rank

Block = Any
Held = Mapping[Rank, Sequence[Block]]
State = dict[Rank, dict[Block, int]]  # who contributed to the copy of a block, in bits


class Message(NamedTuple):
    """Blocks on their way; added to what the receiver holds, or replacing it."""

    source: Rank
    target: Rank
    blocks: Sequence[Block]
    add: bool = False


Rounds = list[list[Message]]


@dataclass
class Tally:
    """What a run asked of the links.

    Attributes:
      rounds: rounds that used the dimension.
      hops: links crossed beyond the first, the longest message of every round.
      path: links crossed beyond the first over all dimensions, the longest message of
        every round.
      messages: sent beyond the first, by the busiest rank of every round.
      bytes: through the busiest link of every round, added up.
      stream: through the busiest link over all rounds.
      links: what each link carried over all rounds.
      adds: what each rank added up.
      reduced: by the busiest rank; what a switch adds up is not counted.
    """

    rounds: Counter[int] = field(default_factory=Counter)
    hops: Counter[int] = field(default_factory=Counter)
    path: int = 0
    messages: int = 0
    bytes: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    links: dict[Any, float] = field(default_factory=lambda: defaultdict(float))
    stream: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    adds: dict[Rank, float] = field(default_factory=lambda: defaultdict(float))
    reduced: float = 0.0
    sent: float = 0.0
    received: float = 0.0
    all_rounds: int = 0


def run(network: Network, rounds: Rounds, state: State, block: float) -> Tally:
    """Move the blocks, each of ``block`` bytes, and tally.

    Raises:
      KeyError: if a rank sends a block that it does not hold.
      AssertionError: if a contribution is added twice.
    """
    tally = Tally()
    load = tally.links
    reduced = tally.adds
    sent: dict[Rank, float] = defaultdict(float)
    received: dict[Rank, float] = defaultdict(float)
    for messages in rounds:
        payloads = [[state[m.source][b] for b in m.blocks] for m in messages]
        now: dict[Any, float] = defaultdict(float)
        hops: Counter[int] = Counter()
        longest = 0
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
                longest = max(longest, sum(crossed.values()))
        tally.path += max(longest - 1, 0)
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
    tally.reduced = max((reduced[rank] for rank in network.ranks), default=0.0)
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

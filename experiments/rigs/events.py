"""How long a schedule takes on a graph, and what that time is made of.

Messages queue at every directed link, first come first served, and are cut through by
one packet. Each moment carries the counts of the chain of events that led to it, so
that the end of the collective is ``counts . prices`` of its critical path:

    T = messages overhead_s + hops delay_s + bytes byte_s + wakings wake_s
        + handshakes handshake_s

The counts are those of the prices they were taken at; near them the time is linear.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping

import numpy as np

from experiments.rigs.graph import Graph, Link
from experiments.rigs.schedules import Program, Step
from fabricmodel.errors import FabricError

PACKET_BYTES = 1448.0
NAMES = ("overhead_s", "delay_s", "byte_s", "wake_s", "handshake_s")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prices:
    """What the links of a rig cost.

    Attributes:
      overhead_s: of a message at its ends: software, wake-up of the receiver.
      delay_s: of crossing a link.
      byte_s: of a byte of payload on a link, the inverse of the goodput.
      wake_s: of waking a rank whose messages have come; ranks that wait for the same
        moment are woken one after another, for they share the machine.
      handshake_s: of one trip of a handshake, for every hop it goes.
    """

    overhead_s: float
    delay_s: float
    byte_s: float
    wake_s: float = 0.0
    handshake_s: float = 0.0

    def vector(self) -> np.ndarray:
        """Return the prices in the order of the counts."""
        return np.array([getattr(self, name) for name in NAMES])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regime:
    """How messages travel: after a handshake, or through a bucket, or plainly.

    Attributes:
      handshake: ``none``; ``ready``: the receiver tells that it waits, one trip;
        ``request``: the sender asks, and the receiver tells, two trips.
      eager_bytes: size from which on a message pays the handshake.
      bucket_bytes: that a link lets through at once after a pause, where the rate is
        enforced by a token bucket.
    """

    handshake: str = "none"
    eager_bytes: float = 0.0
    bucket_bytes: float = 0.0


PLAIN = Regime()


def critical_path(
    program: Program,
    graph: Graph,
    prices: Prices,
    *,
    scale: Mapping[Link, tuple[float, float]] | None = None,
    regime: Regime = PLAIN,
    packet_bytes: float = PACKET_BYTES,
) -> np.ndarray:
    """Count what lies on the longest chain of events of a collective.

    Args:
      program: of each rank; where there are more ranks than hosts, rank r runs on host
        r modulo hosts.
      graph: whose routes the messages take.
      prices: at which chains are compared.
      scale: (delay, byte price) of an edge against the others; 1 where not given.
      regime: of the messages.
      packet_bytes: payload of a packet.

    Returns:
      (5,) messages, hops (weighted by their delay), bytes (by their price), wakings,
      and hops of handshakes.
    """
    routes, scale, hosts = graph.routes(), scale or {}, graph.hosts
    links: dict[Link, _Lane] = {}
    for a, b in graph.edges:
        delay, byte = scale.get((a, b), (1.0, 1.0))
        for link in ((a, b), (b, a)):
            links[link] = _Lane(delay=delay, byte=byte, bucket=regime.bucket_bytes)
    trips = {
        pair: _counts(handshake_s=sum(links[link].delay for link in path))
        for pair, path in routes.items()
    }
    run = _Run(program, prices.vector(), regime, trips, hosts)
    for rank in range(len(program)):
        run.advance(rank)
    while run.queue:
        _, _, message = heapq.heappop(run.queue)
        path = routes[message.source % hosts, message.target % hosts]
        if message.at == len(path):
            run.arrive(message)
            continue
        message = links[path[message.at]].carry(message, run.later, packet_bytes)
        run.send(message, whole=message.at == len(path))
    return run.end()


def _counts(**counts: float) -> np.ndarray:
    return np.array([counts.get(name, 0.0) for name in NAMES])


@dataclasses.dataclass(frozen=True)
class _Message:
    """One message on its way: the moments when its head and its tail come to a node."""

    source: int
    target: int
    size: float
    at: int
    head: np.ndarray
    tail: np.ndarray


Later = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass
class _Lane:
    """One direction of a link, and when it is free again."""

    delay: float
    byte: float
    bucket: float
    free: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(len(NAMES)))

    def carry(self, message: _Message, later: Later, packet_bytes: float) -> _Message:
        """Send a message once the link is free, its tail not before it has come.

        ``free`` is when the bytes so far are paid for; a full bucket lends its bytes.
        """
        start = later(message.head, self.free)
        packet = min(message.size, packet_bytes)
        whole = _counts(byte_s=message.size * self.byte)
        last = _counts(byte_s=packet * self.byte)
        first = _counts(delay_s=self.delay, byte_s=packet * self.byte)
        self.free = later(start + whole, message.tail + last)
        sent = later(message.head, self.free - _counts(byte_s=self.bucket * self.byte))
        return dataclasses.replace(
            message,
            at=message.at + 1,
            head=start + first,
            tail=sent + _counts(delay_s=self.delay),
        )


class _Run:
    """Ranks, their steps, and the messages under way in the order they act."""

    def __init__(
        self,
        program: Program,
        prices_s: np.ndarray,
        regime: Regime,
        trips: Mapping[Link, np.ndarray],
        hosts: int,
    ) -> None:
        self.program, self.prices_s = program, prices_s
        self.regime, self.trips, self.hosts = regime, trips, hosts
        # Of messages that need a handshake: posted by their senders, and awaited.
        self.posts: dict[Link, deque[tuple[float, np.ndarray]]] = defaultdict(deque)
        self.waits: dict[Link, deque[np.ndarray]] = defaultdict(deque)
        self.now = [np.zeros(len(NAMES)) for _ in program]
        self.step = [0] * len(program)
        self.woken = np.zeros(len(NAMES))
        self.got: dict[Link, deque[np.ndarray]] = defaultdict(deque)
        self.posted = [False] * len(program)
        self.queue: list[tuple[float, int, _Message]] = []
        self.order = itertools.count()

    def later(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return one if one @ self.prices_s >= other @ self.prices_s else other

    def send(self, message: _Message, whole: bool = False) -> None:
        """Put a message among the events: its head at a link, or its end at a host."""
        moment = message.tail if whole else message.head
        time = float(moment @ self.prices_s)
        heapq.heappush(self.queue, (time, next(self.order), message))

    def arrive(self, message: _Message) -> None:
        ready = message.tail + _counts(overhead_s=1.0)
        self.got[message.source, message.target].append(ready)
        self.advance(message.target)

    def advance(self, rank: int) -> None:
        """Take every step of a rank whose messages have come."""
        while self.step[rank] < len(self.program[rank]):
            step = self.program[rank][self.step[rank]]
            if not self.posted[rank]:
                self.posted[rank] = True
                self.post(rank, step)
            wanted = Counter(source for source, _ in step.receives)
            if any(len(self.got[x, rank]) < count for x, count in wanted.items()):
                return
            for source, _ in step.receives:
                ready = self.got[source, rank].popleft()
                self.now[rank] = self.later(self.now[rank], ready)
            if step.receives:
                self.woken = self.later(self.now[rank], self.woken) + _counts(
                    wake_s=1.0
                )
                self.now[rank] = self.woken
            self.step[rank] += 1
            self.posted[rank] = False

    def post(self, rank: int, step: Step) -> None:
        """Send what needs no handshake; bring the rest together with its receiver."""
        here = self.now[rank]
        for target, size in step.sends:
            if self.shakes(size):
                self.posts[rank, target].append((size, here))
                self.agree(rank, target)
            else:
                self.send(_Message(rank, target, size, 0, here, here))
        for source, size in step.receives:
            if self.shakes(size):
                self.waits[source, rank].append(here)
                self.agree(source, rank)

    def shakes(self, size: float) -> bool:
        return self.regime.handshake != "none" and size >= self.regime.eager_bytes

    def agree(self, source: int, target: int) -> None:
        """Let a message go once both ends have posted it and the handshake is over."""
        posts, waits = self.posts[source, target], self.waits[source, target]
        trip = self.trips[source % self.hosts, target % self.hosts]
        while posts and waits:
            (size, sender), receiver = posts.popleft(), waits.popleft()
            if self.regime.handshake == "request":
                head = self.later(sender + trip, receiver) + trip
            else:
                head = self.later(sender, receiver + trip)
            self.send(_Message(source, target, size, 0, head, head))

    def end(self) -> np.ndarray:
        """Return the counts of the rank that ends last; every rank has to end."""
        for rank, done in enumerate(self.step):
            if done < len(self.program[rank]):
                what = f"rank {rank} waits for ever in step {done}"
                raise FabricError("schedule", what, "Match every receive with a send")
        return max(self.now, key=lambda counts: float(counts @ self.prices_s))

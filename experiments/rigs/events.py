"""How long a schedule takes on a graph, and what that time is made of.

Messages queue at every directed link, first come first served, and are cut through by
one packet. Each moment carries the counts of the chain of events that led to it, so
that the end of the collective is ``counts . prices`` of its critical path:

    T = messages overhead_s + hops delay_s + bytes byte_s + wakings wake_s
        + handshakes handshake_s + launch_s

The counts are those of the prices they were taken at; near them the time is linear.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import operator
from collections import Counter, defaultdict, deque
from collections.abc import Mapping

import numpy as np

from experiments.rigs.graph import Graph, Link
from experiments.rigs.steps import Program, Step
from fabricmodel.errors import FabricError

PACKET_BYTES = 1448.0
_REQUEST_BYTES, _READY_BYTES = 2.0, 1.0
"""Of the notes of a handshake: next to nothing, and told apart by it."""

NAMES = ("overhead_s", "delay_s", "byte_s", "wake_s", "handshake_s", "launch_s")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prices:
    """What the links of a rig cost.

    Attributes:
      overhead_s: of posting a message: software. Those of one step are posted one
        after another.
      delay_s: of crossing a link.
      byte_s: of a byte of payload on a link, the inverse of the goodput.
      wake_s: of waking a rank whose messages have come; ranks that wait for the same
        moment are woken one after another, for they share the machine.
      handshake_s: of a hop of a handshake, whose notes queue at links as messages do.
      launch_s: from the start to the first message: what calls the collective.
    """

    overhead_s: float
    delay_s: float
    byte_s: float
    wake_s: float = 0.0
    handshake_s: float = 0.0
    launch_s: float = 0.0

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
      (6,) messages, hops (weighted by their delay), bytes (by their price), wakings,
      hops of handshakes, and 1 launch.
    """
    routes, scale, hosts = graph.routes(), scale or {}, graph.hosts
    clock = _Clock(prices)
    lanes: dict[Link, _Lane] = {}
    for a, b in graph.edges:
        delay, byte = scale.get((a, b), (1.0, 1.0))
        for link in ((a, b), (b, a)):
            lanes[link] = _Lane(clock, delay, byte, regime.bucket_bytes)
    paths = {pair: tuple(lanes[x] for x in links) for pair, links in routes.items()}
    run = _Run(program, regime, clock, paths, hosts)
    for rank in range(len(program)):
        run.advance(rank)
    while run.queue:
        _, _, message = heapq.heappop(run.queue)
        if message.at == len(message.path):
            run.arrive(message)
        else:
            message.path[message.at].carry(message, packet_bytes)
            run.send(message)
    return np.array(run.end()[1:])


Moment = tuple[float, ...]
"""Seconds, then the counts that they are made of: moments compare by their seconds."""


def _add(one: Moment, other: Moment) -> Moment:
    return tuple(map(operator.add, one, other))


class _Clock:
    """Makes moments of counts, at some prices."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices.vector().tolist()
        self.start: Moment = (0.0,) * (1 + len(NAMES))

    def span(self, name: str, count: float) -> Moment:
        """So many of one price."""
        at = NAMES.index(name)
        counts = [0.0] * len(NAMES)
        counts[at] = count
        return (count * self.prices[at], *counts)


@dataclasses.dataclass(slots=True)
class _Message:
    """One message on its way: the moments when its head and its tail come to a node."""

    source: int
    target: int
    size: float
    path: tuple[_Lane, ...]
    head: Moment
    tail: Moment
    at: int = 0
    note: bool = False


class _Lane:
    """One direction of a link, and when it is free again."""

    def __init__(
        self, clock: _Clock, delay: float, byte: float, bucket_bytes: float
    ) -> None:
        self.clock, self.byte, self.free = clock, byte, clock.start
        self.delay = clock.span("delay_s", delay)
        self.trip = clock.span("handshake_s", delay)
        self.lent = clock.span("byte_s", -bucket_bytes * byte)

    def carry(self, message: _Message, packet_bytes: float) -> None:
        """Send a message once the link is free, its tail not before it has come.

        ``free`` is when the bytes so far are paid for; a full bucket lends its bytes.
        """
        head, span = message.head, self.clock.span
        start = max(head, self.free)
        whole = span("byte_s", message.size * self.byte)
        packet = span("byte_s", min(message.size, packet_bytes) * self.byte)
        self.free = max(_add(start, whole), _add(message.tail, packet))
        delay = self.trip if message.note else self.delay
        message.head = _add(_add(start, packet), delay)
        message.tail = _add(max(head, _add(self.free, self.lent)), delay)
        message.at += 1


class _Run:
    """Ranks, their steps, and the messages under way in the order they act."""

    def __init__(
        self,
        program: Program,
        regime: Regime,
        clock: _Clock,
        paths: Mapping[Link, tuple[_Lane, ...]],
        hosts: int,
    ) -> None:
        self.program, self.regime, self.paths, self.hosts = (
            program,
            regime,
            paths,
            hosts,
        )
        self.now = [clock.span("launch_s", 1.0) for _ in program]
        self.step = [0] * len(program)
        self.posted = [False] * len(program)
        self.woken = clock.start
        self.overhead = clock.span("overhead_s", 1.0)
        self.waking = clock.span("wake_s", 1.0)
        self.got: dict[Link, deque[Moment]] = defaultdict(deque)
        # Of messages that need a handshake: sizes posted by their senders, receives
        # told to the sender, and, by request, receives not told yet.
        self.posts: dict[Link, deque[tuple[float, Moment]]] = defaultdict(deque)
        self.told: dict[Link, deque[Moment]] = defaultdict(deque)
        self.asked: dict[Link, deque[Moment]] = defaultdict(deque)
        self.waits: dict[Link, deque[Moment]] = defaultdict(deque)
        self.queue: list[tuple[float, int, _Message]] = []
        self.order = itertools.count()

    def send(self, message: _Message) -> None:
        """Put a message among the events: its head at a link, or its end at a host."""
        ended = message.at == len(message.path)
        time = message.tail[0] if ended else message.head[0]
        heapq.heappush(self.queue, (time, next(self.order), message))

    def begin(
        self, source: int, target: int, size: float, moment: Moment, note: bool = False
    ) -> None:
        """Let a message go, or a note of a handshake."""
        path = self.paths[source % self.hosts, target % self.hosts]
        self.send(_Message(source, target, size, path, moment, moment, note=note))

    def arrive(self, message: _Message) -> None:
        """Hand a message to its rank; a note lets the next thing of a handshake go."""
        here, there = message.target, message.source
        if not message.note:
            self.got[there, here].append(message.tail)
            self.advance(here)
        elif message.size == _REQUEST_BYTES:
            self.asked[there, here].append(message.tail)
            self.agree(there, here)
        else:
            self.told[here, there].append(message.tail)
            self.release(here, there)

    def advance(self, rank: int) -> None:
        """Take every step of a rank whose messages have come."""
        while self.step[rank] < len(self.program[rank]):
            step = self.program[rank][self.step[rank]]
            if not self.posted[rank]:
                self.posted[rank] = True
                self.post(rank, step)
            wait = (*step.receives, *step.awaits)
            wanted = Counter(source for source, _ in wait)
            if any(len(self.got[x, rank]) < count for x, count in wanted.items()):
                return
            for source, _ in wait:
                self.now[rank] = max(self.now[rank], self.got[source, rank].popleft())
            if wait:
                self.woken = _add(max(self.now[rank], self.woken), self.waking)
                self.now[rank] = self.woken
            self.step[rank] += 1
            self.posted[rank] = False

    def post(self, rank: int, step: Step) -> None:
        """Send what needs no handshake; bring the rest together with its receiver."""
        here, ready = self.now[rank], self.regime.handshake == "ready"
        expected = (*step.receives, *step.posts)
        for sent, got in itertools.zip_longest(step.sends, expected):
            if sent is not None:
                here = _add(here, self.overhead)
                target, size = sent
                if self.shakes(size) and not step.eager:
                    self.posts[rank, target].append((size, here))
                    if not ready:
                        self.begin(rank, target, _REQUEST_BYTES, here, note=True)
                    self.release(rank, target)
                else:
                    self.begin(rank, target, size, here)
            if got is not None and self.shakes(got[1]) and not step.eager:
                here = _add(here, self.overhead) if ready else here
                self.waits[got[0], rank].append(here)
                self.agree(got[0], rank)

    def shakes(self, size: float) -> bool:
        return self.regime.handshake != "none" and size >= self.regime.eager_bytes

    def agree(self, source: int, target: int) -> None:
        """Tell the sender that a receiver waits; by request, once it has asked."""
        waits, asked = self.waits[source, target], self.asked[source, target]
        while waits and (asked or self.regime.handshake == "ready"):
            moment = waits.popleft()
            if self.regime.handshake == "request":
                moment = max(moment, asked.popleft())
            self.begin(target, source, _READY_BYTES, moment, note=True)

    def release(self, source: int, target: int) -> None:
        """Let a message go once it is posted and its receiver has told."""
        posts, told = self.posts[source, target], self.told[source, target]
        while posts and told:
            (size, moment), ready = posts.popleft(), told.popleft()
            self.begin(source, target, size, max(moment, ready))

    def end(self) -> Moment:
        """Return the moment of the rank that ends last; every rank has to end."""
        for rank, done in enumerate(self.step):
            if done < len(self.program[rank]):
                what = f"rank {rank} waits for ever in step {done}"
                raise FabricError("schedule", what, "Match every receive with a send")
        return max(self.now)

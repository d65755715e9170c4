"""Links in user space: every packet is delayed and paced as a wire would.

Of the standard library alone, for it must start at once and share nothing. It
holds both ends of every link (TUN devices in the hosts' network namespaces) and, for a
packet of L bytes read at t, keeps to one law in each direction:

    free = max(free, t) + (L + 14) / rate;  deliver at free + delay

First in, first out; what exceeds the buffer is dropped and counted. Reads a JSON
description of the links from standard input and ends with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import json
import os
import select
import struct
import sys
import time
from collections import deque

FRAME_BYTES = 14
BUFFER_BYTES = 32 * 2**20
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PR_SET_PDEATHSIG, SIGKILL = 1, 9
MTU_BYTES = 65536


class Lane:
    """One direction of a link: when it is free, and the packets on their way.

    >>> lane = Lane(out=7, delay_s=0.005, rate_Bps=1000.0)
    >>> lane.take(b"x" * 86, now=1.0), lane.take(b"x" * 86, now=1.0)
    (1.105, 1.205)
    """

    def __init__(self, out: int, delay_s: float, rate_Bps: float) -> None:
        """Keep the law; ``out`` is the descriptor that packets leave by."""
        self.out, self.delay_s, self.rate_Bps = out, delay_s, rate_Bps
        self.free, self.held, self.dropped = 0.0, 0, 0
        self.packets: deque[tuple[float, bytes]] = deque()

    def take(self, packet: bytes, now: float) -> float | None:
        """Accept a packet; the moment of its delivery, or None where it is dropped."""
        if self.held + len(packet) > BUFFER_BYTES:
            self.dropped += 1
            return None
        start = self.free if self.free > now else now
        self.free = start + (len(packet) + FRAME_BYTES) / self.rate_Bps
        self.held += len(packet)
        due = self.free + self.delay_s
        self.packets.append((due, packet))
        return due

    def give(self) -> bytes:
        """Hand out the oldest packet."""
        _, packet = self.packets.popleft()
        self.held -= len(packet)
        return packet


def relay(lanes: dict[int, Lane], stop: int) -> int:
    """Carry packets from the descriptors that are the keys, until ``stop`` ends.

    Returns:
      the packets that were dropped.
    """
    due: list[tuple[float, int]] = []  # head of each lane that holds packets
    reading = [*lanes, stop]
    monotonic, wait = time.monotonic, select.select
    while True:
        left = max(due[0][0] - monotonic(), 0.0) if due else 1.0
        ready, _, _ = wait(reading, (), (), left)
        now = monotonic()
        for source in ready:
            if source == stop:
                if not os.read(stop, 4096):
                    return sum(lane.dropped for lane in lanes.values())
                continue
            lane = lanes[source]
            for _ in range(4):  # a few at once, so that nobody waits for a flood
                try:
                    packet = os.read(source, MTU_BYTES)
                except BlockingIOError:
                    break
                was_empty = not lane.packets
                moment = lane.take(packet, now)
                if was_empty and moment is not None:
                    heapq.heappush(due, (moment, source))
        now = monotonic()
        while due and due[0][0] <= now:
            _, source = heapq.heappop(due)
            lane = lanes[source]
            try:
                os.write(lane.out, lane.give())
            except OSError:  # the device went down, or its queue is full
                lane.dropped += 1
            if lane.packets:
                heapq.heappush(due, (lane.packets[0][0], source))


def open_tun(namespace: int, name: str) -> int:
    """Open a TUN device in the namespace of a process; return its descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as home, open(f"/proc/{namespace}/ns/net") as away:
        if libc.setns(away.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"can't enter namespace of {namespace}")
        try:
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            request = struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI)
            fcntl.ioctl(device, TUNSETIFF, request)
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)
    return device


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends, however it does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)


def hurry(priority: int) -> None:
    """Run before ordinary processes, where that is allowed."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))


def main() -> None:
    """Open the devices, say so, and relay until standard input ends."""
    die_with_parent()
    links = json.loads(sys.stdin.readline())
    lanes: dict[int, Lane] = {}
    for link in links:
        one = open_tun(link["pids"][0], link["name"])
        other = open_tun(link["pids"][1], link["name"])
        lanes[one] = Lane(other, link["delay_s"], link["rate_Bps"])
        lanes[other] = Lane(one, link["delay_s"], link["rate_Bps"])
    print("ready", flush=True)
    hurry(20)
    print(json.dumps({"dropped": relay(lanes, sys.stdin.fileno())}), flush=True)


if __name__ == "__main__":
    main()

"""One host of the rig: a process in namespaces of its own, which runs one rank.

Of the standard library alone, to start at once. It leaves the network, the host name
and the mounts of the machine behind, waits for orders as JSON lines on standard input,
and ends with it; the namespaces end with the process, so a kill leaves nothing.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
import time

from experiments.rigs.relay import die_with_parent, hurry

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PORT = 7000
PATIENCE_S = 30.0


def isolate(name: str, hosts_file: str) -> None:
    """Enter new namespaces under a new name, with the rig's own hosts file."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "can't make namespaces")
    socket.sethostname(name)
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    if libc.mount(hosts_file.encode(), b"/etc/hosts", None, MS_BIND, None):
        raise OSError(ctypes.get_errno(), "can't mount the hosts file")


class Rank:
    """A rank and its connections to the others."""

    def __init__(self, rank: int) -> None:
        """Know who one is."""
        self.rank = rank
        self.peers: dict[int, socket.socket] = {}
        self.server: socket.socket | None = None

    def listen(self, address: str) -> None:
        """Wait for the ranks above on one's own address."""
        self.server = socket.create_server((address, PORT), backlog=64)
        self.server.settimeout(PATIENCE_S)

    def connect(self, addresses: list[str], peers: list[int]) -> None:
        """Connect to the ranks below, then take the calls of those above."""
        assert self.server is not None
        for peer in sorted(peer for peer in peers if peer < self.rank):
            made = socket.create_connection((addresses[peer], PORT), PATIENCE_S)
            made.sendall(bytes([self.rank]))
            self.peers[peer] = made
        for _ in range(sum(peer > self.rank for peer in peers)):
            made, _ = self.server.accept()
            made.settimeout(PATIENCE_S)
            self.peers[made.recv(1)[0]] = made
        for made in self.peers.values():
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self, steps: list, starts: list[float]) -> list[list[float]]:
        """Run a program at each of the moments; when it began and when it ended."""
        largest = max([1, *(n for _, got in steps for _, n in got)])
        buffer = memoryview(bytearray(largest))
        sends = [[(self.peers[to], bytes(n)) for to, n in sent] for sent, _ in steps]
        receives = [[(self.peers[x], n) for x, n in got] for _, got in steps]
        times = []
        for start in starts:
            left = start - time.monotonic()
            if left > 2e-3:
                time.sleep(left - 1e-3)
            while time.monotonic() < start:
                pass
            began = time.monotonic()
            for sent, got in zip(sends, receives, strict=True):
                for peer, data in sent:
                    peer.sendall(data)
                for peer, count in got:
                    while count:
                        count -= peer.recv_into(buffer, count) or _gone()
            times.append([began, time.monotonic()])
        return times


def _gone() -> int:
    raise ConnectionError("a peer has gone")


def main() -> None:
    """Isolate, say so, and obey until standard input ends."""
    die_with_parent()
    rank, name, hosts_file = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    isolate(name, hosts_file)
    print("ready", flush=True)
    me = Rank(rank)
    hurry(10)
    for line in sys.stdin:
        order = json.loads(line)
        answer: object = "done"
        if order["do"] == "listen":
            me.listen(order["address"])
        elif order["do"] == "connect":
            me.connect(order["addresses"], order["peers"])
        elif order["do"] == "run":
            answer = me.run(order["steps"], order["starts"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
    os._exit(0)

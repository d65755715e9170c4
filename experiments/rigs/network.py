"""Build a shaped network out of processes, and take it down whatever happens.

Every host is a process in namespaces of its own; every link a pair of TUN devices whose
packets one relay process carries. Namespaces, devices and routes live as long as these
processes do, and the kernel ends them with the one that made them: a kill leaves only
a folder, which the next start removes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.rigs.graph import Graph, Link
from fabricmodel.errors import FabricError

ROOT = Path(__file__).parents[2]
PREFIX = "fabricmodel-rig-"
MTU_BYTES = 1500
QUEUE_PACKETS = 20_000
NAMED_INTERFACE = "home"
"""Of every host, with its address: for libraries that want to be told one interface."""

SETTINGS = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/tcp_slow_start_after_idle": "0",
    "net/ipv4/tcp_no_metrics_save": "1",
    "net/ipv4/tcp_rmem": "4096 8388608 67108864",
    "net/ipv4/tcp_wmem": "4096 8388608 67108864",
    "net/ipv4/tcp_congestion_control": "reno",
}
"""Of every host, so that slow start and small buffers are not what is measured."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wire:
    """What a link is set to: seconds of delay, bytes per second in each direction."""

    delay_s: float
    rate_Bps: float

    @property
    def goodput_Bps(self) -> float:
        """Payload per second that TCP gets, headers taken off."""
        return self.rate_Bps * (MTU_BYTES - 52) / (MTU_BYTES + 14)


class Network:
    """The hosts of a running rig, and orders to them."""

    def __init__(
        self, graph: Graph, hosts: Sequence[subprocess.Popen[str]], folder: Path
    ) -> None:
        """Keep what ``network`` has started; the folder goes with it."""
        self.graph, self.hosts, self.folder = graph, hosts, folder
        self.addresses = [address(node) for node in range(graph.hosts)]

    def order(self, orders: Mapping[int, Mapping[str, Any]]) -> dict[int, Any]:
        """Give each host its order, then wait for all the answers."""
        for node, order in orders.items():
            _tell(self.hosts[node], order)
        return {node: _hear(self.hosts[node], f"host {node}") for node in orders}

    def connect(self, pairs: set[Link]) -> None:
        """Connect the ranks of every pair that exchanges messages."""
        every = range(self.graph.hosts)
        self.order({r: {"do": "listen", "address": self.addresses[r]} for r in every})
        peers = {r: sorted({b for a, b in pairs if a == r}) for r in every}
        shared = {"do": "connect", "addresses": self.addresses}
        self.order({r: {**shared, "peers": peers[r]} for r in every})

    def command(self, node: int, command: Sequence[str]) -> list[str]:
        """Return the command line that runs a command on a host, no longer than this.

        What still ran in its namespaces would keep them after a kill.
        """
        target = str(self.hosts[node].pid)
        enter = ["nsenter", "-t", target, "-n", "-u", "-m"]
        return ["setpriv", "--pdeathsig", "KILL", *enter, *command]


def address(node: int) -> str:
    """Return the address of a node, in a range that only the rig's namespaces have.

    >>> address(0), address(300)
    ('10.77.0.1', '10.77.1.45')
    """
    return f"10.77.{(node + 1) // 256}.{(node + 1) % 256}"


def why_not() -> str:
    """Say in words why a rig can't be built here, or ""."""
    if not sys.platform.startswith("linux"):
        return f"needs Linux, and this is {sys.platform}"
    if os.geteuid() != 0:
        return "needs root, to make network namespaces and TUN devices"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "needs /dev/net/tun, which is missing or closed to this user"
    tools = {"ip": "iproute2", "nsenter": "util-linux", "setpriv": "util-linux"}
    for tool, package in tools.items():
        if shutil.which(tool) is None:
            return f"needs the command {tool} (package {package})"
    probe = subprocess.run(["unshare", "-num", "true"], capture_output=True, text=True)
    if probe.returncode:
        return f"may not make namespaces ({probe.stderr.strip()})"
    return ""


@contextlib.contextmanager
def network(graph: Graph, wires: Mapping[Link, Wire]) -> Iterator[Network]:
    """Build the hosts and links of a graph; all gone at the end, also after an error.

    Raises:
      FabricError: where this machine doesn't allow it, with the reason.
    """
    if reason := why_not():
        raise FabricError(
            "rig", reason, "Run it on Linux as root, in a machine of its own"
        )
    sweep()
    children: list[subprocess.Popen[str]] = []
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    try:
        nodes = sorted({node for edge in graph.edges for node in edge})
        names = [f"rig{node}" for node in nodes]
        hosts_file = folder / "hosts"
        pairs = zip(nodes, names, strict=True)
        lines = [f"{address(node)} {name}" for node, name in pairs]
        hosts_file.write_text("\n".join(["127.0.0.1 localhost", *lines]) + "\n")
        for node, name in zip(nodes, names, strict=True):
            children.append(_start("host", str(node), name, str(hosts_file)))
        for node in nodes:
            _expect_ready(children[node], f"host {node}")
        links = [
            {
                "name": f"link{at}",
                "pids": [children[edge[0]].pid, children[edge[1]].pid],
                "delay_s": wires[edge].delay_s,
                "rate_Bps": wires[edge].rate_Bps,
            }
            for at, edge in enumerate(graph.edges)
        ]
        relay = _start("relay")
        children.append(relay)
        _tell(relay, links)
        _expect_ready(relay, "the relay")
        for node in nodes:
            _configure(children[node].pid, node, graph)
        yield Network(graph, children[: len(nodes)], folder)
        relay.stdin.close()  # type: ignore[union-attr]
        dropped = _hear(relay, "the relay")["dropped"]
        if dropped:
            what = f"the relay dropped {dropped} packets"
            raise FabricError("rig", what, "Measure smaller sizes, or slower links")
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> list[Path]:
    """Remove what killed runs have left: folders whose process is gone."""
    left = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)
            left.append(folder)
    return left


def _start(module: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-S", "-m", f"experiments.rigs.{module}", *arguments]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def _tell(child: subprocess.Popen[str], message: Any) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(json.dumps(message) + "\n")
        child.stdin.flush()
    except BrokenPipeError:
        raise FabricError("rig", "a process of it has ended", "Run it again") from None


def _hear(child: subprocess.Popen[str], who: str) -> Any:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        remedy = "See its message above; run it again"
        raise FabricError("rig", f"{who} has ended ({child.wait()})", remedy)
    return json.loads(line)


def _expect_ready(child: subprocess.Popen[str], who: str) -> None:
    assert child.stdout is not None
    if child.stdout.readline().strip() != "ready":
        remedy = "See its message above"
        raise FabricError("rig", f"{who} did not start ({child.wait()})", remedy)


def _configure(pid: int, node: int, graph: Graph) -> None:
    """Give a node its devices, its address, its routes and its settings."""
    mine = [at for at, edge in enumerate(graph.edges) if node in edge]
    device = {edge: f"link{at}" for at, edge in enumerate(graph.edges)}
    batch = [
        "link set lo up",
        f"link add {NAMED_INTERFACE} type veth peer name {NAMED_INTERFACE}-end",
        f"address add {address(node)}/32 dev {NAMED_INTERFACE}",
        f"link set {NAMED_INTERFACE} up",
        f"link set {NAMED_INTERFACE}-end up",
    ]
    for at in mine:
        batch.append(f"link set link{at} mtu {MTU_BYTES} txqueuelen {QUEUE_PACKETS} up")
        batch.append(f"address add {address(node)}/32 dev link{at}")
    for end, after in graph.next_hops(node).items():
        edge = (min(node, after), max(node, after))
        batch.append(
            f"route add {address(end)}/32 dev {device[edge]} src {address(node)} "
            "initcwnd 4000 initrwnd 4000"
        )
    settings = "".join(
        f"echo '{value}' > /proc/sys/{name}\n" for name, value in SETTINGS.items()
    )
    script = f"set -e\n{settings}ip -batch - <<'END'\n" + "\n".join(batch) + "\nEND\n"
    # The settings of a namespace are seen through its own /proc/sys/net.
    done = subprocess.run(
        ["nsenter", "-t", str(pid), "-n", "sh", "-c", script],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        what = f"host {node} can't be set up ({done.stderr.strip()})"
        raise FabricError("rig", what, "This kernel lacks something; see the message")


def stop_on_terminate() -> None:
    """Turn SIGTERM into an exit, so that everything is taken down."""

    def leave(*_: object) -> None:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, leave)


def soon() -> float:
    """A moment of the monotonic clock that every host can still be told of."""
    return time.monotonic() + 0.03

"""The relay's law, and networks that leave nothing behind."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from experiments import rig
from experiments.rigs import network, socket_runs
from experiments.rigs.graph import graph
from experiments.rigs.network import Wire
from experiments.rigs.relay import BUFFER_BYTES, Lane, relay

ROOT = pathlib.Path(__file__).parents[3]
can_build = pytest.mark.skipif(network.why_not() != "", reason=network.why_not())


def test_a_lane_paces_then_delays():
    lane = Lane(out=0, delay_s=0.5, rate_Bps=100.0)
    # 86 bytes and a frame of 14 take a second each; a pause is not saved up.
    assert lane.take(b"x" * 86, now=10.0) == pytest.approx(11.5)
    assert lane.take(b"x" * 86, now=10.2) == pytest.approx(12.5)
    assert lane.take(b"x" * 86, now=20.0) == pytest.approx(21.5)


def test_a_full_lane_drops_and_counts():
    lane = Lane(out=0, delay_s=0.0, rate_Bps=1.0)
    packet = b"x" * (BUFFER_BYTES // 2)
    assert lane.take(packet, 0.0) is not None
    assert lane.take(packet, 0.0) is not None
    assert lane.take(b"x", 0.0) is None
    assert lane.dropped == 1
    lane.give()
    assert lane.take(b"x", 0.0) is not None


def test_the_relay_keeps_order_delay_and_rate_both_ways():
    left, near = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    right, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in (near, far):
        end.setblocking(False)
    read_end, write_end = os.pipe()
    delay_s, rate = 0.05, 20_000.0
    lanes = {
        near.fileno(): Lane(far.fileno(), delay_s, rate),
        far.fileno(): Lane(near.fileno(), delay_s, rate),
    }
    dropped: list[int] = []
    runner = threading.Thread(target=lambda: dropped.append(relay(lanes, read_end)))
    runner.start()
    begun = time.monotonic()
    for number in range(5):
        left.send(bytes([number]) * 986)
    right.send(b"back" + bytes(982))
    assert left.recv(2000).startswith(b"back")
    got, moments = [], []
    for _ in range(5):
        got.append(right.recv(2000)[0])
        moments.append(time.monotonic() - begun)
    os.close(write_end)
    runner.join(5.0)
    for each in (left, near, right, far):
        each.close()
    os.close(read_end)
    assert got == [0, 1, 2, 3, 4]
    assert dropped == [0]
    for number, moment in enumerate(moments):
        assert moment >= delay_s + (number + 1) * 1000 / rate - 1e-3


def test_a_machine_that_can_not_is_told_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert rig.main(["--out", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert "needs root" in said and "Nothing was run" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["--delay", "5"], ["--rate", "0"]])
@can_build
def test_settings_that_are_none_are_refused(arguments, tmp_path):
    assert rig.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_leftovers_of_the_dead_are_removed_and_of_no_one_else(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = tmp_path / f"{network.PREFIX}{gone.pid}-x"
    alive = tmp_path / f"{network.PREFIX}{os.getpid()}-x"
    other = tmp_path / "another"
    for folder in (dead, alive, other):
        folder.mkdir()
    assert network.sweep() == [dead]
    assert not dead.exists() and alive.exists() and other.exists()


@can_build
def test_a_ring_of_two_takes_the_time_it_was_set_to():
    plan = socket_runs.plan(
        "ring2", Wire(delay_s=0.02, rate_Bps=2.5e6), sizes=(65536.0,)
    )
    rows = list(socket_runs.run(plan, repeats=1, iterations=3))
    found = {(row["collective"], row["algorithm"]): row["min_us"] for row in rows}
    goodput = 2.5e6 * 1448 / 1514
    for key, steps, size in (
        (("allreduce", "ring"), 2, 65536 / 2),
        (("permute", "shift+1"), 1, 65536),
        (("pingpong", "neighbour"), 2, 8),
    ):
        set_to = steps * (0.02 + size / goodput) * 1e6
        assert set_to <= found[key] <= set_to * 1.1 + steps * 2000.0


@can_build
def test_a_killed_rig_leaves_nothing_that_its_next_start_does_not_clean(
    tmp_path, monkeypatch
):
    script = (
        "import subprocess, time\n"
        "from experiments.rigs.graph import graph\n"
        "from experiments.rigs.network import Wire, network\n"
        "ring = graph('ring2')\n"
        "wires = dict.fromkeys(ring.edges, Wire(delay_s=0.01, rate_Bps=1e6))\n"
        "with network(ring, wires) as net:\n"
        "    more = subprocess.Popen(net.command(1, ['sleep', '60']))\n"
        "    print(*[host.pid for host in net.hosts], more.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
        env=environment, cwd=ROOT,
    )  # fmt: skip
    assert child.stdout is not None
    with child.stdout:
        pids = [int(word) for word in child.stdout.readline().split()]
    assert len(pids) == 3
    links = {os.readlink(f"/proc/{pid}/ns/net") for pid in pids[:2]}
    child.send_signal(signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 10.0
    while any(_runs(pid) for pid in pids) or links & _namespaces():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    left = list(tmp_path.iterdir())
    assert [path.name.split("-")[2] for path in left] == [str(child.pid)]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ring = graph("ring2")
    wires = dict.fromkeys(ring.edges, Wire(delay_s=0.01, rate_Bps=1e6))
    with network.network(ring, wires) as net:  # the next start cleans up
        assert list(tmp_path.iterdir()) == [net.folder]
        _only_its_own_addresses(net)
    assert list(tmp_path.iterdir()) == []


def _namespaces() -> set[str]:
    """Network namespaces that some process is in."""
    found = set()
    for path in pathlib.Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(path))
    return found


def _only_its_own_addresses(net: network.Network) -> None:
    """A host knows its own addresses, routes to the others, and no way out."""
    tell = ["ip", "-json", "address"]
    said = subprocess.run(net.command(0, tell), capture_output=True, check=True).stdout
    seen = {
        each["local"] for device in json.loads(said) for each in device["addr_info"]
    }
    assert seen <= {"127.0.0.1", "::1", net.addresses[0]}
    tell = ["ip", "-json", "route"]
    said = subprocess.run(net.command(0, tell), capture_output=True, check=True).stdout
    assert [route["dst"] for route in json.loads(said)] == net.addresses[1:]


def _runs(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return False
    return state[0] != "Z"

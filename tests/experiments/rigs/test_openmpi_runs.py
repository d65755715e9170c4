"""Open MPI on a rig: what is launched, and what is made of its answers."""

import json
import subprocess
import sys
import types
from typing import Any

import pytest

import fabricmodel as fm
from experiments import rig
from experiments.rigs import network, openmpi_runs
from experiments.rigs.graph import graph
from experiments.rigs.network import Network, Wire
from experiments.rigs.prices import can_count
from experiments.rigs.table import read

WIRE = Wire(delay_s=5e-3, rate_Bps=2.5e6)

LAUNCHER = """#!{python}
import json, sys
if "--version" in sys.argv:
    print("{version}")
    sys.exit()
with open({seen!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
at = sys.argv.index("experiments.rigs.mpi_rank")
library, collective, sizes, iterations, lead = sys.argv[at + 1 :]
print("a warning of the launcher")
if collective == {fails!r}:
    sys.exit("rank 1: no route to host")
for size in sizes.split(","):
    times = [0.02 + float(size) / 2.4e6] * int(iterations)
    print(json.dumps({{"size_bytes": int(size), "times_s": times}}))
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Put an Open MPI of some version on the path; what it was called with, later."""
    seen = tmp_path / "seen"

    def install(version, fails=""):
        bin_, lib = tmp_path / "bin", tmp_path / "lib"
        for folder in (bin_, lib):
            folder.mkdir()
        mpirun = bin_ / "mpirun"
        mpirun.write_text(
            LAUNCHER.format(
                python=sys.executable, version=version, seen=str(seen), fails=fails
            )
        )
        mpirun.chmod(0o700)
        (lib / "libmpi.so.40").touch()
        monkeypatch.setenv("PATH", f"{bin_}:/usr/bin:/bin")
        return lambda: [json.loads(line) for line in seen.read_text().splitlines()]

    return install


@pytest.fixture
def net(tmp_path, monkeypatch):
    monkeypatch.setattr(Network, "command", lambda self, node, line: list(line))
    hosts: list[Any] = [types.SimpleNamespace(pid=100 + rank) for rank in range(4)]
    return Network(graph("ring4"), hosts, tmp_path)


def _value(words, name):
    at = words.index(name)
    return words[at - 1], words[at + 1]


@pytest.mark.parametrize(
    ("version", "word", "shell"),
    [
        ("mpirun (Open MPI) 4.1.4", "--mca", "plm_rsh_agent"),
        ("mpirun (Open MPI) 5.0.11", "--prtemca", "plm_ssh_agent"),
    ],
)
def test_every_algorithm_is_forced_and_its_times_become_rows(
    fake, net, tmp_path, version, word, shell
):
    calls = fake(version)
    rows = list(openmpi_runs.run(net, WIRE, openmpi_runs.find(), 2, 3))
    assert len(rows) == 2 * len(openmpi_runs.FORCED) * len(openmpi_runs.SIZES)
    forced = iter(openmpi_runs.FORCED.items())
    for words, (key, (operation, name)) in zip(calls(), forced, strict=False):
        assert _value(words, shell) == (word, str(tmp_path / "agent.sh"))
        assert _value(words, f"coll_tuned_{operation}_algorithm") == ("--mca", name)
        assert _value(words, "btl_tcp_if_include")[1] == network.NAMED_INTERFACE
        assert words[words.index("-H") + 1] == "rig0,rig1,rig2,rig3"
        assert key[0] in words and str(tmp_path / "lib/libmpi.so.40") in words
    rig.write_rows(tmp_path / "rig.csv", rows)
    cells, unshaped = read(tmp_path / "rig.csv")
    assert not unshaped and all(can_count(cell) for cell in cells)
    assert {(c.collective, c.algorithm) for c in cells} == set(openmpi_runs.FORCED)
    assert cells[0].time_s == pytest.approx(0.02 + cells[0].size_bytes / 2.4e6)


def test_a_launch_that_fails_says_why(fake, net):
    fake("mpirun (Open MPI) 4.1.4", fails="all_gather")
    with pytest.raises(fm.FabricError, match="no route to host"):
        list(openmpi_runs.run(net, WIRE, openmpi_runs.find(), 1, 3))


def test_another_mpi_is_refused_and_none_is_said(fake, monkeypatch, tmp_path, capsys):
    fake("HYDRA build details: Version 4.2")
    with pytest.raises(fm.FabricError, match="not Open MPI's"):
        openmpi_runs.find()
    monkeypatch.setattr(network, "why_not", lambda: "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert rig.main(["--set", "openmpi", "--out", str(tmp_path / "out")]) == 2
    assert "mpirun is not here" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_agent_runs_commands_on_the_host_of_a_name(net, tmp_path, monkeypatch):
    agent, tool = tmp_path / "agent.sh", tmp_path / "nsenter"
    openmpi_runs.write_agent(agent, net)
    tool.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    done = subprocess.run([agent, "rig2", "prted", "--x 1"], capture_output=True)
    assert done.stdout == b"-t|102|-n|-u|-m|sh|-c|prted --x 1|"
    assert subprocess.run([agent, "rig9", "x"], capture_output=True).returncode == 1

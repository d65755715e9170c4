"""NCCL 2.30's own tuning model: the time by which it chooses algorithm and protocol.

    time = latency x operations x plateau + size / (bandwidth x tree_fall)

for each algorithm and protocol; NCCL runs the least. Restated from NVIDIA/nccl,
src/graph/tuning.cc at commit 5067397 (Apache-2.0). It is a rule of choice more than a
prediction, and a baseline here; every number of it is a leaf of ``Constants``, so that
it can be fitted too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from chex import Numeric
from jax import Array

from fabricmodel._pytree import pytree, static
from fabricmodel.baselines.nccl_constants import (
    ALGORITHMS,
    DEFAULTS,
    GENERATIONS,
    LINKS,
    PROTOCOLS,
    Constants,
)
from fabricmodel.errors import FabricError

Choice = tuple[str, str]
_LINE_OPS = ("all_gather", "reduce_scatter")
_HAVING = {
    "all_reduce": ("Tree", "Ring", "CollNetDirect", "CollNetChain", "NVLS", "NVLSTree"),
    "all_gather": ("Ring", "CollNetDirect", "NVLS", "PAT"),
    "reduce_scatter": ("Ring", "CollNetDirect", "NVLS", "PAT"),
    "broadcast": ("Ring",),
    "reduce": ("Ring",),
}


@pytree
class Communicator:
    """What the model knows of a communicator, most of it from NCCL's graph search.

    Attributes:
      generation: of the GPUs: ``volta``, ``ampere``, ``hopper`` or ``blackwell``.
      link: inside a node: ``nvlink`` or ``pci``.
      amd: whether the processors are AMD's.
      nvls, collnet: whether NVLink SHARP, or a SHARP network, is there.
      split_tree: whether the tree graph is NCCL's plain ``tree`` pattern (x 0.85).
      same_channels: whether all channels follow one path.
      ranks, nodes: that take part; ``ranks / nodes`` of them in each node.
      channels: that the graph search found.
      intra_GBps, inter_GBps: of one channel, inside a node and between nodes.
      nic_latency_us: of the network plugin, once a step (twice for Simple).
    """

    generation: str = static(default="hopper")
    link: str = static(default="nvlink")
    amd: bool = static(default=False)
    nvls: bool = static(default=True)
    collnet: bool = static(default=False)
    split_tree: bool = static(default=False)
    same_channels: bool = static(default=True)
    ranks: Numeric
    nodes: Numeric
    channels: Numeric
    intra_GBps: Numeric
    inter_GBps: Numeric
    nic_latency_us: Numeric = 0.0


def dgx(generation: str, nodes: int, nic_GBps: float = 50.0) -> Communicator:
    """Describe nodes of eight GPUs on NVSwitches, with one adapter for each GPU.

    Channels and their bandwidth as NCCL's graph search finds them: inside one node 320
    GB/s on Hopper (16 x 20), 240 on Ampere (24 x 10), 640 on Blackwell (16 x 40); with
    more nodes 8 rings at 96 % of an adapter each, doubled to 16 halves. Typical values,
    not read off a run.

    >>> dgx("hopper", 1).channels, dgx("hopper", 4).inter_GBps
    (16.0, 24.0)
    """
    inside = {"ampere": (24.0, 10.0), "hopper": (16.0, 20.0), "blackwell": (16.0, 40.0)}
    if generation not in inside:
        raise FabricError(
            "generation", f"{generation!r}", f"Use one of {', '.join(inside)}"
        )
    channels, intra = inside[generation]
    if nodes > 1:
        channels, intra = 16.0, 0.48 * nic_GBps
    return Communicator(
        generation=generation,
        nvls=generation != "ampere",
        ranks=8.0 * nodes,
        nodes=float(nodes),
        channels=channels,
        intra_GBps=intra,
        inter_GBps=intra,
    )


def nccl_seconds(
    communicator: Communicator,
    collective: str,
    size_bytes: Numeric,
    operations: Numeric = 1.0,
    constants: Constants = DEFAULTS,
) -> dict[Choice, Array]:
    """Return the seconds of every enabled algorithm and protocol.

    Args:
      communicator: scalar leaves; the node count may not be traced, since it decides
        which algorithms there are.
      collective: ``all_reduce all_gather reduce_scatter broadcast reduce``.
      size_bytes: of the full vector, any shape.
      operations: that NCCL batches into one launch.
      constants: the vendor's, or fitted ones.

    Raises:
      FabricError: for a collective that the model does not know.

    >>> times = nccl_seconds(dgx("hopper", 2), "all_reduce", 2.0**20)
    >>> min(times, key=lambda choice: float(times[choice]))
    ('Tree', 'LL128')
    """
    if collective not in _HAVING:
        raise FabricError(
            "collective", f"{collective!r}", f"Use one of {', '.join(_HAVING)}"
        )
    size = jnp.asarray(size_bytes, float)
    found = {}
    for algorithm, protocol in _enabled(communicator, collective):
        latency_us = _latency_us(
            communicator, collective, algorithm, protocol, constants
        )
        bandwidth = _bandwidth(communicator, collective, algorithm, protocol, constants)
        if algorithm == "Tree" and collective == "all_reduce":
            bandwidth = bandwidth * _tree_fall(size, protocol, constants)
        batched = jnp.asarray(operations, float)
        if algorithm != "Ring":
            batched = jnp.ceil(batched / _BATCH)
        elif protocol == "Simple" and collective == "all_reduce":
            latency_us = latency_us * _plateau(communicator, size, constants)
        seconds = 1e-6 * latency_us * batched + size / (1e9 * bandwidth)
        found[algorithm, protocol] = seconds
    return found


def nccl_choice(
    communicator: Communicator, collective: str, size_bytes: Numeric
) -> Mapping[str, Any]:
    """Return what NCCL would run at each size: algorithm, protocol and seconds.

    >>> found = nccl_choice(dgx("hopper", 1), "all_reduce", np.array([1e3, 1e9]))
    >>> found["algorithm"].tolist(), found["protocol"].tolist()
    (['Ring', 'NVLS'], ['LL', 'Simple'])
    """
    times = nccl_seconds(communicator, collective, size_bytes)
    names, stacked = list(times), np.stack([np.asarray(t) for t in times.values()])
    best = np.argmin(stacked, axis=0)
    table = np.array(names)
    return {
        "algorithm": table[best, 0],
        "protocol": table[best, 1],
        "seconds": np.min(stacked, axis=0),
    }


_BATCH = 16.0  # collectives of one device work batch


def _enabled(communicator: Communicator, collective: str) -> list[Choice]:
    """Which pairs NCCL considers here."""
    nodes = float(communicator.nodes)
    alone = nodes == float(communicator.ranks)
    enabled = {
        "Tree": True,
        "Ring": True,
        "CollNetDirect": communicator.collnet and nodes > 1,
        "CollNetChain": communicator.collnet and nodes > 1,
        "NVLS": communicator.nvls and (nodes == 1 or communicator.collnet),
        "NVLSTree": communicator.nvls and nodes > 1,
        "PAT": alone and nodes > 1,
    }
    if float(communicator.channels) < 2:
        enabled["NVLS"] = enabled["NVLSTree"] = False
    found = []
    for algorithm in _HAVING[collective]:
        several = algorithm in ("Tree", "Ring")
        for protocol in PROTOCOLS if several else PROTOCOLS[-1:]:
            if protocol == "LL128" and communicator.link != "nvlink":
                continue
            if enabled[algorithm]:
                found.append((algorithm, protocol))
    return found


def _steps(communicator: Communicator, collective: str) -> Numeric:
    n = communicator.ranks
    if collective == "all_reduce":
        return 2.0 * (n - 1.0)
    return n - 1.0 if collective in _LINE_OPS else n


def _row(communicator: Communicator) -> tuple[int, int]:
    """Generation, and the column of 1, 2 or more nodes."""
    nodes = float(communicator.nodes)
    return GENERATIONS.index(communicator.generation), int(min(nodes, 3.0)) - 1


def _bandwidth(
    communicator: Communicator,
    collective: str,
    algorithm: str,
    protocol: str,
    constants: Constants,
) -> Array:
    """Algorithm bandwidth in GB/s: size over transfer time."""
    c, k = communicator, constants
    generation, column = _row(c)
    nodes = float(c.nodes)
    inside = c.ranks / c.nodes
    processor = generation if nodes == 1 else int(c.amd)
    ll_max = k.ll_max_GBps[processor][column]
    collnet = algorithm.startswith("CollNet")
    channel = c.intra_GBps if nodes <= 2 or collnet else c.inter_GBps
    bus = jnp.asarray(c.channels * channel, float)
    if algorithm == "Ring" and protocol == "LL":
        bus = jnp.minimum(ll_max, 0.5 * bus)
    elif algorithm == "Ring" and protocol == "LL128":
        bus = jnp.minimum(
            0.92 * bus, c.channels * k.ring_ll128_GBps[generation][column]
        )
    elif algorithm == "Tree":
        bus = jnp.minimum(0.92 * bus, c.channels * k.tree_GBps[generation][column])
        if protocol == "LL":
            bus = jnp.minimum(bus / 3.8, ll_max)
        elif protocol == "LL128":
            most = c.channels * k.tree_ll128_GBps[generation][column]
            bus = jnp.minimum(bus * (7.0 / 9.0 if nodes == 1 else 120.0 / 128.0), most)
        bus = bus * (0.85 if c.split_tree else 1.0)
    elif algorithm == "PAT":
        bus = 0.75 * bus
    elif algorithm == "CollNetDirect":
        bus = _collnet_direct(c, collective, inside, bus)
    elif algorithm in ("NVLS", "NVLSTree"):
        bus = _nvls(c, collective, algorithm, inside, k)
    if algorithm != "Ring" and collective in _LINE_OPS:
        return bus
    if algorithm in ("Ring", "NVLS", "NVLSTree"):
        return bus * c.ranks / _steps(c, collective)
    return 0.5 * bus


def _collnet_direct(
    c: Communicator, collective: str, inside: Numeric, bus: Array
) -> Array:
    if collective in _LINE_OPS:
        return jnp.asarray(inside * jnp.minimum(c.intra_GBps, 0.9 * c.inter_GBps))
    factor = inside / c.channels
    factor = factor - (factor - 1.0) / 2.0
    late = GENERATIONS.index(c.generation) >= GENERATIONS.index("hopper")
    return bus / factor * (0.85 if late else 1.0)


def _nvls(
    c: Communicator, collective: str, algorithm: str, inside: Numeric, k: Constants
) -> Array:
    generation, column = _row(c)
    nodes = float(c.nodes)
    both = 2.0 if collective == "all_reduce" else (inside - 1.0) / inside
    spare = (c.channels - 1.0) / c.channels
    channel = jnp.asarray(c.intra_GBps * k.nvls_efficiency[generation] * spare * both)
    if nodes > 1:
        pair = 2.0 if nodes <= 2 and algorithm == "NVLSTree" else 1.0
        channel = jnp.minimum(channel, c.inter_GBps * pair)
        if algorithm == "NVLSTree":
            channel = jnp.minimum(channel, k.nvls_tree_GBps[generation][column])
    return jnp.asarray(c.channels * channel)


def _latency_us(
    communicator: Communicator,
    collective: str,
    algorithm: str,
    protocol: str,
    constants: Constants,
) -> Array:
    c, k = communicator, constants
    nodes = float(c.nodes)
    inside = c.ranks / c.nodes
    a, q = ALGORITHMS.index(algorithm), PROTOCOLS.index(protocol)
    tree, net = ALGORITHMS.index("Tree"), LINKS.index("net")
    near = LINKS.index(c.link)
    base, intra = k.base_us[a][q], k.link_us[near][a][q]
    exposed = float(inside) == 1.0  # nothing to hide the network behind
    inter = k.link_us[net][tree if exposed else a][q]
    inter = inter + c.nic_latency_us * (2.0 if protocol == "Simple" else 1.0)
    doublings = jnp.floor(jnp.log2(jnp.asarray(c.nodes, float)) + 1e-6)
    steps = _steps(c, collective)
    if algorithm == "Ring" and collective in ("broadcast", "reduce"):
        way = near if nodes == 1 else net
        plain = k.link_us[way][a][q]
        if c.same_channels:
            return jnp.asarray(base + plain)
        slow = k.link_us[way][tree][q] if protocol == "Simple" else plain
        return jnp.asarray(base + steps * slow)
    if algorithm == "Ring":
        crossing = (nodes - 1.0) * (2.0 if collective == "all_reduce" else 1.0)
        if nodes > 1:
            posting = k.net_overhead_us[int(c.amd)]
            posting = posting * (3.0 if protocol == "Simple" else 1.0)
            intra = jnp.maximum(intra, posting)
        return jnp.asarray(base + (steps - crossing) * intra + crossing * inter)
    if algorithm == "Tree":
        return base + 2.0 * ((inside - 1.0) * intra + doublings * inter)
    if algorithm == "CollNetDirect":
        far = inside - 1.0
        return base + 2.0 * (jnp.minimum(1.0, far) * intra + 0.4 * far) + inter
    if algorithm == "CollNetChain":
        return jnp.asarray(base + 2.0 * (inside - 1.0) * intra + inter)
    if algorithm == "NVLS":
        return jnp.asarray(intra + (inter if nodes > 1 else 0.0))
    if algorithm == "NVLSTree":
        return base + intra + 2.0 * doublings * inter
    return base + doublings * inter / 3.5 + 2.8 * c.ranks  # PAT


def _tree_fall(size: Array, protocol: str, constants: Constants) -> Array:
    octave = jnp.floor(jnp.log2(jnp.maximum(jnp.floor(size / 64.0), 1.0)) + 1e-6)
    table = jnp.asarray(constants.tree_fall)[PROTOCOLS.index(protocol)]
    inside = (size >= 64.0) & (octave < table.shape[0])
    at = jnp.clip(octave.astype(int), 0, table.shape[0] - 1)
    return jnp.where(inside, table[at], 1.0)


def _plateau(c: Communicator, size: Array, constants: Constants) -> Array:
    since_ampere = int(c.generation != "volta")
    if float(c.nodes) <= 1:
        return jnp.ones(())
    large = size / (c.channels * c.ranks) >= 64.0
    return jnp.where(large, constants.plateau[since_ampere], 1.0)

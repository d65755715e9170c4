"""The model of AWS's network plugin for NCCL, by which its tuner chooses."""

from __future__ import annotations

import jax.numpy as jnp
from chex import Numeric
from jax import Array

from fabricmodel._pytree import pytree

_PROTOCOL = {"LL": 0.5, "LL128": 0.9375, "Simple": 1.0}


@pytree
class Platform:
    """An instance type as the plugin sees it.

    Attributes:
      net_s, nvlink_s: a step over the network, and inside a node.
      completion_s: what Simple adds to a step over the network.
      rails, rail_Bps: adapters of a node, and the bandwidth of one.
      intra_Bps: NVLink, of one channel set.
    """

    net_s: Numeric
    nvlink_s: Numeric = 1e-6
    completion_s: Numeric = 0.0
    rails: Numeric
    rail_Bps: Numeric
    intra_Bps: Numeric = 450e9


P5 = Platform(net_s=20e-6, rails=4.0, rail_Bps=12.5e9)
P5EN = Platform(net_s=18e-6, rails=2.0, rail_Bps=25e9)


def aws_ofi_all_reduce_seconds(
    platform: Platform,
    algorithm: str,
    protocol: str,
    size_bytes: Numeric,
    ranks: Numeric,
    nodes: Numeric,
    channels: Numeric = 1.0,
    operations: Numeric = 1.0,
) -> Array:
    """Return ``latency x operations + S/bw`` of ``Ring``, ``Tree`` or ``NVLSTree``.

    Ring: 2 X network steps of 2 (N - 1); all the rails. Tree: chains inside, log2 X
    twice between; half of the rails. NVLSTree: one step inside. LL has half of the
    bandwidth, LL128 15/16. The plugin uses it above two nodes. Source: aws-ofi-nccl,
    nccl_ofi_model.cpp at 2daf7d3.

    >>> ring = aws_ofi_all_reduce_seconds(P5, "Ring", "Simple", 0.0, 32.0, 4.0)
    >>> f"{float(ring) * 1e6:.0f} us"
    '214 us'
    """
    p, doublings = platform, jnp.log2(nodes)
    net = p.net_s + (p.completion_s if protocol == "Simple" else 0.0)
    bandwidth = p.rail_Bps * p.rails * channels
    if algorithm == "Ring":
        crossing = 2.0 * nodes
        latency = crossing * net + (2.0 * (ranks - 1.0) - crossing) * p.nvlink_s
    elif algorithm == "Tree":
        inside = ranks / nodes - 1.0
        latency = 2.0 * inside * p.nvlink_s + 2.0 * doublings * net
        bandwidth = bandwidth / 2.0
    else:
        latency = 2.0 * (p.nvlink_s + doublings * net)
        bandwidth = jnp.minimum(p.intra_Bps, p.rails * p.rail_Bps / 2.0) * channels
    transfer = size_bytes / (bandwidth * _PROTOCOL[protocol])
    return jnp.asarray(latency * operations + transfer)

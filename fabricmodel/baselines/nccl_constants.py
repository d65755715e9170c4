"""The numbers of NCCL 2.30's tuning model, as one record that can be fitted.

Source: NVIDIA/nccl, src/graph/tuning.cc at commit 5067397 (Apache-2.0), restated.
Written down without that file at hand, and so to be checked against it before anyone
builds on them: the bounds of LL128 on trees and of NVLSTree, the rows of Volta and
Ampere, CollNet over NVLink and PCI, and PAT over anything but the network.
"""

from __future__ import annotations

import numpy as np
from jax import Array

from fabricmodel._pytree import pytree

Leaf = np.ndarray | Array

PROTOCOLS = ("LL", "LL128", "Simple")
ALGORITHMS = (
    "Tree", "Ring", "CollNetDirect", "CollNetChain", "NVLS", "NVLSTree", "PAT",
)  # fmt: skip
GENERATIONS = ("volta", "ampere", "hopper", "blackwell")
LINKS = ("nvlink", "pci", "net")

_TREE_FALL = (
    (1, 1, 1, 1, 0.9, 0.8, 0.7, 0.7, 0.7, 0.7, 0.6, 0.5, 0.4, 0.4, 0.5, 0.6, 0.7, 0.8,
     0.9, 1, 1, 1, 1),
    (1, 1, 1, 1, 1, 0.9, 0.8, 0.8, 0.8, 0.7, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.8, 0.9,
     0.9, 0.9, 0.9, 1, 1),
    (0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8, 0.7, 0.6, 0.6, 0.5, 0.5, 0.5, 0.5, 0.6,
     0.7, 0.8, 0.7, 0.7, 0.8, 0.9, 0.9),
)  # fmt: skip


def _simple(value: float) -> tuple[float, float, float]:
    """A latency that only Simple has."""
    return (0.0, 0.0, value)


@pytree
class Constants:
    """What the vendor set by hand. GB is 1e9 bytes.

    Attributes:
      base_us: (7, 3) by algorithm and protocol.
      link_us: (3, 7, 3) a step over NVLink, PCI or the network.
      ll_max_GBps: (4, 3) by generation (one node) or processor (more: 0 Intel, 1 AMD),
        and 1, 2, more nodes.
      ring_ll128_GBps, tree_GBps, tree_ll128_GBps, nvls_tree_GBps: (4, 3) most of one
        channel, by generation and nodes.
      tree_fall: (3, 23) share of the bandwidth that a tree keeps, by protocol and
        ``log2(size / 64)``.
      net_overhead_us: (2,) Intel, AMD: posting one step.
      nvls_efficiency: (4,) by generation.
      plateau: (2,) longer latency of a large ring, before Ampere and since.
    """

    base_us: Leaf
    link_us: Leaf
    ll_max_GBps: Leaf
    ring_ll128_GBps: Leaf
    tree_GBps: Leaf
    tree_ll128_GBps: Leaf
    nvls_tree_GBps: Leaf
    tree_fall: Leaf
    net_overhead_us: Leaf
    nvls_efficiency: Leaf
    plateau: Leaf


DEFAULTS = Constants(
    base_us=np.array(
        [(6.8, 14.0, 8.4), (6.6, 14.0, 8.4), *[(0.0, 0.0, 0.0)] * 4, (8.0, 8.0, 8.0)]
    ),
    link_us=np.array(
        [
            [
                (0.6, 1.25, 4.0), (0.6, 1.9, 3.4), _simple(3.7), _simple(2.8),
                _simple(25.0), _simple(25.0), _simple(4.0),
            ],
            [
                (1.0, 1.9, 4.0), (1.0, 2.5, 5.7), _simple(3.7), _simple(2.8),
                _simple(0.0), _simple(0.0), _simple(4.0),
            ],
            [
                (5.0, 8.5, 14.0), (2.7, 4.0, 14.0), _simple(31.0), _simple(30.0),
                _simple(18.0), _simple(20.9), _simple(14.0),
            ],
        ]
    ),
    ll_max_GBps=np.array(
        [
            (39.0, 39.0, 20.4), (87.7, 22.5, 19.0), (141.0, 45.0, 35.0),
            (282.0, 90.0, 70.0),
        ]
    ),
    ring_ll128_GBps=np.array([[20.0] * 3, [20.0] * 3, [36.7] * 3, [40.0] * 3]),
    tree_GBps=np.array(
        [(26.5, 18.5, 10.0), (24.0, 23.6, 17.8), (38.7, 41.4, 36.0), (70.0, 42.8, 24.0)]
    ),
    tree_ll128_GBps=np.array(
        [[20.0] * 3, [20.0] * 3, (36.7, 36.7, 29.0), (55.6, 31.67, 20.0)]
    ),
    nvls_tree_GBps=np.array(
        [(26.5, 18.5, 10.0), (24.0, 23.6, 17.8), (0.0, 57.7, 45.5), (0.0, 96.0, 43.8)]
    ),
    tree_fall=np.array(_TREE_FALL),
    net_overhead_us=np.array([1.0, 2.0]),
    nvls_efficiency=np.array([0.85, 0.85, 0.85, 0.74]),
    plateau=np.array([1.9, 1.4]),
)  # fmt: skip

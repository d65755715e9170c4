"""Measurements that others published of fabrics in the catalogue, each cited.

``built_in`` says whether a price of the catalogue is that very figure, so that the
agreement shows no more than that the counting is right.
"""

from __future__ import annotations

import dataclasses

from fabricmodel.units import GiB, MiB

BENCHMARKS = "stas00/ml-engineering, network/benchmarks (August 2026)"
GTC = "NVIDIA at GTC 2025, as quoted by stas00/ml-engineering"
BOOK = "jax-ml/scaling-book, gpus (2025)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BusBandwidth:
    """One published bus bandwidth.

    Attributes:
      fabric, chips: what it was measured on.
      collective: its kind; algorithm: as it was forced, "" for the library's choice.
      size_bytes: of the full vector.
      GBps: as published, 1e9 bytes per second.
      source: where.
      built_in: whether the catalogue's price was made from it.
    """

    fabric: str
    chips: int
    collective: str = "all_reduce"
    algorithm: str = ""
    size_bytes: float = 16 * GiB
    GBps: float
    source: str
    built_in: bool = False


def _bench(fabric: str, chips: int, GBps: float, **more: object) -> BusBandwidth:
    known = {"source": BENCHMARKS, **more}
    return BusBandwidth(fabric=fabric, chips=chips, GBps=GBps, **known)  # pyright: ignore[reportArgumentType]


TARGETS = (
    _bench("hgx-a100", 8, 234.9, algorithm="ring", built_in=True),
    _bench("hgx-h100", 8, 370.0, algorithm="ring", source=BOOK, built_in=True),
    _bench("hgx-h200", 8, 367.6, algorithm="ring", built_in=True),
    _bench("hgx-h200", 8, 361.4, collective="all_gather", algorithm="ring"),
    _bench("hgx-h200", 8, 362.9, collective="reduce_scatter", algorithm="ring"),
    _bench("hgx-h200", 8, 482.3, algorithm="nvls", built_in=True),
    _bench("hgx-h200", 8, 482.3, built_in=True),
    _bench("hgx-b200", 8, 682.0, algorithm="ring", built_in=True),
    _bench("hgx-b200", 8, 842.0, algorithm="nvls", built_in=True),
    _bench("hgx-b200", 8, 842.0, built_in=True),
    _bench("b200-efa", 32, 381.8, built_in=True),
    _bench("gb200-nvl72-rack", 72, 680.0, algorithm="ring", source=GTC),
    _bench("gb200-nvl72-rack", 72, 850.0, algorithm="nvls", source=GTC, built_in=True),
    _bench("gb200-nvl72-rack", 72, 850.0, source=GTC, built_in=True),
    _bench("mi300x-node", 8, 312.9, built_in=True),
    _bench("mi300x-node", 2, 47.7, built_in=True),
)
"""Bus bandwidths that catalogue prices have to give within 15 %."""

_AWSOME = "awslabs/awsome-distributed-training, nccl-tests"
_COREWEAVE = "coreweave/nccl-tests"
_B300 = "terrificdm/p6b300-efa-deepep-nccl-testkit, NCCL 2.31.2"
_TOOLKIT = "GoogleCloudPlatform/cluster-toolkit"
_DSTACK = "dstackai/dstack, documentation"

FURTHER = (
    _bench("h100-efa", 16, 487.1, source=_AWSOME),
    _bench("h200-roce", 16, 486.5, source="argonne-lcf/oci-howto, NCCL 2.27.5"),
    _bench("h100-roce", 16, 471.2, source="oracle-quickstart/oci-hpc, NCCL 2.23.4"),
    _bench("h200-infiniband", 16, 478.1, source="nebius/ml-cookbook"),
    _bench(
        "h100-infiniband-nvls", 64, 384.5, size_bytes=8 * GiB, source=_COREWEAVE
    ),
    _bench("h100-infiniband-nvls", 1024, 367.3, source="NVIDIA/nccl-tests issue 322"),
    _bench("gb200-nvl72-rack", 72, 834.6, size_bytes=8 * GiB, source=_COREWEAVE),
    _bench("gb200-nvl72-nvls", 144, 811.1, source=_COREWEAVE),
    _bench("b200-infiniband", 16, 696.1, size_bytes=2 * GiB, source=_DSTACK),
    _bench("b200-roce", 16, 683.5, size_bytes=8 * GiB, source=_DSTACK),
    _bench("b300-efa", 16, 870.1, size_bytes=8 * GiB, source=_B300),
    _bench(
        "b300-efa", 16, 753.3, collective="all_gather", size_bytes=8 * GiB, source=_B300
    ),
    _bench(
        "b300-efa", 16, 179.5, collective="all_to_all", size_bytes=8 * GiB, source=_B300
    ),
    _bench(
        "a100-roce", 16, 189.6, size_bytes=8 * GiB,
        source="oracle-quickstart/oci-hpc-oke, NCCL 2.29.3",
    ),
    _bench(
        "h100-gcp-a3-mega", 16, 188.7, collective="all_gather", size_bytes=8 * GiB,
        source=_TOOLKIT,
    ),
    _bench(
        "h200-roce", 16, 328.8, collective="all_gather", size_bytes=8 * GiB,
        source=_TOOLKIT,
    ),
)  # fmt: skip
"""Others that no price of the catalogue was made from: they say how far it can be
trusted, and have no bar to pass. Not blind: those of two nodes showed that NVLSTree
sends half as much between two nodes as between more."""

SWEEPS = {
    "hgx-h200": [
        (1 / 32, 1.44), (1 / 16, 2.93), (1 / 8, 5.73), (1 / 4, 11.74), (1 / 2, 23.94),
        (1, 39.93), (2, 64.5), (4, 107), (8, 156), (16, 220), (32, 276), (64, 347),
        (128, 402), (256, 436), (512, 450), (1024, 464), (16_384, 482),
    ],
    "hgx-b200": [
        (1, 36), (16, 255), (64, 401), (128, 568), (512, 689), (1024, 723), (8192, 839),
    ],
}  # fmt: skip
"""all_reduce on 8 GPUs: size in MiB and bus bandwidth in GB/s; from BENCHMARKS."""

SWEEP_UNIT = MiB

SMALL = (
    ("aic-a100-sxm", "hgx-a100"),
    ("aic-b200-sxm", "hgx-b200"),
    ("abci2-a100-ib", "a100-infiniband"),
)
"""Shipped series, and the fabric whose catalogue prices they are held against."""

SMALL_BYTES = 256 * 1024.0
"""Up to here a message is small: what it costs is latency."""

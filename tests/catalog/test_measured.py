"""Bus bandwidths that others measured, predicted from catalogue prices alone."""

import math

import numpy as np
import pytest

import fabricmodel as fm
from fabricmodel import load_fabric
from fabricmodel.timing.forcing import force
from fabricmodel.timing.price import collective_seconds
from fabricmodel.timing.table import count_table
from fabricmodel.units import GiB, MiB, bus_factor

# 16 GiB, GB/s: stas00/ml-engineering, network benchmarks (August 2026); the rack's by
# NVIDIA at GTC 2025. "" is the library's own choice.
MEASURED = [
    ("hgx-a100", 8, "all_reduce", "ring", 234.9),
    ("hgx-h100", 8, "all_reduce", "ring", 370.0),
    ("hgx-h200", 8, "all_reduce", "ring", 367.6),
    ("hgx-h200", 8, "all_gather", "ring", 361.4),
    ("hgx-h200", 8, "reduce_scatter", "ring", 362.9),
    ("hgx-h200", 8, "all_reduce", "nvls", 482.3),
    ("hgx-h200", 8, "all_reduce", "", 482.3),
    ("hgx-b200", 8, "all_reduce", "ring", 682.0),
    ("hgx-b200", 8, "all_reduce", "nvls", 842.0),
    ("hgx-b200", 8, "all_reduce", "", 842.0),
    ("b200-efa", 32, "all_reduce", "", 381.8),
    ("gb200-nvl72-rack", 72, "all_reduce", "ring", 680.0),
    ("gb200-nvl72-rack", 72, "all_reduce", "nvls", 850.0),
    ("gb200-nvl72-rack", 72, "all_reduce", "", 850.0),
    ("mi300x-node", 8, "all_reduce", "", 312.9),
    ("mi300x-node", 2, "all_reduce", "", 47.7),  # a seventh of the links
]


def bandwidth(name, chips, collective, algorithm):
    """Bus bandwidth in GB/s at catalogue prices, of 16 GiB."""
    fabric, size = load_fabric(name, chips=chips), 16 * GiB
    table = force(count_table(fabric, collective, [algorithm]), algorithm)
    launch_s = fabric.launch_s[collective]
    seconds = float(collective_seconds(table, fabric, size, launch_s))
    return bus_factor(collective, chips) * size / seconds / 1e9


@pytest.mark.parametrize(
    ("name", "chips", "collective", "algorithm", "measured"), MEASURED
)
def test_large_messages(name, chips, collective, algorithm, measured, on_numpy):
    predicted = bandwidth(name, chips, collective, algorithm)
    assert predicted == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize(
    ("name", "gpus", "gain"),
    [("hgx-h200", 5, 1.14), ("hgx-h200", 8, 1.29), ("hgx-b200", 6, 1.15),
     ("hgx-b200", 8, 1.23)],
)  # fmt: skip
def test_what_nvls_gains_over_rings(name, gpus, gain, on_numpy):
    """Fewer GPUs gain less: (N + 1)/N of the vector against 2 (N - 1)/N of it."""
    ring, nvls = (bandwidth(name, gpus, "all_reduce", x) for x in ("ring", "nvls"))
    assert nvls / ring == pytest.approx(gain, rel=0.08)
    few = bandwidth(name, 3, "all_reduce", "nvls")
    assert few < bandwidth(name, 3, "all_reduce", "ring")  # it is not chosen there


# all_reduce on 8 GPUs: size in MiB and bus bandwidth in GB/s, from the same tables.
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


@pytest.mark.parametrize("name", SWEEPS)
def test_a_fitted_sweep_over_sizes(name):
    """Every size within a quarter, from a floor of 40 us to the full bandwidth."""
    sizes, bandwidths = np.array(SWEEPS[name]).T
    sizes = sizes * MiB
    seconds = bus_factor("all_reduce", 8) * sizes / (bandwidths * 1e9)
    rows = [
        {"ranks": 8, "collective": "all_reduce", "size_bytes": s, "time_us": t * 1e6}
        for s, t in zip(sizes, seconds, strict=True)
    ]
    model = fm.fit(load_fabric(name), fm.Measurements.from_records(rows))
    assert model.converged
    predicted = model.predict("all_reduce", sizes, 8).median_s
    np.testing.assert_allclose(predicted, seconds, rtol=0.25)


@pytest.mark.parametrize(
    ("name", "chips", "published"),
    [("tpu-v4-pod", 4096, 24e12), ("tpu-v5e-pod", 256, 1.6e12)],
)
def test_bisection_of_a_pod(name, chips, published):
    """docs.cloud.google.com/tpu: bisection of a pod, one direction, from its links."""
    sides = load_fabric(name, chips=chips).levels
    longest = max(float(level.members) for level in sides)
    across = math.prod(float(level.members) for level in sides) / longest
    bisection = 2 * across * sides[0].bandwidth_Bps  # a closed side is cut twice
    assert bisection == pytest.approx(published, rel=0.12)

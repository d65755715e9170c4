"""Bus bandwidths that others measured, predicted from catalogue prices alone."""

import numpy as np
import pytest

import fabricmodel as fm
from fabricmodel import load_fabric
from fabricmodel.timing.forcing import force
from fabricmodel.timing.price import collective_seconds
from fabricmodel.timing.table import count_table
from fabricmodel.units import GiB, MiB, bus_factor

# all_reduce of 16 GiB, GB/s: stas00/ml-engineering, network benchmarks (August 2026);
# the rack's by NVIDIA at GTC 2025. "" is the library's own choice.
MEASURED = [
    ("hgx-a100", 8, "ring", 234.9),
    ("hgx-h100", 8, "ring", 370.0),
    ("hgx-h200", 8, "ring", 367.6),
    ("hgx-h200", 8, "nvls", 482.3),
    ("hgx-h200", 8, "", 482.3),
    ("hgx-b200", 8, "ring", 682.0),
    ("hgx-b200", 8, "nvls", 842.0),
    ("hgx-b200", 8, "", 842.0),
    ("b200-efa", 32, "", 381.8),
    ("gb200-nvl72-rack", 72, "ring", 680.0),
    ("gb200-nvl72-rack", 72, "nvls", 850.0),
    ("gb200-nvl72-rack", 72, "", 850.0),
]


@pytest.mark.parametrize(("name", "chips", "algorithm", "measured"), MEASURED)
def test_large_all_reduce(name, chips, algorithm, measured, on_numpy):
    fabric, size = load_fabric(name, chips=chips), 16 * GiB
    table = force(count_table(fabric, "all_reduce", [algorithm]), algorithm)
    launch_s = fabric.launch_s["all_reduce"]
    seconds = float(collective_seconds(table, fabric, size, launch_s))
    bandwidth = bus_factor("all_reduce", chips) * size / seconds / 1e9
    assert bandwidth == pytest.approx(measured, rel=0.15)


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
    longest = max(level.members for level in sides)
    across = np.prod([level.members for level in sides]) / longest
    bisection = 2 * across * sides[0].bandwidth_Bps  # a closed side is cut twice
    assert bisection == pytest.approx(published, rel=0.12)


def test_two_mi300x_have_a_seventh_of_the_links_of_eight(on_numpy):
    """Measured: 312.9 GB/s of bus bandwidth on 8, 47.7 on 2."""
    for chips, measured in ((8, 312.9), (2, 47.7)):
        fabric, size = load_fabric("mi300x-node", chips=chips), 16 * GiB
        table = count_table(fabric, "all_reduce")
        seconds = float(collective_seconds(table, fabric, size, 0.0))
        bandwidth = bus_factor("all_reduce", chips) * size / seconds / 1e9
        assert bandwidth == pytest.approx(measured, rel=0.15)

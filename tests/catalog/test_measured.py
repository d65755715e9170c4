"""Bus bandwidths that others measured, predicted from catalogue prices alone."""

import pytest

from fabricmodel import load_fabric
from fabricmodel.timing.forcing import force
from fabricmodel.timing.price import collective_seconds
from fabricmodel.timing.table import count_table
from fabricmodel.units import GiB, bus_factor

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

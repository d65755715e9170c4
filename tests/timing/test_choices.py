"""Where the cheapest algorithm changes, at catalogue prices and by hand."""

import math

import pytest

from fabricmodel import Fabric, FabricError, Level, load_fabric, switches


def test_trn2_all_reduce_changes_where_the_vendor_says():
    """Mesh up to 1 MB, recursive halving-doubling up to 56 MB, then rings.

    Source: AWS Neuron documentation, "Intra-node collective communications".
    """
    found = switches(load_fabric("trn2-instance"), "all_reduce")
    assert {switch.stage for switch in found} == {("neuronlink", "all_reduce")}
    at = {(switch.below, switch.above): switch.size_bytes for switch in found}
    sizes = [switch.size_bytes for switch in found]
    assert sizes == sorted(sizes)
    assert 1e6 / 3 <= at["mesh", "rdh"] <= 3e6
    (last,) = [size for (below, _), size in at.items() if below == "rdh"]
    assert 56e6 / 3 <= last <= 3 * 56e6
    assert found[-1].above in ("kangaring", "ring")


def test_crossover_by_hand():
    """All_to_all of 16: direct posts 14 more messages, Bruck moves 2 S in 4 rounds."""
    net = Level(name="net", kind="switch", members=16.0, capacity=16.0)
    prices = {"round_s": 1e-6, "message_s": 1e-6, "byte_s": 1e-9}
    fabric = Fabric(name="", levels=(Level(**{**vars(net), **prices}),))
    (switch,) = switches(fabric, "all_to_all")
    latency = (15 - 4) * 1e-6
    size = latency / ((2 - 15 / 16) * 1e-9)
    assert (switch.below, switch.above) == ("bruck", "direct")
    assert switch.size_bytes == pytest.approx(size, rel=0.01)
    assert not switches(fabric, "all_to_all", 1024.0, size / 2)
    assert math.isclose(
        switches(fabric, "all_to_all", size / 8, size * 8)[0].size_bytes,
        size,
        rel_tol=0.01,
    )


def test_unknown_collective():
    with pytest.raises(FabricError, match="collective"):
        switches(load_fabric("trn2-instance"), "allreduce")

import numpy as np
import pytest

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements import list_references, load_reference

ROWS = {
    "awsdoc_nccom_2node_r64": 28,
    "awsome_trn1_2node_r64": 17,
    "dranet_trn1_2node_r2": 7,
    "slurm_trainium_2node": 3,
    "trn1_scaling_allreduce_nccom": 88,
    "trn2_48xl_nccom_r64": 48,
}


def test_the_list():
    assert set(ROWS) <= set(list_references())
    with pytest.raises(MeasurementError, match="trn2_48xl_nccom_r64"):
        load_reference("trn9")


@pytest.mark.parametrize("name", ROWS)
def test_each_row_is_whole_and_cited(name):
    table = load_reference(name)
    assert len(table) == ROWS[name]
    assert table.set_aside == ()
    assert set(table.series) == {name}
    for column in ("system", "fabric", "statistic", "source"):
        assert "" not in table.frame[column].to_list()
    np.testing.assert_array_equal(table.nodes * table.ranks_per_node, table.ranks)


def test_known_figures():
    trn1 = load_reference("trn1_scaling_allreduce_nccom")
    assert sorted(set(trn1.ranks)) == [2.0, 8.0, 16.0, 32.0]
    np.testing.assert_array_equal(trn1.ranks_per_node, trn1.ranks)
    trn2 = load_reference("trn2_48xl_nccom_r64").select(collective="all_reduce")
    large = trn2.filter((trn2.size_bytes == 2.0**31) & (trn2.dtype == "fp32"))
    np.testing.assert_allclose(large.time_s, [13631.27e-6])
    assert set(load_reference("dranet_trn1_2node_r2").ranks_per_node) == {1.0}
    slurm = load_reference("slurm_trainium_2node")
    assert sorted(slurm.ranks) == [32.0, 64.0, 64.0]

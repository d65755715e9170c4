"""Every figure of the shipped catalogue."""

import math
import tomllib
from importlib import resources

import pytest

from fabricmodel import FabricError, collective_time, list_fabrics, load_fabric
from fabricmodel.algorithms.registry import ALGORITHMS, COLLECTIVES
from fabricmodel.catalog.chips import load_chip
from fabricmodel.catalog.figures import CONFIDENCE
from fabricmodel.catalog.loader import load_entry
from fabricmodel.fitting.parameters import prices
from fabricmodel.timing.table import count_table

FILES = {
    file.name: tomllib.loads(file.read_text(encoding="utf-8"))
    for file in (resources.files("fabricmodel.catalog") / "data").iterdir()
    if file.name.endswith(".toml")
}
LIBRARY = ("algorithms", "protocols", "factors")  # of an engine, beside its figures
FACTORS = [
    (file, data, key, figure)
    for file, data in FILES.items()
    for table in (data, *data["engines"].values(), *data["fabrics"].values())
    for key, figure in table.get("factors", {}).items()
]
FIGURES = [
    pytest.param(data, figure, id=f"{file}-{kind}.{name}.{key}")
    for file, data in FILES.items()
    for kind in ("links", "engines")
    for name, table in data.get(kind, {}).items()
    for key, figure in table.items()
    if key not in LIBRARY
] + [
    pytest.param(data, figure, id=f"{file}-factors.{key}")
    for file, data, key, figure in FACTORS
]


@pytest.mark.parametrize(("data", "figure"), FIGURES)
def test_every_figure_has_a_range_and_a_source(data, figure):
    low, high = figure["range"]
    assert 0 < low < high
    assert low <= figure["value"] <= high
    source = data["sources"][figure["source"]]
    assert len(source["cite"]) > 20
    assert figure.get("confidence", source["confidence"]) in CONFIDENCE


@pytest.mark.parametrize("data", FILES.values(), ids=list(FILES))
def test_short_names_have_their_citation(data):
    figures = [*data["links"].values(), *data["engines"].values()]
    cited = [
        figure["source"]
        for table in figures
        for key, figure in table.items()
        if key not in LIBRARY
    ]
    cited += [figure["source"] for _, of, _, figure in FACTORS if of is data]
    cited += [
        fabric["source"] for fabric in data["fabrics"].values() if "source" in fabric
    ]
    assert set(cited) == set(data["sources"])
    levels = [fabric.get("levels", []) for fabric in data["fabrics"].values()]
    assert {level["link"] for each in levels for level in each} == set(data["links"])


@pytest.mark.parametrize("name", list_fabrics())
def test_every_fabric_loads(name):
    entry = load_entry(name)
    fabric = entry.fabric
    assert fabric.name == name
    assert len(entry.title) > 10
    assert entry.ranks_per_chip >= 1
    assert load_fabric(name) == fabric
    assert set(fabric.launch_s) == set(COLLECTIVES)
    assert set(entry.sources) == set(fabric.spread)
    assert set(fabric.factors.names) <= set(entry.sources)
    assert len(entry.source) > 20
    if entry.chip:
        assert load_chip(entry.chip).name == entry.chip
    if entry.cluster:
        cluster = load_fabric(entry.cluster)
        assert cluster.levels[-1].grows
        assert [level.link for level in fabric.levels] == [
            level.link for level in cluster.levels[: len(fabric.levels)]
        ]
    for price, value in prices(fabric).items():
        assert entry.sources[price]
        assert 0.01 < fabric.spread[price] < 2.5
        assert 1e-13 < value < 1e-3
    for level in fabric.levels:
        assert level.kind in ("ring", "line", "clique", "switch")
        assert level.family in ALGORITHMS
        assert level.members == level.capacity
        assert level.byte_s > 0


def test_figures_reach_the_fabric_in_si():
    """trn1: 3.4 us a round, 48 GB/s a link, 10 GB/s an adapter that crowds by 2 %."""
    _chip, x, _y, efa = load_fabric("trn1-ultracluster").levels
    assert x.round_s == pytest.approx(3.4e-6)
    assert x.bandwidth_Bps == pytest.approx(48e9)
    assert efa.byte_s == pytest.approx(1e-10)
    assert efa.crowd_byte_s == pytest.approx(0.02 * 1e-10)
    assert (efa.uplinks, efa.radix) == (8.0, 64.0)
    fabric = load_fabric("trn1-instance")
    assert fabric.launch_s["all_reduce"] == pytest.approx(1.5e-6)
    assert fabric.reduce_byte_s == pytest.approx(1 / 400e9)
    assert fabric.memory_round_s == pytest.approx(0.8e-6)
    assert fabric.memory_byte_s == pytest.approx(1 / 80e9)
    spread = math.log(8.0 / 1.0) / (2 * 1.645)
    assert fabric.spread["neuronlink-v2.round_s"] == pytest.approx(spread)
    factors = dict(zip(fabric.factors.names, fabric.factors.values, strict=True))
    assert factors["neuronlink.mesh.transfer"] == 1.5


# What the catalogue has to know: a unit alone, and many of it over each network.
NAMED = {
    "Trainium": (
        "trn1-instance trn1n-instance trn2-instance trn2-ultraserver "
        "trn3-ultraserver-gen1 trn3-ultraserver-gen2",
        "trn1-ultracluster trn1n-ultracluster trn2-instance-cluster trn2-ultracluster "
        "trn2-ultracluster-10p10u trn3-ultracluster-gen1 trn3-ultracluster-gen2",
    ),
    "HGX": (
        "hgx-v100 hgx-a100 hgx-h100 hgx-h800 hgx-h200 hgx-b200 hgx-b300",
        "v100-infiniband a100-infiniband a100-roce a100-efa h100-infiniband-nvls "
        "h100-roce h100-spectrum-x h100-efa h800-infiniband h200-infiniband h200-roce "
        "h200-efa h200-efa-v2 b200-infiniband b200-roce b200-efa b300-infiniband "
        "b300-roce b300-roce-multiplane b300-efa",
    ),
    "NVL72": (
        "gb200-nvl72-rack gb300-nvl72-rack rubin-nvl72-rack",
        "gb200-nvl72-nvls gb200-nvl72-roce gb200-nvl72-efa gb300-nvl72 "
        "gb300-nvl72-roce rubin-nvl72",
    ),
    "AMD": (
        "mi250x-node mi300x-node mi325x-node mi355x-node",
        "frontier mi300x-roce mi325x-roce mi355x-roce",
    ),
    "TPU": (
        "tpu-v3-pod tpu-v4-pod tpu-v5e-pod tpu-v5p-pod tpu-v6e-pod tpu-v7x-pod",
        "tpu-v3-multislice tpu-v4-multislice tpu-v5e-multislice tpu-v5p-multislice "
        "tpu-v6e-multislice tpu-v7x-multislice",
    ),
    "Gaudi": ("gaudi2-node gaudi3-node", "gaudi2-roce gaudi3-roce"),
    "centres": ("", "alps aurora polaris frontier leonardo fugaku"),
}


@pytest.mark.parametrize("family", NAMED)
def test_the_catalogue_knows_each_of_them_alone_and_many_of_it(family):
    units, clusters = (names.split() for names in NAMED[family])
    for name in units:
        entry = load_entry(name)
        assert entry.cluster in clusters
        ranks = math.prod(level.members for level in entry.fabric.levels)
        chips = ranks / entry.ranks_per_chip
        assert load_fabric(name, chips=int(8 * chips)).name == entry.cluster
    for name in clusters:
        entry = load_entry(name)
        assert any(level.grows and not level.in_node for level in entry.fabric.levels)
        assert entry.chip


# Bandwidth on the wire, GB/s in one direction, and how many links leave a unit.
WIRES = [
    ("trn1-ultracluster", "x", 384 / 8, 0),
    ("trn1-ultracluster", "efa", 100 / 8, 8),
    ("trn1n-ultracluster", "x", 768 / 8, 0),
    ("trn1n-ultracluster", "efa", 100 / 8, 16),
    ("trn2-instance-cluster", "efa", 200 / 8, 16),
    ("trn2-ultracluster", "x", 1024 / 8, 0),
    ("trn2-ultracluster", "z", 256 / 4, 16),
    ("trn2-ultracluster", "efa", 200 / 8, 64),
    ("trn3-ultracluster-gen1", "server", 4 * 64, 1),
    ("trn3-ultracluster-gen1", "rack", 5 * 64, 16),
    ("trn3-ultracluster-gen2", "racks", 2 * 64, 72),
    ("trn3-ultracluster-gen2", "efa", 28_800 / 144 / 8, 144),
    ("v100-infiniband", "nvlink", 300 / 2, 0),
    ("v100-infiniband", "infiniband", 100 / 8, 4),
    ("a100-infiniband", "nvlink", 600 / 2, 0),
    ("a100-infiniband", "infiniband", 200 / 8, 8),
    ("h100-infiniband-nvls", "nvlink", 900 / 2, 0),
    ("h100-infiniband-nvls", "infiniband", 400 / 8, 8),
    ("b300-infiniband", "nvlink", 1800 / 2, 0),
    ("b300-infiniband", "infiniband", 800 / 8, 8),
    ("gb200-nvl72-nvls", "infiniband", 400 / 8, 72),
    ("gb300-nvl72-roce", "roce", 800 / 8, 72),
    ("rubin-nvl72", "nvlink", 3600 / 2, 0),
    ("rubin-nvl72", "infiniband", 2 * 800 / 8, 72),
    ("a100-efa", "efa", 100 / 8, 4),
    ("h100-efa", "efa", 32 * 100 / 8 / 8, 8),
    ("h200-efa", "efa", 16 * 200 / 8 / 8, 8),
    ("b200-efa", "efa", 8 * 400 / 8 / 8, 8),
    ("b300-efa", "efa", 16 * 400 / 8 / 8, 8),
    ("h100-gcp-a3", "tcpx", 200 / 8, 4),
    ("h100-gcp-a3-mega", "tcpx", 200 / 8, 8),
    ("mi250x-node", "xgmi", 700 / 2 / 7, 0),
    ("mi300x-node", "xgmi", 896 / 2 / 7, 0),
    ("mi355x-node", "xgmi", 1071 / 2 / 7, 0),
    ("tpu-v4-pod", "x", 300 / 2 / 3, 0),
    ("tpu-v5e-pod", "x", 400 / 2 / 4, 0),
    ("tpu-v5p-pod", "x", 1200 / 2 / 6, 0),
    ("tpu-v6e-pod", "x", 800 / 2 / 4, 0),
    ("tpu-v7x-pod", "x", 1200 / 2 / 6, 0),
    ("tpu-v5p-multislice", "dcn", 50 / 8, 0),
    ("tpu-v5e-multislice", "dcn", 2 * 100 / 8 / 8, 0),
    ("gaudi2-roce", "node", 3 * 100 / 8, 0),
    ("gaudi3-roce", "roce", 3 * 200 / 8, 8),
    ("frontier", "group", 200 / 8, 4),
    ("aurora", "group", 200 / 8, 8),
    ("alps", "nvlink", 900 / 2 / 3, 0),
    ("leonardo", "cell", 100 / 8, 4),
    ("fugaku", "x", 6.8, 0),
]


@pytest.mark.parametrize(("name", "level", "wire", "uplinks"), WIRES)
def test_no_link_is_taken_for_both_of_its_directions(name, level, wire, uplinks):
    """Its price is a share of the wire in one direction: never half, never double."""
    (found,) = (each for each in load_fabric(name).levels if each.name == level)
    assert 0.69 * wire < found.bandwidth_Bps / 1e9 <= wire
    assert found.uplinks == uplinks
    figure = load_entry(name).figures[f"{found.link}.byte_s"]
    assert 0.98 * wire <= figure.high / 1e9


# What sources say differently of one link, GB/s in one direction: in its range.
DISAGREEMENTS = [
    ("tpu-v4-pod", "ici-v4.byte_s", 45, 50),
    ("tpu-v5e-pod", "ici-v5e.byte_s", 45, 50),
    ("tpu-v5p-pod", "ici-v5p.byte_s", 90, 100),
    ("tpu-v3-pod", "ici-v3.byte_s", 82, 100),
    ("hgx-h800", "nvlink4-h800.byte_s", 160, 300),
    ("gb200-nvl72-efa", "efa-v4-p6e.byte_s", 50, 100),
    ("trn1n-instance", "neuronlink-v2n.byte_s", 48, 96),
    ("trn3-ultraserver-gen2", "neuronlink-v4-racks.byte_s", 64, 128),
    ("trn3-ultracluster-gen2", "efa-v4-trn3.byte_s", 25, 50),
    ("h200-roce", "roce-400.byte_s", 0.60 * 50, 0.95 * 50),
    ("tpu-v6e-pod", "ici-v6e.byte_s", 90, 100),
    ("trn1-instance", "neuronlink-v2.byte_s", 48, 384 * 1.0737 / 8),
    ("trn2-ultracluster", "efa-v3.byte_s", 17, 25),
]


@pytest.mark.parametrize(("name", "figure", "low", "high"), DISAGREEMENTS)
def test_sources_that_disagree_widen_the_prior(name, figure, low, high):
    entry = load_entry(name)
    found = entry.figures[figure]
    assert found.unit == "B/s"
    assert found.low <= low * 1e9
    assert found.high >= high * 1e9
    width = math.log(found.high / found.low) / (2 * 1.645)
    assert entry.fabric.spread[figure] == pytest.approx(width)


def test_trn3_links_may_reach_the_totals_that_aws_prints():
    """704 GB/s by its links, up to 1,280 by the totals: 1.82 times as much."""
    figures = load_entry("trn3-ultraserver-gen2").figures
    names = ("neuronswitch-server", "neuronswitch-rack", "neuronlink-v4-racks")
    values = [figures[f"{name}.byte_s"] for name in names]
    assert sum(x.low for x in values) < 704e9 < 1280e9 < sum(x.high for x in values)


def test_a_level_says_when_it_is_full():
    """Groups of 128 nodes and 74 of them; pods of 384; an UltraServer of 64 chips."""
    full = {
        "frontier": (37_888, "74"),
        "alps": (10_752, "24"),
        "aurora": (63_744, "166"),
        "fugaku": (158_976, "48 x 69 x 48"),
        "leonardo": (14_400, "20"),
        "polaris": (2_240, "10"),
    }
    for name, (chips, count) in full.items():
        assert "full" in repr(load_fabric(name, chips=chips))
        step = load_entry(name).ranks_per_chip * 8 * 6
        with pytest.raises(FabricError, match=f"full at {count}"):
            load_fabric(name, chips=chips + step)
    assert "switch of 384, full" in repr(load_fabric("h100-roce", chips=24_576))


def test_a_trn2_instance_has_no_z_ring():
    """Of trn2.48xlarge instances as many as there are, of UltraServers with it."""
    names = [x.name for x in load_fabric("trn2-instance", chips=1024).levels]
    assert names == ["chip", "x", "y", "efa"]
    names = [x.name for x in load_fabric("trn2-ultraserver", chips=1024).levels]
    assert names == ["chip", "x", "y", "z", "efa"]


@pytest.mark.parametrize("name", ["alps", "polaris", "leonardo"])
def test_centres_that_run_nccl_have_its_protocols(name):
    """The same constants as on HGX nodes, and rings and trees over all ranks."""
    fabric, hgx = load_fabric(name), load_fabric("h100-infiniband-nvls")
    assert fabric.protocols == ("ll", "ll128", "simple")
    assert fabric.algorithms == hgx.algorithms
    assert set(fabric.strategies) <= set(hgx.strategies)
    mine, theirs = (
        dict(zip(x.factors.names, x.factors.values, strict=True)) for x in (fabric, hgx)
    )
    for key in ("ll128.latency", "ll128.transfer", "simple.latency"):
        assert mine[f"protocol.{key}"] == theirs[f"protocol.{key}"]
    assert fabric.levels[0].round_s == hgx.levels[0].round_s


def test_extends_puts_the_other_fabric_inside():
    inner = load_fabric("trn2-instance").levels
    server = load_fabric("trn2-ultraserver").levels
    cluster = load_fabric("trn2-ultracluster").levels
    assert server[:3] == inner
    assert cluster[:4] == server
    assert load_entry("trn2-ultracluster").ranks_per_chip == 4


def test_chips_are_not_ranks():
    assert [x.members for x in load_fabric("trn1-instance", chips=4).levels] == [
        2,
        4,
        1,
    ]
    assert [x.members for x in load_fabric("h100-infiniband", chips=32).levels] == [
        8,
        4,
    ]
    with pytest.raises(FabricError, match="whole number"):
        load_fabric("trn1-instance", chips=0)
    with pytest.raises(FabricError, match="48 ranks do not divide"):
        load_fabric("trn1-instance", chips=24)


def test_a_full_unit_is_one_of_its_cluster():
    """The same name from one chip to 1,000,000, until the last level is full."""
    for name, cluster in (
        ("trn3-ultraserver-gen2", "trn3-ultracluster-gen2"),
        ("trn1-instance", "trn1-ultracluster"),
        ("hgx-h200", "h200-infiniband"),
        ("tpu-v4-pod", "tpu-v4-multislice"),
    ):
        alone = load_fabric(name)
        assert load_fabric(name, chips=1).name == name
        for chips in (100_000, 1_000_000):
            grown = load_fabric(name, chips=chips)
            assert grown.name == cluster
            assert [x.name for x in grown.levels[:-1]] == [x.name for x in alone.levels]
            ranks = math.prod(level.members for level in grown.levels)
            assert 1.0 <= ranks / chips / load_entry(name).ranks_per_chip < 1.02
    assert load_fabric("mi250x-node", chips=37_888).name == "frontier"
    with pytest.raises(FabricError, match=r"exceed frontier.*'global' is full at 74"):
        load_fabric("mi250x-node", chips=37_892)


def test_in_network_reduction_stays_inside_its_domain():
    """NVLink's switches add; those of the network between nodes do not."""
    fabric = load_fabric("h200-infiniband", chips=64)
    table = count_table(fabric, "all_reduce")
    found = {c.stage[0] for c in table.candidates if c.algorithm == "nvls"}
    assert found == {"nvlink"}


def test_oversubscription_leaves_fewer_links():
    """Meta's pods: 384 nodes of 8 links in, a seventh out."""
    _, pod, core = load_fabric("h100-roce").levels
    assert (pod.limit, pod.uplinks) == (384.0, 8.0)
    assert core.uplinks == pytest.approx(3072 / 7)
    _, group, between = load_fabric("frontier").levels
    assert between.uplinks == pytest.approx(group.limit * 4 / 1.753)
    inside = collective_time(load_fabric("h100-roce", chips=3072), "all_to_all", 1e9)
    across = collective_time(load_fabric("h100-roce", chips=6144), "all_to_all", 1e9)
    assert 2.0 < float(across / inside) < 7.0


def test_tiers_of_published_clusters():
    """A SuperPOD of 1,024 GPUs has two; planes of 512 ports hold 131,072 in two."""
    assert load_fabric("h100-infiniband", chips=1024).levels[1].tiers == 2
    assert load_fabric("h100-infiniband", chips=4096).levels[1].tiers == 3
    pod = load_fabric("h100-roce", chips=3072).levels[1]
    assert (pod.tiers, "full" in pod.words()[1]) == (2, True)  # racks, and one above
    assert load_fabric("h100-spectrum-x", chips=100_000).levels[1].tiers == 3
    planes = [
        load_fabric("b300-roce-multiplane", chips=chips).levels[1].tiers
        for chips in (131_072, 131_072 + 512)
    ]
    assert planes == [2, 3]
    assert load_fabric("h200-infiniband", chips=256).levels[1].tiers == 1  # one rail

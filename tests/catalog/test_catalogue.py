"""Every figure of the shipped catalogue, and files of a user's own."""

import math
import pathlib
import re
import tomllib
from importlib import resources

import pytest

from fabricmodel import FabricError, collective_time, list_fabrics, load_fabric
from fabricmodel.algorithms.registry import ALGORITHMS, COLLECTIVES
from fabricmodel.catalog.chips import load_chip
from fabricmodel.catalog.entries import read_entries
from fabricmodel.catalog.figures import CONFIDENCE
from fabricmodel.catalog.loader import load_entry
from fabricmodel.fitting.parameters import prices
from fabricmodel.timing.table import count_table

FILES = {
    file.name: tomllib.loads(file.read_text(encoding="utf-8"))
    for file in (resources.files("fabricmodel.catalog") / "data").iterdir()
    if file.name.endswith(".toml")
}
FACTORS = [
    (file, data, key, figure)
    for file, data in FILES.items()
    for table in (data, *data["fabrics"].values())
    for key, figure in table.get("factors", {}).items()
]
FIGURES = [
    pytest.param(data, figure, id=f"{file}-{kind}.{name}.{key}")
    for file, data in FILES.items()
    for kind in ("links", "engines")
    for name, table in data.get(kind, {}).items()
    for key, figure in table.items()
] + [
    pytest.param(data, figure, id=f"{file}-factors.{key}")
    for file, data, key, figure in FACTORS
]

GOOD = """
[sources]
LAB = "measured in our lab"

[links.cable]
round_us = { value = 4.0, range = [2.0, 8.0], source = "LAB" }
bandwidth_GBps = { value = 20.0, range = [10.0, 25.0], source = "LAB" }
crowd = { value = 0.05, range = [0.01, 0.2], source = "a guess" }

[engines.ours]
launch_us = { value = 3.0, range = [1.0, 9.0], source = "LAB", note = "warm" }

[fabrics.lab]
title = "Our lab"
engine = "ours"
ranks_per_chip = 2
source = "LAB"
levels = [
  { name = "node", kind = "clique", size = 4, link = "cable", in_node = true },
  { name = "w", kind = "switch", size = 1, uplinks = 2, link = "cable", grows = true },
]
"""


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
    cited = [figure["source"] for table in figures for figure in table.values()]
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
    with pytest.raises(FabricError, match=r"exceed mi250x-node.*'xgmi' is full at 8"):
        load_fabric("mi250x-node", chips=8)


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
    planes = [
        load_fabric("b300-roce-multiplane", chips=chips).levels[1].tiers
        for chips in (131_072, 131_072 + 512)
    ]
    assert planes == [2, 3]
    assert load_fabric("h200-infiniband", chips=256).levels[1].tiers == 1  # one rail


# A user's own file


def write(tmp_path, text):
    path = tmp_path / "lab.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("as_path", [str, lambda path: path])
def test_own_file(tmp_path, as_path):
    path = as_path(write(tmp_path, GOOD))
    fabric = load_fabric(path, chips=32)
    assert [level.members for level in fabric.levels] == [4.0, 16.0]
    assert fabric.levels[0].byte_s == pytest.approx(1 / 20e9)
    assert fabric.levels[1].crowd_byte_s == pytest.approx(0.05 / 20e9)
    assert fabric.levels[0].family == "flat"
    assert load_entry(path).sources == {
        "cable.round_s": "measured in our lab",
        "cable.byte_s": "measured in our lab",
        "cable.crowd_byte_s": "a guess",
        "launch_s": "measured in our lab",
    }
    assert float(collective_time(fabric, "send_recv", 2e9)) > 0.1
    assert "lab" not in list_fabrics()


EXTENDING = """
[sources]
LAB = "measured in our lab"

[links.our-network]
round_us = { value = 4.0, range = [2.0, 8.0], source = "LAB" }
bandwidth_GBps = { value = 20.0, range = [10.0, 25.0], source = "LAB" }

[fabrics.lab]
title = "Our lab"
extends = "hgx-h200"
[[fabrics.lab.levels]]
name = "w"
kind = "switch"
size = 1
uplinks = 8
link = "our-network"
grows = true
"""


def test_own_network_over_nodes_of_the_catalogue(tmp_path):
    path = write(tmp_path, EXTENDING)
    entry, node = load_entry(path), load_entry("hgx-h200")
    fabric = load_fabric(path, chips=64)
    assert [level.members for level in fabric.levels] == [8.0, 8.0]
    assert fabric.levels[0].byte_s == node.fabric.levels[0].byte_s
    assert fabric.levels[1].byte_s == pytest.approx(1 / 20e9)
    assert fabric.factors == node.fabric.factors
    assert entry.chip == "h200"
    assert entry.sources["our-network.byte_s"] == "measured in our lab"
    assert entry.sources["nvlink4.byte_s"] == node.sources["nvlink4.byte_s"]


BAD = [
    ("round_us = {", "round_ms = {", r"\[links\.cable\]: unknown key 'round_ms'"),
    ("launch_us = {", "lunch_us = {", r"\[engines\.ours\]: unknown key 'lunch_us'"),
    ("title =", "tilte =", r"\[fabrics\.lab\]: unknown key 'tilte'"),
    ('kind = "clique"', 'knid = "clique"', r"level 'node': unknown key 'knid'"),
    ("note =", "nota =", r"launch_us: unknown key 'nota'"),
    (
        '{ value = 4.0, range = [2.0, 8.0], source = "LAB" }',
        "4.0",
        r"round_us: 4\.0 is a bare number",
    ),
    ("[2.0, 8.0]", "[8.0, 2.0]", r"round_us: range \[8\.0, 2\.0\] around 4\.0"),
    ("[2.0, 8.0]", "[4.0, 4.0]", r"round_us: range \[4\.0, 4\.0\] around 4\.0"),
    ("[2.0, 8.0]", "[5.0, 8.0]", r"round_us: range \[5\.0, 8\.0\] around 4\.0"),
    ("[2.0, 8.0]", "[-2.0, 8.0]", r"round_us: -2\.0 is not positive"),
    ("value = 4.0", "value = nan", r"round_us: nan is not positive"),
    ("value = 4.0", "value = inf", r"round_us: inf is not positive"),
    ("value = 4.0", "value = 0", r"round_us: 0 is not positive"),
    ("value = 4.0", "value = true", r"round_us: True is no number"),
    ("value = 4.0", 'value = "4"', r"round_us: '4' is no number"),
    ("value = 4.0, ", "", r"round_us: lacks 'value'"),
    ("range = [2.0, 8.0], ", "", r"round_us: lacks 'range'"),
    (', source = "LAB" }\nbandwidth', " }\nbandwidth", r"round_us: lacks 'source'"),
    ("[links.cable]", "[links.wire]", r"\[links\]: lacks 'cable'"),
    ("[engines.ours]", "[engines.theirs]", r"\[engines\]: lacks 'ours'"),
    ('engine = "ours"\n', "", r"\[fabrics\.lab\]: lacks 'engine'"),
    ("ranks_per_chip = 2\n", "", r"lacks 'ranks_per_chip'"),
    ('title = "Our lab"\n', "", r"lacks 'title'"),
    ('name = "node", ', "", r"lacks 'name'"),
    ("size = 4, ", "", r"level 'node': lacks 'size'"),
    ("size = 4,", "size = 4.5,", r"level 'node': size = 4\.5"),
    ("size = 4,", "size = 0,", r"level 'node': size = 0"),
    ('"clique"', '"blob"', r"level 'node': kind 'blob'\. Use one of ring, line"),
    (
        'kind = "clique"',
        'kind = "clique", family = "hypercube"',
        r"family 'hypercube'\. Use one of flat, torus, neuronlink",
    ),
    ('engine = "ours"', 'engine = "ours"\nextends = "lab"', r"extends 'lab'"),
    ('engine = "ours"', 'engine = "ours"\nextends = "x"', r"extends 'x'"),
    ("[fabrics.lab]", "[fabric.lab]", r"has no \[fabrics\.NAME\]"),
    ("[fabrics.lab]", "[fabrics.lab", r"is no TOML"),
]


@pytest.mark.parametrize(("good", "bad", "message"), BAD)
def test_bad_files_say_what_and_where(tmp_path, good, bad, message):
    assert good in GOOD
    path = write(tmp_path, GOOD.replace(good, bad, 1))
    with pytest.raises(FabricError, match=message) as caught:
        load_fabric(path)
    assert str(path) in caught.value.place
    assert caught.value.remedy


MALFORMED = [
    ("[2.0, 8.0]", "[2.0, 4.0, 8.0]"),
    ("[2.0, 8.0]", "4.0"),
    ("size = 4,", 'size = "four",'),
    ("ranks_per_chip = 2", 'ranks_per_chip = "two"'),
    ("ranks_per_chip = 2", "ranks_per_chip = 0"),
    ('engine = "ours"', "engine = [1]"),
    ("uplinks = 2", 'uplinks = "two"'),
    ("uplinks = 2", "uplinks = -2"),
    ('title = "Our lab"', 'title = "Our lab"\nstrategies = ["ladder"]'),
    ('title = "Our lab"', 'title = "Our lab"\nstrategies = ["other.ring"]'),
    ('title = "Our lab"', 'title = "Our lab"\nstrategies = []'),
    ("uplinks = 2", "limit = -2"),
    ("uplinks = 2", "sides = [2.5]"),
    ("uplinks = 2", "oversubscription = 0"),
    ("uplinks = 2", "uplinks = 2, oversubscription = 2"),
    ("in_node = true", "in_node = true, limit = 4"),
    ("in_node = true", "oversubscription = 2"),
    (GOOD[GOOD.index("levels = [") :], "levels = []"),
    (GOOD[GOOD.index("levels = [") :], "levels = [1]"),
    ("[links.cable]", "[extra]\nx = 1\n[links.cable]"),
]


@pytest.mark.parametrize(("good", "bad"), MALFORMED)
def test_malformed_files_give_one_error_too(tmp_path, good, bad):
    assert good in GOOD
    path = write(tmp_path, GOOD.replace(good, bad, 1))
    with pytest.raises(FabricError) as caught:
        load_fabric(path)
    assert str(path) in caught.value.place


def test_missing_file_and_unknown_name(tmp_path):
    with pytest.raises(FabricError, match=r"none\.toml: can't be read"):
        load_fabric(tmp_path / "none.toml")
    with pytest.raises(FabricError, match=r"'trn9'.*list_fabrics.*trn.*\.toml"):
        load_fabric("trn9")
    with pytest.raises(FabricError, match="can't be read"):
        (tmp_path / "folder.toml").mkdir()
        load_fabric(tmp_path / "folder.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FabricError, match="can't be read"):
        load_fabric(tmp_path / "binary.toml")


def test_one_fabric_to_a_file(tmp_path):
    body = GOOD[GOOD.index("title") :]
    path = write(tmp_path, GOOD + "[fabrics.second]\n" + body)
    with pytest.raises(FabricError, match="holds 2 fabrics"):
        load_fabric(path)
    assert sorted(read_entries(path.read_text(), "x")) == ["lab", "second"]


def test_the_examples_of_the_page_load(tmp_path):
    page = pathlib.Path(__file__).parents[2] / "docs" / "catalogue.md"
    blocks = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    fabric_text, chip_text = blocks
    path = write(tmp_path, fabric_text)
    fabric = load_fabric(path, chips=10_000)
    assert [level.members for level in fabric.levels] == [8.0, 125.0, 10.0]
    assert fabric.levels[1].bandwidth_Bps == pytest.approx(46e9)
    assert fabric.levels[2].uplinks == pytest.approx(1024 / 4)
    chip = load_chip(write(tmp_path, chip_text))
    assert chip.roof_flops("bf16") == 640e12
    assert chip.prices[0].usd_per_hour == 2.5

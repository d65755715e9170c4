"""A user's own file of the catalogue's schema, and what is wrong with bad ones."""

import copy
import functools
import json
import math
import pathlib
import re
import tomllib
from typing import Any

import pytest

from fabricmodel import FabricError, collective_time, list_fabrics, load_fabric
from fabricmodel.catalog.chips import load_chip
from fabricmodel.catalog.entries import read_entries
from fabricmodel.catalog.loader import load_entry

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


GOOD_CHIP = """
[sources]
LAB = { cite = "measured in our lab", confidence = "read" }

[chips.ours]
extends = "gb300"
title = "A GB300 at our own price"
prices = [
  { usd_per_hour = 8.0, chips = 4, offer = "a tray", kind = "reserved", \
date = "2026-11", source = "LAB" },
]
[chips.ours.matrix_TFLOPs]
bf16 = { value = 1900, source = "LAB" }
"""


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


SWITCH = """switches = [
  { domain = "node", collective = "all_gather", below = "direct", above = "ring", \
size_MB = { value = 2.0, range = [1.0, 4.0], source = "LAB" } },
]
levels = ["""


def test_a_documented_switch(tmp_path):
    path = write(tmp_path, GOOD.replace("levels = [", SWITCH, 1))
    (known,) = load_fabric(path).switches
    assert (known.below, known.above, known.size_bytes) == ("direct", "ring", 2e6)
    assert known.spread == pytest.approx(math.log(4.0) / (2 * 1.645), rel=1e-3)


@pytest.mark.parametrize(
    ("good", "bad"),
    [('"direct"', '"mesh"'), ('"all_gather"', '"gather_all"'), ('"node"', '"nodes"')],
)
def test_a_switch_of_nothing_is_refused(tmp_path, good, bad):
    wrong = SWITCH.replace(good, bad, 1)
    path = write(tmp_path, GOOD.replace("levels = [", wrong, 1))
    with pytest.raises(FabricError, match="switches") as caught:
        load_fabric(path)
    assert bad.strip('"') in str(caught.value)


BAD = [
    ("round_us = {", "round_ms = {", r"\[links\.cable\]: unknown key 'round_ms'"),
    ("round_us = {", "roud_us = {", r"'roud_us'\. Did you mean 'round_us'\? Use band"),
    ("bandwidth_GBps = {", "bandwidth_Gbps = {", r"Did you mean 'bandwidth_GBps'"),
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
    ('engine = "ours"', 'engine = "ours"\nchip = "h10"', r"chip 'h10'\. .* h100,"),
    ('name = "w"', 'name = "node"', r"level 'node': has the name of another"),
    ('"LAB", note', '"LBA", note', r"launch_us: source 'LBA' is not among .*LAB"),
    ('"LAB", note', '"", note', r"launch_us, source '': is no citation"),
    ('"a guess"', '{ cite = "" }', r"crowd, source .*cite = ''\. Give text"),
    ("in_node = true", 'in_node = "no"', r"in_node = 'no'\. Give true or false"),
    ("launch_us = {", "reduce_GBps = {", r"\[engines\.ours\]: lacks 'launch_us'"),
    ("bandwidth_GBps = {", "jitter_us = {", r"\[links\.cable\]: lacks 'bandwidth"),
    (
        'engine = "ours"',
        'engine = "ours"\nprotocols = "ll"',
        r"protocols = 'll'\. Give a list",
    ),
    (
        "[fabrics.lab]",
        '[fabrics.lab.factors]\n"node.rign.latency" = { value = 2, range = [1, 3], '
        'source = "LAB" }\n[fabrics.lab]',
        r"unknown factor 'node\.rign\.latency'\. Write DOMAIN\.ALGORITHM",
    ),
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


def paths(node, above=()):
    """Every place in a parsed file."""
    children = node.items() if isinstance(node, dict) else ()
    children = enumerate(node) if isinstance(node, list) else children
    for key, child in children:
        yield (*above, key)
        yield from paths(child, (*above, key))


def toml(value):
    """Write a value inline."""
    if isinstance(value, dict):
        inside = (f"{json.dumps(key)} = {toml(each)}" for key, each in value.items())
        return f"{{ {', '.join(inside)} }}"
    return (
        f"[{', '.join(map(toml, value))}]"
        if isinstance(value, list)
        else (json.dumps(value))
    )


@pytest.mark.parametrize(
    ("text", "load"),
    [(GOOD.replace("levels = [", SWITCH, 1), load_fabric),
     (EXTENDING, load_fabric), (GOOD_CHIP, load_chip)],
    ids=["fabric", "extending", "chip"],
)  # fmt: skip
def test_whatever_stands_in_a_wrong_place_is_one_error(tmp_path, text, load):
    """Each value of a file in turn made another kind: a refusal, or it is read."""
    good, refused = tomllib.loads(text), 0
    for path in paths(good):
        for wrong in (7, "word", "", True, [1], ["a"], {"x": 1}):
            bad: Any = copy.deepcopy(good)
            place: Any = functools.reduce(lambda node, key: node[key], path[:-1], bad)
            place[path[-1]] = wrong
            lines = (f"{json.dumps(key)} = {toml(each)}" for key, each in bad.items())
            try:
                load(write(tmp_path, "\n".join(lines)))
            except FabricError as error:
                refused += 1
                assert error.remedy and str(tmp_path) in error.place
    assert refused > 100


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


def test_own_price_of_a_chip_of_the_catalogue(tmp_path):
    ours, gb300 = load_chip(write(tmp_path, GOOD_CHIP)), load_chip("gb300")
    assert ours.prices[0].usd_per_hour == 2.0
    assert gb300.prices == ()
    assert ours.roof_flops("bf16") == 1.9e15
    assert ours.peak_flops == gb300.peak_flops
    assert ours.figure("peak_flops.bf16").source == (
        gb300.figure("peak_flops.bf16").source
    )
    assert (ours.unknown, gb300.unknown) == ((), ("matrix_flops", "prices"))


def test_the_examples_of_the_page_load(tmp_path):
    page = pathlib.Path(__file__).parents[2] / "docs" / "catalogue.md"
    blocks = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    fabric_text, chip_text, extending = blocks
    path = write(tmp_path, fabric_text)
    fabric = load_fabric(path, chips=10_000)
    assert [level.members for level in fabric.levels] == [8.0, 125.0, 10.0]
    assert fabric.levels[1].bandwidth_Bps == pytest.approx(46e9)
    assert fabric.levels[2].uplinks == pytest.approx(1024 / 4)
    chip = load_chip(write(tmp_path, chip_text))
    assert chip.roof_flops("bf16") == 640e12
    assert chip.prices[0].usd_per_hour == 2.5
    assert load_chip(write(tmp_path, extending)).unknown == ("matrix_flops",)

"""Chips: every figure sourced, disagreements as ranges, and files of a user's own."""

import jax
import pytest

import fabricmodel as fm
from fabricmodel import FabricError, list_chips, load_chip
from fabricmodel.catalog.figures import CONFIDENCE, figure
from fabricmodel.training.price import price_list

CHIPS = [load_chip(name) for name in list_chips()]

GOOD = """
[sources]
LAB = { cite = "measured in our lab", confidence = "read" }

[chips.ours]
title = "Our own chip"
vendor = "Us"
memory_GiB = { value = 16, source = "LAB" }
memory_GBps = { value = 1000, range = [900, 1100], source = "LAB" }
failures_per_Mh = { value = 20, source = "a guess", confidence = "estimate" }
[chips.ours.peak_TFLOPs]
bf16 = { value = 100, source = "LAB" }
[chips.ours.matrix_TFLOPs]
bf16 = { value = 80, source = "LAB" }

[[chips.ours.prices]]
offer = "list"
usd_per_hour = 9.0
kind = "reserved"
date = "unknown"
source = "LAB"
[[chips.ours.prices]]
offer = "a box of 4"
usd_per_hour = 8.0
chips = 4
kind = "spot"
date = "2026-11"
source = "LAB"
"""


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_every_chip_is_plausible_and_sourced(chip):
    assert chip.peak_flops
    assert chip.vendor
    assert len(chip.title) > 5
    for kind, rate in chip.matrix_flops.items():
        assert 0.4 * chip.peak_flops[kind] < rate < chip.peak_flops[kind]
    assert 1e12 < max(chip.peak_flops.values()) < 1e17
    assert 1e10 < chip.memory_bytes < 1e12
    assert 5e11 < chip.memory_Bps < 5e13
    assert chip.power_W is None or 50 < chip.power_W < 3000
    assert 1e-6 < chip.failures_per_hour < 1e-3
    for each in chip.figures:
        assert len(each.source) > 20
        assert each.confidence in CONFIDENCE
        assert each.low <= each.value <= each.high
    for price in chip.prices:
        assert 0.05 < price.usd_per_hour < 20
        assert len(price.source) > 10
        assert price.offer


# What sources say differently: both ends have to lie within the range.
DISAGREEMENTS = [
    ("gb200", "peak_flops.bf16", 2250e12, 2500e12),
    ("gb300", "peak_flops.bf16", 2250e12, 2500e12),
    ("gb200", "peak_flops.fp8", 4900e12, 5000e12),
    ("gb300", "peak_flops.fp4", 14_700e12, 15_000e12),
    ("b200", "peak_flops.fp4", 9000e12, 10_000e12),
    ("b300", "power_W", 1000, 1100),
    ("gaudi3", "peak_flops.fp8", 1677e12, 1835e12),
    ("mi250x", "power_W", 500, 560),
    ("tpu-v4", "memory_Bps", 1.2e12, 1.228e12),
    ("tpu-v4", "power_W", 90, 192),
    ("tpu-v5e", "memory_Bps", 0.8e12, 0.819e12),
    ("tpu-v5e", "peak_flops.int8", 393e12, 394e12),
    ("tpu-v6e", "memory_Bps", 1.6e12, 1.64e12),
    ("tpu-v6e", "peak_flops.bf16", 918e12, 920e12),
    ("tpu-v6e", "peak_flops.fp8", 918e12, 1836e12),
    ("trn2", "peak_flops.fp8", 1299e12, 1300e12),
    ("b200", "memory_bytes", 180e9, 192e9),
    ("b200", "memory_Bps", 8e12, 9e12),
    ("trn1", "memory_Bps", 820e9, 13_120 / 16 * 2**30),
    ("mi355x", "peak_flops.bf16", 2300e12, 2500e12),
    ("gaudi3", "peak_flops.bf16", 1677e12, 1835e12),
    ("tpu-v3", "peak_flops.bf16", 123e12, 140e12),
    ("trn1", "peak_flops.bf16", 190e12, 191e12),
    ("trn2", "peak_flops.bf16", 650e12, 668e12),
    ("trn2", "memory_Bps", 2.9e12, 3.0e12),
    ("trn3", "memory_Bps", 4.7e12, 4.9e12),
    ("b300", "memory_bytes", 270e9, 288e9),
    ("b300", "peak_flops.fp4", 12600e12, 15000e12),
    ("a100-80gb", "failures_per_hour", 12.2e-6, 134e-6),
]


@pytest.mark.parametrize(("name", "number", "low", "high"), DISAGREEMENTS)
def test_sources_that_disagree_are_a_range(name, number, low, high):
    found = load_chip(name).figure(number)
    assert found.low <= low * 1.001
    assert found.high >= high * 0.999
    assert found.spread > 0


UNKNOWN = {
    "matrix_flops": "a64fx gb300 inf2 max1550 mi250x mi455x rubin tpu-v3 tpu-v4 "
    "tpu-v5e tpu-v5p tpu-v6e trn1 trn2 trn3 v100",
    "power_W": "inf2 mi455x tpu-v3 tpu-v5e tpu-v5p tpu-v6e tpu-v7x trn1",
    "prices": "a100-64gb a64fx gaudi2 gaudi3 gb300 gh200 h100-96gb h800 max1550 mi250x "
    "mi300x mi325x mi355x mi455x rubin tpu-v3 tpu-v7x trn3 v100",
}


def test_what_nobody_published_is_called_unknown():
    """No more than these, and each says what to do without it."""
    for part, names in UNKNOWN.items():
        assert [x.name for x in CHIPS if part in x.unknown] == names.split()
    assert load_chip("trn3").rated_W() == 1000
    with pytest.raises(FabricError, match=r"no power of trn1 is .*extends it, or"):
        load_chip("trn1").rated_W()
    with pytest.raises(FabricError, match=r"of gb300 is listed\. Give one"):
        price_list(load_chip("gb300"), "spot")


def test_published_figures():
    """Llama 3: one interruption in 50,700 H100 hours; p5.48xlarge 55.04 for eight."""
    h100 = fm.load_chip("h100")
    assert 1 / h100.failures_per_hour == pytest.approx(50_700, rel=0.01)
    assert h100.prices[0].usd_per_hour == pytest.approx(6.88)
    assert h100.roof_flops("bf16") == pytest.approx(794.5e12)
    assert h100.roof_flops("tf32") == pytest.approx(494.7e12)  # none measured
    trn2 = fm.load_chip("trn2")
    assert trn2.prices[0].usd_per_hour == pytest.approx(2.235)
    assert trn2.memory_bytes == 96 * fm.GiB
    assert load_chip("h200").peak_flops == h100.peak_flops  # it extends the H100
    assert load_chip("h200").prices[0].offer == "RunPod H200"
    assert load_chip("gb300").prices == ()
    with pytest.raises(FabricError, match=r"trn2 has no 'fp4'.*bf16"):
        trn2.roof_flops("fp4")
    with pytest.raises(FabricError, match=r"trn2 has no 'colour'.*memory_Bps"):
        trn2.figure("colour")


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("TPU v6e (Trillium)", "tpu-v6e"),
        ("H100-SXM-80GB (p5, EFA v2)", "h100"),
        ("Trainium1", "trn1"),
        ("GB200-NVL72", "gb200"),
        ("MI325X", "mi325x"),
    ],
)
def test_names_as_people_write_them(alias, name):
    assert load_chip(alias).name == name


def test_a_chip_is_a_pytree():
    """Numbers are traced, so a design can ask what a faster chip would bring."""
    chip = load_chip("trn2")
    seconds = jax.grad(lambda c: 1e15 / c.peak_flops["bf16"] + 1.0 / c.memory_Bps)
    assert seconds(chip).peak_flops["bf16"] == pytest.approx(-1e15 / 667e12**2)


def write(tmp_path, text):
    path = tmp_path / "ours.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_own_file(tmp_path):
    chip = load_chip(write(tmp_path, GOOD))
    assert (chip.name, chip.memory_bytes, chip.memory_Bps) == ("ours", 2**34, 1e12)
    assert chip.power_W is None
    assert [(p.usd_per_hour, p.date) for p in chip.prices] == [
        (2.0, "2026-11"),
        (9.0, "unknown"),
    ]
    assert chip.figure("failures_per_hour").source == "a guess"
    assert chip.figure("failures_per_hour").confidence == "estimate"


BAD = [
    ("memory_GBps =", "memory_GBsp =", r"ours\]: unknown key 'memory_GBsp'"),
    ("bf16 = { value = 100", "bf17 = { value = 100", r"TFLOPs: unknown key 'bf17'"),
    ("{ value = 16,", "{ value = -16,", r"memory_GiB: -16 is not positive"),
    ("[900, 1100]", "[1010, 1100]", r"memory_GBps: range \[1010\.0, 1100\.0\]"),
    ('confidence = "estimate"', 'confidence = "sure"', r"failures_per_Mh: 'sure'"),
    ('kind = "spot"', 'kind = "cheap"', r"prices: 'cheap'\. Use one of on_demand"),
    ('date = "2026-11"', 'date = "last year"', r"date = 'last year'\. Give 2026-11"),
    ('kind = "spot"\n', "", r"prices: lacks 'kind'"),
    ("memory_GiB = {", "memory_MB = {", r"unknown key 'memory_MB'"),
    ("memory_GBps = { value = 1000, range = [900, 1100], ", "memory_GB = { value = 1, ",
     r"has memory_GB and memory_GiB"),
    ("[chips.ours.peak_TFLOPs]", "[chips.theirs]", r"lacks 'peak_TFLOPs'"),
    ('vendor = "Us"', 'extends = "trn9"', r"extends 'trn9'\. Name another"),
    ('vendor = "Us"\n', "", r"lacks 'vendor'"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "message"), BAD)
def test_bad_files_say_what_and_where(tmp_path, good, bad, message):
    assert good in GOOD
    path = write(tmp_path, GOOD.replace(good, bad, 1))
    with pytest.raises(FabricError, match=message) as caught:
        load_chip(path)
    assert str(path) in caught.value.place
    assert caught.value.remedy


def test_missing_numbers_and_names(tmp_path):
    for key in ("memory_GiB", "memory_GBps", "failures_per_Mh"):
        text = "\n".join(x for x in GOOD.splitlines() if not x.startswith(key))
        with pytest.raises(FabricError, match="lacks"):
            load_chip(write(tmp_path, text))
    with pytest.raises(FabricError, match=r"'trn9'.*trn1.*\.toml"):
        load_chip("trn9")
    with pytest.raises(FabricError, match=r"can't be read"):
        load_chip(tmp_path / "none.toml")
    with pytest.raises(FabricError, match=r"has no \[chips\.NAME\]"):
        load_chip(write(tmp_path, "[chips]"))


def test_a_bandwidth_of_both_directions_is_halved():
    raw = {"value": 384.0, "range": [300.0, 400.0], "source": "x", "direction": "both"}
    found = figure(raw, "bandwidth_GBps", "f", {}, name="link.byte_s")
    assert (found.value, found.low, found.high) == (192e9, 150e9, 200e9)
    raw["direction"] = "up"
    with pytest.raises(FabricError, match=r"'up'\. Use one of one, both"):
        figure(raw, "bandwidth_GBps", "f", {}, name="link.byte_s")

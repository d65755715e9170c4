"""The model is chosen by the scales that it foretold, and by nothing else."""

import dataclasses

import numpy as np
import pytest
from lab import lab

from fabricmodel import FabricError, Measurements, prior_model
from fabricmodel.fabric import Factors, Level
from fabricmodel.fitting.choose import Candidate, choose, ladder, said

SIZES = 2.0 ** np.arange(10, 29, 3)


def measured(fabric, ranks, noise=0.02):
    """Times of a fabric whose prices are the truth."""
    drawn = np.random.default_rng(3)
    rows = []
    for count in ranks:
        truth = prior_model(fabric).predict("all_gather", SIZES, count).median_s
        rows += [
            {
                "series": "lab",
                "ranks": count,
                "collective": "all_gather",
                "size_bytes": float(size),
                "time_us": float(time * 1e6 * np.exp(noise * drawn.normal())),
            }
            for size, time in zip(SIZES, truth, strict=True)
        ]
    return Measurements.from_records(rows)


def test_a_crowded_fabric_is_seen_to_be_one():
    """A price that grows with the scale: a model without it foretells too little."""
    fabric = lab()
    levels = tuple(
        dataclasses.replace(
            level, crowd_byte_s=0.3 * level.byte_s if level.grows else 0.0
        )
        for level in fabric.levels
    )
    crowded = dataclasses.replace(fabric, levels=levels)
    found = choose(crowded, measured(crowded, (4, 16, 64, 256, 1024)))
    assert found.name != "latency and bandwidth"
    told = {
        name: np.mean([x.log_density for x in found.scores if x.candidate == name])
        for name in ladder(crowded)
    }
    assert max(told, key=lambda name: told[name]) == found.name
    assert {x.foretold for x in found.scores} == {256.0, 1024.0}
    assert all(x.fitted_to < x.foretold for x in found.scores)
    assert found.model.seen.ranks == (4.0, 1024.0)
    assert found.name in said(found)
    assert "1,024 ranks from 256" in said(found)


def test_a_wrong_candidate_loses_though_it_fits():
    """On one node alone both describe the data; only scale tells them apart."""
    flat = lab()
    node = Level(
        name="net", kind="switch", grows=True, uplinks=0.0, link="cable",
        members=1.0, capacity=1.0, round_s=1e-5, byte_s=1e-10,
    )  # fmt: skip
    ring_only = dataclasses.replace(flat, levels=(node,), factors=Factors())
    candidates = {
        "two levels": Candidate(fabric=flat, factors=False),
        "one level": Candidate(fabric=ring_only, factors=False),
    }
    found = choose(candidates, measured(flat, (2, 4, 16, 64)))
    assert found.name == "two levels"


def test_one_scale_decides_nothing():
    found = choose(lab(), measured(lab(), (16,)))
    assert found.name == "all prices and factors"
    assert found.scores == ()
    assert "decides nothing" in said(found)


def test_without_candidates():
    with pytest.raises(FabricError, match="Give one at least"):
        choose({}, measured(lab(), (16,)))

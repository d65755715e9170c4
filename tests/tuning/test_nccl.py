"""What a model exports for NCCL is what the model itself finds best."""

import dataclasses
import json

import numpy as np
import pytest

import fabricmodel as fm
from fabricmodel.baselines.nccl import dgx, nccl_choice, nccl_seconds
from fabricmodel.baselines.nccl_constants import ALGORITHMS, DEFAULTS
from fabricmodel.errors import FabricError
from fabricmodel.fitting.fit import prior_model
from fabricmodel.tuning import constants_of, find_rule, nccl_rules, write_constants
from fabricmodel.tuning.nccl import candidates

# Without stages of other algorithms, which NCCL doesn't have, it compiles faster.
FLAT = dataclasses.replace(
    fm.load_fabric("h100-infiniband"), strategies=("flat_ring", "flat_tree")
)
MODEL = prior_model(FLAT)
SIZES = 2.0 ** np.arange(8, 33, 4)
EIGHT = dataclasses.replace(dgx("hopper", 8), nvls=False)


def test_each_rule_names_the_models_cheapest_and_nccls_protocol_of_it():
    rules = nccl_rules(MODEL, ["all_reduce"], [EIGHT], SIZES)
    names = candidates(MODEL, "all_reduce", 64)
    assert set(names) == {"ring", "tree"}
    times = {
        name: MODEL.predict("all_reduce", SIZES, 64.0, algorithm=counted).median_s
        for name, counted in names.items()
    }
    vendor = nccl_seconds(EIGHT, "all_reduce", SIZES)
    for index, size in enumerate(SIZES):
        rule = find_rule(rules, "all_reduce", size, 8, 64)
        assert rule is not None
        assert rule.algorithm == min(times, key=lambda n, at=index: times[n][at])
        family = rule.algorithm.capitalize()
        mine = {q: float(t[index]) for (a, q), t in vendor.items() if a == family}
        assert rule.protocol == min(mine, key=lambda q: mine[q]).lower()
    assert {rule.algorithm for rule in rules} == {"ring", "tree"}
    with pytest.raises(FabricError, match="all_to_all"):
        nccl_rules(MODEL, ["all_to_all"], [EIGHT])


def test_where_nccl_would_run_what_the_model_cannot_price_it_is_left_alone():
    other = dataclasses.replace(EIGHT, nvls=True)
    default = nccl_choice(other, "all_reduce", SIZES)["algorithm"].tolist()
    assert "NVLSTree" in default
    rules = nccl_rules(MODEL, ["all_reduce"], [other], SIZES)
    for size, name in zip(SIZES, default, strict=True):
        rule = find_rule(rules, "all_reduce", size, 8, 64)
        assert (rule is None) == (name == "NVLSTree")


def test_constants_bend_nccls_model_towards_ours(tmp_path):
    """A network of three times the latency, of which the vendor knows nothing."""
    node, network = FLAT.levels
    slow = dataclasses.replace(network, round_s=3.0 * network.round_s)
    model = prior_model(dataclasses.replace(FLAT, levels=(node, slow)))
    found = constants_of(model, "all_reduce", [EIGHT], SIZES)

    def misfit(constants):
        times = nccl_seconds(EIGHT, "all_reduce", SIZES, constants=constants)
        gaps = []
        for name, counted in candidates(model, "all_reduce", 64).items():
            wanted = model.predict(
                "all_reduce", SIZES, 64.0, algorithm=counted
            ).median_s
            own = [t for (a, _), t in times.items() if a == name.capitalize()]
            gaps.append(np.log(np.min(np.stack(own), axis=0) / wanted))
        return float(np.sqrt(np.mean(np.square(gaps))))

    assert misfit(found) < 0.6 * misfit(DEFAULTS)
    nvls = ALGORITHMS.index("NVLS")  # nothing said of it, nothing changed
    assert np.array_equal(found.link_us[:, nvls], DEFAULTS.link_us[:, nvls])
    path = tmp_path / "c.json"
    write_constants(path, found)
    table = json.loads(path.read_text())
    assert np.shape(table["hwLatencies"]) == (3, 7, 3)
    assert np.allclose(table["baseLatencies"], found.base_us, atol=1e-4)

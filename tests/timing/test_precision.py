"""Where single precision is enough, and where double changes an answer."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fabricmodel import collective_time, fit, load_fabric, load_reference, place
from fabricmodel.fitting import objective

SIZES = 2.0 ** np.linspace(0.0, 36.0, 37)
ENOUGH = 1e-3  # of an answer: where double precision would begin to matter


def test_importing_sets_no_precision():
    """A process that imports the library keeps the user's own choice."""
    script = "import jax, fabricmodel; print(jax.config.jax_enable_x64)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("name", "ranks", "collective"),
    [("generic-network", 24, "broadcast"), ("trn2-instance", 64, "all_gather")],
)
def test_single_precision_is_enough_for_a_prediction(name, ranks, collective):
    """4 GiB does not overflow, and 10^5 rounds do not add up to more than 0.1 %."""
    fabric = place(load_fabric(name), ranks)
    both = {}
    for wide in (False, True):
        with jax.enable_x64(wide):
            both[wide] = np.asarray(collective_time(fabric, collective, SIZES))
            assert both[wide].dtype == (np.float64 if wide else np.float32)
    apart = np.abs(both[False] / both[True] - 1.0)
    assert 0 < apart.max() < 0.1 * ENOUGH


def test_a_fit_needs_double_precision(monkeypatch):
    """Its Hessian is made of differences: single precision is off by per cents there.

    The library turns x64 on for the fit alone, whatever the user has.
    """
    times = load_reference("slurm_trainium_2node")
    seen = {}
    real = objective.slopes

    def spy(points, **given):
        seen.setdefault("call", (np.asarray(points), given))
        return real(points, **given)

    monkeypatch.setattr("fabricmodel.fitting.fit.slopes", spy)
    with jax.enable_x64(False):
        fit(load_fabric("trn1-ultracluster"), times)
        assert jnp.zeros(1).dtype == np.float32
    points, given = seen["call"]
    assert points.dtype == np.float64
    step = 1e-4 * np.eye(points.shape[1])[0]
    curvature = {}
    for wide in (False, True):
        with jax.enable_x64(wide):
            near = np.stack([points[0] + step, points[0] - step] * 4)
            slopes = np.asarray(real(jnp.asarray(near), **given)[1], float)
            curvature[wide] = (slopes[0] - slopes[1]) / 2e-4
    some = np.abs(curvature[True]) > 1e-3
    apart = curvature[False][some] / curvature[True][some] - 1.0
    assert np.max(np.abs(apart)) > ENOUGH

"""Sizes of noise and effects where habits by the dozen explain part of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fabricmodel.training import mixed
from fabricmodel.training.evidence import (
    Alike,
    Linear,
    covariance,
    heavy_tails,
    learn_sizes,
    sizes,
)

ROWS, HABITS, NOISE = 200, 60, 0.03


@pytest.fixture(scope="module")
def made():
    """Rows whose logs are many habits, one effect and noise."""
    random = np.random.default_rng(3)
    software = np.zeros(ROWS, int)
    kernels = np.zeros((len(mixed.EFFECTS), ROWS, ROWS))
    series = np.repeat(np.arange(ROWS // 4), 4)
    at = list(mixed.EFFECTS).index("series")
    kernels[at] = series[:, None] == series[None, :]
    jacobian = 0.2 * random.standard_normal((ROWS, HABITS))
    shared = 0.08 * random.standard_normal(ROWS // 4)[series]
    noise = NOISE * random.standard_normal(ROWS)
    whole = jacobian @ random.standard_normal(HABITS) + shared + noise
    return Alike(kernels=kernels, software=software), jacobian, whole


def learned(alike, jacobian, whole):
    with jax.enable_x64(True):
        rest, left = learn_sizes(
            alike, jnp.ones(ROWS),
            Linear(jacobian=jnp.asarray(jacobian), whole=jnp.asarray(whole)),
            np.zeros(len(mixed.EFFECTS) + 2), steps=20, tolerance=0.01,
        )  # fmt: skip
        effects, noise = sizes(rest)
        return rest, left, np.exp(np.asarray(effects)), np.sqrt(np.asarray(noise))


def test_the_noise_that_was_put_in_is_found(made):
    """What is left over after the best habits would make it much smaller."""
    alike, jacobian, whole = made
    rest, left, effects, noise = learned(alike, jacobian, whole)
    assert left < 0.01
    assert noise[0] == pytest.approx(NOISE, rel=0.15)
    at = list(mixed.EFFECTS).index("series")
    assert effects[at] == pytest.approx(0.08, rel=0.2)

    with jax.enable_x64(True):
        matrix = np.asarray(covariance(alike, jnp.ones(ROWS), rest))
    inverse = np.linalg.inv(matrix)
    theta = np.linalg.solve(
        np.eye(HABITS) + jacobian.T @ inverse @ jacobian, jacobian.T @ inverse @ whole
    )
    _, _, _, naive = learned(alike, 0.0 * jacobian, whole - jacobian @ theta)
    assert naive[0] < 0.85 * NOISE


def test_weights_are_the_expectation_of_many_draws(made):
    """Noise drawn from its posterior, squared and averaged, gives the same weights."""
    alike, jacobian, whole = made
    rest = np.zeros(len(mixed.EFFECTS) + 2)
    before = np.linspace(0.5, 1.5, ROWS)
    own = mixed.NOISE**2
    with jax.enable_x64(True):
        linear = Linear(jacobian=jnp.asarray(jacobian), whole=jnp.asarray(whole))
        found = np.asarray(heavy_tails(alike, jnp.asarray(before), linear, rest))
        matrix = np.asarray(covariance(alike, jnp.asarray(before), rest))
    random = np.random.default_rng(0)
    each = own / before
    others = matrix - np.diag(each) + jacobian @ jacobian.T
    noise = np.sqrt(each) * random.standard_normal((5_000, ROWS))
    factor = np.linalg.cholesky(others + 1e-12 * np.eye(ROWS))
    logs = noise + random.standard_normal((5_000, ROWS)) @ factor.T
    # Matheron's rule: a joint draw moved to what was seen is a draw of the posterior.
    moved = np.linalg.solve(others + np.diag(each), (whole - logs).T).T
    square = np.mean((noise + each * moved) ** 2, axis=0)
    expected = (mixed.DEGREES + 1.0) / (mixed.DEGREES + square / own)
    np.testing.assert_allclose(found, expected, rtol=0.06)

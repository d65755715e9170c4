"""Scoring: an end where it should be, and a curvature that brute force gives too."""

import jax
import jax.numpy as jnp
import numpy as np

from fabricmodel.training.scoring import expected_curvature, scored


def test_a_valley_is_walked_to_its_end():
    """Rosenbrock's function, with the curvature of Gauss and Newton."""

    def residual(x):
        return jnp.array([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])

    def value_and_grad(x):
        value, grad = jax.value_and_grad(lambda y: 0.5 * jnp.sum(residual(y) ** 2))(x)
        return float(value), np.asarray(grad)

    def information(x):
        slope = np.asarray(jax.jacfwd(residual)(x))
        return slope.T @ slope + 1e-9 * np.eye(2)

    with jax.enable_x64(True):
        end, left = scored(
            value_and_grad, information, np.array([-1.2, 1.0]), steps=60, tolerance=1e-6
        )
    assert left < 1e-6
    np.testing.assert_allclose(end, 1.0, rtol=1e-4)


def test_curvature_is_the_trace_formula():
    random = np.random.default_rng(0)
    rows, shared, own = 6, 2, 3
    parts = [a @ a.T for a in random.standard_normal((shared, rows, rows))]
    diagonals = random.uniform(0.1, 1.0, (own, rows))
    matrix = sum(parts) + np.diag(diagonals.sum(0)) + np.eye(rows)
    with jax.enable_x64(True):
        found = expected_curvature(
            jnp.asarray(matrix), jnp.asarray(np.stack(parts)), jnp.asarray(diagonals)
        )
    inverse = np.linalg.inv(matrix)
    moves = [*parts, *(np.diag(d) for d in diagonals)]
    expected = [
        [0.5 * np.trace(inverse @ a @ inverse @ b) for b in moves] for a in moves
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)

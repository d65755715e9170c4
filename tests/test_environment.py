"""Distrust the platform: a jax that computes wrong numbers must fail here, loudly."""

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest

from fabricmodel.fitting.cases import QUICK


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [20_000, 40_000])
@pytest.mark.parametrize("width", [3, 5, 7])
@pytest.mark.parametrize("options", [{}, QUICK], ids=["usual", "quick"])
def test_mapped_matrix_vector_products_are_right(options, width, rows, dtype):
    """Past 16,384 rows jax 0.9.2 to 0.10.2 fetch the wrong row (jax-ml/jax#39103)."""
    x = np.arange(rows * width, dtype=dtype).reshape(rows, width)
    row_sum = jax.vmap(lambda row: jnp.sum(jnp.eye(width, dtype=dtype) @ row))
    result = jax.jit(row_sum, compiler_options=options)(x)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, x.sum(axis=1), rtol=10 * np.finfo(dtype).eps)


def test_tests_run_in_double_precision():
    assert jnp.asarray(1.0).dtype == jnp.float64


@pytest.mark.parametrize("package", [jax, jaxlib], ids=["jax", "jaxlib"])
def test_the_installed_jax_is_a_line_known_to_be_right(package):
    """0.9.2 to 0.10.2 give wrong numbers; 0.11.0 crashes (jax-ml/jax#39257)."""
    version = tuple(int(part) for part in package.__version__.split(".")[:3])
    assert version == (0, 9, 0) or version >= (0, 11, 1), (
        f"{package.__name__} {package.__version__} is not supported: see the "
        "dependencies in pyproject.toml"
    )

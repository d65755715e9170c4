"""The few array functions that counting needs, of numpy or of JAX by their arguments.

Counting a known shape is a few thousand operations on scalars: numpy does them in
milliseconds, where tracing and compiling them would take seconds. Given tracers, or any
JAX array, the same code is traced.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def _of(*arguments: Any) -> ModuleType:
    """Choose the module: JAX as soon as one argument is its own."""
    return jnp if any(isinstance(x, jax.Array) for x in arguments) else np


def asarray(x: Any, dtype: Any = None) -> Any:
    """As ``numpy.asarray``."""
    return _of(x).asarray(x, dtype)


def zeros(shape: tuple[int, ...]) -> Any:
    """As ``numpy.zeros``; a constant is the same in both."""
    return np.zeros(shape)


def ones(shape: tuple[int, ...]) -> Any:
    """As ``numpy.ones``; a constant is the same in both."""
    return np.ones(shape)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """As ``numpy.where``."""
    return _of(condition, yes, no).where(condition, yes, no)


def maximum(x: Any, y: Any) -> Any:
    """As ``numpy.maximum``."""
    return _of(x, y).maximum(x, y)


def minimum(x: Any, y: Any) -> Any:
    """As ``numpy.minimum``."""
    return _of(x, y).minimum(x, y)


def mod(x: Any, y: Any) -> Any:
    """As ``numpy.mod``."""
    return _of(x, y).mod(x, y)


def log2(x: Any) -> Any:
    """As ``numpy.log2``."""
    return _of(x).log2(x)


def ceil(x: Any) -> Any:
    """As ``numpy.ceil``."""
    return _of(x).ceil(x)


def exp(x: Any) -> Any:
    """As ``numpy.exp``."""
    return _of(x).exp(x)


def floor(x: Any) -> Any:
    """As ``numpy.floor``."""
    return _of(x).floor(x)


def abs(x: Any) -> Any:
    """As ``numpy.abs``."""
    return _of(x).abs(x)


def stack(parts: Sequence[Any]) -> Any:
    """As ``numpy.stack`` along the first axis.

    >>> stack([1.0, 2.0]).tolist(), type(stack([jnp.ones(()), 2.0])).__module__[:3]
    ([1.0, 2.0], 'jax')
    """
    return _of(*parts).stack([asarray(part, float) for part in parts])


def unstack(x: Any) -> Sequence[Any]:
    """Cut along the first axis, as ``numpy.unstack`` of 2.1."""
    return jnp.unstack(x) if isinstance(x, jax.Array) else list(x)


def least(parts: Sequence[Any]) -> Any:
    """Smallest of several."""
    smallest = parts[0]
    for part in parts[1:]:
        smallest = minimum(smallest, part)
    return smallest

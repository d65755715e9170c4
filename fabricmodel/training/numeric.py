"""One name for a number or an array of them, of numpy or of JAX."""

from typing import TypeAlias

import numpy as np
from jax import Array

Numeric: TypeAlias = float | np.ndarray | Array
"""Broadcasts with its like; a batch is the same record with longer leaves."""

"""The habits that were fitted to published runs, as a table: a prior for new questions.

``data/habits.toml`` is written by ``python -m experiments.fit_habits`` from published
runs of at most 256 chips: for each platform the median of each habit and the log (of a
share, logit) standard deviation of the belief in it, and what runs of one platform have
differed by beyond that (software, series, recipe).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jax
import numpy as np

from fabricmodel.errors import FabricError
from fabricmodel.training.beliefs import BELIEFS
from fabricmodel.training.pricing import KINDS
from fabricmodel.training.step import Habits
from fabricmodel.training.traffic import CAUSES


def load_habits(platform: str, precision: str = "bf16") -> Habits:
    """Median habits of a platform.

    Raises:
      FabricError: for a platform that the table does not hold.

    >>> 0.3 < float(load_habits("h100").matrix) < 1.1
    True
    """
    median = drawn_habits(platform, precision, np.zeros((1, len(BELIEFS) + 1)))
    return jax.tree.map(lambda leaf: float(leaf[0, 0]), median)


def drawn_habits(platform: str, precision: str, draws: np.ndarray) -> Habits:
    """Habits of a platform, one set a draw: leaves of shape (D, 1).

    Args:
      platform: in the table.
      precision: of the matrix products.
      draws: (D, habits + 1) standard normal numbers, the last for the precision; zeros
        are the median.
    """
    table = _table()["platforms"]
    if platform not in table:
        raise FabricError(
            "platform",
            f"no habits of {platform!r} are known",
            f"Name one of {', '.join(table)}, or fit some",
        )
    known: Mapping[str, Any] = table[platform]
    values: dict[str, np.ndarray] = {}
    for at, (name, belief) in enumerate(BELIEFS.items()):
        median, spread = known[name]
        moved = spread * draws[:, at, None]
        if belief.share:
            logit = np.log(median / (1.0 - median)) + moved
            values[name] = 1.0 / (1.0 + np.exp(-logit))
        else:
            values[name] = median * np.exp(moved)
    late, spread = known.get(f"precision.{precision}", [0.0, 0.15])
    values["matrix"] = values["matrix"] * np.exp(late + spread * draws[:, -1, None])
    return Habits(
        **{key: value for key, value in values.items() if "." not in key},
        hidden={cause: values[f"hidden.{cause}"] for cause in CAUSES},
        dearness={kind: values[f"dearness.{kind}"] for kind in KINDS},
    )


def unexplained() -> float:
    """Log standard deviation between runs of one platform beyond its habits.

    >>> 0.02 < unexplained() < 0.3
    True
    """
    return float(_table()["unexplained"])


def list_habits() -> Sequence[str]:
    """Return the platforms that the table holds."""
    return tuple(_table()["platforms"])


@cache
def _table() -> Mapping[str, Any]:
    file = resources.files("fabricmodel.training") / "data" / "habits.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))

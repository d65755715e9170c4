"""What each algorithm costs, learned from runs in which the algorithm was forced.

A cost is the logarithm of a time over that of the best on the same size and ranks in
the same run: congestion and clocks strike all alike, and cancel. It is carried over
from the runs nearby by a Gaussian process whose covariance decays exponentially with
the distance in octaves, the random walk by which the fit's own discrepancy grows.

The expected time counts, not the median: of two that look alike, the one that was
measured nearby wins. Times themselves, a sum of launch, rounds and bytes for each
algorithm, were tried beside this: on more ranks than were measured they chose worse on
one machine, and no better on another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import polars as pl

from fabricmodel.errors import FabricModelError
from fabricmodel.measurements import Measurements

OCTAVES = np.array([4.0, 4.0, 1.0])
"""Over which knowledge fades: of size, of ranks, of ranks on a node."""
NOISE = 0.03
"""Log standard deviation of a measurement."""
CELL = ("collective", "ranks", "ranks_per_node", "size_bytes")
"""Columns of the question that algorithms compete to answer."""
RUN = ("series", "topology_shape", "dtype", "statistic", "source", "run")
"""Columns of what rivals must have in common besides; ``forced`` makes ``run``."""
_SWING = 0.5  # log standard deviation of costs far from each other
_WORST = 2.0  # a rival e^2 times slower is out, how far doesn't matter
_FEWEST = 2  # runs of an algorithm, to say anything of it

Array = np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Carried:
    """Values at some points, carried over to others."""

    points: Array
    weights: Array
    inverse: Array
    middle: float

    @staticmethod
    def of(points: Array, values: Array) -> _Carried:
        middle = float(values.mean())
        cover = _kernel(points, points) + NOISE**2 * np.eye(len(points))
        inverse = np.linalg.inv(cover)
        weights = inverse @ (values - middle)
        return _Carried(points=points, weights=weights, inverse=inverse, middle=middle)

    def expected(self, points: Array) -> Array:
        """Logarithm of the expected exponential: the mean and half the variance."""
        near = _kernel(points, self.points)
        mean = self.middle + near @ self.weights
        known = np.einsum("ij,jk,ik->i", near, self.inverse, near)
        return mean + 0.5 * np.maximum(_SWING**2 - known, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedCosts:
    """Relative costs of the algorithms of each collective.

    Attributes:
      candidates: by collective and label.
    """

    candidates: Mapping[tuple[str, str], _Carried]

    @staticmethod
    def fit(times: Measurements) -> LearnedCosts:
        """Learn from every row that names its algorithm.

        Rivals are compared within a run only (see ``forced``). Repeats count by their
        median.

        Raises:
          FabricModelError: where no two algorithms were measured side by side.
        """
        same = (*CELL, *RUN)
        medians = (
            forced(times)
            .group_by(*same, "algorithm", maintain_order=True)
            .agg(pl.col("time_us").median())
        )
        best = pl.col("time_us").min().over(same)
        compared = medians.with_columns(
            over=(pl.col("time_us") / best).log().clip(0.0, _WORST)
        ).filter(pl.len().over(same) > 1)
        costs = compared.group_by(*CELL, "algorithm", maintain_order=True).agg(
            pl.col("over").median()
        )
        found = {}
        for (collective, label), mine in costs.group_by(
            "collective", "algorithm", maintain_order=True
        ):
            if len(mine) >= _FEWEST:
                columns = ("size_bytes", "ranks", "ranks_per_node")
                points = _points(*(mine[name].to_numpy() for name in columns))
                over = mine["over"].to_numpy()
                found[str(collective), str(label)] = _Carried.of(points, over)
        if not found:
            raise FabricModelError(
                "times",
                "no two algorithms were measured on the same size and ranks",
                "Give runs in which the algorithm was forced, and named in a column",
            )
        return LearnedCosts(candidates=found)

    def labels(self, collective: str) -> list[str]:
        """Algorithms that were measured for a collective, sorted."""
        return sorted(label for name, label in self.candidates if name == collective)

    def log_costs(
        self,
        collective: str,
        size_bytes: Array,
        ranks: float,
        ranks_per_node: float = 1.0,
    ) -> dict[str, Array]:
        """Return log costs by algorithm, (S,); only their differences mean anything."""
        sizes = np.atleast_1d(np.asarray(size_bytes, float))
        points = _points(
            sizes, np.full_like(sizes, ranks), np.full_like(sizes, ranks_per_node)
        )
        return {
            label: self.candidates[collective, label].expected(points)
            for label in self.labels(collective)
        }


def forced(times: Measurements) -> pl.DataFrame:
    """The rows that name their algorithm, with a column ``run``.

    Device or host memory, another version or another day may change a time more than
    the algorithm does, so rivals are compared within a run. Notes tell runs apart where
    one algorithm stands under several of them; else they may describe the algorithms.
    """
    where = (*CELL, *(name for name in RUN if name != "run"))
    frame = times.frame.filter(pl.col("algorithm") != "").with_columns(
        pl.col("ranks_per_node").fill_null(1.0)
    )
    frame = frame.with_columns(run=pl.col("notes").n_unique().over(*where, "algorithm"))
    repeated = pl.col("run").max().over(where) > 1
    return frame.with_columns(run=pl.when(repeated).then("notes").otherwise(pl.lit("")))


def _points(sizes: Array, ranks: Array, local: Array) -> Array:
    octaves = np.stack([np.log2(sizes), np.log2(ranks), np.log2(local)], axis=1)
    return octaves / OCTAVES


def _kernel(one: Array, other: Array) -> Array:
    apart = np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=-1))
    return _SWING**2 * np.exp(-apart)

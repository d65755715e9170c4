"""What each algorithm costs, learned from runs in which the algorithm was forced.

Two views of the same measurements, averaged in log time:

- its own: a sum of non-negative terms, launch, rounds and bytes in their usual powers
  of ranks and size, with the residue carried over from the runs nearby;
- against its rivals: log time over the best on the same size and ranks, carried over
  from the runs nearby. Congestion and clocks strike all alike, and cancel.

The expected time counts, not the median: of two that look alike, the one that was
measured nearby wins. "Nearby" is a Gaussian process whose covariance decays
exponentially with the distance in octaves, the random walk by which the fit's own
discrepancy grows.
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
RUN = ("series", "dtype", "statistic", "source", "notes")
"""Columns of what rivals must have in common to be compared."""
_SWING = 0.5  # log standard deviation of what the terms don't explain
_WORST = 2.0  # a rival e^2 times slower is out, how far doesn't matter
_STEPS = 3000
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
    def of(points: Array, values: Array, middle: float) -> _Carried:
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
class _Candidate:
    """One algorithm of one collective."""

    terms: Array
    residue: _Carried
    against: _Carried


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedCosts:
    """Relative costs of the algorithms of each collective.

    Attributes:
      candidates: by collective and label.
    """

    candidates: Mapping[tuple[str, str], _Candidate]

    @staticmethod
    def fit(times: Measurements) -> LearnedCosts:
        """Learn from every row that names its algorithm.

        Rivals are compared within a run only (``RUN``): device or host memory, another
        version or another day may change a time more than the algorithm does. Repeats
        count by their median.

        Raises:
          FabricModelError: where no two algorithms were measured side by side.
        """
        cell = ["collective", "ranks", "ranks_per_node", "size_bytes"]
        frame = (
            times.frame.filter(pl.col("algorithm") != "")
            .with_columns(pl.col("ranks_per_node").fill_null(1.0))
            .group_by(*cell, *RUN, "algorithm", maintain_order=True)
            .agg(pl.col("time_us").median())
        )
        over = (pl.col("time_us") / pl.col("time_us").min().over(*cell, *RUN)).log()
        frame = frame.with_columns(
            over=over.clip(0.0, _WORST), rivals=pl.len().over(*cell, *RUN)
        )
        compared = pl.col("over").filter(pl.col("rivals") > 1)
        frame = frame.group_by(*cell, "algorithm", maintain_order=True).agg(
            pl.col("time_us").median(), over=compared.median(), rivals=compared.len()
        )
        found = {}
        for (collective, label), mine in frame.group_by(
            "collective", "algorithm", maintain_order=True
        ):
            compared = mine.filter(pl.col("rivals") > 0)
            if len(mine) >= _FEWEST and len(compared):
                found[str(collective), str(label)] = _candidate(mine, compared)
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
        counts = np.full_like(sizes, ranks)
        points = _points(sizes, counts, np.full_like(sizes, ranks_per_node))
        costs = {}
        for label in self.labels(collective):
            one = self.candidates[collective, label]
            own = np.log(_terms(sizes, counts) @ one.terms) + one.residue.expected(
                points
            )
            costs[label] = 0.5 * (own + one.against.expected(points))
        return costs


def _candidate(mine: pl.DataFrame, compared: pl.DataFrame) -> _Candidate:
    columns = ("size_bytes", "ranks", "ranks_per_node")
    sizes, ranks, local = (mine[name].to_numpy() for name in columns)
    seconds = 1e-6 * mine["time_us"].to_numpy()
    terms = _terms(sizes, ranks)
    weights = _non_negative(terms / seconds[:, None])
    residue = np.log(seconds / (terms @ weights))
    over = compared["over"].to_numpy()
    rivals = _points(*(compared[name].to_numpy() for name in columns))
    return _Candidate(
        terms=weights,
        residue=_Carried.of(_points(sizes, ranks, local), residue, 0.0),
        against=_Carried.of(rivals, over, float(over.mean())),
    )


def _terms(sizes: Array, ranks: Array) -> Array:
    """Launch, rounds and bytes in the powers in which algorithms count them."""
    logs = np.log2(np.maximum(ranks, 1.0))
    one = np.ones_like(sizes)
    return np.stack(
        [one, logs, ranks, sizes, sizes * logs, sizes / ranks * logs, sizes * ranks,
         np.sqrt(sizes)],
        axis=1,
    )  # fmt: skip


def _non_negative(rows: Array) -> Array:
    """Weights w >= 0 that bring rows @ w nearest to 1: multiplicative updates.

    Lee and Seung (2001): each step keeps the sign and never raises the squared error.
    """
    scale = np.linalg.norm(rows, axis=0)
    scaled = rows / scale
    square, right = scaled.T @ scaled, scaled.sum(axis=0)
    weights = np.full(rows.shape[1], right.sum() / square.sum())
    for _ in range(_STEPS):
        weights *= right / (square @ weights)
    return weights / scale


def _points(sizes: Array, ranks: Array, local: Array) -> Array:
    octaves = np.stack([np.log2(sizes), np.log2(ranks), np.log2(local)], axis=1)
    return octaves / OCTAVES


def _kernel(one: Array, other: Array) -> Array:
    apart = np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=-1))
    return _SWING**2 * np.exp(-apart)

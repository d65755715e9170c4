"""What counts x prices miss: a Gaussian process over size and ranks, on log time.

    log measured = log (counts . prices) + field(size, ranks) + noise

A field that is the same at every scale (regimes of the library, caches), smooth in
log size and in log message size, and a random walk along log ranks, whose steps are
what larger scales add unforeseen. So a prediction beyond the data carries on what the
model missed at the largest scale, and its interval widens with the root of the octaves
beyond. After Kennedy and O'Hagan, "Bayesian calibration of computer models" (2001).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

FREEDOM = 4.0
"""Degrees of freedom of the Student t of independent residuals: outliers lose their
pull past about two standard deviations."""

_FIELD_SCALES = 2.0 ** np.arange(-6.0, 3.5)
_NOISE_SCALES = 2.0 ** np.arange(-2.0, 3.5)
_NEAR = 2.0 ** np.arange(-2.0, 2.5)  # of field and walk, around the most probable
_NEAR_NOISE = 2.0 ** np.arange(-1.0, 1.25, 0.5)
_SCALE_SPREAD = 1.0  # log standard deviation of the scales of series
_WALK_SPREAD = 0.6  # of the walk against the field: one may be smooth without the other
_SMOOTHEST = 0.2  # of a walk: smooth in range is no proof of smooth far beyond it
_CLIP = 3.0  # standard deviations past which a point no longer pulls the field
_SMALL = 1e-10  # keeps a covariance matrix positive


@dataclasses.dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """How large the field is, as log standard deviations.

    Attributes:
      field_sd: of what is missed alike at every number of ranks.
      field_octaves: of size over which that stays similar.
      walk_sd: of what each octave of ranks adds.
      walk_octaves: of size over which a step of the walk is similar.
      local_octaves: of ranks per node over which the field is similar.
      noise_sd: of one measurement.
      unseen_sd: more, for a collective that was never measured on the fabric.
    """

    field_sd: float = 0.15
    field_octaves: float = 2.0
    walk_sd: float = 0.285
    walk_octaves: float = 4.0
    local_octaves: float = 4.0
    noise_sd: float = 0.03
    unseen_sd: float = 0.15


@dataclasses.dataclass(frozen=True, kw_only=True)
class Points:
    """Where the field is asked for, all of shape (R,).

    Attributes:
      size_bytes, ranks: of the question.
      local: ranks on a node, 1 where it is unknown.
      algorithm: what the library was forced to run, "" where it chose.
    """

    size_bytes: np.ndarray
    ranks: np.ndarray
    local: np.ndarray
    algorithm: np.ndarray

    def __len__(self) -> int:
        return len(self.size_bytes)

    def take(self, which: np.ndarray) -> Points:
        """Keep the points of a mask or of indices."""
        return Points(
            **{x.name: getattr(self, x.name)[which] for x in dataclasses.fields(self)}
        )


def kernel(d: Discrepancy, anchor: float, a: Points, b: Points) -> np.ndarray:
    """Covariance of the field between two sets of points, (A, B).

    Args:
      d: the sizes of its parts.
      anchor: log2 ranks at which the walk starts, the smallest that was measured.
      a, b: the points.

    >>> one = np.ones(2)
    >>> at = Points(size_bytes=8e3 * one, ranks=np.array([4.0, 8.0]), local=one,
    ...             algorithm=np.array(["", ""]))
    >>> d = Discrepancy(field_sd=0.0, walk_sd=0.1)
    >>> kernel(d, 2.0, at, at).round(3).tolist()
    [[0.0, 0.0], [0.0, 0.01]]
    """

    def apart(x: np.ndarray, y: np.ndarray, octaves: float) -> np.ndarray:
        return np.exp(-np.abs(np.log2(x)[:, None] - np.log2(y)[None, :]) / octaves)

    alike = 0.5 * (
        apart(a.size_bytes, b.size_bytes, d.field_octaves)
        + apart(a.size_bytes / a.ranks, b.size_bytes / b.ranks, d.field_octaves)
    )
    out, back = (np.log2(x.ranks) - anchor for x in (a, b))
    between = np.abs(out[:, None] - back[None, :])
    walked = 0.5 * (np.abs(out)[:, None] + np.abs(back)[None, :] - between)
    walk = walked * apart(a.size_bytes, b.size_bytes, d.walk_octaves)
    related = apart(a.local, b.local, d.local_octaves) * (
        a.algorithm[:, None] == b.algorithm[None, :]
    )
    return related * (d.field_sd**2 * alike + d.walk_sd**2 * walk)


def variance(d: Discrepancy, anchor: float, at: Points) -> np.ndarray:
    """Prior variance of the field at each point, (R,)."""
    return d.field_sd**2 + d.walk_sd**2 * np.abs(np.log2(at.ranks) - anchor)


def whitener(d: Discrepancy, anchor: float, at: Points) -> np.ndarray:
    """Matrix that turns residuals into independent ones of unit variance, (R, R).

    The inverse of the Cholesky factor of field and noise.

    >>> one = np.ones(2)
    >>> at = Points(size_bytes=np.array([8.0, 8e3]), ranks=4.0 * one, local=one,
    ...             algorithm=np.array(["", ""]))
    >>> white = whitener(Discrepancy(), 2.0, at)
    >>> total = kernel(Discrepancy(), 2.0, at, at) + 0.03**2 * np.eye(2)
    >>> np.allclose(white @ total @ white.T, np.eye(2))
    True
    """
    total = kernel(d, anchor, at, at) + (d.noise_sd**2 + _SMALL) * np.eye(len(at))
    return np.linalg.inv(np.linalg.cholesky(total))


def cleaned(white: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Draw in outliers: a point further than three deviations counts as off by three.

    Each against what the points before it say, themselves drawn in, so that an outlier
    does not reach its neighbours.

    >>> cleaned(np.eye(3), np.array([0.5, 30.0, -1.0])).tolist()
    [0.5, 3.0, -1.0]
    """
    found = np.zeros_like(residual)
    for i, row in enumerate(white):
        expected = -(row[:i] @ found[:i]) / row[i]
        off = np.clip((residual[i] - expected) * row[i], -_CLIP, _CLIP)
        found[i] = expected + off / row[i]
    return found


Shown = tuple[Points, np.ndarray, np.ndarray]
"""Points, log measured less log predicted there, and its slopes by the parameters."""


def scaled(d: Discrepancy, shown: Sequence[Shown], anchor: float) -> Discrepancy:
    """Scale field, walk and noise to what one series shows.

    Each by a scale of its own, under log-normal beliefs about 1, the walk's about the
    field's: rough over sizes is likely rough over ranks, and where one number of ranks
    was measured that is all there is to know. The expected variances over a grid around
    the most probable. Whitened residuals are Student t, so that outliers do not pass
    for noise; the parameters are integrated out (Laplace), so that what they absorbed
    is not taken for a good fit:

        sum (v + 1)/2 log(1 + z^2 / v) + log|K| / 2 + log|1 + J' K^-1 J| / 2

    The walk keeps at least a fifth of what is typical.

    Args:
      d: what is typical.
      shown: points, residuals and slopes of each collective of the series.
      anchor: as in ``kernel``.
    """
    still = dataclasses.replace(d, walk_sd=0.0)
    only = dataclasses.replace(d, field_sd=0.0)
    parts = [
        (kernel(still, anchor, at, at), kernel(only, anchor, at, at), residual, slopes)
        for at, residual, slopes in shown
    ]

    def attempt(field: float, walk: float, noise: float) -> float:
        loss = 0.5 * (np.log(field) ** 2 + np.log(noise) ** 2) / _SCALE_SPREAD**2
        loss += 0.5 * np.log(walk / field) ** 2 / _WALK_SPREAD**2
        information = np.eye(shown[0][2].shape[1])
        for fixed, walked, residual, slopes in parts:
            own = ((noise * d.noise_sd) ** 2 + _SMALL) * np.eye(len(residual))
            root = np.linalg.cholesky(field**2 * fixed + walk**2 * walked + own)
            white = np.linalg.solve(root, np.column_stack([residual, slopes]))
            z, independent = white[:, 0], white[:, 1:]
            t = 0.5 * (FREEDOM + 1.0) * np.log1p(z**2 / FREEDOM)
            loss += float(np.sum(t) + np.sum(np.log(np.diag(root))))
            information += independent.T @ independent
        return loss + 0.5 * float(np.linalg.slogdet(information)[1])

    field, noise = min(
        itertools.product(_FIELD_SCALES, _NOISE_SCALES),
        key=lambda x: attempt(x[0], x[0], x[1]),
    )
    near = np.array(
        list(itertools.product(field * _NEAR, field * _NEAR, noise * _NEAR_NOISE))
    )
    losses = np.array([attempt(*scales) for scales in near])
    # field and walk and noise are not told apart surely: the root of expected variances
    expected = np.sqrt(np.exp(losses.min() - losses) @ near**2)
    field, walk, noise = expected / np.sqrt(np.sum(np.exp(losses.min() - losses)))
    return dataclasses.replace(
        d,
        field_sd=float(field * d.field_sd),
        walk_sd=float(max(walk, _SMOOTHEST) * d.walk_sd),
        noise_sd=float(noise * d.noise_sd),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """The field of one collective of one series, conditioned on its residuals.

    Attributes:
      discrepancy: its prior, at the scale of the series.
      anchor: log2 ranks where the walk starts.
      at: the R measured points.
      white: (R, R) their whitener.
      residual: (R,) log measured less log predicted, ``cleaned``.
      slopes: (R, n) derivatives of the same by the model's parameters.
    """

    discrepancy: Discrepancy
    anchor: float
    at: Points
    white: np.ndarray
    residual: np.ndarray
    slopes: np.ndarray

    def ask(self, at: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, variance and slopes by the parameters of the field at new points.

        The variance is of the field as far as the ranks reach; what the walk adds
        beyond them is for the caller to add.

        Returns:
          (Q,) mean and (Q,) variance, and (Q, n).
        """
        across = kernel(self.discrepancy, self.anchor, at, self.at) @ self.white.T
        mean = across @ (self.white @ self.residual)
        reached = dataclasses.replace(
            at, ranks=np.clip(at.ranks, self.at.ranks.min(), self.at.ranks.max())
        )
        prior = variance(self.discrepancy, self.anchor, reached)
        left = prior - np.sum(across**2, axis=1)
        return mean, np.maximum(left, 0.0), across @ (self.white @ self.slopes)


def conditioned(
    d: Discrepancy,
    anchor: float,
    at: Points,
    residual: np.ndarray,
    slopes: np.ndarray,
) -> Field:
    """Condition a field on residuals at measured points; see ``Field``."""
    white = whitener(d, anchor, at)
    return Field(
        discrepancy=d,
        anchor=anchor,
        at=at,
        white=white,
        residual=cleaned(white, residual),
        slopes=slopes,
    )

"""What is believed of a platform's habits before any run of it is seen.

Each habit is a positive number in log space, or a share in logit space: a centre, a
common shift that all platforms share, and a shift of each platform (and of each
precision on a chip), all standard normal in units of their spreads. So a platform with
few runs borrows from all others, and one with many is its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fabricmodel.training.pricing import KINDS
from fabricmodel.training.step import Habits
from fabricmodel.training.traffic import CAUSES


@dataclasses.dataclass(frozen=True, kw_only=True)
class Belief:
    """Of one habit: its centre, and spreads (log, or logit) common and by platform."""

    centre: float
    common: float
    own: float
    share: bool = False
    by: str = "platform"


BELIEFS: dict[str, Belief] = {
    "matrix": Belief(centre=0.8, common=0.15, own=0.15, by="chip"),
    "recompute": Belief(centre=0.95, common=0.1, own=0.2),
    "attention": Belief(centre=0.5, common=0.3, own=0.25, by="software"),
    "memory": Belief(centre=1.0, common=0.4, own=0.3, by="chip"),
    "layer_s": Belief(centre=2e-4, common=0.6, own=0.4),
    "expert_s": Belief(centre=1e-3, common=0.7, own=0.4),
    "step_s": Belief(centre=2e-2, common=0.5, own=0.3),
    "narrow": Belief(centre=1.0, common=0.5, own=0.3, by="chip"),
    "half_depth": Belief(centre=100.0, common=0.7, own=0.3, by="chip"),
    "half_expert": Belief(centre=600.0, common=0.6, own=0.3, by="chip"),
    "half_tokens": Belief(centre=100.0, common=0.7, own=0.3),
    "hidden.tp": Belief(centre=0.4, common=0.8, own=0.6, share=True, by="software"),
    "hidden.cp": Belief(centre=0.7, common=0.8, own=0.5, share=True),
    "hidden.ep": Belief(centre=0.4, common=0.8, own=0.5, share=True),
    "hidden.pp": Belief(centre=0.8, common=0.8, own=0.5, share=True),
    "hidden.dp": Belief(centre=0.7, common=0.8, own=0.8, share=True, by="software"),
    "hidden.copies": Belief(centre=0.2, common=0.8, own=0.5, share=True),
    "dearness.inner_latency": Belief(centre=1.0, common=0.4, own=0.3),
    "dearness.inner_bytes": Belief(centre=1.0, common=0.3, own=0.3),
    "dearness.outer_latency": Belief(centre=1.0, common=0.5, own=0.4),
    "dearness.outer_bytes": Belief(centre=1.0, common=0.3, own=0.3),
    "crowding": Belief(centre=0.03, common=0.8, own=0.5),
    "jitter": Belief(centre=0.004, common=0.6, own=0.4),
}
"""Centres are the middle of what published kernels, traces and papers state."""

PRECISION_SPREAD = 0.15
"""Log spread of how far a precision on a chip stays behind the chip's others."""


@dataclasses.dataclass(frozen=True)
class Space:
    """The parameter vector: common shifts, own shifts, shifts of precisions.

    Each list of own shifts ends with that of a member never seen.

    Attributes:
      platforms, chips, softwares, precisions: names, in order of their columns; a
        precision is ``CHIP/PRECISION``, a software ``SOFTWARE/CHIP``.
    """

    platforms: tuple[str, ...]
    chips: tuple[str, ...]
    softwares: tuple[str, ...]
    precisions: tuple[str, ...]

    @property
    def size(self) -> int:
        """Length of the vector."""
        own = sum(len(self._columns(belief)) + 1 for belief in BELIEFS.values())
        return len(BELIEFS) + own + len(self.precisions) + 1

    def _columns(self, belief: Belief) -> tuple[str, ...]:
        return getattr(self, f"{belief.by}s")

    def habits(self, theta: Array, where: Mapping[str, np.ndarray]) -> Habits:
        """Turn a vector into the habits of each row.

        Args:
          theta: (n,) standard normal a priori.
          where: (R,) columns of each row, by ``platform``, ``chip``, ``software`` and
            ``precision``; the number past the last for one that was never seen, whose
            shift no run informs: the common habits, as unsure as the belief.
        """
        return habits_at(self.shifts(theta, where))

    def shifts(self, theta: Array, where: Mapping[str, np.ndarray]) -> Array:
        """How far a row's habits lie from their centres, log or logit, (habits + 1, R).

        The last is of the precision.
        """
        theta = jnp.asarray(theta)
        moved = []
        for common, own, spreads in self._places(where):
            parts = [spreads[1] * theta[own]]
            if common is not None:
                parts.append(spreads[0] * theta[common])
            moved.append(sum(parts))
        return jnp.stack(moved)

    def slopes(self, slopes: Array, where: Mapping[str, np.ndarray]) -> Array:
        """Slopes in theta, (R, n), of what has these in each row's shifts, (…, R).

        A row depends on theta through its own few shifts, and they on it linearly: one
        gradient by the shifts is the whole Jacobian.
        """
        rows = slopes.shape[1]
        found = jnp.zeros((rows, self.size))
        for each, (common, own, spreads) in zip(
            slopes, self._places(where), strict=True
        ):
            found = found.at[jnp.arange(rows), own].add(spreads[1] * each)
            if common is not None:
                found = found.at[:, common].add(spreads[0] * each)
        return found

    def _places(self, where: Mapping[str, np.ndarray]):
        """Yield where theta holds each habit's common and own shift, and their spreads.

        Last the precision's, which has no common shift.
        """
        start = len(BELIEFS)
        for at, belief in enumerate(BELIEFS.values()):
            yield at, start + where[belief.by], (belief.common, belief.own)
            start += len(self._columns(belief)) + 1
        yield None, start + where["precision"], (0.0, PRECISION_SPREAD)


def habits_at(shifts: Array) -> Habits:
    """Habits so far from their centres, (habits + 1, R), the last of the precision."""
    values: dict[str, Array] = {}
    for (name, belief), moved in zip(BELIEFS.items(), shifts[:-1], strict=True):
        if belief.share:
            centre = np.log(belief.centre / (1.0 - belief.centre))
            values[name] = jax.nn.sigmoid(centre + moved)
        else:
            values[name] = belief.centre * jnp.exp(moved)
    plain = {key: value for key, value in values.items() if "." not in key}
    plain["matrix"] = plain["matrix"] * jnp.exp(shifts[-1])
    return Habits(
        **plain,
        hidden={cause: values[f"hidden.{cause}"] for cause in CAUSES},
        dearness={kind: values[f"dearness.{kind}"] for kind in KINDS},
    )


def columns(names: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """Column of each name, the number past the last for an unknown one.

    >>> columns(["b", "c"], ["a", "b"]).tolist()
    [1, 2]
    """
    order = {name: at for at, name in enumerate(known)}
    return np.array([order.get(name, len(known)) for name in names], int)

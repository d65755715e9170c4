"""Find the one link that is slower or longer than the others, from times alone.

Every link of the topology is suspected in turn: its delay and the price of its bytes
are free, so is the delay of all the others, and the prices that the plain rings taught
hold for the rest. The suspect that explains the times best is named, if it does so
better than no suspect at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares

from experiments.rigs.graph import Link
from experiments.rigs.prices import Fit
from experiments.rigs.table import Cell

DECISIVE = 5.0
"""Log evidence (natural) by which a suspect has to lead, 150 to 1."""

TELLING = ("ring", "recursive_doubling", "shift+1", "neighbour")
"""Algorithms enough to look for an odd link where none is stated."""

BELIEF = 1.0
"""Log spread of every factor a priori, about 1."""

_NOISE = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suspect:
    """One link taken as the odd one; None for no link.

    Attributes:
      link: the suspect.
      delay, byte: its delay and price of a byte against the other links.
      others_delay: of the other links against those of the fitted rings.
      loss: negative log evidence, up to a constant.
    """

    link: Link | None
    delay: float
    byte: float
    others_delay: float
    loss: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found on one topology: the best suspects, best first."""

    topology: str
    suspects: tuple[Suspect, ...]

    def equal(self) -> tuple[Link | None, ...]:
        """Suspects within ``DECISIVE`` of the best one."""
        best = self.suspects[0].loss
        return tuple(s.link for s in self.suspects if s.loss < best + DECISIVE)

    def named(self, stated: Link | None) -> Link | None:
        """The odd link; None if no link is needed to explain the times.

        Links that the schedules use alike can't be told apart by times: among such
        equals, and there alone, what is stated decides.
        """
        equal = self.equal()
        if None in equal:
            return None
        return stated if stated in equal else equal[0]

    def say(self, stated: Link | None) -> str:
        """In words: ``link 1-2, 2.00x the price of a byte``, or ``no odd link``."""
        link, best = self.named(stated), self.suspects[0]
        if link is None:
            return "no odd link"
        said = [f"link {link[0]}-{link[1]}"]
        if abs(np.log(best.byte)) > 0.1:
            said.append(f"{best.byte:.2f}x the price of a byte")
        if abs(np.log(best.delay)) > 0.1:
            said.append(f"{best.delay:.2f}x the delay")
        if others := [x for x in self.equal() if x is not None and x != link]:
            names = " and ".join(f"{a}-{b}" for a, b in others)
            said.append(f"which these collectives can't tell from {names}")
        return ", ".join(said)


def find(cells: Sequence[Cell], fitted: Fit) -> Finding:
    """Suspect every link of a topology, and none.

    Args:
      cells: of one topology; what they say of an odd link is not looked at.
      fitted: prices of the rig's plain rings.
    """
    edges = cells[0].wiring.edges
    suspects = [_suspect(cells, fitted, link) for link in (None, *edges)]
    ranked = sorted(suspects, key=lambda suspect: suspect.loss)
    return Finding(topology=cells[0].wiring.name, suspects=tuple(ranked))


def _suspect(cells: Sequence[Cell], fitted: Fit, link: Link | None) -> Suspect:
    times = np.log([cell.time_s for cell in cells])
    edges = cells[0].wiring.edges
    noise = max(fitted.noise, _NOISE)

    def residuals(logs: np.ndarray) -> np.ndarray:
        others, delay, byte = np.exp(np.append(logs, [0.0, 0.0])[:3])
        scale = {edge: (float(others), 1.0) for edge in edges}
        if link is not None:
            scale[link] = (float(others * delay), float(byte))
        guess = np.log([fitted.predict(cell, scale)[0] for cell in cells])
        gap = (guess - times) / noise
        gap = np.sign(gap) * 2.0 * np.sqrt(np.log1p(gap**2 / 4.0))
        return np.concatenate([gap, logs / BELIEF])

    free = 1 if link is None else 3
    starts = [np.zeros(free)]
    if link is not None:  # either end of what it could be: a long link, or a slow one
        starts += [np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 0.7])]
        starts += [np.array([-0.7, 1.5, 0.0])]
    tried = [
        least_squares(residuals, start, diff_step=1e-3, max_nfev=40) for start in starts
    ]
    best = min(tried, key=lambda each: each.cost)
    others, delay, byte = np.exp(np.append(best.x, [0.0, 0.0])[:3])
    return Suspect(
        link=link,
        delay=float(delay),
        byte=float(byte),
        others_delay=float(others),
        loss=float(best.cost + 0.5 * free * np.log(len(cells))),
    )

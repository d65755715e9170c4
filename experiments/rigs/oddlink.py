"""Find the one link that is slower or longer than the others, from times alone.

Every link of the topology is suspected in turn: its delay and the price of its bytes
are free, so is the delay of all the others, and the prices that the plain rings taught
hold for the rest. The suspect that explains the times best is named, if it does so
better than no suspect at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

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
    suspects = []
    for link in (None, *edges):
        found = factors(cells, fitted, () if link is None else (link,))
        suspects.append(
            Suspect(
                link=link,
                delay=found.delay,
                byte=found.byte,
                others_delay=found.others_delay,
                loss=found.loss,
            )
        )
    ranked = sorted(suspects, key=lambda suspect: suspect.loss)
    return Finding(topology=cells[0].wiring.name, suspects=tuple(ranked))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Factors:
    """Two kinds of links against those of the fitted rings.

    Attributes:
      others_delay, others_byte: of the ordinary links.
      delay, byte: of the odd ones, against the ordinary ones.
      loss: negative log evidence, up to a constant.
    """

    others_delay: float
    others_byte: float
    delay: float
    byte: float
    loss: float


def factors(
    cells: Sequence[Cell],
    fitted: Fit,
    odd: Collection[Link],
    *,
    others_byte: bool = False,
) -> Factors:
    """Fit delay and price of a byte of the odd links, and the delay of the others.

    Args:
      cells: of one topology.
      fitted: prices of the rig's plain rings.
      odd: links that share one delay and one price of a byte; may be empty.
      others_byte: whether the ordinary links' price of a byte is free as well.
    """
    times = np.log([cell.time_s for cell in cells])
    edges = cells[0].wiring.edges
    noise = max(fitted.noise, _NOISE)
    free = [True, others_byte, bool(odd), bool(odd)]

    def spread(logs: np.ndarray) -> np.ndarray:
        whole = np.zeros(4)
        whole[free] = logs
        return whole

    def residuals(logs: np.ndarray) -> np.ndarray:
        others, other_byte, delay, byte = np.exp(spread(logs)).tolist()
        scale = {
            edge: (others * delay, other_byte * byte)
            if edge in odd
            else (others, other_byte)
            for edge in edges
        }
        guess = np.log([fitted.predict(cell, scale)[0] for cell in cells])
        gap = (guess - times) / noise
        gap = np.sign(gap) * 2.0 * np.sqrt(np.log1p(gap**2 / 4.0))
        return np.concatenate([gap, logs / BELIEF])

    starts = [[0.0] * 4]
    if odd:  # from either end of what they could be: long, or slow
        starts = [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.7], [-0.7, 0.0, 1.5, 0.0]]
    tried = [
        least_squares(residuals, np.array(start)[free], diff_step=1e-3, max_nfev=40)
        for start in starts
    ]
    best = min(tried, key=lambda each: each.cost)
    others, other_byte, delay, byte = np.exp(spread(best.x)).tolist()
    return Factors(
        others_delay=others,
        others_byte=other_byte,
        delay=delay,
        byte=byte,
        loss=float(best.cost + 0.5 * sum(free) * np.log(len(cells))),
    )

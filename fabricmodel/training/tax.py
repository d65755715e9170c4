"""The communication tax: what of a step, of its energy and of its price is waiting."""

from __future__ import annotations

import dataclasses

import numpy as np

from fabricmodel.training.layout import Layout
from fabricmodel.training.platforms import Platform
from fabricmodel.training.price import PriceList
from fabricmodel.training.search import evaluate
from fabricmodel.training.step import Habits
from fabricmodel.training.traffic import CAUSES
from fabricmodel.training.workload import Workload

WAITING_POWER = 0.85
"""Power of a chip that waits for the network, against one that computes: from 128 to
2,048 GPUs power fell by 5.9 % and throughput by 37 % (FAIR, arXiv 2411.13055), so the
waiting third drew 1 - 0.059 / 0.37 = 0.84 of full power."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tax:
    """Shares of a step, each of shape (draws, n) or (n,).

    Attributes:
      step_s: seconds of a step.
      exposed: share of time that is communication nothing hides.
      least, most: the same if all that could be hidden were, and if nothing were.
      causes: exposed share by cause; straggler and bubble beside them, which are no
        communication but grow with it.
      latency: part of the exposed share that is latency rather than bytes.
      latency_causes: the same by cause.
      energy: share of the energy that the exposed communication takes.
      energy_least, energy_most: the same at the bounds of the time.
    """

    step_s: np.ndarray
    exposed: np.ndarray
    least: np.ndarray
    most: np.ndarray
    causes: dict[str, np.ndarray]
    latency: np.ndarray
    latency_causes: dict[str, np.ndarray]
    energy: np.ndarray
    energy_least: np.ndarray
    energy_most: np.ndarray

    def cost(self, price: PriceList, watts: float) -> tuple[np.ndarray, ...]:
        """Share of the cost, and its bounds: of rent by time, of energy by energy.

        Args:
          price: rent of a chip, and what its energy costs on top; where that is inside
            the rent, the share is that of time.
          watts: of a chip that computes, cooling and the rest of the building included.
        """
        paid = price.energy_usd_per_kWh * watts / 1000.0
        part = paid / (price.usd_per_hour + paid)
        pairs = (
            (self.exposed, self.energy),
            (self.least, self.energy_least),
            (self.most, self.energy_most),
        )
        return tuple((1.0 - part) * time + part * energy for time, energy in pairs)


def communication_tax(
    platform: Platform,
    work: Workload,
    layout: Layout,
    habits: Habits,
    precision: str = "bf16",
) -> Tax:
    """Take a step apart into what computes and what waits.

    exposed = sum of the causes / step. The bounds come from the same step with all
    communication hidden as far as there is computation beside it, and with none: max(C,
    M) <= step <= C + M. Energy counts waiting (for communication, in the bubble, for
    the slowest) at ``WAITING_POWER`` of computing. Cost: ``Tax.cost``; what is rented
    has the share of time, for a waiting chip is rented all the same.

    Args:
      platform, habits: the machine; habits may have a leading axis of draws.
      work, layout: leaves of shape (n,), or plain numbers.
      precision: of the matrix products.
    """

    def shares(some: Habits) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Terms, and the exposed share of time and of energy."""
        terms = evaluate(platform, work, layout, some, precision)
        step = np.asarray(sum(terms.values()))
        time = np.asarray(sum(terms[c] for c in CAUSES)) / step
        idle = time + np.asarray(terms["bubble"] + terms["straggler"]) / step
        return terms, time, WAITING_POWER * time / (1.0 - (1.0 - WAITING_POWER) * idle)

    terms, exposed, energy = shares(habits)
    step_s = np.asarray(sum(terms.values()))
    all_hidden = dict.fromkeys(CAUSES, 1.0)
    _, least, energy_least = shares(dataclasses.replace(habits, hidden=all_hidden))
    none_hidden = dict.fromkeys(CAUSES, 0.0)
    _, most, energy_most = shares(dataclasses.replace(habits, hidden=none_hidden))
    cheap = {
        k: v * (0.0 if "latency" in k else 1.0) for k, v in habits.dearness.items()
    }
    wire = evaluate(
        platform, work, layout, dataclasses.replace(habits, dearness=cheap), precision
    )

    def share(seconds: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.asarray(seconds) / step_s, step_s.shape)

    bytes_only = np.asarray(sum(wire[c] for c in CAUSES)) / step_s
    return Tax(
        step_s=step_s,
        exposed=exposed,
        least=np.minimum(least, exposed),
        most=np.maximum(most, exposed),
        causes={name: share(terms[name]) for name in (*CAUSES, "bubble", "straggler")},
        latency=np.clip(exposed - bytes_only, 0.0, None),
        latency_causes={
            name: np.clip(share(terms[name] - wire[name]), 0.0, None) for name in CAUSES
        },
        energy=energy,
        energy_least=np.minimum(energy_least, energy),
        energy_most=np.maximum(energy_most, energy),
    )

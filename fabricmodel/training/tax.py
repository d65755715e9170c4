"""The communication tax: what of a step, of its energy and of its price is waiting."""

from __future__ import annotations

import dataclasses

import numpy as np

from fabricmodel.training.layout import Layout
from fabricmodel.training.platforms import Platform
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
      energy: share of the energy spent while waiting.
    """

    step_s: np.ndarray
    exposed: np.ndarray
    least: np.ndarray
    most: np.ndarray
    causes: dict[str, np.ndarray]
    latency: np.ndarray
    energy: np.ndarray


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
    M) <= step <= C + M. Energy counts waiting at ``WAITING_POWER`` of computing. The
    share of cost equals that of time: a waiting chip is rented all the same.

    Args:
      platform, habits: the machine; habits may have a leading axis of draws.
      work, layout: leaves of shape (n,), or plain numbers.
      precision: of the matrix products.
    """

    def shares(some: Habits) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        terms = evaluate(platform, work, layout, some, precision)
        step = np.asarray(sum(terms.values()))
        return terms, step, np.asarray(sum(terms[c] for c in CAUSES)) / step

    terms, step_s, exposed = shares(habits)
    all_hidden = dict.fromkeys(CAUSES, 1.0)
    least = shares(dataclasses.replace(habits, hidden=all_hidden))[2]
    most = shares(dataclasses.replace(habits, hidden=dict.fromkeys(CAUSES, 0.0)))[2]
    cheap = {
        k: v * (0.0 if "latency" in k else 1.0) for k, v in habits.dearness.items()
    }
    wire = evaluate(
        platform, work, layout, dataclasses.replace(habits, dearness=cheap), precision
    )
    bytes_only = np.asarray(sum(wire[c] for c in CAUSES)) / step_s
    waiting = exposed + np.asarray(terms["straggler"]) / step_s
    energy = WAITING_POWER * waiting / (1.0 - (1.0 - WAITING_POWER) * waiting)
    return Tax(
        step_s=step_s,
        exposed=exposed,
        least=np.minimum(least, exposed),
        most=np.maximum(most, exposed),
        causes={
            name: np.broadcast_to(np.asarray(terms[name]) / step_s, step_s.shape)
            for name in (*CAUSES, "bubble", "straggler")
        },
        latency=np.clip(exposed - bytes_only, 0.0, None),
        energy=energy,
    )

"""Heat: the clock that cooling allows, the hottest of N, and the energy of a token."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fabricmodel._pytree import pytree
from fabricmodel.timing.selection import slowest_of
from fabricmodel.training.numeric import Numeric


@pytree
class Cooling:
    """How a chip's heat leaves.

    Attributes:
      resistance_K_per_W: from the chip to what cools it.
      inlet_C: mean temperature of the air or the water that comes in.
      swing_C: amplitude of its daily wave.
      spread: standard deviation of the resistance between chips, as a share.
      limit_C: at which the clock is halved; width_C: over which it falls.
      fan_share: power of fans or pumps, as a share of the chip's.
      rack_kW: that a rack can carry away.
    """

    resistance_K_per_W: Numeric
    inlet_C: Numeric = 27.0
    swing_C: Numeric = 3.0
    spread: Numeric = 0.06
    limit_C: Numeric = 92.0
    width_C: Numeric = 1.7
    fan_share: Numeric = 0.15
    rack_kW: Numeric = 40.0


AIR = Cooling(resistance_K_per_W=0.054)
"""HGX H100 in air runs at 54 to 72 C under sustained load (arXiv 2507.16781): 36 K over
an inlet of 27 C at 700 W. Racks of about 40 kW."""

LEAST_AIR_K_PER_W = 0.036
"""Resistance of the largest heat sinks in air: nodes of B200 (1,000 W, 10 rack units)
show no loss against liquid in MLPerf v5.0 and v5.1 (0.1 to 0.6 %)."""


def designed(cooling: Cooling, power_W: float) -> Cooling:
    """Fit a heat sink to a chip: as cool at its rating as an H100 at 700 W.

    In air only down to ``LEAST_AIR_K_PER_W``; a cold plate follows the chip.

    >>> round(float(designed(AIR, 1000.0).resistance_K_per_W), 3)
    0.038
    """
    resistance = cooling.resistance_K_per_W * 700.0 / power_W
    if cooling.rack_kW <= AIR.rack_kW:
        resistance = max(float(np.asarray(resistance)), LEAST_AIR_K_PER_W)
    return dataclasses.replace(cooling, resistance_K_per_W=resistance)


LIQUID = Cooling(
    resistance_K_per_W=0.022, inlet_C=30.0, swing_C=1.5, spread=0.03, fan_share=0.03,
    rack_kW=130.0,
)  # fmt: skip
"""The same in liquid runs at 41 to 50 C (arXiv 2507.16781): 15 K over 30 C at 700 W.
Racks of 120 to 135 kW (GB200 NVL72)."""

IDLE = 0.25
"""Share of the power that does not follow the clock: leakage, memory, links."""


def power_at(power_W: Numeric, clock: Numeric) -> Numeric:
    """Power at a share of the full clock: voltage follows, so it goes as the cube.

    >>> round(power_at(1000.0, 0.8), 1)
    634.0
    """
    return power_W * (IDLE + (1.0 - IDLE) * clock**3)


def clock(cooling: Cooling, power_W: Numeric, inlet_C: Numeric, slow: Numeric) -> Array:
    """Share of the full clock at which heat made and heat carried away agree.

    f = sigmoid((T_limit - T) / w), T = T_in + R P(f): the steady state of
    C dT/dt = P(f) - (T - T_in) / R. Solved by bisection, differentiated through one
    Newton step at the solution.

    Args:
      cooling: its limit and resistance.
      power_W: at full clock.
      inlet_C: of this hour.
      slow: resistance of this chip against the typical one, a factor.

    >>> round(float(clock(AIR, 700.0, 27.0, 1.0)), 3)
    1.0
    >>> float(clock(AIR, 1400.0, 27.0, 1.0)) < 0.95
    True
    """
    resistance = cooling.resistance_K_per_W * slow

    def excess(share: Array) -> Array:
        hot = inlet_C + resistance * power_at(power_W, share)
        return share - jax.nn.sigmoid((cooling.limit_C - hot) / cooling.width_C)

    shape = jnp.broadcast_shapes(
        *(jnp.shape(each) for each in (resistance, power_W, inlet_C, cooling.limit_C))
    )

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        above = excess(middle) > 0.0
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    zeros = jnp.zeros(shape)
    low, high = jax.lax.fori_loop(0, 40, halve, (zeros, zeros + 1.0))
    found = jax.lax.stop_gradient(0.5 * (low + high))
    _, slope = jax.jvp(excess, (found,), (jnp.ones_like(found),))
    return found - excess(found) / jax.lax.stop_gradient(slope)


def temperature_C(cooling: Cooling, power_W: Numeric) -> Array:
    """Of a typical chip in the middle of the day.

    >>> [round(float(temperature_C(each, 700.0))) for each in (AIR, LIQUID)]
    [65, 45]
    """
    share = clock(cooling, power_W, cooling.inlet_C, 1.0)
    rise = cooling.resistance_K_per_W * power_at(power_W, share)
    return jnp.asarray(cooling.inlet_C + rise)


def pace(cooling: Cooling, power_W: Numeric, chips: Numeric, hours: int = 24) -> Array:
    """Clock of the hottest of N chips over a day, (..., hours): it sets the pace.

    The hottest has a resistance of 1 + spread x b_N times the typical one, b_N the
    expected largest of N standard normals.

    >>> day = pace(LIQUID, 1200.0, 16_384.0)
    >>> bool(day.min() > 0.99)
    True
    """
    hour = np.arange(hours) * 2.0 * np.pi / hours
    inlet = cooling.inlet_C + cooling.swing_C * np.sin(hour)
    slow = 1.0 + cooling.spread * slowest_of(jnp.asarray(chips, float))
    shaped = jax.tree.map(lambda leaf: jnp.asarray(leaf)[..., None], cooling)
    return clock(shaped, jnp.asarray(power_W, float)[..., None], inlet, slow[..., None])


def node_power_W(
    cooling: Cooling, chip_W: Numeric, chips: float = 8.0, host_W: float = 1500.0
) -> Numeric:
    """Power of a node: chips, fans or pumps, and a host of processors and adapters.

    >>> round(float(node_power_W(AIR, 0.76 * 700.0)))  # 7.2 kW measured in air
    6394
    """
    return chips * chip_W * (1.0 + cooling.fan_share) + host_W


def joules_per_token(
    cooling: Cooling,
    chip_W: Numeric,
    tokens_per_s: Numeric,
    chips: Numeric,
    *,
    pue: float = 1.15,
    node: float = 8.0,
) -> Numeric:
    """Energy of a trained token at the meter of the building.

    PUE x nodes x node power / tokens per second.

    >>> f"{joules_per_token(AIR, 532.0, 1e4 * 8, 8.0):.3f} J"
    '0.092 J'
    """
    nodes = chips / node
    return pue * nodes * node_power_W(cooling, chip_W, node) / tokens_per_s


def throttled(cooling: Cooling, derate: float, power_W: float = 700.0) -> Cooling:
    """Lower the limit so that a typical chip loses a share of its clock.

    For asking what a claimed throttle would mean, whatever its cause.

    >>> hot = throttled(AIR, 0.17)
    >>> round(float(clock(hot, 700.0, hot.inlet_C, 1.0)), 2)
    0.83
    """
    share = 1.0 - derate
    rise = cooling.resistance_K_per_W * power_at(power_W, share)
    limit = cooling.inlet_C + rise + cooling.width_C * np.log(share / derate)
    return dataclasses.replace(cooling, limit_C=limit)

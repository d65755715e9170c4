"""Level and Fabric: the prices. Counts meet them in ``fabricmodel.timing``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from chex import Numeric
from jax import Array

from fabricmodel._pytree import pytree, static

LINK_PRICES = (
    "round_s",
    "hop_s",
    "message_s",
    "jitter_s",
    "byte_s",
    "crowd_byte_s",
)
"""The learnable prices of a level; every one of them is at least zero."""


@pytree
class Level:
    """One dimension of a fabric: its shape and its prices.

    Attributes:
      name: what a person calls it (``x``, ``efa``).
      kind: ``ring``, ``line``, ``clique`` or ``switch``.
      family: whose algorithms run here: ``flat``, ``torus`` or ``neuronlink``.
        Neighbouring levels of one domain are spanned by one algorithm.
      domain: the name that such levels share.
      link: levels of one link class share their prices in a fit.
      in_node: whether it lies inside a node (an instance, a server).
      grows: whether a larger job just has more of it (the outermost level, or all
        sides of a torus); otherwise ``capacity`` is its limit.
      members: how many a job uses, at least 1.
      capacity: how many there are.
      uplinks: links out of one member for all the ranks inside it (adapters of a
        node); 0 where each rank has its own.
      radix: ports of the switches the level is built of; 0 where there is one hop.
      round_s: one dependent message: software and the first link.
      hop_s: each further link, or switch tier, on its way.
      message_s: each further message that a rank posts in the same round.
      jitter_s: standard deviation of a round over the ranks that take part in it.
      byte_s: a byte over one link in one direction, the inverse of its bandwidth.
      crowd_byte_s: what a byte costs on top for each doubling of the members that
        share the level.
    """

    name: str = static()
    kind: str = static()
    family: str = static(default="flat")
    domain: str = static(default="")
    link: str = static(default="")
    in_node: bool = static(default=False)
    grows: bool = static(default=False)
    members: Numeric = 1.0
    capacity: Numeric = 1.0
    uplinks: Numeric = 0.0
    radix: Numeric = 0.0
    round_s: Numeric = 0.0
    hop_s: Numeric = 0.0
    message_s: Numeric = 0.0
    jitter_s: Numeric = 0.0
    byte_s: Numeric = 0.0
    crowd_byte_s: Numeric = 0.0

    @property
    def bandwidth_Bps(self) -> Numeric:
        """Bytes per second of one link in one direction."""
        return 1.0 / self.byte_s


@pytree
class Factors:
    """How much dearer than its counts an algorithm is, as one vector.

    Attributes:
      names: ``DOMAIN.ALGORITHM.latency`` or ``.transfer``, shared by the collectives,
        or the same with ``COLLECTIVE.`` before it for what one of them adds.
      values: (n,) factors; 1 means that the counts say it all.
    """

    names: tuple[str, ...] = static(default=())
    values: tuple[float, ...] | np.ndarray | Array = ()


@pytree
class Fabric:
    """Levels, innermost first, and the prices that belong to no level.

    Attributes:
      name: the catalogue name.
      strategies: how collectives cross several domains: ``staged`` (each domain in
        turn, on its share of the data), ``flat_ring`` and ``flat_tree`` (one ring, or
        one pair of trees, through every rank). Any other name of the registry adds
        that algorithm to the choice (``nvls`` where the switches reduce).
      levels: the dimensions.
      launch_s: once per call, by collective.
      reduce_byte_s: a byte reduced.
      memory_round_s, memory_byte_s: a step and a byte of the memory stream of one
        channel.
      factors: how much dearer than its counts each algorithm is; none is 1.
      spread: log standard deviation of the catalogue's belief in each price, by the
        names of ``prices``.
    """

    name: str = static()
    strategies: tuple[str, ...] = static(default=("staged",))
    levels: tuple[Level, ...]
    launch_s: Mapping[str, Numeric] = dataclasses.field(default_factory=dict)
    reduce_byte_s: Numeric = 0.0
    memory_round_s: Numeric = 0.0
    memory_byte_s: Numeric = 0.0
    factors: Factors = dataclasses.field(default_factory=Factors)
    spread: Mapping[str, Numeric] = dataclasses.field(default_factory=dict)

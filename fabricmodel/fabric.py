"""Level and Fabric: the prices. Counts meet them in ``fabricmodel.timing``."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

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

ENGINE_PRICES = ("reduce_byte_s", "copy_byte_s", "memory_round_s", "memory_byte_s")
"""Those of the fabric itself, beside its launches."""


FACTOR_KINDS = ("latency", "transfer", "choice")
"""What a factor multiplies: an algorithm's or a protocol's latency, its bytes, or what
its library takes it to cost."""

RULE_KIND = "above_bytes"
"""Of a factor that is a size: from there on its library takes that algorithm alone."""


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
      grows: whether a larger job just has more of it (the outermost level, all sides
        of a torus, the groups of a dragonfly); otherwise ``capacity`` is its limit.
      sides: of a growing level, the sizes that a job may have of it (a slice of a
        TPU pod: 1, 2, 4, 8, 16); any up to ``limit`` where there are none.
      wrap: of a growing ring, the number whose multiples close on themselves, others
        being lines (16 for a TPU v5e); 0 where all do.
      cube: whether every side of the torus has to be such a multiple (TPU v4).
      twist: whether a torus of sides k and 2k is twisted (TPU v4), its sides closed.
      members: how many a job uses, at least 1.
      capacity: how many there are.
      limit: the most that a growing level may have, at which it is full; 0 where it
        grows without end.
      uplinks: links out of one member for all the ranks inside it (adapters of a
        node); 0 where each rank has its own.
      radix: ports of the switches the level is built of; 0 where there is one hop.
      rails: 1 where the first tier joins the ranks of the same place in their nodes
        (rail-optimised), 0 where it joins whole nodes.
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
    sides: tuple[int, ...] = static(default=())
    wrap: int = static(default=0)
    cube: bool = static(default=False)
    twist: bool = static(default=False)
    members: Numeric = 1.0
    capacity: Numeric = 1.0
    limit: Numeric = 0.0
    uplinks: Numeric = 0.0
    radix: Numeric = 0.0
    rails: Numeric = 0.0
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

    @property
    def tiers(self) -> int:
        """Tiers of switches that join the members, in a folded Clos; 0 if unknown.

        t tiers of k ports reach 2 (k/2)^t ends; on rails the first joins k/2 members.

        >>> net = Level(name="net", kind="switch", members=1000.0, radix=64.0)
        >>> net.tiers, dataclasses.replace(net, members=50.0).tiers
        (2, 1)
        """
        half = float(self.radix) / 2.0
        if half <= 1:
            return 0
        if float(self.rails) and float(self.members) <= half:
            return 1
        ends = float(self.members) * max(float(self.uplinks), 1.0)
        return max(math.ceil(math.log(max(ends / 2.0, 1.0), half) - 1e-5), 1)

    def words(self) -> tuple[str, ...]:
        """Describe the level in a line: shape, links, bandwidth of each, latency.

        >>> Level(name="efa", kind="switch", grows=True, members=8.0, uplinks=16.0,
        ...       radix=64.0, round_s=15e-6, byte_s=5e-11).words()[1:4]
        ('switch of 8', '16 links a unit', '20 GB/s')
        """
        members, capacity = _say(self.members), _say(self.capacity)
        shape = f"{self.kind} of {members}"
        if not self.grows and capacity != members:
            shape += f" in {capacity}"
        if _say(self.limit) == members:
            shape += ", full"
        links = f"{_say(self.uplinks)} links a unit"
        if _say(self.uplinks) in ("0", "1"):
            links = "1 link a rank" if _say(self.uplinks) == "0" else "1 link a unit"
        latency = [f"{_say(self.round_s, lambda x: 1e6 * x)} us a round"]
        if _is_number(self.radix, self.members, self.uplinks, self.rails):
            if self.tiers:
                many = "tier" if self.tiers == 1 else "tiers"
                latency.append(f"{self.tiers} {many} of {_say(self.radix)} ports")
            if float(self.rails):
                latency.append("rails")
        bandwidth = f"{_say(self.byte_s, lambda x: 1e-9 / x)} GB/s"
        return self.name, shape, links, bandwidth, ", ".join(latency)


@pytree
class Factors:
    """How much dearer than its counts an algorithm or a protocol is, as one vector.

    Attributes:
      names: ``DOMAIN.ALGORITHM.latency``, ``.transfer`` or ``.choice`` (how much dearer
        the library takes it to be when it chooses), shared by the collectives, or the
        same with ``COLLECTIVE.`` before it for what one of them adds; or
        ``protocol.PROTOCOL.`` and one of the three. An algorithm that spans every
        level is of the domain ``flat``; with another one, or for a protocol, the
        factor is that of its latency or transfer on the levels of that domain alone.
        ``DOMAIN.ALGORITHM.above_bytes`` is a size (``timing.rules``).
      values: (n,) factors; 1 means that the counts say it all.
    """

    names: tuple[str, ...] = static(default=())
    values: tuple[float, ...] | np.ndarray | Array = ()


def is_factor(name: str) -> bool:
    """Whether a price's name is that of a factor.

    >>> is_factor("neuronlink.mesh.latency"), is_factor("efa.round_s")
    (True, False)
    """
    return name.rsplit(".", 1)[-1] in (*FACTOR_KINDS, RULE_KIND)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KnownSwitch:
    """A size at which a library is documented to change its algorithm.

    Attributes:
      domain, collective: of the choice.
      below, above: the algorithms on either side.
      size_bytes: of the full vector, on the whole fabric.
      spread: log standard deviation of the belief in it.
    """

    domain: str
    collective: str
    below: str
    above: str
    size_bytes: float
    spread: float


@pytree
class Fabric:
    """Levels, innermost first, and the prices that belong to no level.

    Attributes:
      name: the catalogue name.
      strategies: how collectives cross several domains: ``staged`` (each domain in
        turn, on its share of the data), ``flat_ring``, ``flat_tree`` and
        ``flat_direct`` (one ring, one pair of trees, or all to all, over every rank).
        Any other name of the registry adds that algorithm to the choice (``sharp``
        where the switches reduce), or in one domain alone (``nvlink.nvls``).
      algorithms: those that its library has inside a domain, as
        ``COLLECTIVE.ALGORITHM``; of a collective for which it names none, the automatic
        ones of each family.
      protocols: ways to send a message, each a candidate beside the others: ``ll``,
        ``ll128``, ``simple``; ``eager``, ``rendezvous``. Their factors say what they
        cost.
      switches: where its library is documented to change its algorithm; a fit takes
        them for evidence on the library's estimates.
      levels: the dimensions.
      launch_s: once per call, by collective.
      reduce_byte_s: a byte reduced.
      copy_byte_s: a byte that a rank copies from its own input to its own output.
      memory_round_s, memory_byte_s: a step and a byte of the memory stream of one
        channel.
      factors: how much dearer than its counts each algorithm is; none is 1.
      spread: log standard deviation of the catalogue's belief in each price, by the
        names of ``prices``.
    """

    name: str = static()
    strategies: tuple[str, ...] = static(default=("staged",))
    algorithms: tuple[str, ...] = static(default=())
    protocols: tuple[str, ...] = static(default=("",))
    switches: tuple[KnownSwitch, ...] = static(default=())
    levels: tuple[Level, ...]
    launch_s: Mapping[str, Numeric] = dataclasses.field(default_factory=dict)
    reduce_byte_s: Numeric = 0.0
    copy_byte_s: Numeric = 0.0
    memory_round_s: Numeric = 0.0
    memory_byte_s: Numeric = 0.0
    factors: Factors = dataclasses.field(default_factory=Factors)
    spread: Mapping[str, Numeric] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        """Lay out the levels, innermost first; bandwidths of one link, one direction.

        >>> net = Level(name="net", kind="switch", members=8.0, capacity=8.0,
        ...             round_s=2e-6, byte_s=2e-11)
        >>> Fabric(name="eight hosts", levels=(net,))
        Fabric 'eight hosts': 8 ranks, staged
          net  switch of 8  1 link a rank  50 GB/s  2 us a round
        """
        rows = [level.words() for level in self.levels]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        sides = [level.members for level in self.levels]
        shape = " x ".join(map(_say, sides))
        if _is_number(*sides):
            ranks = f"{math.prod(map(float, sides)):,.0f} ranks"
            shape = f"{shape} = {ranks}" if len(sides) > 1 else ranks
        head = f"Fabric {self.name!r}: {shape}, {', '.join(self.strategies)}"
        return "\n".join([head, *lines])


def _is_number(*leaves: Any) -> bool:
    """Whether all are plain numbers: no arrays, no tracers."""
    return all(isinstance(leaf, (int, float, np.floating)) for leaf in leaves)


def _say(leaf: Any, change: Callable[[float], float] = float) -> str:
    """Write a number as people do; of an array or a tracer its shape."""
    if not _is_number(leaf):
        shape = getattr(leaf, "shape", None)
        return "?" if shape is None else f"array{list(shape)}"
    if not leaf:
        return "0" if change is float else "-"
    number = change(float(leaf))
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"

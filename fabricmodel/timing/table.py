"""Counts of every candidate as one table, so that one small program prices them all.

The table depends on the shape of a fabric and on no price and no size: bytes are
counted for a vector of one byte, since every algorithm moves them in proportion.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import jax
import numpy as np
from chex import Numeric
from jax import Array

from fabricmodel._pytree import pytree, static
from fabricmodel.algorithms import arrays as xp
from fabricmodel.algorithms.counts import (
    Dim,
    LevelCounts,
    Phases,
    active,
    product,
)
from fabricmodel.algorithms.hierarchical import stage_sizes
from fabricmodel.algorithms.registry import (
    SPANNING,
    algorithms,
    reduces_in_network,
)
from fabricmodel.algorithms.tpu import twisted
from fabricmodel.fabric import Fabric, Level
from fabricmodel.timing.bounds import BoundCounts, bound_counts

Runs = Mapping[tuple[str, str], Numeric]
_ALL_SEND = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")
_OWN_SHARE = (*_ALL_SEND, "gather", "scatter")
_LEVEL_FIELDS = tuple(field.name for field in dataclasses.fields(LevelCounts))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One algorithm where it could run: what it is, and which phases are its own.

    Attributes:
      stage: the choice it belongs to: (domain, collective), the domain ``flat`` for
        an algorithm that spans them all.
      algorithm: its name in the registry.
      phases: its rows of the table.
      automatic: whether the fabric's library chooses it by itself.
      protocols: those that it can be sent in; all of them where it names none.
    """

    stage: tuple[str, str]
    algorithm: str
    phases: tuple[int, ...]
    automatic: bool = True
    protocols: tuple[str, ...] = ()


@pytree
class CountTable:
    """Counts of all the phases of all the candidates of one collective.

    Shapes: P phases, L levels of the fabric, C candidates, A alternatives (ways to
    put stages together), S stages.

    Attributes:
      levels: (P, L, 5) rounds, hops, messages, joins, bytes (for one byte of vector).
      sides: (P, 3) bytes reduced, memory rounds, memory bytes.
      valid: (C,) 1 where the candidate exists for this shape.
      stages: (A, S) how often an alternative runs a stage.
      allowed: (A,) 1 where the alternative makes sense for this shape.
      copied: () bytes that a rank moves of its own share, whatever the algorithm.
      bounds: what no candidate can avoid.
      flows: of each phase.
      candidates: what they are.
    """

    levels: Array
    sides: Array
    valid: Array
    stages: Array
    allowed: Array
    copied: Array
    bounds: BoundCounts
    flows: tuple[str, ...] = static()
    candidates: tuple[Candidate, ...] = static()

    @property
    def stage_names(self) -> tuple[tuple[str, str], ...]:
        """The choices, in the order of the columns of ``stages``."""
        return tuple(dict.fromkeys(c.stage for c in self.candidates))


def domains(levels: Sequence[Level]) -> list[list[int]]:
    """Group neighbouring levels that one algorithm spans, innermost first."""
    named = groupby(
        range(len(levels)), key=lambda at: levels[at].domain or levels[at].name
    )
    return [list(group) for _, group in named]


def topology(levels: Sequence[Level], *, all_send: bool = True) -> list[Dim]:
    """Describe the shape of the levels, without their prices, to an algorithm.

    A unit whose p ranks leave it through u shared links has p / u ranks on each; a
    job that uses few of its ranks can't use more links than those ranks drive. The
    unit of a torus is one chip, on all of its sides. Where not all send, one rank of a
    unit speaks for it, and has the links that it drives to itself. A torus that may be
    twisted is, where its sides allow it.

    >>> node = Level(name="node", kind="clique", members=32.0, capacity=32.0)
    >>> nic = Level(name="efa", kind="switch", members=4.0, capacity=8.0, uplinks=8.0)
    >>> float(topology([node, nic])[1].ranks_per_link)
    4.0
    """
    dims, inside, full = [], xp.ones(()), xp.ones(())
    unit, unit_full, domain = inside, full, None
    for level in levels:
        if domain is None or (level.domain or level.name) != domain:
            domain, unit, unit_full = level.domain or level.name, inside, full
        own = xp.asarray(level.uplinks)
        senders = unit if all_send else xp.ones(())
        driven = xp.minimum(own, senders * xp.maximum(own / unit_full, 1.0))
        sharing = xp.where(own > 0, senders / xp.where(own > 0, driven, 1.0), 1.0)
        dims.append(
            Dim(
                kind=level.kind,
                members=level.members,
                capacity=level.capacity,
                ranks_per_link=sharing,
                ranks_inside=inside,
            )
        )
        inside, full = inside * level.members, full * level.capacity
    for group in domains(levels):
        if all(levels[at].twist for at in group):
            for at, dim in zip(group, twisted([dims[i] for i in group]), strict=True):
                dims[at] = dim
    return dims


def count_table(
    fabric: Fabric, collective: str, named: Iterable[str] = ()
) -> CountTable:
    """Count every way that a fabric's library has to run a collective.

    The automatic algorithms of its levels' families, or those of them that its library
    has where the fabric says so (``algorithms``), those that its ``strategies``
    name, and those in ``named``; ``timing.forcing`` chooses among the last.

    An all_reduce has one staged alternative for each domain that could be its turning
    point (the outermost one in use): reduce_scatter inside it, all_gather on the way
    back. Others are a whole reduce_scatter and a whole all_gather, each of them
    staged or flat, so that it never costs more than those.
    """
    builder = _Builder(fabric, frozenset(named))
    spanning = SPANNING.get(collective, {})
    for strategy in spanning:
        if strategy in builder.names:
            builder.flat(strategy, collective)
    if "staged" in fabric.strategies or not builder.alternatives:
        builder.staged(collective)
    return builder.table(collective)


class _Builder:
    """Collects phases, candidates and alternatives."""

    def __init__(self, fabric: Fabric, named: frozenset[str]) -> None:
        self.fabric = fabric
        self.names = named | set(fabric.strategies)
        self.dims = topology(fabric.levels)
        self.groups = domains(fabric.levels)
        self.found: dict[tuple[str, str], dict[str, Phases]] = {}
        self.alternatives: list[tuple[Runs, Numeric]] = []
        self.where: dict[tuple[str, str], list[int]] = {}
        self.automatic: set[tuple[tuple[str, str], str]] = set()
        self.protocols: dict[tuple[tuple[str, str], str], tuple[str, ...]] = {}

    def flat(self, strategy: str, collective: str) -> None:
        stage = ("flat", collective)
        known = any(stage in runs for runs, _ in self.alternatives)
        self._flat_stage(strategy, collective)
        if not known:
            self.alternatives.append(({stage: 1.0}, 1.0))

    def _flat_stage(self, strategy: str, collective: str) -> None:
        """Count an algorithm that spans every level."""
        stage = ("flat", collective)
        algorithm = SPANNING[collective][strategy]
        phases = algorithm.count(self.dims, 1.0)
        self.found.setdefault(stage, {})[strategy] = phases
        self.protocols[stage, strategy] = algorithm.protocols
        self.where[stage] = list(range(len(self.dims)))
        if strategy in self.fabric.strategies:
            self.automatic.add((stage, strategy))

    def staged(self, collective: str) -> None:
        used = [
            xp.where(sum(active(self.dims[i]) for i in group) > 0, 1.0, 0.0)
            for group in self.groups
        ]
        everywhere = range(len(self.groups))
        if collective != "all_reduce":
            runs = {self._stage(at, collective): used[at] for at in everywhere}
            self.alternatives.append((runs, 1.0))
            return
        for turn in everywhere:
            outside = sum((used[at] for at in everywhere[turn + 1 :]), xp.zeros(()))
            runs = {self._stage(turn, "all_reduce"): used[turn]}
            for at in everywhere[:turn]:
                for kind in ("reduce_scatter", "all_gather"):
                    runs[self._stage(at, kind)] = used[at]
            self.alternatives.append((runs, xp.where(outside > 0, 0.0, 1.0)))
        halves = {
            kind: [{self._stage(at, kind): used[at] for at in everywhere}]
            for kind in ("reduce_scatter", "all_gather")
        }
        for kind, ways in halves.items():
            if "flat_ring" in self.fabric.strategies:
                self._flat_stage("flat_ring", kind)
                ways.append({("flat", kind): xp.ones(())})
        for scatter in halves["reduce_scatter"]:
            for gather in halves["all_gather"]:
                self.alternatives.append(({**scatter, **gather}, 1.0))

    def _stage(self, at: int, collective: str) -> tuple[str, str]:
        group = self.groups[at]
        first = self.fabric.levels[group[0]]
        stage = (first.domain or first.name, collective)
        if stage not in self.found:
            dims = topology(self.fabric.levels, all_send=collective in _ALL_SEND)
            grouped = [[dims[i] for i in ids] for ids in self.groups]
            size = stage_sizes(collective, grouped, 1.0)[at]
            self.where[stage] = group
            self.found[stage] = {}
            known = algorithms(first.family, collective)
            library = {
                name
                for name in known
                if f"{collective}.{name}" in self.fabric.algorithms
            }
            for name, algorithm in known.items():
                added = {name, f"{stage[0]}.{name}"} & set(self.fabric.strategies)
                usual = name in library if library else algorithm.automatic
                chosen = usual or bool(added)
                if chosen or name in self.names:
                    self.found[stage][name] = algorithm.count(grouped[at], size)
                    self.protocols[stage, name] = algorithm.protocols
                if chosen:
                    self.automatic.add((stage, name))
        return stage

    def table(self, collective: str) -> CountTable:
        levels, sides, flows, valid, candidates = [], [], [], [], []
        depth = len(self.dims)
        for stage, named in self.found.items():
            for name, phases in named.items():
                rows = []
                for phase in phases:
                    rows.append(len(flows))
                    flows.append(phase.flow)
                    row = [LevelCounts()] * depth
                    for at, counts in zip(self.where[stage], phase.levels, strict=True):
                        row[at] = counts
                    levels.append([_fields(counts) for counts in row])
                    sides.append(
                        [phase.reduced_bytes, phase.memory_rounds, phase.memory_bytes]
                    )
                valid.append(xp.least([phase.valid for phase in phases]))
                known = self.protocols[stage, name]
                candidates.append(
                    Candidate(
                        stage=stage,
                        algorithm=name,
                        phases=tuple(rows),
                        automatic=(stage, name) in self.automatic,
                        protocols=tuple(x for x in self.fabric.protocols if x in known),
                    )
                )
        stages = [
            [runs.get(stage, 0.0) for stage in self.found]
            for runs, _ in self.alternatives
        ]
        table = CountTable(
            levels=_stack(levels),
            sides=_stack(sides),
            valid=_stack(valid),
            stages=_stack(stages),
            allowed=_stack([allowed for _, allowed in self.alternatives]),
            copied=xp.asarray(
                1.0 / product(self.dims) if collective in _OWN_SHARE else 0.0
            ),
            bounds=bound_counts(
                self.fabric.levels,
                self.dims,
                collective,
                in_network=reduces_in_network(self.names),
            ),
            flows=tuple(flows),
            candidates=tuple(candidates),
        )
        if all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(table)):
            return table
        # Keeps XLA from recomputing the scalar counts inside every consumer.
        return jax.lax.optimization_barrier(table)


def _fields(counts: LevelCounts) -> list[Numeric]:
    return [getattr(counts, name) for name in _LEVEL_FIELDS]


def _stack(rows: list) -> Array:
    """Stack nested lists of scalars, of which most are plain numbers."""
    shape, flat = [len(rows)], rows
    while isinstance(flat[0], list):
        shape.append(len(flat[0]))
        flat = [part for row in flat for part in row]
    return xp.stack(flat).reshape(shape)

"""Where a communicator's members sit: its share of every level of a fabric."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from fabricmodel._pytree import pytree
from fabricmodel.algorithms import arrays as xp
from fabricmodel.fabric import Fabric, Level
from fabricmodel.training.numeric import Numeric

Array = np.ndarray


@pytree
class Group:
    """Communicators of one size and stride, all of them active at once.

    Attributes:
      members: (..., L) how many units of each level one of them spans.
      uplinks: (..., L) links that one of them may use out of a unit: its share, where
        others of the same kind leave the unit too.
      crossing: (..., L) of them that share each link of a ring or line.
    """

    members: Array
    uplinks: Array
    crossing: Array


def capacities(levels: Sequence[Level], ranks: Numeric) -> Array:
    """Members that a job of so many ranks has of each level, innermost first, (..., L).

    Inner levels fill up first, the sides of a torus as near to each other as whole
    numbers allow; the outermost level (or torus) takes what is left, however much.
    """
    rest = np.asarray(ranks, float)
    domain = [level.domain or level.name for level in levels]
    found: list[Array] = []
    for at, level in enumerate(levels):
        last, limit = domain[at] == domain[-1], float(np.asarray(level.capacity))
        left = sum(
            other.grows and domain[k] == domain[at]
            for k, other in enumerate(levels)
            if k >= at
        )
        if at == len(levels) - 1 and level.grows:
            here = rest
        elif level.grows and last:
            here = np.ceil(rest ** (1.0 / left) - 1e-6)
        elif level.grows:
            sides = [
                float(np.asarray(other.capacity))
                for k, other in enumerate(levels)
                if k >= at and domain[k] == domain[at]
            ]
            inside = np.minimum(rest, np.prod(sides))
            here = np.clip(np.ceil(inside ** (1.0 / left) - 1e-6), 1.0, limit)
        else:
            here = np.clip(np.floor(rest), 1.0, limit)
        found.append(np.maximum(here, 1.0))
        rest = np.maximum(rest / np.maximum(here, 1.0), 1.0)
    return np.stack(found, axis=-1)


def group(fabric: Fabric, ranks: Numeric, stride: Numeric, size: Numeric) -> Group:
    """Find the part of a fabric that a communicator spans.

    Its members are ``stride`` ranks apart. Inner levels hold the stride first and
    then as many members as fit; the rest go outwards. Numbers that do not divide are
    rounded in favour of whole members inside.

    Args:
      fabric: whose capacities are the limits.
      ranks: of the whole job.
      stride, size: of the communicators; they broadcast with ``ranks``.

    >>> node = Level(name="node", kind="switch", capacity=8.0, in_node=True)
    >>> net = Level(name="net", kind="switch", grows=True, uplinks=8.0)
    >>> found = group(Fabric(name="", levels=(node, net)), 64.0, stride=2.0, size=16.0)
    >>> found.members.tolist(), found.uplinks.tolist()
    ([4.0, 4.0], [0.0, 4.0])
    """
    shape = np.broadcast_shapes(np.shape(ranks), np.shape(stride), np.shape(size))
    held = np.broadcast_to(
        capacities(fabric.levels, ranks), (*shape, len(fabric.levels))
    )
    skip = np.broadcast_to(np.asarray(stride, float), shape)
    rest = np.broadcast_to(np.asarray(size, float), shape)
    inside, job_inside = np.ones(shape), np.ones(shape)
    members, uplinks, crossing = [], [], []
    for at, level in enumerate(fabric.levels):
        room = held[..., at]
        last = at == len(fabric.levels) - 1
        fit = np.floor(np.maximum(room / skip, 1.0) + 1e-9)
        here = rest if last else np.minimum(fit, rest)
        own = float(np.asarray(level.uplinks))
        uplinks.append(np.full(shape, own) * np.minimum(inside / job_inside, 1.0))
        line = level.kind in ("ring", "line")
        crossing.append(np.where(here > 1, np.minimum(skip, room), 1.0) if line
                        else np.ones(shape))  # fmt: skip
        members.append(here)
        inside, job_inside = inside * here, job_inside * room
        skip = np.maximum(skip / room, 1.0)
        rest = np.maximum(rest / here, 1.0)
    return Group(
        members=np.stack(members, axis=-1),
        uplinks=np.stack(uplinks, axis=-1),
        crossing=np.stack(crossing, axis=-1),
    )


def spanned(fabric: Fabric, place: Group) -> Fabric:
    """Give a fabric the members, links and sharing of one communicator, (L,) each."""
    levels = tuple(
        dataclasses.replace(
            level,
            members=place.members[at],
            capacity=xp.maximum(place.members[at], level.capacity),
            uplinks=place.uplinks[at],
            byte_s=level.byte_s * place.crossing[at],
        )
        for at, level in enumerate(fabric.levels)
    )
    return dataclasses.replace(fabric, levels=levels)

"""What is left of a choice where a library is told which algorithm to run."""

from __future__ import annotations

import dataclasses

from fabricmodel.algorithms import arrays as xp
from fabricmodel.timing.table import CountTable


def force(table: CountTable, algorithm: str = "") -> CountTable:
    """Keep an algorithm alone wherever it exists; for "", the fabric's own choice.

    Stages that lack the algorithm, or whose shape does not admit it, keep the automatic
    candidates, as a library that falls back does. Of the ways to put stages together
    those remain that run the algorithm at all, if any does. An algorithm that spans
    every level (``flat_ring`` for ``ring``) goes before its staged namesake.

    >>> from fabricmodel.fabric import Fabric, Level
    >>> from fabricmodel.timing.table import count_table
    >>> net = Level(name="net", kind="switch", members=8.0, capacity=8.0)
    >>> table = count_table(Fabric(name="", levels=(net,)), "all_gather")
    >>> [c.algorithm for c in table.candidates]
    ['ring', 'recursive_doubling', 'bruck', 'direct']
    >>> force(table, "bruck").valid.tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    candidates = table.candidates
    spanning = [
        c.stage[0] == "flat" and c.algorithm in (algorithm, f"flat_{algorithm}")
        for c in candidates
    ]
    namesakes = spanning if any(spanning) else [
        c.algorithm == algorithm for c in candidates
    ]  # fmt: skip
    has = {stage: xp.zeros(()) for stage in table.stage_names}
    for i, c in enumerate(candidates):
        if namesakes[i]:
            has[c.stage] = xp.maximum(has[c.stage], table.valid[i])
    valid = [
        table.valid[i]
        * xp.where(has[c.stage] > 0, float(namesakes[i]), float(c.automatic))
        for i, c in enumerate(candidates)
    ]
    ways = []
    for row in range(table.stages.shape[0]):
        runs = xp.zeros(())
        for column, stage in enumerate(table.stage_names):
            runs = xp.maximum(runs, table.stages[row, column] * has[stage])
        ways.append(table.allowed[row] * runs)
    some = sum(ways) > 0
    allowed = [
        xp.where(some, xp.where(way > 0, 1.0, 0.0), table.allowed[row])
        for row, way in enumerate(ways)
    ]
    return dataclasses.replace(table, valid=xp.stack(valid), allowed=xp.stack(allowed))

"""From the best choice on a grid of sizes to rules with ranges."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from fabricmodel.tuning.rules import LARGEST, Rule


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """What was found best for one size on one set of ranks; "" to leave it alone."""

    collective: str
    ranks: int
    nodes: int
    size_bytes: float
    algorithm: str
    protocol: str = "simple"


def merge_rules(cells: Sequence[Cell]) -> list[Rule]:
    """Merge neighbouring sizes of one choice; a change stands at the geometric mean.

    The first range of each number of ranks begins at 0, the last has no end. Ranges
    that are left alone get no rule.

    >>> cells = [Cell(collective="all_reduce", ranks=8, nodes=1, size_bytes=size,
    ...               algorithm=name)
    ...          for size, name in ((1e3, "tree"), (4e3, "tree"), (1.6e4, "ring"))]
    >>> [(rule.min_bytes, rule.max_bytes, rule.algorithm)
    ...  for rule in merge_rules(cells)]
    [(0, 7999, 'tree'), (8000, 18446744073709551615, 'ring')]
    """
    rules: list[Rule] = []
    groups = dict.fromkeys((c.collective, c.ranks, c.nodes) for c in cells)
    for group in groups:
        mine = sorted(
            (c for c in cells if (c.collective, c.ranks, c.nodes) == group),
            key=lambda c: c.size_bytes,
        )
        start = 0
        for index, cell in enumerate(mine):
            following = mine[index + 1] if index + 1 < len(mine) else None
            if following and _same(cell, following):
                continue
            border = LARGEST + 1
            if following:
                border = round(math.sqrt(cell.size_bytes * following.size_bytes))
            rule = Rule(
                collective=cell.collective,
                min_bytes=start,
                max_bytes=border - 1,
                algorithm=cell.algorithm,
                protocol=cell.protocol,
                nodes=cell.nodes,
                ranks=cell.ranks,
            )
            rules += [rule] if rule.algorithm else []
            start = border
    return rules


def _same(one: Cell, other: Cell) -> bool:
    return (one.algorithm, one.protocol) == (other.algorithm, other.protocol)

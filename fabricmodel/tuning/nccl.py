"""A fitted model's choices for NCCL, as rules of its tuner plugin."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from fabricmodel.baselines.nccl import Communicator, nccl_choice, nccl_seconds
from fabricmodel.errors import FabricError
from fabricmodel.fitting.model import FittedModel
from fabricmodel.placement import place
from fabricmodel.timing.table import count_table
from fabricmodel.tuning.choice import Cell, merge_rules
from fabricmodel.tuning.rules import LIBRARY_NAMES, Rule

SIZES = 2.0 ** np.arange(6, 35)
"""64 bytes to 16 GiB, an octave apart."""
# What the counts call NCCL's algorithms: over all levels, or on a single one.
_COUNTED = {
    "ring": ("flat_ring", "ring"),
    "tree": ("flat_tree", "double_tree"),
    "nvls": ("nvls",),
    "nvls_tree": ("nvls_tree",),
    "pat": ("flat_pat", "pat"),
}
_BASELINE = {"ring": "Ring", "tree": "Tree", "nvls": "NVLS", "nvls_tree": "NVLSTree"}
_BASELINE |= {"pat": "PAT"}


def candidates(model: FittedModel, collective: str, ranks: int) -> dict[str, str]:
    """NCCL's algorithms that the fabric is said to run: NCCL's name to the counts'.

    One that it isn't said to run has prices that nobody believed in.
    """
    shape = place(model.fabric, float(ranks))
    with np.errstate(divide="ignore", invalid="ignore"):
        table = count_table(shape, collective)
    valid = np.asarray(table.valid)
    there = {
        candidate.algorithm
        for candidate, admitted in zip(table.candidates, valid, strict=True)
        if admitted > 0 and candidate.automatic
    }
    used = sum(float(level.members) > 1 for level in shape.levels)
    found = {}
    for name, counted in _COUNTED.items():
        if name == "nvls" and used > 1:
            continue  # across nodes it needs a network that reduces
        first = next((each for each in counted if each in there), None)
        if first:
            found[name] = first
    return found


def nccl_rules(
    model: FittedModel,
    collectives: Sequence[str],
    communicators: Sequence[Communicator],
    sizes: np.ndarray = SIZES,
    algorithms: Collection[str] = (),
) -> list[Rule]:
    """Export what the model finds best, for each collective and communicator.

    The algorithm is the model's; the protocol, which the model doesn't know, is that
    of NCCL's own tuning model for this algorithm. Channels are left to NCCL; and all is
    left to NCCL at sizes where it would run what the model can't price.

    Args:
      model: fitted, or from the catalogue.
      collectives: of ``LIBRARY_NAMES``.
      communicators: the ranks and nodes to write rules for.
      sizes: bytes, where to compare; between them a rule changes at the mean.
      algorithms: to choose among, in NCCL's words; all that the model prices if empty.

    Raises:
      FabricError: for a collective that NCCL doesn't tune, or ranks that don't fit.
    """
    cells: list[Cell] = []
    for collective in collectives:
        if collective not in LIBRARY_NAMES:
            raise FabricError(
                "collectives", f"{collective!r}", f"Use {', '.join(LIBRARY_NAMES)}"
            )
        for one in communicators:
            cells += _cells(model, collective, one, sizes, algorithms)
    return merge_rules(cells)


def _cells(
    model: FittedModel,
    collective: str,
    one: Communicator,
    sizes: np.ndarray,
    algorithms: Collection[str],
) -> list[Cell]:
    ranks, nodes = int(one.ranks), int(one.nodes)
    vendor = nccl_seconds(one, collective, sizes)
    enabled = {algorithm for algorithm, _ in vendor}
    times = {
        name: model.predict(collective, sizes, float(ranks), algorithm=counted).median_s
        for name, counted in candidates(model, collective, ranks).items()
        if _BASELINE[name] in enabled and (not algorithms or name in algorithms)
    }
    if not times:
        return []
    default = np.asarray(nccl_choice(one, collective, sizes)["algorithm"])
    names = list(times)
    best = np.argmin(np.stack([times[name] for name in names]), axis=0)
    cells = []
    for index, size in enumerate(sizes):
        name = names[int(best[index])]
        if default[index] not in {_BASELINE[each] for each in names}:
            cells.append(_leave(collective, ranks, nodes, float(size)))
            continue
        protocols = {
            protocol: float(np.asarray(seconds)[index])
            for (algorithm, protocol), seconds in vendor.items()
            if algorithm == _BASELINE[name]
        }
        cells.append(
            Cell(
                collective=collective,
                ranks=ranks,
                nodes=nodes,
                size_bytes=float(size),
                algorithm=name,
                protocol=min(protocols, key=lambda p: protocols[p]).lower(),
            )
        )
    return cells


def _leave(collective: str, ranks: int, nodes: int, size: float) -> Cell:
    """A size at which the library shall choose as it does."""
    return Cell(
        collective=collective, ranks=ranks, nodes=nodes, size_bytes=size, algorithm=""
    )

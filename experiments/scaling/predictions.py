"""Step two: the same questions to every fabric."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import Progress

import fabricmodel as fm
from experiments.scaling.fits import Fit, ranks_per_chip
from fabricmodel.catalog.loader import load_entry
from fabricmodel.fitting.recognise import cluster_of
from fabricmodel.units import bus_factor

_ASKED = {"trn2-instance": "trn2-ultracluster"}
"""Clusters of 100,000 chips that are built of a unit by way of a larger one."""

_OTHERS = (
    # Racks of 72 GPUs hold jobs of powers of two by 64 of them.
    ("GB200 NVL72 over InfiniBand (catalogue)", "gb200-nvl72", 64.0),
    ("H100 nodes over InfiniBand (catalogue)", "h100-infiniband", 8.0),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """A model, and how its ranks make chips, nodes and sides.

    Attributes:
      chip_ranks: ranks of a chip.
      node_ranks: ranks of a node that a job uses; None where it fills its nodes.
      one_side: a torus used as one ring, through all of its chips.
    """

    label: str
    model: fm.FittedModel
    chip_ranks: int = 1
    node_ranks: float | None = None
    one_side: bool = False


def comparison(fit: Fit, trainium: bool) -> list[Question]:
    """List the fabrics to put side by side, the measured one's cluster first."""
    own = fit.model.fabric
    asked = _ASKED.get(own.name)
    cluster = fm.load_fabric(asked) if asked else cluster_of(own)
    model = fit.model if cluster.name == own.name else fit.model.on(cluster)
    per_chip = ranks_per_chip(cluster)
    found = [Question(label=_title(cluster), model=model, chip_ranks=per_chip)]
    if trainium:
        torus = fit.model.on(fm.load_fabric("trn2-torus-3d"))
        for label, one_side in (
            ("Trainium2 on a 3D torus (same links)", False),
            ("Trainium2 on one ring (same links)", True),
        ):
            found.append(
                Question(
                    label=label, model=torus, chip_ranks=per_chip, one_side=one_side
                )
            )
    for label, name, local in _OTHERS:
        other = fm.prior_model(fm.load_fabric(name))
        found.append(Question(label=label, model=other, node_ranks=local))
    return found


def _title(cluster: fm.Fabric) -> str:
    known = cluster.name in fm.list_fabrics()
    return load_entry(cluster.name).title if known else cluster.name


def answer_all(
    questions: Sequence[Question],
    collectives: Sequence[str],
    sizes: Sequence[float],
    chips: Sequence[float],
    console: Console,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ask everything of everyone, two at a time, with a bar.

    Returns:
      A row for each answer, and a row for each of its terms.
    """
    work = [(q, collective) for collective in collectives for q in questions]
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Predicting", total=len(work))

        def one(item: tuple[Question, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
            found = _answer(*item, sizes, chips)
            progress.advance(task)
            return found

        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(one, work))
    order = {q.label: i for i, q in enumerate(questions)}
    rows = pl.concat([part for part, _ in found])
    terms = pl.concat([part for _, part in found])
    rank = pl.col("fabric").replace_strict(order, return_dtype=pl.Int64)
    return rows.sort(rank, maintain_order=True), terms.sort(rank, maintain_order=True)


def _answer(
    question: Question, collective: str, sizes: Sequence[float], chips: Sequence[float]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    fabric = question.model.fabric
    counts = np.array([count for count in chips if _fits(question, count)])
    if not len(counts):
        raise fm.FabricError(
            fabric.name,
            f"holds none of {chips[0]:.0f} to {chips[-1]:.0f} chips",
            "Name a fabric that grows with --fabric",
        )
    ranks = counts * question.chip_ranks
    local = np.array([_local(question, count) for count in ranks])
    sides = None
    if question.one_side:
        sides = [f"{count:.0f}" for count in counts] * len(sizes)
    guess = question.model.predict(
        collective,
        np.array(sizes)[:, None],
        ranks[None, :],
        local[None, :],
        sides=sides,
    )
    low, high = guess.interval(0.9)
    size_grid, chip_grid = np.meshgrid(np.array(sizes), counts, indexing="ij")
    factor = np.array([[bus_factor(collective, n) for n in ranks]])
    volume = factor * size_grid
    key = {"fabric": question.label, "collective": collective}
    base = pl.DataFrame(
        {
            "size_bytes": size_grid.ravel(),
            "chips": chip_grid.ravel(),
            "ranks": np.broadcast_to(ranks, size_grid.shape).ravel(),
        }
    ).with_columns(**{name: pl.lit(value) for name, value in key.items()})
    rows = base.with_columns(
        median_s=pl.Series(guess.median_s.ravel()),
        lo_s=pl.Series(low.ravel()),
        hi_s=pl.Series(high.ravel()),
        busbw_Bps=pl.Series((volume / guess.median_s).ravel()),
        busbw_lo_Bps=pl.Series((volume / high).ravel()),
        busbw_hi_Bps=pl.Series((volume / low).ravel()),
    )
    terms = pl.concat(
        [
            base.with_columns(
                term=pl.lit(term),
                share=pl.Series((seconds / guess.median_s).ravel()),
            )
            for term, seconds in guess.terms.items()
        ]
    )
    return rows, terms


def _local(question: Question, ranks: float) -> float:
    """Ranks of a node that a job uses; NaN where it fills its nodes."""
    if question.node_ranks is None:
        return np.nan
    return min(question.node_ranks, ranks)


def _fits(question: Question, chips: float) -> bool:
    ranks = chips * question.chip_ranks
    local = _local(question, ranks)
    try:
        fm.place(
            question.model.fabric,
            ranks,
            ranks_per_node=None if np.isnan(local) else local,
        )
    except fm.FabricError:
        return False
    return True

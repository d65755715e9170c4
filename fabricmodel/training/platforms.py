"""Which chip and which fabric a published run was made on."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from fabricmodel.catalog.chips import Chip, load_chip
from fabricmodel.catalog.loader import load_entry
from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric
from fabricmodel.placement import balanced
from fabricmodel.training.step import Machine

UNMEASURED = 0.8
"""Roof of matrix products against the stated peak, where nobody measured a chip: the
middle of those that were (0.71 to 0.87 of Nvidia's, 0.83 of TPU v7x)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Platform:
    """A chip on a fabric.

    Attributes:
      name: of the platform.
      family: platforms of one family share what a fit learns of their habits.
      chip: the accelerator.
      fabric: what connects it.
      ranks_per_chip: ranks that a chip runs.
      engines: of a chip that share one matrix product (multiprocessors of a GPU); 1 of
        systolic arrays, each of which takes its own.
      counts_dies: whether runs may count the dies of a package as chips.
      known: whether chip and fabric are in the tables, rather than made from a peak.
      together: ranks of a host, where the fabric's levels do not tell; 0 where they do.
    """

    name: str
    family: str
    chip: Chip
    fabric: Fabric
    ranks_per_chip: float = 1.0
    engines: float = 1.0
    counts_dies: bool = False
    known: bool = True
    together: float = 0.0

    @property
    def ranks_per_node(self) -> float:
        """Ranks that one host, or one scale-up domain if larger, holds."""
        if self.together:
            return self.together
        inside = [lvl.capacity for lvl in self.fabric.levels if lvl.in_node]
        return float(np.prod(np.asarray(inside, float))) if inside else 1.0

    def machine(self, precision: str) -> Machine:
        """Rates of a rank in a precision (``bf16 fp16 fp8 fp4 int8``).

        A chip without the precision runs it at the rate of the next wider one.
        """
        ranks = self.ranks_per_chip
        return Machine(
            linear_flops=roof(self.chip, precision) / ranks,
            plain_flops=roof(self.chip, "bf16") / ranks,
            memory_Bps=self.chip.memory_Bps / ranks,
            ranks_per_node=min(self.ranks_per_node, 256.0),
            engines=self.engines / ranks if self.engines > ranks else 1.0,
        )


_WIDER = {"fp4": "fp8", "fp6": "fp8", "int8": "fp8", "fp8": "bf16", "bf16": "fp16"}


def roof(chip: Chip, precision: str) -> float:
    """Matrix rate to plan with: measured, or the peak by the share measured in bf16.

    >>> f"{roof(load_chip('h100'), 'bf16'):.3g} {roof(load_chip('trn2'), 'fp8'):.3g}"
    '7.94e+14 1.04e+15'
    """
    kind = precision
    while kind not in chip.peak_flops and kind in _WIDER:
        kind = _WIDER[kind]
    if kind not in chip.peak_flops:
        raise FabricError(
            "precision",
            f"{chip.name} has no {precision!r}",
            f"Use one of {', '.join(sorted(chip.peak_flops))}",
        )
    if kind in chip.matrix_flops:
        return float(np.asarray(chip.matrix_flops[kind]))
    share = UNMEASURED
    if "bf16" in chip.matrix_flops and "bf16" in chip.peak_flops:
        share = float(np.asarray(chip.matrix_flops["bf16"]))
        share /= float(np.asarray(chip.peak_flops["bf16"]))
    return share * float(np.asarray(chip.peak_flops[kind]))


def platform_of(
    chip: str, *, notes: str = "", peak_flops: float | None = None
) -> Platform:
    """Recognise a platform by what a run says of its chip and its fabric.

    Args:
      chip: as written, with remarks in brackets.
      notes: further words that may name the network.
      peak_flops: stated bf16 peak, from which an unknown chip is made up.

    Raises:
      FabricError: for an unknown chip without a peak.

    >>> found = platform_of("H100-SXM-80GB (GCP A3, 1.6 Tb/s TCPX)")
    >>> found.name, found.chip.name, found.fabric.name
    ('h100-tcpx', 'h100', 'h100-gcp-a3')
    """
    tables = _tables()
    for name, entry in tables.items():
        if any(re.search(each, f"{chip} {notes}") for each in entry.get("match", ())):
            try:
                known = load_chip(chip)
            except FabricError:
                known = load_chip(entry["chip"])
            if known.vendor == load_chip(entry["chip"]).vendor:
                return _build(name, entry, known)
    try:
        found = load_chip(chip)
    except FabricError:
        found = _similar(chip)
    if found is None:
        if peak_flops is None or not math.isfinite(peak_flops) or peak_flops <= 0:
            raise FabricError(
                "chip",
                f"{chip!r} is not in the catalogue and no peak is given",
                "Add the chip to the catalogue, or give bf16_peak_tflops_used",
            )
        entry = tables["h100"]
        return dataclasses.replace(
            _build(chip, entry, _made_up(chip, peak_flops)), known=False
        )
    for name, entry in tables.items():
        if found.name in entry["chips"]:
            return _build(name, entry, found)
    entry = {"fabric": "generic-cluster"}
    return dataclasses.replace(_build(found.name, entry, found), known=False)


def _similar(chip: str) -> Chip | None:
    """Find a chip whose name is the longest beginning of a word in the text."""
    from fabricmodel.catalog.chips import list_chips

    plain = re.sub(r"[^a-z0-9]+", "-", chip.lower()).strip("-")
    plain = plain.replace("trainium", "trn").replace("tpuv", "tpu-v")
    for name in sorted(list_chips(), key=len, reverse=True):
        stem = name.removeprefix("tpu-") if "tpu" in plain else name
        if re.search(rf"(^|-){re.escape(stem)}", plain):
            return load_chip(name)
    families = {"a100": "a100-80gb", "gb": "gb200", "v5-lite": "tpu-v5e"}
    for stem, name in families.items():
        if stem in plain:
            return load_chip(name)
    return None


def _made_up(name: str, peak_flops: float) -> Chip:
    """Make a chip of a peak alone: 300 FLOP for each byte of memory traffic."""
    return dataclasses.replace(
        load_chip("h100"),
        name=name,
        peak_flops={"bf16": peak_flops, "fp16": peak_flops, "fp8": 2.0 * peak_flops},
        matrix_flops={},
        memory_Bps=peak_flops / 300.0,
        prices=(),
        figures=(),
    )


def _build(name: str, entry: Mapping[str, Any], chip: Chip) -> Platform:
    made = load_entry(entry["fabric"])
    return Platform(
        name=name,
        family=entry.get("family", name),
        chip=chip,
        fabric=made.fabric,
        ranks_per_chip=float(made.ranks_per_chip),
        engines=float(entry.get("engines", 1.0)),
        counts_dies=bool(entry.get("counts_dies", False)),
    )


def load_platform(name: str) -> Platform:
    """Load a platform by its name in the table, with its first chip.

    Raises:
      FabricError: for a name that is not in the table.

    >>> load_platform("trn2").fabric.name
    'trn2-ultracluster'
    """
    tables = _tables()
    if name not in tables:
        raise FabricError(
            "platform", f"{name!r} is not known", f"Name one of {', '.join(tables)}"
        )
    entry = tables[name]
    return _build(name, entry, load_chip((entry["chips"] or [entry["chip"]])[0]))


def sliced(fabric: Fabric, ranks: int) -> Fabric:
    """Cut the scale-up domain of a fabric down to slices of so many ranks.

    The sides of a torus become as near to each other as whole numbers allow.

    >>> slices = sliced(load_platform("tpu-v5e").fabric, 64)
    >>> [float(level.capacity) for level in slices.levels]
    [8.0, 8.0, 1.0]
    """
    *inner, outer = fabric.levels
    sides = balanced(ranks, len(inner))
    levels = [
        dataclasses.replace(
            level, capacity=float(side), members=float(side), grows=False
        )
        for level, side in zip(inner, sides, strict=True)
    ]
    outer = dataclasses.replace(
        outer, uplinks=float(ranks) if float(np.asarray(outer.uplinks)) > 0 else 0.0
    )
    return dataclasses.replace(fabric, levels=(*levels, outer))


@cache
def _tables() -> Mapping[str, Mapping[str, Any]]:
    file = resources.files("fabricmodel.training") / "data" / "platforms.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))["platforms"]


def list_platforms() -> list[str]:
    """Return the names of the platforms.

    >>> "trn2" in list_platforms()
    True
    """
    return list(_tables())

"""Rules of choice, in the CSV of NCCL's example tuner plugin.

The format is that of NCCL's ``ext-tuner/example`` since 2.27 (tuner API v4 and v5): one
rule a line, the first that matches is taken, ``-1`` matches anything:

    collective_type,min_bytes,max_bytes,algorithm,protocol,channels,nNodes,nRanks,numPipeOps,regBuff

Lines that begin with ``#`` are comments; the last two fields may be missing. Sizes are
NCCL's ``nBytes``, the larger of what a rank sends and receives: our bytes of the full
vector. The plugin reads the file that ``NCCL_TUNER_CONFIG_FILE`` names. Not yet loaded
into NCCL itself: compare the header with your version's example first.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import textwrap
from collections.abc import Iterable, Sequence

from fabricmodel._files import whole_file
from fabricmodel.errors import FabricModelError, at

FIELDS = (
    "collective_type", "min_bytes", "max_bytes", "algorithm", "protocol", "channels",
    "nNodes", "nRanks", "numPipeOps", "regBuff",
)  # fmt: skip
LIBRARY_NAMES = {
    "all_reduce": "allreduce",
    "all_gather": "allgather",
    "reduce_scatter": "reducescatter",
    "broadcast": "broadcast",
    "reduce": "reduce",
}
"""NCCL's names of the collectives that a tuner is asked about."""
ALGORITHMS = (
    "tree", "ring", "collnet_direct", "collnet_chain", "nvls", "nvls_tree", "pat",
)  # fmt: skip
PROTOCOLS = ("ll", "ll128", "simple")
ANY = -1
LARGEST = 2**64 - 1
_COLLECTIVES = {plain: name for name, plain in LIBRARY_NAMES.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """One line: for these sizes, nodes and ranks, run this.

    Attributes:
      collective: as everywhere in this library.
      min_bytes, max_bytes: of the full vector, both inclusive.
      algorithm, protocol: in NCCL's words; a protocol may be "" for other libraries.
      channels, nodes, ranks, operations, registered: ``ANY`` leaves them open.
    """

    collective: str
    min_bytes: int
    max_bytes: int
    algorithm: str
    protocol: str = "simple"
    channels: int = ANY
    nodes: int = ANY
    ranks: int = ANY
    operations: int = ANY
    registered: int = ANY


def find_rule(
    rules: Iterable[Rule],
    collective: str,
    size_bytes: float,
    nodes: int,
    ranks: int,
) -> Rule | None:
    """The first rule that matches, as the plugin looks it up; None if none does.

    >>> rule = Rule(collective="all_reduce", min_bytes=0, max_bytes=9, algorithm="tree")
    >>> find_rule([rule], "all_reduce", 8, nodes=2, ranks=16).algorithm
    'tree'
    """
    for rule in rules:
        if (
            rule.collective == collective
            and rule.min_bytes <= size_bytes <= rule.max_bytes
            and rule.nodes in (ANY, nodes)
            and rule.ranks in (ANY, ranks)
        ):
            return rule
    return None


def write_rules(
    path: str | os.PathLike[str], rules: Iterable[Rule], comment: str = ""
) -> None:
    """Write the CSV, whole or not at all; ``comment`` goes above it, in short lines.

    The plugin reads 255 characters at a time: the rest of a longer comment would be
    taken for a rule.

    Raises:
      FabricModelError: for a collective that NCCL doesn't tune, or a file that can't
        be written.
    """
    lines = [
        f"# {line}"
        for paragraph in comment.split("\n")
        for line in textwrap.wrap(paragraph, width=100)
    ]
    lines.append(f"# {','.join(FIELDS)}")
    for rule in rules:
        if rule.collective not in LIBRARY_NAMES:
            raise FabricModelError(
                "rules",
                f"{rule.collective} is not among NCCL's tuned collectives",
                f"Keep to {', '.join(LIBRARY_NAMES)}",
            )
        values = dataclasses.astuple(rule)[1:]
        lines.append(",".join(map(str, (LIBRARY_NAMES[rule.collective], *values))))
    with whole_file(path, FabricModelError) as scratch:
        scratch.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_rules(
    path: str | os.PathLike[str],
    algorithms: Sequence[str] | None = ALGORITHMS,
    protocols: Sequence[str] | None = PROTOCOLS,
) -> tuple[Rule, ...]:
    """Read the CSV; stricter than the plugin, which skips what it can't parse.

    Args:
      path: the file.
      algorithms, protocols: that may stand in it; None for any, of another library.

    Raises:
      FabricModelError: naming file, line, value and remedy.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FabricModelError(
            at(path), f"can't be read ({error})", "Give the path of a readable file"
        ) from error
    rules = []
    for number, line in enumerate(text.split("\n"), start=1):
        plain = line.strip()
        if plain and not plain.startswith("#"):
            rules.append(_rule(plain, at(path, number), algorithms, protocols))
    return tuple(rules)


def _rule(
    line: str,
    place: str,
    algorithms: Sequence[str] | None,
    protocols: Sequence[str] | None,
) -> Rule:
    values = [value.strip() for value in line.split(",")]
    if not len(FIELDS) - 2 <= len(values) <= len(FIELDS):
        raise FabricModelError(
            place,
            f"{len(values)} fields, not {len(FIELDS) - 2} to {len(FIELDS)}",
            f"Write {','.join(FIELDS)}",
        )
    values += [str(ANY)] * (len(FIELDS) - len(values))
    kind, low, high, algorithm, protocol, *rest = values
    _one_of(place, "collective_type", kind, tuple(_COLLECTIVES))
    _one_of(place, "algorithm", algorithm, algorithms)
    _one_of(place, "protocol", protocol, protocols)
    sizes = [
        _whole(place, name, value, least=0)
        for name, value in (("min_bytes", low), ("max_bytes", high))
    ]
    if sizes[0] > sizes[1]:
        raise FabricModelError(
            place, f"min_bytes {low} is above max_bytes {high}", "Swap them"
        )
    counts = [
        _whole(place, name, value, least=ANY)
        for name, value in zip(FIELDS[5:], rest, strict=True)
    ]
    return Rule(
        collective=_COLLECTIVES[kind],
        min_bytes=sizes[0],
        max_bytes=sizes[1],
        algorithm=algorithm,
        protocol=protocol,
        channels=counts[0],
        nodes=counts[1],
        ranks=counts[2],
        operations=counts[3],
        registered=counts[4],
    )


def _one_of(place: str, name: str, value: str, known: Sequence[str] | None) -> None:
    if known is not None and value not in known:
        raise FabricModelError(
            place, f"{name} {value!r} is unknown", f"Use one of {', '.join(known)}"
        )


def _whole(place: str, name: str, value: str, least: int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if not least <= number <= LARGEST:
        raise FabricModelError(
            place, f"{name} {value!r} is no whole number", f"Give {least} or more"
        )
    return number

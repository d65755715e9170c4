"""The command line of nccom-test, which alone says what a log measured."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from fabricmodel.measurements.vocabulary import find_collective

_OPERATIONS = (
    *("all_reduce", "allr", "all_gather", "allg", "reduce_scatter", "redsct"),
    *("sendrecv", "alltoall", "all_gatherv", "allgv", "alltoallv", "permute"),
)
_CALL = re.compile(r"\bnccom-test((?:\s+\S+)+)")
# With these flags a group is smaller than the number of workers.
_GROUPED = (
    "--custom-replica-groups",
    "--custom-src-target-pairs",
    "--data-parallel-dimension",
    "--streams-json",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """What a command line, or a report's configuration, says; None where it doesn't.

    ``foreign`` is an operation that the table has no name for.
    """

    collective: str | None = None
    foreign: str | None = None
    ranks: int | None = None
    nodes: int | None = None

    @staticmethod
    def of(operation: str | None, ranks: Any, nodes: Any) -> Command:
        """Build one from texts or numbers that may be missing or senseless."""
        name = find_collective(operation) if operation else None
        return Command(
            collective=name,
            foreign=operation if name is None else None,
            ranks=_positive(ranks),
            nodes=_positive(nodes),
        )

    @staticmethod
    def from_config(report: Any) -> Command:
        """Read the configuration that a JSON report may hold beside its results."""
        config = report.get("config") if isinstance(report, dict) else None
        if not isinstance(config, dict):
            return Command()
        named = [config.get(key) for key in ("op", "operation", "collective")]
        known = [name for name in named if isinstance(name, str)]
        operation = known[0] if known else None
        return Command.of(operation, config.get("nworkers"), config.get("nnodes"))


def find_command(text: str) -> Command | None:
    """Find a call of nccom-test in a line; None where there is none.

    >>> find_command("srun -N 2 nccom-test -r 64 -N 2 -b 8 -e 1G -d fp32 allr")
    Command(collective='all_reduce', foreign=None, ranks=64, nodes=2)
    >>> find_command("nccom-test is a benchmark") is None
    True
    """
    call = _CALL.search(text)
    words = call[1].replace("=", " ").split() if call else []
    if not any(word.startswith("-") for word in words):
        return None
    operations = [word for word in words if word in _OPERATIONS]
    grouped = any(word in _GROUPED for word in words)
    ranks = None if grouped else _option(words, "-r", "--nworkers")
    nodes = _option(words, "-N", "--nnodes")
    return Command.of(operations[0] if operations else None, ranks, nodes)


def _option(words: list[str], short: str, long: str) -> str | None:
    for index, word in enumerate(words):
        if word in (short, long):
            return words[index + 1] if index + 1 < len(words) else None
        if word.startswith(short) and word[len(short) :].isdigit():
            return word[len(short) :]
    return None


def _positive(value: Any) -> int | None:
    if isinstance(value, bool) or not re.fullmatch("[1-9][0-9]{0,8}", str(value)):
        return None
    return int(value)

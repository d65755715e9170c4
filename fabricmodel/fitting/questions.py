"""What a prediction is asked for, and a measurement is of: one record for both."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from fabricmodel.errors import FabricError
from fabricmodel.fabric import Fabric
from fabricmodel.fitting.cases import Cases, cases
from fabricmodel.fitting.discrepancy import Points
from fabricmodel.fitting.labels import algorithm_of, forced
from fabricmodel.measurements import Measurements


@dataclasses.dataclass(frozen=True, kw_only=True)
class Questions:
    """Questions about one collective, or measurements of it, row by row.

    Attributes:
      collective: of all of them.
      size_bytes, ranks, ranks_per_node: (R,); the last NaN where unknown.
      labels: (R,) what the library was forced to run, as logs call it.
      sides: (R,) sides of the torus (``4x4x2``), "" or None for the nearest to a cube.
    """

    collective: str
    size_bytes: np.ndarray
    ranks: np.ndarray
    ranks_per_node: np.ndarray
    labels: Sequence[str]
    sides: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.size_bytes)

    def points(self) -> Points:
        """Where they lie in the field; unknown ranks per node count as one."""
        known = np.isfinite(self.ranks_per_node)
        return Points(
            size_bytes=self.size_bytes,
            ranks=self.ranks,
            local=np.where(known, self.ranks_per_node, 1.0),
            algorithm=np.array([forced(label) for label in self.labels], dtype=str),
        )

    def cases(self, fabric: Fabric) -> Cases:
        """Place them on a fabric and count.

        Raises:
          FabricError: where ranks do not divide into the fabric.
        """
        return cases(
            fabric,
            self.collective,
            self.size_bytes,
            self.ranks,
            self.ranks_per_node,
            [algorithm_of(label, self.collective) for label in self.labels],
            self.sides,
        )


def measured(part: Measurements) -> Questions:
    """Read what the rows of a table, all of one collective, are measurements of.

    >>> table = Measurements.from_records(
    ...     [{"ranks": 8, "collective": "allreduce", "size_bytes": 64, "time_us": 5}])
    >>> measured(table).collective, measured(table).points().local.tolist()
    ('all_reduce', [1.0])
    """
    (collective,) = set(part.collective.tolist())
    return Questions(
        collective=collective,
        size_bytes=part.size_bytes,
        ranks=part.ranks,
        ranks_per_node=part.ranks_per_node,
        labels=part.algorithm.tolist(),
        sides=part.frame["topology_shape"].to_list(),
    )


def check_sizes(size_bytes: np.ndarray) -> None:
    """Refuse sizes that are not positive numbers, with a ``FabricError``."""
    bad = size_bytes[~(np.isfinite(size_bytes) & (size_bytes > 0))]
    if len(bad):
        raise FabricError(
            "size_bytes", f"{bad[0]} is no size", "Give a positive number of bytes"
        )

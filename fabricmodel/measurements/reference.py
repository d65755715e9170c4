"""The reference series that ship with the package: published figures, cited per row."""

from __future__ import annotations

import importlib.resources

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements import tidy_csv
from fabricmodel.measurements.table import Measurements

_FOLDER = importlib.resources.files("fabricmodel.measurements") / "reference"


def list_references() -> tuple[str, ...]:
    """Names of the shipped series, sorted.

    >>> "trn2_48xl_nccom_r64" in list_references()
    True
    """
    names = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(n.removesuffix(".csv") for n in names if n.endswith(".csv")))


def load_reference(name: str) -> Measurements:
    """Load one shipped series; the columns ``source`` and ``notes`` cite it.

    Raises:
      MeasurementError: for a name that isn't in ``list_references()``.

    >>> load_reference("dranet_trn1_2node_r2").ranks_per_node
    array([1., 1., 1., 1., 1., 1., 1.])
    """
    if name not in list_references():
        raise MeasurementError(
            "name",
            f"no reference {name!r}",
            f"Use one of {', '.join(list_references())}",
        )
    file = f"{name}.csv"
    return tidy_csv.read((_FOLDER / file).read_text(encoding="utf-8"), file)

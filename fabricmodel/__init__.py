"""Differentiable models of collectives, fitted to measured latencies.

>>> import fabricmodel as fm
>>> fabric = fm.load_fabric("trn2-ultracluster", chips=65_536)
>>> seconds = fm.collective_time(fabric, "all_gather", 64 * fm.MiB)
>>> bool(seconds >= fm.collective_bound(fabric, "all_gather", 64 * fm.MiB))
True
"""

from fabricmodel.catalog import (
    Chip,
    list_chips,
    list_fabrics,
    load_chip,
    load_fabric,
)
from fabricmodel.errors import FabricError, FabricModelError, MeasurementError
from fabricmodel.fabric import Fabric, Level
from fabricmodel.fitting.advice import Suggestion, advise
from fabricmodel.fitting.bootstrap import bootstrap
from fabricmodel.fitting.choose import Choice, choose
from fabricmodel.fitting.fit import fit, prior_model
from fabricmodel.fitting.model import FittedModel
from fabricmodel.fitting.prediction import Prediction
from fabricmodel.measurements import (
    Measurements,
    list_references,
    load_reference,
    read_measurements,
)
from fabricmodel.placement import place
from fabricmodel.timing.choices import switches
from fabricmodel.timing.collective import collective_bound, collective_time
from fabricmodel.units import GB, MS, US, GiB, KiB, MiB

__all__ = [
    "GB",
    "MS",
    "US",
    "Chip",
    "Choice",
    "Fabric",
    "FabricError",
    "FabricModelError",
    "FittedModel",
    "GiB",
    "KiB",
    "Level",
    "MeasurementError",
    "Measurements",
    "MiB",
    "Prediction",
    "Suggestion",
    "advise",
    "bootstrap",
    "choose",
    "collective_bound",
    "collective_time",
    "fit",
    "list_chips",
    "list_fabrics",
    "list_references",
    "load_chip",
    "load_fabric",
    "load_reference",
    "place",
    "prior_model",
    "read_measurements",
    "switches",
]

"""Measured collective times: one tidy table, read from benchmark logs.

>>> from fabricmodel.measurements import load_reference
>>> load_reference("trn2_48xl_nccom_r64").select(collective="all_gather")
Measurements(24 rows; series trn2_48xl_nccom_r64; all_gather; 64 ranks; \
1.05 MB to 2.15 GB; nothing set aside)
"""

from fabricmodel.measurements.reading import read_measurements, supported_formats
from fabricmodel.measurements.reference import list_references, load_reference
from fabricmodel.measurements.table import COLUMNS, Measurements, NoUsableRow, SetAside
from fabricmodel.measurements.vocabulary import COLLECTIVES, canonical_collective

__all__ = [
    "COLLECTIVES",
    "COLUMNS",
    "Measurements",
    "NoUsableRow",
    "SetAside",
    "canonical_collective",
    "list_references",
    "load_reference",
    "read_measurements",
    "supported_formats",
]

"""Options that commands share: which files to read, and which rows of them to take."""

from __future__ import annotations

import argparse

import fabricmodel as fm

_ROWS = {
    "series": "only this series of the table",
    "collective": "only this collective",
    "algorithm": "only rows of this algorithm label",
}
"""Columns that an option may select by, and its help."""


def add_options(parser: argparse.ArgumentParser, *columns: str) -> None:
    """Add ``--measurements``, and an option for each column to select by."""
    parser.add_argument("--measurements", nargs="+", required=True, metavar="FILE")
    for name in columns:
        parser.add_argument(f"--{name}", help=_ROWS[name])


def select(times: fm.Measurements, options: argparse.Namespace) -> fm.Measurements:
    """Take the rows that the options ask for.

    Raises:
      MeasurementError: where there are none.
    """
    known = [name for name in _ROWS if hasattr(options, name)]
    chosen = {name: getattr(options, name) for name in known if getattr(options, name)}
    rows = times.select(**chosen)
    if not len(rows):
        *others, last = (f"--{name}" for name in known)
        raise fm.MeasurementError(
            ", ".join(options.measurements),
            f"no row matches {chosen}" if chosen else "no rows",
            f"Check {', '.join(others)} and {last}",
        )
    return rows

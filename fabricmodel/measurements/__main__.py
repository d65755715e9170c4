"""Convert logs: ``python -m fabricmodel.measurements LOG... --csv OUT``.

What was set aside is listed on standard output. Exit code 2 and one message on
standard error where the logs can't be used; then nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fabricmodel.errors import MeasurementError
from fabricmodel.measurements.reading import read_measurements, supported_formats
from fabricmodel.measurements.table import NoUsableRow


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code, 0 or 2."""
    parser = argparse.ArgumentParser(
        prog="python -m fabricmodel.measurements",
        description="Convert collective-benchmark logs to one tidy CSV. Formats: "
        + ", ".join(supported_formats()),
    )
    parser.add_argument("logs", nargs="+", metavar="LOG", help="a log or a tidy CSV")
    parser.add_argument("--ranks", type=int, help="ranks, where a log doesn't say")
    parser.add_argument("--nodes", type=int, help="nodes, where a log doesn't say")
    parser.add_argument("--collective", help="collective, where a log doesn't say")
    parser.add_argument("--csv", required=True, metavar="OUT", help="file to write")
    given = parser.parse_args(arguments)
    try:
        table = read_measurements(
            *given.logs,
            ranks=given.ranks,
            nodes=given.nodes,
            collective=given.collective,
        )
        table.to_csv(given.csv)
    except MeasurementError as error:
        print(error, file=sys.stderr)
        for row in error.set_aside if isinstance(error, NoUsableRow) else ():
            print(f"set aside: {row}")
        return 2
    print(f"{given.csv}: {table!r}")
    for row in table.set_aside:
        print(f"set aside: {row}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

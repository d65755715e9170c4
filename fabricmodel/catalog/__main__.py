"""Look into the catalogue: ``python -m fabricmodel.catalog [NAME [OTHER]]``.

Without a name every fabric and chip, with one its figures and their sources, with two
both side by side. Exit code 2 and one message on standard error for an unknown name.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fabricmodel.catalog.show import compare, describe, listing
from fabricmodel.errors import FabricError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code, 0 or 2."""
    parser = argparse.ArgumentParser(
        prog="python -m fabricmodel.catalog",
        description="List the catalogue, show an entry with its sources, or compare "
        "two. Names are of fabrics or chips, or paths to files of the same schema.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="one or two names")
    parser.add_argument("--chips", type=int, help="size of a fabric")
    given = parser.parse_args(arguments)
    if len(given.names) > 2:
        parser.error("give at most two names")
    try:
        if not given.names:
            text = listing()
        elif len(given.names) == 1:
            text = describe(given.names[0], given.chips)
        else:
            text = compare(given.names[0], given.names[1], given.chips)
    except FabricError as error:
        print(error, file=sys.stderr)
        return 2
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Let the tests of this folder import the oracle beside them."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

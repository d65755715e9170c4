"""Units at the border; inside the library everything is SI floats.

Sizes are floats before JAX sees them: an integer of 4 GiB becomes 0 without x64.

>>> 64 * MiB
67108864.0
"""

KiB = 2.0**10
MiB = 2.0**20
GiB = 2.0**30
GB = 1e9
US = 1e-6
MS = 1e-3

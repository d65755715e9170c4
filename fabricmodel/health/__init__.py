"""Is a cluster as fast as its kind? Measured times against the catalogue's."""

from fabricmodel.health.evidence import Evidence, Point, Surprise, gather
from fabricmodel.health.verdict import Verdict, judge

__all__ = ["Evidence", "Point", "Surprise", "Verdict", "gather", "judge"]

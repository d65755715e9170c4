"""What was timed as rows of the tidy table, and as a record of every repetition."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from fabricmodel.measurements.bench.machine import torus
from fabricmodel.measurements.bench.programs import OPERATIONS, Point
from fabricmodel.measurements.bench.run import Timed
from fabricmodel.measurements.bench.statistics import median_interval


def row(timed: Timed, series: str) -> dict[str, Any]:
    """One row of the tidy table: median, least and 90 % of the repetitions."""
    at = timed.point
    first = at.mesh.devices.flat[0]
    devices = group_devices(at)
    hosts = {timed.hosts[device.process_index] for device in devices}
    whole = at.ranks % len(hosts) == 0
    times_us = np.array(timed.times_s) * 1e6
    low, high = median_interval(timed.times_s)
    known = np.isfinite(high)
    notes = [
        f"axes={'*'.join(at.axes)}",
        f"groups={at.groups}",
        f"repetitions={len(times_us)}",
        f"chain={timed.chain}",
        f"launch_us={timed.launch_s * 1e6:.2f}",
        f"median95_us={low * 1e6:.2f}..{high * 1e6:.2f}" if known else "",
        "" if timed.tight else "loose",
        f"late={timed.late}" if timed.late else "",
    ]
    return {
        "series": series,
        "system": first.device_kind,
        "fabric": first.platform,
        "topology_shape": torus(devices),
        "nodes": float(len(hosts)),
        "ranks": float(at.ranks),
        "ranks_per_node": at.ranks / len(hosts) if whole else None,
        "collective": at.collective,
        "size_bytes": float(at.size_bytes),
        "dtype": "float32",
        "time_us": float(np.median(times_us)),
        "min_us": float(np.min(times_us)),
        "p90_us": float(np.quantile(times_us, 0.9)),
        "statistic": "median",
        "source": f"jax {jax.__version__} {OPERATIONS[at.collective]}",
        "notes": "; ".join(note for note in notes if note),
    }


def record(timed: Timed) -> dict[str, Any]:
    """Every repetition of a point, fit for JSON."""
    at = timed.point
    return {
        "collective": at.collective,
        "size_bytes": at.size_bytes,
        "axes": list(at.axes),
        "mesh": {str(name): int(size) for name, size in at.mesh.shape.items()},
        "ranks": at.ranks,
        "groups": at.groups,
        "chain": timed.chain,
        "launch_s": timed.launch_s,
        "late": timed.late,
        "tight": timed.tight,
        "times_s": list(timed.times_s),
    }


def group_devices(at: Point) -> list[Any]:
    """Devices of the first group of a point."""
    names = list(at.mesh.shape)
    index = tuple(slice(None) if name in at.axes else 0 for name in names)
    return list(np.atleast_1d(at.mesh.devices[index]).flat)

"""How many megabytes a second does each reader read?

By the clock, and by processor time, which a busy machine hardly changes; the better of
the two counts, for threads make the second look worse. Of Parquet, the megabytes are
those of the same table as CSV.
"""

from __future__ import annotations

import io
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.progress import track

import fabricmodel as fm
from experiments.logs.samples import SAMPLES, Sample

LEAST_MBps = {"csv": 50.0, "text": 5.0}
"""Promised, for a large CSV (or Parquet) and for text."""
_TEXT_ROWS = 20_000
_PARQUET_ROWS, _PARQUET_COPIES = 1000, 3000


def _large(name: str, megabytes: float) -> Sample:
    """A sample of the size asked for, or of many rows; dense, without noise."""
    make = SAMPLES[name]
    if name not in ("csv", "parquet"):
        return make(random.Random(1), rows=_TEXT_ROWS)
    small = make(random.Random(1), rows=_PARQUET_ROWS)
    if isinstance(small.content, bytes):
        frame, file = pl.read_parquet(io.BytesIO(small.content)), io.BytesIO()
        pl.concat([frame] * _PARQUET_COPIES).write_parquet(file)
        return Sample(form=small.form, content=file.getvalue(), truth=small.truth)
    head, body = small.content.split("\n", 1)
    content = f"{head}\n{body * int(megabytes * 1e6 / len(body) + 1)}"
    return Sample(form=small.form, content=content, truth=small.truth)


def speed(megabytes: float, console: Console) -> list[dict[str, Any]]:
    """Read one large file of each format, twice; the better of the two counts."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in track(SAMPLES, "Reading", console=console, transient=True):
            sample = _large(name, megabytes)
            path = Path(folder, "large.log")
            content = sample.content
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            runs = [_timed(path, sample) for _ in range(2)]
            rows = len(runs[0][0])
            clock = min(seconds for _, seconds, _ in runs)
            worked = min(seconds for _, _, seconds in runs)
            size = path.stat().st_size / 1e6
            if name == "parquet":
                size = _PARQUET_COPIES * _csv_bytes(sample) / 1e6
            kind = "csv" if name == "csv" else "text"
            rates = size / clock, size / worked
            found.append(
                {"reader": name, "kind": kind, "MB": size, "MBps": max(rates)}
                | {"clock_MBps": rates[0], "processor_MBps": rates[1]}
                | {"rows": rows, "least_MBps": LEAST_MBps[kind]}
            )
            console.print(
                f"{name}: {rates[0]:.1f} MB/s by the clock, {rates[1]:.1f} by processor"
                f" time ({size:.1f} MB, {rows:,} rows; at least {LEAST_MBps[kind]:g})",
                highlight=False,
            )
    return found


def _csv_bytes(sample: Sample) -> int:
    """Bytes of the small table, of which the large file holds copies, as CSV."""
    assert isinstance(sample.content, bytes)
    frame = pl.read_parquet(io.BytesIO(sample.content))
    return len(frame.head(_PARQUET_ROWS).write_csv())


def _timed(path: Path, sample: Sample) -> tuple[fm.Measurements, float, float]:
    """Read once; the table, seconds of the clock, and of this process and its own."""
    began, worked = time.perf_counter(), _worked()
    table = fm.read_measurements(path, **sample.given)
    return table, time.perf_counter() - began, _worked() - worked


def _worked() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system

"""How many megabytes a second does each reader read?"""

from __future__ import annotations

import io
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.progress import track

import fabricmodel as fm
from experiments.log_samples import SAMPLES, Sample

LEAST_MBps = {"csv": 50.0, "text": 5.0}
"""Promised, for a large CSV (or Parquet) and for text."""
_TEXT_ROWS = 20_000
_PARQUET_COPIES = 3000


def _large(name: str, megabytes: float) -> Sample:
    """A sample of the size asked for, or of many rows; dense, without noise."""
    make = SAMPLES[name]
    if name not in ("csv", "parquet"):
        return make(random.Random(1), rows=_TEXT_ROWS)
    small = make(random.Random(1), rows=1000)
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
            table, first = _timed(path, sample)
            seconds = min(first, _timed(path, sample)[1])
            size = path.stat().st_size / 1e6
            kind = "csv" if name == "csv" else "text"
            rate = size / seconds
            found.append(
                {"reader": name, "kind": kind, "MB": size, "MBps": rate}
                | {"rows": len(table), "least_MBps": LEAST_MBps[kind]}
            )
            console.print(
                f"{name}: {rate:.1f} MB/s ({size:.1f} MB, {len(table):,} rows; "
                f"at least {LEAST_MBps[kind]:g})",
                highlight=False,
            )
    return found


def _timed(path: Path, sample: Sample) -> tuple[fm.Measurements, float]:
    began = time.perf_counter()
    table = fm.read_measurements(path, **sample.given)
    return table, time.perf_counter() - began

"""Logs of one's own making in every format, with what they truly say.

Nothing here is a copy of anybody's log: each is written from random times, as the
programs would print them, so that the truth is known to the last digit.
"""

from __future__ import annotations

import dataclasses
import io
import json
import random
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import polars as pl

from fabricmodel.measurements import (
    nccl_json,
    nccl_text,
    nccom_json,
    nccom_text,
    osu,
    pico,
    tidy_csv,
    tidy_parquet,
)
from fabricmodel.measurements.vocabulary import bus_factor

Truth = frozenset[tuple[str, int, float, float]]
"""Collective, ranks, bytes of the full vector and microseconds of each row."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A log, its reader, what the caller must add, and the rows it holds."""

    form: ModuleType
    content: str | bytes
    truth: Truth
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _points(
    draw: random.Random, rows: int, scale: float = 1.0
) -> list[tuple[int, float]]:
    """Sizes, and times with two decimals that grow with them."""
    exponents = sorted(draw.sample(range(6, 31), min(rows, 24)))
    exponents += [draw.randrange(6, 31) for _ in range(rows - len(exponents))]
    return [
        (2**n, round(scale * draw.uniform(8, 12) + 2**n / draw.uniform(9e4, 1e5), 2))
        for n in exponents
    ]


def _half(size: int, time: float, factor: float, wrong: str) -> str:
    bandwidth = size / time / 1e3
    return f"{time:>10.2f} {bandwidth:7.2f} {bandwidth * factor:7.2f} {wrong:>6}"


_NOISE = (
    "node{r}:25:66 [{r}] NCCL INFO Channel 00/08 :    0   1   2   3   4   5   6   7",
    "[1622514238.641009] [g04{r}:2422:0] ucp_context.c:1437 UCX  WARN  too old",
    "WARNING: Open MPI accepted a TCP connection from what appears to be rank {r}",
    "node{r}:25:66 [{r}] NCCL INFO comm 0x29457{r} rank {r} busId 1b000 - Init",
    "",
)


def _noisy(draw: random.Random, text: str) -> str:
    """Put a launcher's prefix before the lines, and other programs' between them."""
    prefix = draw.choice(("", "", "[1,0]<stdout>:", "0: ", "[0] ", "node-7: "))
    lines = []
    for line in text.split("\n"):
        lines.append(prefix + line if line else line)
        while draw.random() < 0.1:
            lines.append(draw.choice(_NOISE).format(r=draw.randrange(8)))
    return "\n".join(lines)


def nccl_log(draw: random.Random, rows: int = 8) -> Sample:
    """Text of nccl-tests: one run, new heading or old, with noise around."""
    kind, name, middle = draw.choice(
        (
            ("all_reduce", "all_reduce", "sum      -1"),
            ("all_gather", "all_gather", "none     -1"),
            ("reduce_scatter", "reduce_scatter", "sum      -1"),
            ("all_to_all", "alltoall", "none     -1"),
            ("broadcast", "broadcast", "none      0"),
        )
    )
    ranks, hosts = draw.choice((4, 8, 16, 24)), draw.choice((1, 2, 4))
    factor, truth = bus_factor(kind, ranks), set()
    last, wrong = draw.choice((("#wrong", "0"), ("error", "0e+00"), ("#wrong", "N/A")))
    part = f"time   algbw   busbw {last}"
    lines = [
        f"# Collective test starting: {name}_perf",
        "# nThread 1 nGpus 1 minBytes 64 maxBytes 1073741824 step: 2(factor)",
        "# Using devices",
        *(
            f"#  Rank {r:2} Group  0 Pid {100 + r} on host{r * hosts // ranks} device "
            f"{r % 8} [0000:1{r % 8}:00] Test GPU"
            for r in range(ranks)
        ),
        "#                    out-of-place                       in-place",
        f"#       size   count    type   redop    root     {part}     {part}",
        "#        (B)    (elements)             (us)  (GB/s)  (GB/s)",
    ]
    for size, time in _points(draw, rows):
        size *= ranks  # so that every rank has a whole part
        second = round(time * draw.uniform(0.97, 1.03), 2)
        count = size // 4 // (ranks if factor < 1 else 1)
        # alltoall_perf can't check its in-place result.
        inside = "N/A" if name == "alltoall" and last == "#wrong" else wrong
        halves = [_half(size, time, factor, wrong), _half(size, second, factor, inside)]
        lines.append(f"{size:>12} {count:>12} float {middle} {halves[0]} {halves[1]}")
        truth |= {(kind, ranks, float(size), t) for t in (time, second)}
    lines += ["# Out of bounds values : 0 OK", "# Avg bus bandwidth    : 4.3", "#"]
    return Sample(
        form=nccl_text,
        content=_noisy(draw, "\n".join(lines)),
        truth=frozenset(truth),
    )


def nccl_report(draw: random.Random, rows: int = 8) -> Sample:
    """JSON of nccl-tests."""
    ranks = draw.choice((4, 8, 16))
    kind, name, op = draw.choice(
        (("all_reduce", "all_reduce", "sum"), ("all_gather", "all_gather", "none"))
    )
    factor, truth, results = bus_factor(kind, ranks), set(), []
    for size, time in _points(draw, rows):
        size *= ranks
        count = size // 4 // (ranks if factor < 1 else 1)
        result = {"size": size, "count": count, "type": "float", "redop": op}
        result["root"] = -1
        for half in ("out_of_place", "in_place"):
            algbw = size / time / 1e3
            parts = {"time": time, "alg_bw": algbw, "bus_bw": algbw * factor}
            result[half] = {**parts, "nwrong": draw.choice((0, None))}
            truth.add((kind, ranks, float(size), time))
            time = round(time * draw.uniform(0.97, 1.03), 2)
        results.append(result)
    devices = [
        {"rank": r, "group": 0, "pid": 9, "hostname": "h", "device_info": "Test GPU"}
        for r in range(ranks)
    ]
    report = {
        "version": "2.17.6",
        "nccl_version": 22703,
        "args": [f"./build/{name}_perf", "-b", "64", "-J", "out.json"],
        "devices": devices,
        "results": results,
        "out_of_bounds": {"count": 0, "okay": True},
    }
    text = json.dumps(report, indent=draw.choice((None, 1)))
    return Sample(form=nccl_json, content=text, truth=frozenset(truth))


def nccom_log(draw: random.Random, rows: int = 8) -> Sample:
    """Text of nccom-test, with its command."""
    ranks = draw.choice((2, 8, 32))
    kind, word = draw.choice((("all_reduce", "allr"), ("all_gather", "allg")))
    factor, truth = bus_factor(kind, ranks), set()
    lines = [
        f"$ nccom-test -r {ranks} -N 1 -b 64 -e 1GB -f 2 -d bf16 {word}",
        "size(B)  count(elems)  type  time:avg(us)  time:p90(us)  algbw(GB/s)"
        "  busbw(GB/s)",
    ]
    for size, time in _points(draw, rows):
        algbw = size / time / 1e3
        lines.append(
            f"{size:>12} {size // 2:>12} bf16 {time:>10.2f} {time * 1.1:>10.2f} "
            f"{algbw:>8.2f} {algbw * factor:>8.2f}"
        )
        truth.add((kind, ranks, float(size), time))
    lines.append("Avg bus bandwidth:	11.5867GB/s")
    text = _noisy(draw, "\n".join(lines))
    return Sample(form=nccom_text, content=text, truth=frozenset(truth))


def nccom_report(draw: random.Random, rows: int = 8) -> Sample:
    """JSON of nccom-test."""
    ranks, truth, results = draw.choice((2, 16, 64)), set(), []
    for size, time in _points(draw, rows):
        algbw = size / time / 1e3
        results.append(
            {
                "size(B)": size,
                "count(elems)": size // 2,
                "type": "bf16",
                "time:avg(us)": time,
                "algbw(GB/s)": algbw,
                "busbw(GB/s)": algbw * bus_factor("all_reduce", ranks),
            }
        )
        truth.add(("all_reduce", ranks, float(size), time))
    text = json.dumps({"results": results}, indent=draw.choice((None, 1)))
    given = {"ranks": ranks, "collective": "all_reduce"}
    return Sample(form=nccom_json, content=text, truth=frozenset(truth), given=given)


def osu_log(draw: random.Random, rows: int = 8) -> Sample:
    """Text of the OSU micro-benchmarks, plain or ``-f``, with its command."""
    kind, title, blocks = draw.choice(
        (
            ("all_reduce", "Allreduce", False),
            ("all_gather", "Allgather", True),
            ("all_to_all", "Alltoall", True),
            ("broadcast", "Broadcast", False),
            ("reduce_scatter", "Reduce_scatter", False),
        )
    )
    ranks, full, truth = draw.choice((4, 48, 128)), draw.random() < 0.5, set()
    head = "# Size       Avg Latency(us)"
    if full:
        head += "   Min Latency(us)   Max Latency(us)  Iterations"
    binary = f"osu_{title.lower()}" + (" -f" if full else "")
    lines = [
        f"$ mpirun -np {ranks} ./{binary}",
        f"# OSU MPI{draw.choice(('', '-CUDA'))} {title} Latency Test "
        f"v{draw.choice('567')}.4",
        *draw.choice(((), ("# Datatype: MPI_CHAR.",))),
        head,
    ]
    for size, time in _points(draw, rows):
        more = f" {time * 0.9:17.2f} {time * 1.2:17.2f} {1000:11}" if full else ""
        lines.append(f"{size:<10} {time:18.2f}{more}")
        truth.add((kind, ranks, float(size * (ranks if blocks else 1)), time))
    text = _noisy(draw, "\n".join(lines))
    return Sample(form=osu, content=text, truth=frozenset(truth))


def pico_summary(draw: random.Random, rows: int = 8) -> Sample:
    """A summary of PICO, in nanoseconds."""
    truth = set()
    lines = [
        "buffer_size,collective_type,algo_name,datatype,nnodes,tasks_per_node,mean,"
        "median,min,percentile_90"
    ]
    for size, time in _points(draw, rows):
        nodes, whole = draw.choice((4, 16)), round(time * 1e3)
        lines.append(
            f"{size},ALLREDUCE,{draw.choice(('ring_ompi', 'rabenseifner_ompi'))},int32,"
            f"{nodes},4,{whole + 10},{whole},{whole - 5},{whole + 20}"
        )
        truth.add(("all_reduce", nodes * 4, float(size), round(whole / 1e3, 3)))
    text = "\n".join(lines) + "\n"
    return Sample(form=pico, content=text, truth=frozenset(truth))


def _tidy_frame(draw: random.Random, rows: int) -> tuple[pl.DataFrame, Truth]:
    points = _points(draw, rows)
    ranks = [draw.choice((8, 16, 64)) for _ in points]
    frame = pl.DataFrame(
        {
            "series": ["mine"] * rows,
            "ranks": ranks,
            "collective": ["all_reduce"] * rows,
            "size_bytes": [size for size, _ in points],
            "time_us": [time for _, time in points],
            "notes": [draw.choice(("", 'a "b", c', "plain")) for _ in points],
        }
    )
    truth = {
        ("all_reduce", rank, float(size), time)
        for rank, (size, time) in zip(ranks, points, strict=True)
    }
    return frame, frozenset(truth)


def tidy_text(draw: random.Random, rows: int = 8) -> Sample:
    """The tidy table as CSV."""
    frame, truth = _tidy_frame(draw, rows)
    return Sample(form=tidy_csv, content=frame.write_csv(), truth=truth)


def tidy_columns(draw: random.Random, rows: int = 8) -> Sample:
    """The tidy table as Parquet."""
    frame, truth = _tidy_frame(draw, rows)
    file = io.BytesIO()
    frame.write_parquet(file)
    return Sample(form=tidy_parquet, content=file.getvalue(), truth=truth)


SAMPLES: Mapping[str, Callable[..., Sample]] = {
    "nccl": nccl_log,
    "nccl-json": nccl_report,
    "nccom": nccom_log,
    "nccom-json": nccom_report,
    "osu": osu_log,
    "pico": pico_summary,
    "csv": tidy_text,
    "parquet": tidy_columns,
}
"""A maker of samples for each format."""

_HEAD = "# size count type redop root time algbw busbw #wrong time algbw busbw #wrong\n"
_ROW = "1048576 262144 float sum -1 {} 2.16 4.05 0 {} 2.16 4.04 0\n"

RUINS: Mapping[str, bytes] = {
    "empty": b"",
    "blank": b"\n \n",
    "binary": b"\x7fELF\0\0",
    "prose": b"hello\n",
    "headings alone": _HEAD.encode(),
    "NaN times": (_HEAD + _ROW.format("nan", "nan")).encode(),
    "negative times": (_HEAD + _ROW.format("-485.3", "-486.3")).encode(),
    "zero times": (_HEAD + _ROW.format("0.00", "0.00")).encode(),
    "a crash": b"# nThread 1 nGpus 8 minBytes 8\nx: Test NCCL failure common.cu:958\n",
    "a failed nccom-test": b"$ nccom-test -r 2 allr\n1 errors found - test failed\n",
    "truncated nccl-tests JSON": b'{"nccl_version": 22703, "results": [{"size": 8, ',
    "truncated nccom-test JSON": b'{"results": [{"size(B)": 8, ',
    "tidy CSV with NaN": b"ranks,collective,size_bytes,time_us\n8,ar,64,nan\n",
    "tidy CSV, negative": b"ranks,collective,size_bytes,time_us\n8,ar,64,-5\n",
    "tidy CSV with a zero time": b"ranks,collective,size_bytes,time_us\n8,ar,64,0\n",
    "tidy CSV cut off": b"ranks,collective,size_bytes,time_us\n8,ar,64\n",
    "OSU bandwidths": b"# OSU MPI Bandwidth Test v7\n# Size  MB/s\n8  1.00\n",
    "PICO, wrong unit": b"buffer_size,algo_name,collective,ranks,median\n8,x,ar,8,3\n",
    "broken Parquet": b"PAR1 and no more",
}
"""Files that hold nothing usable: each must give one error that names it."""

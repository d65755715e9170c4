"""Damage logs at random, and see that a reader refuses rather than invents.

A damaged log may be read, in part or whole, or refused with the one exception that
names the file. Anything else is a fault: another exception, more than ``SLOW_S``
seconds of work, a row of senseless numbers, or a row whose size and time the log
doesn't show together.
"""

from __future__ import annotations

import concurrent.futures
import math
import multiprocessing
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from experiments.logs.samples import SAMPLES, Sample
from fabricmodel.errors import MeasurementError
from fabricmodel.measurements import COLLECTIVES, Measurements
from fabricmodel.measurements.evidence import Given
from fabricmodel.measurements.reading import read_content

SLOW_S = 2.0
_CHUNK = 250
_RECOGNISED = 0.2  # of the logs, whose format no one is told
_SNIPPETS = (
    *("0", "9", "7", ".", "-", "e", " ", "\n", "\r", "#", ",", '"', "\0", "\\", "\t"),
    *("N/A", "nan", "NaN", "inf", "-1", "1e999", "float", "root", "9" * 400, "٣"),
    *("size", "Rank 7", "[1,0]<stdout>:", "nccom-test -r 4", "{", "]", "null"),
    "node1:25:66 [1] NCCL INFO Channel 00/08 : 0 1 2 3 4 5 6 7",
)
_FIGURES = ("ranks", "size_bytes", "time_us")
_TOKEN = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def damage(text: str, draw: random.Random) -> str:
    """Change a text in one to five places, or its lines' order, or cut it off."""
    for _ in range(draw.choice((1, 1, 1, 2, 3, 5))):
        start = draw.randrange(len(text) + 1)
        stop = min(start + draw.choice((1, 1, 2, 8, 60)), len(text))
        what = draw.randrange(10)
        if what <= 2:
            text = text[:start] + text[stop:]
        elif what == 3:
            text = text[:stop] + text[start:stop] + text[stop:]
        elif what <= 5:
            text = text[:start] + draw.choice(_SNIPPETS) + text[start:]
        elif what == 6:  # a digit
            places = [m.start() for m in re.finditer("[0-9]", text)]
            if places:
                at = draw.choice(places)
                text = text[:at] + draw.choice("0123456789") + text[at + 1 :]
        else:
            text = _damage_lines(text, draw, what)
    return text


def _damage_lines(text: str, draw: random.Random, what: int) -> str:
    lines = text.split("\n")
    first, second = draw.randrange(len(lines)), draw.randrange(len(lines))
    if what == 7:  # two lines fused, as processes that share a terminal do
        lines[first : first + 2] = ["".join(lines[first : first + 2])]
    elif what == 8:
        lines[first], lines[second] = lines[second], lines[first]
    else:
        del lines[min(first, second) : max(first, second)]
    return "\n".join(lines)


def damaged(sample: Sample, draw: random.Random) -> str | bytes:
    """Damage a sample's content, text or bytes."""
    if isinstance(sample.content, str):
        return damage(sample.content, draw)
    data = bytearray(sample.content)
    for _ in range(draw.choice((1, 2, 5))):
        place = draw.randrange(len(data))
        if draw.random() < 0.5:
            data[place] = draw.randrange(256)
        else:
            del data[place : place + draw.choice((1, 8, 200))]
        if not data:
            break
    return bytes(data)


def faults_of(table: Measurements, content: str | bytes) -> list[str]:
    """What is wrong with rows read from a damaged log; an independent view of it."""
    faults = []
    if not len(table) or not {*table.frame["collective"]} <= {*COLLECTIVES}:
        faults.append("no row, or a collective that doesn't exist")
    rows = table.frame.select(*_FIGURES).rows()
    for name, column in zip(_FIGURES, zip(*rows, strict=True), strict=False):
        if not all(value is not None and 0 < value < math.inf for value in column):
            faults.append(f"{name} that are not finite numbers above 0")
    if faults or isinstance(content, bytes):
        return faults
    shown = [{float(t) for t in _TOKEN.findall(line)} for line in content.split("\n")]
    if content.lstrip()[:1] in ("{", "["):
        shown = [set().union(*shown)]  # an object may stretch over several lines
    for ranks, size, micros in rows:
        sizes = (size, size / ranks)
        times = (micros, round(micros * 1e3, 6))  # PICO counts nanoseconds
        if not any(
            any(s in line for s in sizes) and any(t in line for t in times)
            for line in shown
        ):
            faults.append(f"{size:.0f} bytes in {micros} us stand on no line together")
    lines = content.count("\n") + 1
    if any(not (1 <= row.line <= lines and row.reason) for row in table.set_aside):
        faults.append("something set aside without a line or a reason")
    return faults


def one(name: str, seed: int) -> tuple[str, list[str]]:
    """Damage and read one log: how it ended, and the faults."""
    draw = random.Random(f"{name} {seed}")
    sample = SAMPLES[name](draw, rows=draw.choice((1, 3, 6)))
    content = damaged(sample, draw)
    given = dict(sample.given) if draw.random() < 0.8 else {}
    began = time.process_time()
    try:
        if draw.random() < _RECOGNISED:
            data = content if isinstance(content, bytes) else content.encode()
            table = read_content(data, "x.log", Given(**given))
        else:
            sample.form.matches(content)
            table = sample.form.read(content, "x.log", Given(**given))
        ending, faults = "read", faults_of(table, content)
    except MeasurementError as error:
        ending = "refused"
        faults = [] if str(error).startswith("x.log") else [f"no place: {error}"]
    except Exception as error:  # exactly what must not happen
        ending, faults = "crashed", [f"{type(error).__name__}: {error}"[:300]]
    took = time.process_time() - began
    if took > SLOW_S:
        faults.append(f"took {took:.1f} s")
    return ending, faults


def _chunk(name: str, start: int, stop: int) -> tuple[Counter, list[dict[str, Any]]]:
    endings: Counter = Counter()
    bad = []
    for seed in range(start, stop):
        ending, faults = one(name, seed)
        endings[ending] += 1
        if faults:
            bad.append({"seed": seed, "faults": faults})
    return endings, bad


def fuzz(
    name: str,
    count: int,
    seed: int,
    jobs: int,
    console: Console,
    seconds: float = math.inf,
) -> dict[str, Any]:
    """Try ``count`` damaged logs of a format, in ``jobs`` processes.

    Returns:
      How many were tried (fewer if ``seconds`` ran out before), read and refused, how
      many a second, and the faults with the seeds that show them.
    """
    starts = range(seed, seed + count, _CHUNK)
    spans = [(start, min(start + _CHUNK, seed + count)) for start in starts]
    endings: Counter = Counter()
    faults: list[dict[str, Any]] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    began = time.monotonic()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"Damaging {name}", total=count)
        for result in _results(name, spans, jobs):
            endings.update(result[0])
            faults.extend(result[1])
            progress.advance(task, result[0].total())
            if time.monotonic() - began > seconds:
                break
    tried = endings.total()
    rate = tried / (time.monotonic() - began)
    console.print(
        f"{name}: {tried:,} damaged, {rate:,.0f} a second, {dict(endings)}, "
        f"{len(faults)} faults"
    )
    for fault in sorted(faults, key=lambda each: each["seed"])[:5]:
        console.print(f"  [red]seed {fault['seed']}:[/] {fault['faults'][0]}")
    return {
        "format": name, "count": tried, "seed": seed, "per_second": rate, **endings,
        "faults": faults,
    }  # fmt: skip


def _results(
    name: str, spans: list[tuple[int, int]], jobs: int
) -> Iterator[tuple[Counter, list[dict[str, Any]]]]:
    """Results of the spans, in any order; what is not asked for is not begun."""
    if jobs <= 1:
        for span in spans:
            yield _chunk(name, *span)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, context) as pool:
        waiting = [pool.submit(_chunk, name, *span) for span in spans]
        try:
            for done in concurrent.futures.as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)

"""Time points: warm up, repeat until the median is known, keep every repetition."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator

import jax
import numpy as np
from jax import Array

from fabricmodel.measurements.bench import clock as clocks
from fabricmodel.measurements.bench.programs import Point, barrier, operand, program
from fabricmodel.measurements.bench.statistics import tight


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is done for each point.

    Attributes:
      budget_s: seconds of repetitions at most, by the clock on the wall.
      tolerance: of the median's 95 % interval, either way, at which to stop.
      fewest, most: repetitions.
      warm_up: calls that are not timed.
      call_s: that one timed call should last at least, so that launch and clock
        don't matter: short collectives are chained up to it.
      longest_chain: collectives of one call, at most.
    """

    budget_s: float = 2.0
    tolerance: float = 0.02
    fewest: int = 6
    most: int = 1000
    warm_up: int = 2
    call_s: float = 2e-3
    longest_chain: int = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timed:
    """What was found at a point.

    Attributes:
      point: that was timed.
      chain: collectives of one call.
      launch_s: median seconds of a call without any, taken off each repetition.
      times_s: seconds of one collective, of every repetition, slowest rank; none
        where no repetition could start together.
      late: repetitions whose ranks did not start together, and don't count.
      tight: whether the tolerance was met within the budget.
      hosts: of each process, the first process on its host.
    """

    point: Point
    chain: int
    launch_s: float
    times_s: tuple[float, ...]
    late: int
    tight: bool
    hosts: tuple[int, ...]

    @property
    def median_s(self) -> float:
        """Median of the repetitions, NaN where there is none."""
        return float(np.median(self.times_s)) if self.times_s else np.nan


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """Repetitions made together, as every process knows them.

    Attributes:
      times_s: of a call, slowest rank.
      late: calls whose ranks started too far apart.
      spent_s: by the wall, longest of all processes.
    """

    times_s: list[float]
    late: int
    spent_s: float


Repeat = Callable[[int], Batch]
SKEW = 0.25
"""Share of a call by which its ranks may start apart and it still counts."""


def measure(points: Iterable[Point], effort: Effort | None = None) -> Iterator[Timed]:
    """Time points one after another; every process of the job runs the same ones.

    Yields:
      one ``Timed`` for each point, on every process, also on those whose devices are
      not in the point's mesh.
    """
    effort = effort or Effort()
    clock = clocks.synchronise()
    launches: dict[tuple[object, ...], float] = {}
    for point in points:
        yield _time(point, effort, clock, launches)


def _time(
    point: Point,
    effort: Effort,
    clock: clocks.Clock,
    launches: dict[tuple[object, ...], float],
) -> Timed:
    mine = jax.process_index() in {d.process_index for d in point.mesh.devices.flat}
    x = operand(point) if mine else None
    gate = barrier(point.mesh) if mine and jax.process_count() > 1 else None
    key = (point.mesh, point.size_bytes, point.collective == "all_gather")
    if key not in launches:
        bare = _repeater(point, 0, x, gate, clock, effort.warm_up)
        launches[key] = float(np.median(_enough(bare, effort, 0.2).times_s or [0.0]))
    launch_s = launches[key]
    repeat = _repeater(point, 1, x, gate, clock, effort.warm_up)
    pilot = max(float(np.median(repeat(5).times_s or [1.0])) - launch_s, 1e-6)
    chain = int(np.clip(np.ceil(effort.call_s / pilot), 1, effort.longest_chain))
    if chain > 1:
        repeat = _repeater(point, chain, x, gate, clock, effort.warm_up)
    calls = _enough(repeat, effort, effort.budget_s)
    times = tuple(max(t - launch_s, 0.05 * t) / chain for t in calls.times_s)
    return Timed(
        point=point,
        chain=chain,
        launch_s=launch_s,
        times_s=times,
        late=calls.late,
        tight=bool(times) and tight(times, effort.tolerance),
        hosts=clock.hosts,
    )


def _repeater(
    point: Point,
    inner: int,
    x: Array | None,
    gate: Callable[[], None] | None,
    clock: clocks.Clock,
    warm_up: int,
) -> Repeat:
    """Compile and warm up; the result times so many calls, the slowest rank's each."""
    run = program(point, inner)
    longest = 0.0
    for _ in range(1 + warm_up):
        begin = time.monotonic()
        if x is not None:
            jax.block_until_ready(run(x))
        longest = time.monotonic() - begin
    if x is not None and gate is not None:
        gate()
    # The warmed-up call paces the repetitions, the slowest process all of them.
    longest = float(np.max(clocks.everyones(np.array([longest]))))
    spacing = 2.0 * longest + 1e-3

    def repeat(count: int) -> Batch:
        begun = time.monotonic()
        local = jax.process_count() == 1 or inner == 0  # a launch waits for nobody
        starts = np.zeros(count) if local else clocks.agree(clock, count, spacing)
        spans = np.zeros((count + 1, 2))
        for i, moment in enumerate(starts):
            if x is None:
                continue
            if moment > 0:
                clocks.wait_until(moment)
            elif gate is not None and not local:
                gate()
            begin = time.monotonic()
            jax.block_until_ready(run(x))
            end = time.monotonic()
            agreed = moment if moment > 0 else begin
            spans[i] = (begin - agreed, end - agreed)
        spans[count] = (0.0, time.monotonic() - begun)
        told = clocks.everyones(spans)
        part = told[told[:, 0, 1] > 0] if count and np.any(told[:, 0, 1]) else told
        began, ended = np.max(part, axis=0).T
        slowest = ended - began  # from the last to begin to the last to end
        apart = began - np.min(part[..., 0], axis=0)
        good = apart[:count] <= SKEW * slowest[:count]
        return Batch(
            times_s=slowest[:count][good].tolist(),
            late=int(np.sum(~good)),
            spent_s=float(np.max(told[:, count, 1])),
        )

    return repeat


def _enough(repeat: Repeat, effort: Effort, budget_s: float) -> Batch:
    """Repeat in batches until the median is tight, or budget or number is spent.

    Decided on what every process knows (the slowest rank's times), so alike on all.
    """
    times: list[float] = []
    late, spent, count = 0, 0.0, effort.fewest
    while True:
        batch = repeat(count)
        times += batch.times_s
        late += batch.late
        spent += batch.spent_s
        done = len(times) + late
        if len(times) >= effort.fewest and tight(times, effort.tolerance):
            break
        if spent >= budget_s or done >= effort.most:
            break
        left = (budget_s - spent) / (spent / done)  # repetitions that still fit
        count = int(np.clip(left / 2, 1, min(100, effort.most - done)))
    return Batch(times_s=times, late=late, spent_s=spent)

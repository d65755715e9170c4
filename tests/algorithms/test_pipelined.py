"""Stages on chunks of the vector, against a simulation of chunks that wait in line."""

import itertools

import hypothesis
import hypothesis.strategies as st
import pytest

from fabricmodel.algorithms.counts import Counts, Dim, LevelCounts, total
from fabricmodel.algorithms.hierarchical import pipelined, stage_sizes
from fabricmodel.algorithms.registry import algorithms

ROUND_S, BYTE_S = (1.0, 7.0), (0.5, 2.0)  # of two levels


def seconds(phase: Counts) -> float:
    """Rounds and bytes, level after level, or the slowest of them."""
    each = [
        float(level.rounds) * ROUND_S[at] + float(level.bytes) * BYTE_S[at]
        for at, level in enumerate(phase.levels)
    ]
    return max(each) if phase.flow == "parallel" else sum(each)


def waiting(stages: list[tuple[int, float]], chunks: int) -> float:
    """When the last chunk is done: a level serves one at a time, first come first."""
    level_free, stage_done = {0: 0.0, 1: 0.0}, [0.0] * chunks
    waves = sorted(itertools.product(range(chunks), range(len(stages))), key=sum)
    for chunk, stage in waves:
        level, time = stages[stage]
        start = max(level_free[level], stage_done[chunk])
        level_free[level] = stage_done[chunk] = start + time
    return stage_done[-1]


def stage(rounds: float, moved: float) -> tuple[Counts, ...]:
    return (Counts(levels=(LevelCounts(rounds=rounds, bytes=moved),)),)


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(
    first=st.tuples(st.integers(1, 9), st.integers(1, 99)),
    second=st.tuples(st.integers(1, 9), st.integers(1, 99)),
    chunks=st.integers(1, 12),
)
def test_two_levels(first, second, chunks):
    """Each on a level of its own: exactly what chunks in line take."""
    phases = pipelined([([0], stage(*first)), ([1], stage(*second))], 2, float(chunks))
    times = [
        (at, rounds * ROUND_S[at] + moved / chunks * BYTE_S[at])
        for at, (rounds, moved) in enumerate((first, second))
    ]
    ours = sum(map(seconds, phases))
    assert ours == pytest.approx(waiting(times, chunks), rel=1e-9)


def all_reduce(chunks: float) -> tuple[Counts, ...]:
    """Scatter in nodes of 4, reduce over 8 of them, gather in the nodes; 64 bytes."""
    node, net = (Dim(kind="switch", members=n) for n in (4.0, 8.0))
    inner, outer = stage_sizes("all_reduce", [[node], [net]], 64.0)
    count = {kind: algorithms("flat", kind)["ring"].count for kind in (
        "reduce_scatter", "all_reduce", "all_gather")}  # fmt: skip
    return pipelined(
        [
            ([0], count["reduce_scatter"]([node], inner)),
            ([1], count["all_reduce"]([net], outer)),
            ([0], count["all_gather"]([node], inner)),
        ],
        2,
        chunks,
    )


def test_one_chunk_is_stage_after_stage():
    ours = total(all_reduce(1.0))
    assert [float(x.rounds) for x in ours.levels] == [6.0, 14.0]
    assert [float(x.bytes) for x in ours.levels] == pytest.approx([96.0, 28.0])
    assert float(ours.reduced_bytes) == pytest.approx(48.0 + 14.0)


def test_bytes_stay_and_rounds_come_again():
    one, four = total(all_reduce(1.0)), total(all_reduce(4.0))
    for ours, whole in zip(four.levels, one.levels, strict=True):
        assert float(ours.bytes) == pytest.approx(float(whole.bytes))
        assert float(ours.rounds) == 4.0 * float(whole.rounds)
    assert float(four.reduced_bytes) == pytest.approx(float(one.reduced_bytes))


def test_many_chunks_come_near_the_busiest_level():
    """Without rounds: what the fuller level carries, and a part of the others."""
    moved = [0.0, 0.0]
    for chunks in (1.0, 64.0, 4096.0):
        phases = all_reduce(chunks)
        each = [max if phase.flow == "parallel" else sum for phase in phases]
        time = sum(
            join(float(x.bytes) * BYTE_S[at] for at, x in enumerate(phase.levels))
            for join, phase in zip(each, phases, strict=True)
        )
        moved.append(time)
    busiest = max(96.0 * BYTE_S[0], 28.0 * BYTE_S[1])
    assert moved[2] == pytest.approx(96.0 * BYTE_S[0] + 28.0 * BYTE_S[1])
    assert busiest < moved[4] < moved[3] < moved[2]
    assert moved[4] == pytest.approx(busiest, rel=1e-3)

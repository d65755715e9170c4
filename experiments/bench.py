"""How fast is a prediction, its gradient, a choice, a layout, a fit, a first answer?

    python -m experiments.bench [--cases N] [--rounds K] [--chips N] [--processes]
                                [--fits] [--out DIR]

Writes ``out/bench``: ``bench.json`` with the machine that it ran on, so that two runs
can be compared, ``report.md`` and a figure. Nothing passes or fails by it: the ratios
are of calls timed in turns, in one run, and mean more than the rates.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

import fabricmodel as fm
from experiments.output import machine, whole_folder, write_json
from experiments.speed import cold, kernels, processes
from experiments.speed.clock import once, peak_memory_bytes, race
from experiments.speed.report import KEYS, figure, report
from fabricmodel.fitting.recognise import recognise
from fabricmodel.plots.figures import save

CACHED = 2**18
"""Cases of one formula that stay in a core's cache, as the chunks of a sweep do."""
ASTRA_SIM_S = 2.3
"""One all_reduce on 16 x 16 x 16 by ASTRA-sim 2.0 (congestion-unaware analytical
backend, public commit 518bd51), on a machine with two x86 cores."""


def ring(cases: int, rounds: int) -> dict[str, Any]:
    """One formula, at several numbers of cases; the ratios at two of them.

    The floor of memory is asked at the largest, beyond the caches; the cost of the
    gradients at the chunk that stays in them, and at the largest in pieces that do.
    """
    batches = sorted(
        {max(cases // 16, 1), min(CACHED, cases), max(cases // 4, 1), cases}
    )
    rows = [{"cases": n, **race(kernels.ring(n), rounds)} for n in batches]
    chunk = next(row for row in rows if row["cases"] == min(CACHED, cases))
    largest = rows[-1]
    return {
        "predictions_per_s": max(row["cases"] / row["value"] for row in rows),
        "value_and_grad_per_s": max(
            row["cases"] / min(row["value_and_grad"], row["value_and_grad_in_pieces"])
            for row in rows
        ),
        "copy_floor_ratio": largest["value"] / largest["copy"],
        "gradient_cost_ratio": chunk["value_and_grad"] / chunk["value"],
        "gradient_cost_ratio_largest": (
            largest["value_and_grad_in_pieces"] / largest["value"]
        ),
        "gradient_cost_ratio_largest_at_once": (
            largest["value_and_grad"] / largest["value"]
        ),
        "summed_gradient_cost_ratio": chunk["summed_value_and_grad"] / chunk["value"],
        "numpy_ratio": largest["numpy"] / largest["value"],
        "copy_Bps": kernels.VALUE_BYTES * largest["cases"] / largest["copy"],
        "ring_seconds": rows,
    }


def candidate_set(cases: int, rounds: int) -> dict[str, Any]:
    """Choose among the candidates of a 3D torus, the library's own, and all known."""
    found: dict[str, Any] = {}
    for name, every in (("candidate_set", False), ("every_algorithm", True)):
        fabric = kernels.torus(every_algorithm=every)
        best = race(kernels.candidate_set(cases, every_algorithm=every), rounds)
        found[f"{name}_candidates"] = len(kernels.torus_table(fabric).candidates)
        found[f"{name}_predictions_per_s"] = cases / best["value"]
        found[f"{name}_value_and_grad_per_s"] = cases / best["value_and_grad"]
        found[f"{name}_gradient_cost_ratio"] = best["value_and_grad"] / best["value"]
    return found


def cluster(cases: int, rounds: int) -> dict[str, Any]:
    """Answer for 100,000 chips, in a batch; a simulator's time for 4,096 beside it."""
    best = race(kernels.cluster(cases), rounds)
    answer_s = best["time"] / cases
    return {
        "seconds_per_100k_chip_answer": answer_s,
        "seconds_per_100k_chip_answer_with_terms": best["terms"] / cases,
        "astra_sim_4096_chips_s": ASTRA_SIM_S,
        "astra_sim_ratio": ASTRA_SIM_S / answer_s,
    }


def swept(cases: int) -> dict[str, Any]:
    """Sweep shapes and sizes of a cluster, with the answers going to disk."""
    with tempfile.TemporaryDirectory() as folder:
        wall_s, answers_s = kernels.swept(cases, folder)
    return {
        "sweep_points_per_s": cases / wall_s,
        "sweep_overhead_ratio": wall_s / answers_s,
    }


def scaling(cases: int, wanted: bool) -> dict[str, Any]:
    """Sweep with one process on one core, then with two on two; or leave it out."""
    if not wanted:
        return {"two_process_scaling": None}
    one_s, two_s = (processes.swept_s(count, cases) for count in (1, 2))
    return {
        "two_process_scaling": one_s / two_s,
        "one_process_points_per_s": cases / one_s,
    }


def layouts(chips: int, rounds: int) -> dict[str, Any]:
    """Time layouts of a 70B model's training step."""
    calls, tried, valid = kernels.layouts(chips)
    best = race(calls, rounds)
    return {
        "layouts_per_s": valid / best["evaluate"],
        "layouts_searched_per_s": tried / best["search"],
        "layouts_valid": valid,
    }


def first_answers(repeats: int) -> dict[str, Any]:
    """Time the import and the first answers, each in a fresh process."""
    calls: dict[str, float] = {}
    imports, peaks = [], []
    for name, call in cold.FIRST_CALLS.items():
        runs = [cold.first_call(call) for _ in range(repeats)]
        imports += [run[0] for run in runs]
        peaks.append(max(run[2] for run in runs))
        calls[name] = min(run[1] for run in runs)
    return {
        "import_s": min(imports),
        "first_prediction_s": calls["collective_time"],
        "first_calls_s": calls,
        "first_prediction_peak_bytes": peaks[0],
    }


def fits(wanted: bool) -> dict[str, Any]:
    """Fit every shipped series, each once, compilation included; or leave it out."""
    if not wanted:
        return {"fit_all_series_s": None, "fits_s": None}
    seconds = {}
    for name in fm.list_references():
        times = fm.load_reference(name)
        fabric = recognise(times)
        seconds[name] = once(lambda f=fabric, t=times: fm.fit(f, t).theta)
    return {"fit_all_series_s": sum(seconds.values()), "fits_s": seconds}


def measure(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what each part found, by its name."""
    cases, rounds = options.cases, options.rounds
    yield "first answers", first_answers(max(1, min(rounds, 2)))
    yield "one formula", ring(cases, rounds)
    few = max(cases // 256, 1)
    yield "candidates on a torus", candidate_set(max(cases // 64, 1), rounds)
    yield "100,000 chips", cluster(few, rounds)
    yield "a sweep", swept(max(cases // 4, 8) // 8 * 8)
    yield "two processes", scaling(4 * cases, options.processes)
    yield "layouts", layouts(options.chips, rounds)
    yield "fits", fits(options.fits)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write, and say the table; 0."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.bench",
        description="How fast are predictions, gradients, layouts and fits here?",
    )
    parser.add_argument(
        "--cases", type=_whole, default=2**22, help="of one formula, at most"
    )
    parser.add_argument("--rounds", type=_whole, default=7, help="the best counts")
    parser.add_argument("--chips", type=_whole, default=1024, help="of the layouts")
    parser.add_argument(
        "--processes", action="store_true", help="a sweep by two processes as well"
    )
    parser.add_argument("--fits", action="store_true", help="takes minutes")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    options = parser.parse_args(argv)
    console = Console(stderr=True, highlight=False)
    found: dict[str, Any] = {"machine": machine(), "cases": options.cases}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Timing", total=8)
        for name, part in measure(options):
            progress.update(task, advance=1, description=f"Timed {name}")
            found |= part
    found["peak_memory_bytes"] = peak_memory_bytes()
    text = report(found)
    with whole_folder(options.out) as folder:
        write_json(folder / "bench.json", found)
        (folder / "report.md").write_text(text, encoding="utf-8")
        save(figure(found), folder, "bench")
    print(text)
    assert set(KEYS) <= set(found)
    return 0


def _whole(text: str) -> int:
    """Read a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


if __name__ == "__main__":
    sys.exit(main())

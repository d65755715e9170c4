"""Fit every platform's habits to published runs, and write them as a table.

python -m experiments.fit_habits --runs FILE [--fit-max-chips N] --out habits.toml
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

import fabricmodel as fm
from experiments.output import machine
from fabricmodel.training.beliefs import BELIEFS, PRECISION_SPREAD
from fabricmodel.training.fit import FittedTraining, fit_runs
from fabricmodel.training.platforms import list_platforms, load_platform
from fabricmodel.training.runs import read_runs

_HEAD = """\
# Habits of platforms, fitted to {rows} published training runs of at most {chips:g}
# chips by `python -m experiments.fit_habits`: [median, log (of a share, logit) standard
# deviation]. Runs: Megatron-LM (arXiv 2104.04473, 2205.05198 and its repository),
# NVIDIA dgxc-benchmarking, NeMo and Megatron-Bridge performance summaries, MosaicML
# llm-foundry, MaxText, TPU and GPU recipes, torchtitan, AWS Neuron SDK benchmarks,
# MLPerf logs.
# A platform without runs of its own has the common habits, and their width. No run of
# more chips was seen, and none of them is one that `experiments.validate_training`
# scores, which learns its habits anew. Made {date} with
# {versions}; the search {ended}.

unexplained = {unexplained:.4f}
"""


def table(model: FittedTraining) -> str:
    """Write the posterior of each platform's habits as TOML."""
    space, theta, spread = model.space, model.theta, model.spread
    beyond = float(np.sqrt(np.sum(np.exp(2.0 * model.sizes))))
    chips = max(run.chips for run in model.seen)
    text = _HEAD.format(
        rows=len(model.seen),
        chips=chips,
        unexplained=beyond,
        date=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        versions=", ".join(
            f"{key} {machine()[key]}" for key in ("fabricmodel", "jax", "optax")
        ),
        ended="converged" if model.converged else "did NOT converge",
    )
    for name in list_platforms():
        platform = load_platform(name)
        where = {
            "platform": _column(space.platforms, platform.family),
            "chip": _column(space.chips, platform.chip.name),
            "software": np.array([len(space.softwares)]),
            "precision": np.array([len(space.precisions)]),
        }

        def logs(point: jax.Array, where=where) -> jax.Array:
            habits = space.habits(point, where)
            return jnp.concatenate([_unbounded(habits, key) for key in BELIEFS])

        middle = np.asarray(logs(jnp.asarray(theta)))
        slope = np.asarray(jax.jacfwd(logs)(jnp.asarray(theta)))
        width = np.sqrt(np.einsum("ij,jk,ik->i", slope, spread, slope))
        text += f'\n[platforms."{name}"]\n'
        for at, (key, belief) in enumerate(BELIEFS.items()):
            value = np.exp(middle[at])
            if belief.share:
                value = value / (1.0 + value)
            quoted = f'"{key}"' if "." in key else key
            text += f"{quoted} = [{value:.4g}, {width[at]:.3f}]\n"
        start = len(theta) - len(space.precisions) - 1
        for at, kind in enumerate(space.precisions):
            chip, _, precision = kind.partition("/")
            if chip == platform.chip.name:
                moved = PRECISION_SPREAD * theta[start + at]
                sd = PRECISION_SPREAD * np.sqrt(spread[start + at, start + at])
                text += f'"precision.{precision}" = [{moved:.4f}, {sd:.3f}]\n'
    return text


def _column(known: tuple[str, ...], name: str) -> np.ndarray:
    return np.array([known.index(name) if name in known else len(known)])


def _unbounded(habits, key: str) -> jax.Array:
    """Log of a habit, logit of a share."""
    field, _, part = key.partition(".")
    value = getattr(habits, field)
    value = value[part] if part else value
    return jnp.log(value / (1.0 - value)) if BELIEFS[key].share else jnp.log(value)


def main(argv: list[str] | None = None) -> int:
    """Read the command line, fit, and write the table in one step."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.fit_habits",
        description="Fit every platform's habits to published runs.",
    )
    parser.add_argument("--runs", required=True, metavar="FILE")
    parser.add_argument("--fit-max-chips", type=float, default=256.0, metavar="N")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    try:
        with jax.enable_x64(True), console.status("Fitting"):
            _, runs = read_runs(options.runs)
            small = [run for run in runs if run.chips <= options.fit_max_chips]
            text = table(fit_runs(small, calibrate=False))
    except fm.FabricModelError as error:
        console.print(f"[red]error:[/] {error}", highlight=False)
        return 2
    options.out.write_text(text, encoding="utf-8")
    console.print(f"wrote {options.out}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

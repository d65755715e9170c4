"""A transformer's training step on a fabric; then long runs, heat, power and price.

>>> from fabricmodel.training import load_model, load_platform, search, workload
>>> from fabricmodel.training import load_habits
>>> model = load_model("llama3.1-8b")
>>> found = search(load_platform("h100"), model, workload(model, sequence=8192.0),
...                chips=64, sequences=256, habits=load_habits("h100"))
>>> found.best().ranks
64.0
"""

from fabricmodel.training.fit import FittedTraining, Forecast, fit_runs
from fabricmodel.training.goodput import Reliability, best_interval_s, goodput, outlook
from fabricmodel.training.habits import load_habits
from fabricmodel.training.heat import AIR, LIQUID, Cooling, joules_per_token, pace
from fabricmodel.training.layout import Layout, check, memory_bytes
from fabricmodel.training.models import list_models, load_model
from fabricmodel.training.platforms import Platform, list_platforms, load_platform
from fabricmodel.training.price import PriceList, price_list, usd_per_million_tokens
from fabricmodel.training.runs import Run, read_runs
from fabricmodel.training.search import evaluate, search
from fabricmodel.training.step import Habits, Machine, step_terms
from fabricmodel.training.tax import communication_tax
from fabricmodel.training.workload import Transformer, Workload, workload

__all__ = [
    "AIR",
    "LIQUID",
    "Cooling",
    "FittedTraining",
    "Forecast",
    "Habits",
    "Layout",
    "Machine",
    "Platform",
    "PriceList",
    "Reliability",
    "Run",
    "Transformer",
    "Workload",
    "best_interval_s",
    "check",
    "communication_tax",
    "evaluate",
    "fit_runs",
    "goodput",
    "joules_per_token",
    "list_models",
    "list_platforms",
    "load_habits",
    "load_model",
    "load_platform",
    "memory_bytes",
    "outlook",
    "pace",
    "price_list",
    "read_runs",
    "search",
    "step_terms",
    "usd_per_million_tokens",
    "workload",
]

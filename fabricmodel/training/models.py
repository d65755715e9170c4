"""Models by name: the hyperparameters on their cards."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from fabricmodel.errors import FabricError
from fabricmodel.training.workload import Transformer


def load_model(name: str) -> Transformer:
    """Load a model by its catalogue name.

    Raises:
      FabricError: for a name that is not on the list.

    >>> f"{load_model('llama3.1-405b').parameters:.4g}"
    '4.058e+11'
    """
    known = _catalogue()
    if name not in known:
        raise FabricError(
            "model", f"{name!r} is not known", f"Name one of {', '.join(list_models())}"
        )
    entry = {key: float(v) for key, v in known[name].items() if key != "source"}
    entry.setdefault("head_width", entry["width"] / entry["heads"])
    return Transformer(**entry)


def list_models() -> list[str]:
    """Return the names of the models in the catalogue.

    >>> "llama3.1-405b" in list_models()
    True
    """
    return sorted(_catalogue())


@cache
def _catalogue() -> Mapping[str, Mapping[str, Any]]:
    file = resources.files("fabricmodel.training") / "data" / "models.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))["models"]

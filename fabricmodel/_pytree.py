"""The one way to make a record: frozen, keyword-only, known to JAX."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def static(**kwargs: Any) -> Any:
    """Mark a field that fixes the shape of the program (a kind, a name)."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


@dataclass_transform(
    frozen_default=True,
    kw_only_default=True,
    field_specifiers=(dataclasses.field, static),
)
def pytree(cls: type[T]) -> type[T]:
    """Make a frozen, keyword-only dataclass whose fields JAX traces unless static.

    Raises:
      TypeError: from JAX, if a field is excluded from ``__init__``.
    """
    record = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    return jax.tree_util.register_dataclass(record)

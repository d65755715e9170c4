"""The collectives as JAX programs, several in a chain, each waiting for the last.

What is timed is one call of a program that runs a collective ``inner`` times on every
group of a mesh axis (or of several) at once. With ``inner = 0`` the same program only
launches: that is timed apart and taken off.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fabricmodel.errors import MeasurementError
from fabricmodel.units import COLLECTIVES

OPERATIONS = {
    "all_reduce": "psum",
    "all_gather": "all_gather",
    "reduce_scatter": "psum_scatter",
    "all_to_all": "all_to_all",
    "send_recv": "ppermute",
}
"""Collectives that JAX has an operation for."""

ELEMENT_BYTES = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One thing to time.

    Attributes:
      collective: a key of ``OPERATIONS``.
      size_bytes: of the full vector, nccl-tests convention; what is really moved.
      axes: mesh axes that a group spans; all groups run at once.
      mesh: of the devices that take part.
    """

    collective: str
    size_bytes: int
    axes: tuple[str, ...]
    mesh: Mesh

    @property
    def ranks(self) -> int:
        """Devices of one group."""
        return int(np.prod([self.mesh.shape[axis] for axis in self.axes]))

    @property
    def groups(self) -> int:
        """Groups that run at once."""
        return self.mesh.size // self.ranks


def point(collective: str, size_bytes: float, axes: Sequence[str], mesh: Mesh) -> Point:
    """Make a point of a size that divides into whole elements on every rank.

    Raises:
      MeasurementError: for a collective without an operation, an axis that the mesh
        lacks, a group of one, or a size of nothing.

    >>> mesh = jax.make_mesh((1,), ("x",))
    >>> point("all_reduce", 4096, ("x",), mesh)
    Traceback (most recent call last):
    ...
    fabricmodel.errors.MeasurementError: axes: x holds one device. Name larger axes.
    """
    if collective not in OPERATIONS:
        known = collective in COLLECTIVES
        what = f"{collective!r} {'has no operation in JAX' if known else 'is unknown'}"
        raise MeasurementError(
            "collective", what, f"Use one of {', '.join(OPERATIONS)}"
        )
    if missing := [axis for axis in axes if axis not in mesh.shape]:
        remedy = f"Use some of {', '.join(mesh.shape)}"
        raise MeasurementError("axes", f"the mesh has no axis {missing[0]!r}", remedy)
    made = Point(collective=collective, size_bytes=0, axes=tuple(axes), mesh=mesh)
    if made.ranks < 2:
        what = f"{'*'.join(axes)} holds one device"
        raise MeasurementError("axes", what, "Name larger axes")
    if not size_bytes > 0:
        remedy = "Give a positive number of bytes"
        raise MeasurementError("size_bytes", f"{size_bytes} is no size", remedy)
    unit = ELEMENT_BYTES
    if collective in ("all_gather", "reduce_scatter", "all_to_all"):
        unit *= made.ranks
    whole = max(round(size_bytes / unit), 1) * unit
    return dataclasses.replace(made, size_bytes=whole)


def operand(at: Point) -> Array:
    """Zeros on every device of the mesh, as many as a rank holds of the vector."""
    held = at.size_bytes // ELEMENT_BYTES
    if at.collective == "all_gather":
        held //= at.ranks
    everywhere = PartitionSpec(tuple(at.mesh.shape))
    sharding = NamedSharding(at.mesh, everywhere)
    shape = (at.mesh.size * held,)

    def zeros(index: tuple[slice, ...] | None) -> np.ndarray:
        part = index[0] if index else slice(None)
        start, stop, _ = part.indices(shape[0])
        return np.zeros(stop - start, np.float32)

    return jax.make_array_from_callback(shape, sharding, zeros)


def program(at: Point, inner: int) -> Callable[[Array], Array]:
    """Compile a chain of ``inner`` collectives.

    The first element of each result goes into the operand of the next, behind a
    barrier, so that none can be left out, moved or merged; nothing else is copied.
    """
    operate = _OPERATIONS[at.collective]

    def once(_: int, x: Array) -> Array:
        result = operate(x, at.axes, at.ranks)
        x, result = lax.optimization_barrier((x, result))
        return lax.dynamic_update_slice(x, lax.slice(result, (0,), (1,)), (0,))

    def chain(x: Array) -> Array:
        if inner == 1:
            return once(0, x)
        return lax.fori_loop(0, inner, once, x) if inner else x + 0.0

    spec = PartitionSpec(tuple(at.mesh.shape))
    mapped = jax.shard_map(
        chain, mesh=at.mesh, in_specs=spec, out_specs=spec, check_vma=False
    )
    return jax.jit(mapped)


def barrier(mesh: Mesh) -> Callable[[], None]:
    """Make a function that returns once every device of a mesh has called it."""
    spec = PartitionSpec(tuple(mesh.shape))
    names = tuple(mesh.shape)
    mapped = jax.shard_map(
        partial(lax.psum, axis_name=names),
        mesh=mesh, in_specs=spec, out_specs=PartitionSpec(), check_vma=False,
    )  # fmt: skip
    run = jax.jit(mapped)
    one = jax.make_array_from_callback(
        (mesh.size,), NamedSharding(mesh, spec), lambda _: np.ones(1, np.float32)
    )

    def wait() -> None:
        jax.block_until_ready(run(one))

    return wait


def _psum(x: Array, axes: tuple[str, ...], ranks: int) -> Array:
    return lax.psum(x, axes)


def _all_gather(x: Array, axes: tuple[str, ...], ranks: int) -> Array:
    return lax.all_gather(x, axes, tiled=True)


def _psum_scatter(x: Array, axes: tuple[str, ...], ranks: int) -> Array:
    return lax.psum_scatter(x, axes, scatter_dimension=0, tiled=True)


def _all_to_all(x: Array, axes: tuple[str, ...], ranks: int) -> Array:
    parts = jnp.reshape(x, (ranks, -1))
    swapped = lax.all_to_all(parts, axes, split_axis=0, concat_axis=0, tiled=True)
    return jnp.reshape(swapped, (-1,))


def _ppermute(x: Array, axes: tuple[str, ...], ranks: int) -> Array:
    return lax.ppermute(x, axes, [(i, (i + 1) % ranks) for i in range(ranks)])


_OPERATIONS: dict[str, Callable[[Array, tuple[str, ...], int], Array]] = {
    "all_reduce": _psum,
    "all_gather": _all_gather,
    "reduce_scatter": _psum_scatter,
    "all_to_all": _all_to_all,
    "send_recv": _ppermute,
}

"""What a measurement was taken on: devices as JAX sees them, versions, environment."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

PREFIXES = (
    "NCCL_", "RCCL_", "NEURON_", "FI_", "XLA_", "JAX_", "LIBTPU_", "TPU_",
    "CUDA_VISIBLE", "ROCR_", "HSA_", "GLOO_", "UCX_", "OMPI_", "OMP_",
    "SLURM_JOB_NUM", "SLURM_NTASKS",
)  # fmt: skip
"""Of environment variables that change how collectives run."""

PACKAGES = (
    "fabricmodel", "jax", "jaxlib", "numpy", "libtpu", "libneuronxla", "neuronx-cc",
    "jax-neuronx", "nvidia-nccl-cu12", "nvidia-nccl-cu13", "jax-cuda12-plugin",
    "jax-cuda13-plugin", "jax-rocm7-plugin",
)  # fmt: skip

_DEVICE_FIELDS = (
    "id", "platform", "device_kind", "process_index", "local_hardware_id", "coords",
    "core_on_chip", "slice_index",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """Describe this process's host, and all devices of the job; fit for JSON."""
    return {
        "host": socket.gethostname(),
        "boot": boot_id(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "packages": {name: v for name in PACKAGES if (v := _version(name))},
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(PREFIXES)
        },
        "process": jax.process_index(),
        "processes": jax.process_count(),
        "platform_version": getattr(jax.devices()[0].client, "platform_version", ""),
        "devices": [_device(device) for device in jax.devices()],
    }


def boot_id() -> str:
    """Name the running kernel: processes that share it share a monotonic clock."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def torus(devices: Sequence[Any]) -> str:
    """Sides of the torus that whole chips of these devices fill, as ``4x4x2``, or "".

    Only where the devices have coordinates (TPU) and fill a box of them.
    """
    found = [getattr(device, "coords", None) for device in devices]
    coords = {tuple(at) for at in found if at is not None}
    if not coords or None in found or len(coords) < 2:
        return ""
    sides = [1 + max(c) - min(c) for c in zip(*coords, strict=True)]
    volume = 1
    for side in sides:
        volume *= side
    if volume != len(coords) or len(coords) != len(devices):
        return ""
    return "x".join(str(side) for side in sides if side > 1)


def _device(device: Any) -> dict[str, Any]:
    found = {name: getattr(device, name, None) for name in _DEVICE_FIELDS}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in found.items()
        if isinstance(value, int | str | float | list | tuple)
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""

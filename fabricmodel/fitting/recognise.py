"""Which fabric a table of measurements was taken on, from its own columns."""

from __future__ import annotations

import dataclasses

import numpy as np

from fabricmodel.catalog.loader import list_fabrics, load_entry
from fabricmodel.fabric import Fabric
from fabricmodel.measurements import Measurements


def recognise(times: Measurements) -> Fabric:
    """Return the catalogue's fabric for a table, or a generic one of its shape.

    A machine that the column ``system`` names and the catalogue knows: alone if every
    row is of one node, in its cluster otherwise. Else from the columns
    ``topology_shape`` (a torus), ``ranks_per_node`` and ``nodes`` (nodes over a
    network), at prices believed within two decades. Only the shape is read, which is
    known before anything is measured, and no time.

    >>> from fabricmodel.measurements import load_reference
    >>> recognise(load_reference("trn2_48xl_nccom_r64")).name
    'trn2-instance'
    """
    nodes = _nodes(times)
    several = bool(np.any(nodes > 1))
    named = " ".join(sorted(set(times.frame["system"].to_list())))
    for name in list_fabrics():
        entry = load_entry(name)
        cluster = any(level.grows for level in entry.fabric.levels)
        if cluster == several and any(system in named for system in entry.systems):
            return entry.fabric
    return generic_fabric(times)


def cluster_of(fabric: Fabric) -> Fabric:
    """Return the cluster that the catalogue makes of units of this fabric.

    The one that its entry names, or else the largest; the fabric itself where it
    grows, or where the catalogue knows no such cluster.

    >>> cluster_of(load_entry("trn2-ultraserver").fabric).name
    'trn2-ultracluster'
    """
    if any(level.grows for level in fabric.levels):
        return fabric
    if fabric.name in list_fabrics() and load_entry(fabric.name).cluster:
        return load_entry(load_entry(fabric.name).cluster).fabric
    own = [(level.name, level.link) for level in fabric.levels]
    found = fabric
    for name in list_fabrics():
        other = load_entry(name).fabric
        shared = [(level.name, level.link) for level in other.levels[: len(own)]]
        grows = other.levels[-1].grows
        if grows and shared == own and len(other.levels) > len(found.levels):
            found = other
    return found


def generic_fabric(times: Measurements) -> Fabric:
    """Build a fabric of the shape that a table's columns describe."""
    shapes = [shape for shape in times.frame["topology_shape"].to_list() if shape]
    if shapes and len(shapes) == len(times):
        fabric = load_entry("generic-torus").fabric
        sides = max(len(shape.split("x")) for shape in shapes)
        return dataclasses.replace(fabric, levels=fabric.levels[:sides])
    local = times.ranks_per_node
    if _speaks_of(times, "nccl", "rccl"):
        fabric = load_entry("generic-nccl-cluster").fabric
        local = np.where(np.isfinite(local), local, times.ranks)
    elif not np.any(_nodes(times) > 1):
        return load_entry("generic-node").fabric
    elif not np.any(local > 1):
        return load_entry("generic-network").fabric
    else:
        fabric = load_entry("generic-cluster").fabric
    size = float(np.nanmax(local))
    node, network = fabric.levels
    node = dataclasses.replace(node, members=size, capacity=size)
    if float(network.uplinks) == 0.0:  # each rank has its own
        network = dataclasses.replace(network, uplinks=size)
    return dataclasses.replace(fabric, levels=(node, network))


def _speaks_of(times: Measurements, *words: str) -> bool:
    """Whether every row names one of the words where it says how it was measured."""
    columns = ("algorithm", "statistic", "source", "notes")
    said = times.frame.select(columns).fill_null("").iter_rows()
    rows = [" ".join(row).lower() for row in said]
    return all(any(word in row for word in words) for row in rows)


def _nodes(times: Measurements) -> np.ndarray:
    """Nodes of each row: as stated, or from the ranks of a node, or one."""
    derived = times.ranks / times.ranks_per_node
    stated = np.where(np.isfinite(times.nodes), times.nodes, derived)
    return np.where(np.isfinite(stated), stated, 1.0)

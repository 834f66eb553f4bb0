"""Small fixed regions of a map: a lattice of three per axis and the points between (GCL)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

SIDE = 3
"""Pixels along each axis of a region."""

NEIGHBORS = 5
"""Lattice regions that are a region's negatives."""


def region_places(spatial_axes: int) -> Tensor:
    """Where the regions lie, as shares of each axis: [R, axes], the lattice first.

    In 2D 9 on the lattice and 4 at the quarter points, in 3D 27 and 8.
    """
    lattice = itertools.product((0.0, 0.5, 1.0), repeat=spatial_axes)
    quarters = itertools.product((0.25, 0.75), repeat=spatial_axes)
    return torch.tensor([*lattice, *quarters])


def region_neighbors(spatial_axes: int) -> Tensor:
    """The nearest lattice regions of each region, itself excluded: [R, 5] int64."""
    places = region_places(spatial_axes).double()
    lattice = places[: 3**spatial_axes]
    distances = torch.cdist(places, lattice)
    distances[: len(lattice)].fill_diagonal_(torch.inf)
    return distances.argsort(dim=1, stable=True)[:, :NEIGHBORS]


def cut_regions(maps: Tensor) -> Tensor:
    """Cut the regions out of maps with channels last.

    Args:
        maps: [B, *S, C], no axis shorter than a region.

    Returns:
        [B, R, SIDE ** axes * C].
    """
    size: Sequence[int] = maps.shape[1:-1]
    room = torch.tensor(size) - SIDE
    found = []
    for start in (region_places(len(size)) * room).round().long().tolist():
        region = maps
        for axis, first in enumerate(start):
            region = region.narrow(1 + axis, first, SIDE)
        found.append(region.flatten(1))
    return torch.stack(found, dim=1)

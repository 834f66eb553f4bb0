"""Candidate pixels sorted into groups: image of the batch × grid cell, cut by a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Groups:
    """The N candidates of a mask listed group by group, reusable for any number of draws.

    The M groups (empty ones included) are numbered image by image and, inside an image, cell by
    cell in raster order of the grid. They follow each other in `candidates` in this order, and
    each lists its pixels in raster order. All tables are int32, which halves memory traffic.

    Attributes:
        shape: (B, *S) of the mask.
        grid: cells along each spatial axis.
        pool_batch: whether the same cell of all images is one group.
        candidates: [N] int32, indices into the flattened mask.
        group_of: [N] int32, the group of each candidate; never decreases.
        starts: [M] int32, where each group begins in `candidates`.
        sizes: [M] int32, candidates in each group (N_m).
    """

    shape: tuple[int, ...]
    grid: tuple[int, ...]
    pool_batch: bool
    candidates: Tensor
    group_of: Tensor
    starts: Tensor
    sizes: Tensor

    @property
    def total(self) -> int:
        """N, the number of candidates."""
        return len(self.candidates)


@dataclass(frozen=True)
class Cells:
    """The pixels of one image listed cell by cell.

    Attributes:
        order: [P] int32, flat pixel indices; each cell lists its own in raster order.
        ends: [cells] int64, where each cell ends in `order`.
    """

    order: Tensor
    ends: Tensor


def group(mask: Tensor, grid: Sequence[int], *, pool_batch: bool = False) -> Groups:
    """Sort the candidates of a mask into groups.

    Coordinate i of an axis with L pixels and g cells lies in cell floor(i·g/L), so widths differ
    by at most one pixel (the released code leaves the whole remainder to the last cell). There
    may be more cells than pixels. The mask thins the cells out, it does not move their borders.

    Args:
        mask: [B, *S] bool with two or three spatial axes; True marks a candidate.
        grid: cells along each spatial axis.
        pool_batch: merge the same cell of all images into one group. Any partition keeps the
            guarantees of Lemma 3.1 and Theorem 3.2; the paper's is per image.

    Raises:
        ValueError: the mask is not bool with two or three spatial axes, or has 2^30 pixels or
            more; or the grid is not one positive number for each spatial axis.
    """
    shape, cells_along = tuple(mask.shape), tuple(grid)
    if mask.dtype != torch.bool or len(shape) not in (3, 4):
        raise ValueError(
            "mask must be bool [batch, *spatial] with 2 or 3 spatial axes, "
            f"not {mask.dtype} {list(shape)}"
        )
    if len(cells_along) != len(shape) - 1 or min(cells_along) < 1:
        raise ValueError(
            f"grid must be a positive number of cells for each of the {len(shape) - 1} "
            f"spatial axes, not {list(cells_along)}"
        )
    if mask.numel() >= 2**30:
        raise ValueError(f"a mask of {mask.numel()} pixels is too large; split the batch")
    batch, cells = partition(shape, cells_along, pool_batch, mask.device)
    pixels = len(cells.order)
    image = torch.arange(batch, dtype=torch.int32, device=mask.device)[:, None]
    order = (image * pixels + cells.order).flatten()
    positions = look_up(mask.flatten(), order).nonzero().squeeze(1)
    ends = torch.searchsorted(positions, (image * pixels + cells.ends).flatten(), out_int32=True)
    sizes = ends.diff(prepend=ends.new_zeros(1))
    numbers = torch.arange(len(sizes), dtype=torch.int32, device=mask.device)
    return Groups(
        shape=shape,
        grid=cells_along,
        pool_batch=pool_batch,
        candidates=look_up(order, positions),
        group_of=numbers.repeat_interleave(sizes, output_size=len(positions)),
        starts=ends - sizes,
        sizes=sizes,
    )


def look_up(table: Tensor, index: Tensor) -> Tensor:
    """Entries of a vector at indices of any shape; three times faster than `take` on CPU."""
    return table.index_select(0, index.reshape(-1)).view(index.shape)


def partition(
    shape: tuple[int, ...], grid: tuple[int, ...], pool_batch: bool, device: torch.device
) -> tuple[int, Cells]:
    """How many times the grid is laid, and its cells over what it is laid on.

    A pooled batch is one image with the batch as one more axis, which no cell border crosses.
    """
    if pool_batch:
        return 1, _cells(shape, (1, *grid), device)
    return shape[0], _cells(shape[1:], grid, device)


@lru_cache(maxsize=16)
def _cells(axes: tuple[int, ...], grid: tuple[int, ...], device: torch.device) -> Cells:
    """Sort the pixels once per size, grid, and device; 4 bytes a pixel are kept."""
    cell = torch.zeros(axes, dtype=torch.int64, device=device)
    for axis, (length, cells_along) in enumerate(zip(axes, grid, strict=True)):
        along = torch.arange(length, device=device) * cells_along // max(length, 1)
        trailing = [1] * (len(axes) - axis - 1)
        cell = cell * cells_along + along.reshape(-1, *trailing)
    in_order, order = cell.flatten().sort(stable=True)
    borders = torch.arange(math.prod(grid), device=device)
    return Cells(order.int(), torch.searchsorted(in_order, borders, right=True))

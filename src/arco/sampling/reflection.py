"""The second pixel of an antithetic pair: the mirror image of the first inside its group."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from arco.sampling.allocation import uniform_below
from arco.sampling.grouping import Groups, look_up, partition

NO_MIRROR = -1


def reversed_rank(
    groups: Groups,
    group_ids: Tensor,
    ranks: Tensor,
    generator: torch.Generator | None,  # noqa: ARG001 - nothing here is random
) -> Tensor:
    """Candidate k of a group's raster order is paired with candidate N_m - 1 - k.

    On a full cell this is the reflection about the cell's center of the paper (Fig. 2); with a
    mask it stays defined, and exactly uniform. A middle candidate is its own mirror.

    Args:
        groups: the candidates.
        group_ids: int32, the group of each pair.
        ranks: int32, same shape, positions of the first pixels in `groups.candidates`.
        generator: unused.

    Returns:
        Positions of the second pixels, same shape.
    """
    return look_up(2 * groups.starts + groups.sizes - 1, group_ids).sub_(ranks)


def cell_mirror(
    groups: Groups, group_ids: Tensor, ranks: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Reflection about the center of the grid cell, where that pixel is a candidate.

    A pixel whose mirror is no candidate is paired with a uniform draw among all such pixels of
    its group. (A draw from the whole group, or the candidate nearest to the mirror, would be
    biased.) Arguments and result as in `reversed_rank`.
    """
    mirror_of = mirror_ranks(groups)
    unpaired = (mirror_of == NO_MIRROR).nonzero().squeeze(1)
    if len(unpaired) == 0:
        return look_up(mirror_of, ranks)
    counts = look_up(groups.group_of, unpaired).bincount(minlength=len(groups.sizes))
    starts = counts.cumsum(0) - counts
    # Every pair redraws and most keep their mirror; the clamps serve groups with nothing unpaired.
    bounds = look_up(counts.clamp(min=1), group_ids)
    chosen = look_up(starts, group_ids) + uniform_below(bounds, bounds.shape, generator, bounds)
    redrawn = look_up(unpaired, chosen.clamp_(max=len(unpaired) - 1))
    mirrors = look_up(mirror_of, ranks)
    return torch.where(mirrors == NO_MIRROR, redrawn, mirrors)


def mirror_ranks(groups: Groups) -> Tensor:
    """Position of each candidate's geometric mirror in `candidates`, or NO_MIRROR; [N] int32."""
    _, cells = partition(groups.shape, groups.grid, groups.pool_batch, groups.candidates.device)
    order, pixels = cells.order, len(cells.order)
    # All pixels of a cell, listed backwards, are its point reflection.
    sizes = cells.ends.diff(prepend=cells.ends.new_zeros(1))
    reversed_position = (2 * cells.ends - sizes - 1).repeat_interleave(sizes, output_size=pixels)
    reversed_position -= torch.arange(pixels, device=order.device)
    mirror_of_pixel = torch.empty_like(order)
    mirror_of_pixel[order] = look_up(order, reversed_position)

    pixel = groups.candidates % pixels
    mirror = groups.candidates - pixel + look_up(mirror_of_pixel, pixel)
    rank_of = order.new_full((math.prod(groups.shape),), NO_MIRROR)
    rank_of[groups.candidates] = torch.arange(groups.total, dtype=order.dtype, device=order.device)
    return look_up(rank_of, mirror)


REFLECTIONS: dict[str, Callable[[Groups, Tensor, Tensor, torch.Generator | None], Tensor]] = {
    "rank": reversed_rank,
    "cell_mirror": cell_mirror,
}

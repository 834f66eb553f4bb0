"""Overlapping windows of a map, each average-pooled to the same small size.

Neighboring windows overlap by half. Every pooled window is therefore a block of one pooling of
the whole map, which is computed once: 49 windows of 64 x 64 pixels at stride 32, each pooled to
8 x 8, are the 8 x 8 blocks at stride 4 of the map pooled to 32 x 32 (appendix Sec. E). In volumes,
7 x 10 x 10 windows of 20 voxels a side are blocks of 80 x 112 x 112 voxels pooled to 16 x 22 x 22.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def cells_of(windows: Sequence[int], pooling: int) -> tuple[int, ...]:
    """Cells along each axis that so many half-overlapping windows of `pooling` cells consist of.

    Raises:
        ValueError: `pooling` is odd, so that half a window is no whole number of cells.
    """
    if pooling % 2:
        raise ValueError(f"pooling must be even, not {pooling}")
    return tuple(pooling // 2 * (count + 1) for count in windows)


def pool_to_cells(maps: Tensor, cells: Sequence[int]) -> Tensor:
    """Average-pool maps to `cells` along each axis.

    Args:
        maps: [B, C, *S]; what is left of an axis after equal parts stays unused.
        cells: one number per spatial axis.

    Returns:
        [B, *cells, C], channels last, ready for `arco.models.projection.mlp`.

    Raises:
        ValueError: an axis is shorter than its cells.
    """
    size = maps.shape[2:]
    if any(length < count for length, count in zip(size, cells, strict=True)):
        raise ValueError(f"a map of {tuple(size)} pixels has no {tuple(cells)} cells")
    for axis, (length, count) in enumerate(zip(size, cells, strict=True)):
        pixels = length // count
        kept = maps.narrow(2 + axis, 0, count * pixels)
        before, after = maps.shape[: 2 + axis], maps.shape[3 + axis :]
        maps = kept.reshape(*before, count, pixels, *after).mean(3 + axis)
    return maps.movedim(1, -1)


def windows_of(cells: Tensor, pooling: int) -> Tensor:
    """Cut a map of cells into windows of `pooling` cells per axis at half that stride.

    Args:
        cells: [B, *cells, C].
        pooling: cells along every axis of a window.

    Returns:
        [W, B, C * pooling ** axes]: every window flattened, windows in raster order.
    """
    batch, axes = len(cells), cells.ndim - 2
    for axis in range(axes):
        cells = cells.unfold(1 + axis, pooling, pooling // 2)
    # Now [B, *windows, C, *pooling].
    return cells.reshape(batch, -1, cells.shape[1 + axes] * pooling**axes).transpose(0, 1)

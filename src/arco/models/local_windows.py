"""Overlapping windows of a map, each average-pooled to the same small size.

Neighboring windows overlap by half. Every pooled window is therefore a block of one pooling of
the whole map, which is computed once: 49 windows of 64 x 64 pixels at stride 32, each pooled to
8 x 8, are the 8 x 8 blocks at stride 4 of the map pooled to 32 x 32 (appendix Sec. E).
"""

from __future__ import annotations

from torch import Tensor


def cells_per_axis(windows: int, pooling: int) -> int:
    """Cells per axis of which `windows` half-overlapping windows of `pooling` cells consist.

    Raises:
        ValueError: `pooling` is odd, so that half a window is no whole number of cells.
    """
    if pooling % 2:
        raise ValueError(f"pooling must be even, not {pooling}")
    return pooling // 2 * (windows + 1)


def pool_to_cells(maps: Tensor, cells: int) -> Tensor:
    """Average-pool maps to `cells` per axis.

    Args:
        maps: [B, C, *S]; what is left of an axis after `cells` equal parts stays unused.
        cells: cells along every axis.

    Returns:
        [B, cells, ..., cells, C], channels last, ready for `arco.models.projection.mlp`.

    Raises:
        ValueError: an axis is shorter than `cells`.
    """
    size = maps.shape[2:]
    if min(size) < cells:
        raise ValueError(f"a map of {tuple(size)} pixels has no {cells} cells per axis")
    for axis, length in enumerate(size):
        pixels = length // cells
        kept = maps.narrow(2 + axis, 0, cells * pixels)
        before, after = maps.shape[: 2 + axis], maps.shape[3 + axis :]
        maps = kept.reshape(*before, cells, pixels, *after).mean(3 + axis)
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

"""Feature pyramids: linear resampling between their levels, as maps, matrices and neighborhoods.

Decoder maps [f0 ... f4] come in rising resolution, each [B, c_l, *S_l]. Raising level l to the
full resolution means one linear interpolation per level passed, corners aligned. Such a chain is
not a single interpolation, but it is separable: one matrix per axis with few entries per row does
the same, and also gives the adjoint, values at single pixels, and lengths of interpolated vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

PIXEL_BLOCK = 65536
"""Fine pixels, in whole images, that are worked on at a time where temporaries are large."""

Size = tuple[int, ...]
Kind = tuple[torch.device, torch.dtype]

_INTERPOLATION = {2: "bilinear", 3: "trilinear"}


def upsample(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resample [B, channels, *S] linearly to `size`, corners aligned; 2D or 3D."""
    mode = _INTERPOLATION[maps.ndim - 2]
    return functional.interpolate(maps, size=tuple(size), mode=mode, align_corners=True)


def sizes_of(features: Sequence[Tensor]) -> tuple[Size, ...]:
    """The spatial size of each map of a pyramid."""
    return tuple(tuple(maps.shape[2:]) for maps in features)


def kind_of(maps: Tensor) -> Kind:
    """Device and type, as the functions below want them."""
    return maps.device, maps.dtype


def image_blocks(features: Sequence[Tensor]) -> Iterator[tuple[slice, list[Tensor]]]:
    """Go through a pyramid a few images at a time, so that temporaries stay small.

    Yields:
        Which images, and the pyramid of these.
    """
    images, step = len(features[-1]), max(1, PIXEL_BLOCK // features[-1][0, 0].numel())
    for start in range(0, images, step):
        block = slice(start, start + step)
        yield block, [maps[block] for maps in features]


def along_axes(maps: Tensor, matrices: Sequence[Tensor], first: int) -> Tensor:
    """Multiply successive axes of `maps`, from axis `first` on, by one matrix [out, in] each.

    Matrix products beat `upsample` where maps have many channels, and hold for any linear map.
    """
    for axis, matrix in enumerate(matrices, first):
        maps = _along_axis(maps, matrix, axis)
    return maps


def _along_axis(maps: Tensor, matrix: Tensor, axis: int) -> Tensor:
    if axis == maps.ndim - 1:
        return maps @ matrix.T
    shape = *maps.shape[:axis], len(matrix), *maps.shape[axis + 1 :]
    return (matrix @ maps.flatten(axis + 1)).reshape(shape)


def interpolation_matrix(coarse: int, fine: int) -> Tensor:
    """The matrix [fine, coarse] of `upsample` along one axis; float64, rows sum to 1."""
    # Dividing integers, so that a fine pixel on top of a coarse one has exactly one weight.
    position = torch.arange(fine) * (coarse - 1) / torch.tensor(max(fine - 1, 1)).double()
    distance = position[:, None] - torch.arange(coarse, dtype=torch.float64)
    return (1 - distance.abs()).clamp_min(0)


def averaging_matrix(fine: int, cells: int) -> Tensor:
    """The matrix [cells, fine] of adaptive average pooling along one axis; float64."""
    identity = torch.eye(fine, dtype=torch.float64)
    return functional.adaptive_avg_pool1d(identity, cells).T


@lru_cache(maxsize=128)
def chain_matrices(sizes: tuple[Size, ...], kind: Kind) -> tuple[Tensor, ...]:
    """What interpolating through all of `sizes` does along each axis.

    Args:
        sizes: spatial sizes passed, coarse to fine; a single one gives identities.
        kind: device and type of the result.

    Returns:
        One matrix [S_fine, S_coarse] per spatial axis, rows of sum 1.
    """
    return tuple(
        reduce(
            lambda product, step: interpolation_matrix(*step) @ product,
            pairwise(lengths),
            torch.eye(lengths[0], dtype=torch.float64),
        ).to(*kind)
        for lengths in zip(*sizes, strict=True)
    )


@lru_cache(maxsize=128)
def pooling_matrices(sizes: tuple[Size, ...], cells: Size, kind: Kind) -> tuple[Tensor, ...]:
    """What interpolating through `sizes` and average pooling to `cells` does along each axis."""
    chain = chain_matrices(sizes, (torch.device("cpu"), torch.float64))
    return tuple(
        (averaging_matrix(len(matrix), count) @ matrix).to(*kind)
        for matrix, count in zip(chain, cells, strict=True)
    )


@lru_cache(maxsize=128)
def _bands(sizes: tuple[Size, ...], kind: Kind) -> tuple[tuple[Tensor, Tensor], ...]:
    """The non-zero band of each chain matrix: first column [S] int64 and entries [S, width]."""
    bands = []
    for matrix in chain_matrices(sizes, kind):
        coarse = matrix.shape[1]
        occupied = (matrix != 0).int()
        first = occupied.argmax(dim=1)
        last = coarse - 1 - occupied.flip(1).argmax(dim=1)
        width = int((last - first).max()) + 1
        first = first.clamp_max(coarse - width)
        columns = first[:, None] + torch.arange(width, device=matrix.device)
        bands.append((first, matrix.gather(1, columns)))
    return tuple(bands)


@dataclass(frozen=True)
class Neighborhood:
    """The coarse pixels that interpolated values at some fine pixels are made of.

    Attributes:
        images: [...] int64, which image of the batch each fine pixel lies in.
        pixels: [k, ...] int64 into the flattened coarse map of that image.
        weights: [k, ...], of sum 1 over k.
    """

    images: Tensor
    pixels: Tensor
    weights: Tensor


def neighborhood(pixels: Tensor, sizes: tuple[Size, ...], dtype: torch.dtype) -> Neighborhood:
    """Where values at fine pixels come from after interpolating through `sizes`.

    Args:
        pixels: [...] int64 into flattened [B, *sizes[-1]].
        sizes: spatial sizes passed, coarse to fine.
        dtype: type of the weights.
    """
    bands = _bands(sizes, (pixels.device, dtype))
    shape, pixels = pixels.shape, pixels.flatten()
    offsets, shares, stride = [], [], 1
    for axis in reversed(range(len(bands))):
        first, entries = bands[axis]
        rest = pixels.div(sizes[-1][axis], rounding_mode="trunc")
        coordinate, pixels = pixels - rest * sizes[-1][axis], rest
        steps = torch.arange(entries.shape[1], device=pixels.device).unsqueeze(1)
        offsets.append((first.index_select(0, coordinate) + steps) * stride)
        shares.append(entries.T.contiguous().index_select(1, coordinate))
        stride *= sizes[0][axis]
    neighbors = reduce(lambda inner, outer: (outer.unsqueeze(1) + inner).flatten(0, 1), offsets)
    weights = reduce(lambda inner, outer: (outer.unsqueeze(1) * inner).flatten(0, 1), shares)
    return Neighborhood(pixels.view(shape), neighbors.view(-1, *shape), weights.view(-1, *shape))


def squared_norms(vectors: Tensor, sizes: tuple[Size, ...]) -> Tensor:
    """Squared lengths of interpolated vectors, computed without interpolating the vectors.

    For weights w of sum 1, |sum_i w_i a_i|^2 = sum_i w_i |a_i|^2 - sum_{i<j} w_i w_j |a_i - a_j|^2,
    and a row of an interpolation matrix has few weights, side by side. So along each axis the
    fine values are linear in the squared lengths of the coarse vectors and of a few differences.

    Args:
        vectors: [D, B, *sizes[0]], a vector at every coarse pixel.
        sizes: spatial sizes passed, coarse to fine.

    Returns:
        [B, *sizes[-1]].
    """
    if len(sizes) == 1:
        return vectors.square().sum(dim=0)
    return _squared_norms(vectors, _norm_matrices(sizes, kind_of(vectors)), axis=0)


@lru_cache(maxsize=128)
def _norm_matrices(sizes: tuple[Size, ...], kind: Kind) -> tuple[tuple[Tensor, ...], ...]:
    """Per axis: weights [S, s] of the squared lengths, then of differences over gap 1, 2, ..."""
    bands = _bands(sizes, kind)
    return tuple(
        (matrix, *(-matrix[:, :-gap] * matrix[:, gap:] for gap in range(1, entries.shape[1])))
        for matrix, (_, entries) in zip(chain_matrices(sizes, kind), bands, strict=True)
    )


def _squared_norms(vectors: Tensor, matrices: tuple[tuple[Tensor, ...], ...], axis: int) -> Tensor:
    """Spatial axis `axis` of `squared_norms`; the axes after it are done inside."""
    if axis == len(matrices):
        return vectors.square().sum(dim=0)
    lengths, *gaps = matrices[axis]
    total = _along_axis(_squared_norms(vectors, matrices, axis + 1), lengths, axis + 1)
    for gap, products in enumerate(gaps, start=1):
        pairs = vectors.shape[axis + 2] - gap
        differences = vectors.narrow(axis + 2, gap, pairs) - vectors.narrow(axis + 2, 0, pairs)
        squares = _squared_norms(differences, matrices, axis + 1)
        total = total + _along_axis(squares, products, axis + 1)
    return total

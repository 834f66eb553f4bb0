"""Similarity of queries to the teacher's representation at many pixels, without forming any.

With 256 x 512 negatives per class most pixels of a batch get drawn: their representations would
fill half a gigabyte and take longer than the rest of the step. But a dot product with
r = sum_l A_l up(f_l) is a sum over levels too. The coarse levels hold most channels but few pixels:
there each query gets a map of partial dot products, read at a few neighbors of a pixel. The fine
levels hold few channels: their interpolated values are gathered. Lengths come from `squared_norms`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from arco.models.head import Representations, merge
from arco.models.pyramid import image_blocks, neighborhood, sizes_of, upsample

COARSE_SHARE = 32
"""A level is coarse if the full resolution has at least this many times its pixels."""

QUERY_BLOCK = 128
"""Queries compared at a time; bounds the memory of their maps of partial dot products."""

SMALLEST_NORM = 1e-12
"""Shorter vectors count as this long, as in `torch.nn.functional.normalize`."""


class KeyField:
    """The teacher's representation of every pixel of a batch, as keys to compare queries with.

    Keys are constants: no gradient reaches the teacher. Memory is about 115 numbers per pixel for
    the 2D network and 65 for the 3D one, instead of D.

    Args:
        representations: the teacher's, of at least two levels.
        cosine: whether to compare directions; else dot products.
    """

    def __init__(self, representations: Representations, *, cosine: bool = True) -> None:
        constants = representations.detach()
        features, matrices = constants.features, constants.matrices
        split, self._cosine = _count_coarse(features), cosine
        self._sizes = sizes_of(features)[split - 1 :]
        self._coarse = [maps.transpose(0, 1).contiguous() for maps in features[:split]]
        self._coarse_matrices = matrices[:split]
        self._fine_matrix = torch.cat(matrices[split:], dim=1)
        finest = features[-1]
        self._fine = finest.new_empty(*finest[:, 0].shape, self._fine_matrix.shape[1])
        for images, part in image_blocks(features):
            raised = [_raise(part[level:]) for level in range(split, len(part))]
            torch.cat(raised, dim=-1, out=self._fine[images])
        self._fine = self._fine.flatten(0, -2)
        self._scale = (
            constants.norms().flatten().clamp_min(SMALLEST_NORM).reciprocal()
            if cosine
            else finest.new_ones(len(self._fine))
        )

    def similarity(self, queries: Tensor, pixels: Tensor) -> Tensor:
        """Cosine similarities or dot products of each query with its own keys.

        Args:
            queries: [Q, D] representations of the student; receive a gradient.
            pixels: [Q, K] int64 into flattened [B, *S], row q the keys of query q.

        Returns:
            [Q, K].
        """
        if self._cosine:
            queries = functional.normalize(queries, dim=1)
        starts = range(0, len(queries), QUERY_BLOCK)
        blocks = [slice(start, start + QUERY_BLOCK) for start in starts]
        dot_products = [self._dot_products(queries[block], pixels[block]) for block in blocks]
        return torch.cat(dot_products) * self._scale[pixels]

    def _dot_products(self, queries: Tensor, pixels: Tensor) -> Tensor:
        """As `similarity`, before dividing by the lengths of the keys."""
        near = neighborhood(pixels, self._sizes, queries.dtype)
        maps = merge(self._coarse, [queries @ matrix for matrix in self._coarse_matrices])
        rows = torch.arange(len(queries), device=pixels.device).unsqueeze(1) * maps.shape[1]
        index = (rows + near.images) * maps[0, 0].numel() + near.pixels
        read = maps.flatten().index_select(0, index.flatten()).view_as(near.weights)
        coarse = (read * near.weights).sum(dim=0)
        fine = self._fine.index_select(0, pixels.flatten()).view(*pixels.shape, -1)
        projected = (queries @ self._fine_matrix).unsqueeze(2)
        return torch.baddbmm(coarse.unsqueeze(2), fine, projected).squeeze(2)


def _count_coarse(features: Sequence[Tensor]) -> int:
    """How many levels, at least one, are coarse."""
    pixels = [maps[0, 0].numel() for maps in features]
    return max(1, sum(COARSE_SHARE * count <= pixels[-1] for count in pixels))


def _raise(features: Sequence[Tensor]) -> Tensor:
    """The first map at the resolution of the last one, channels last: [B, *S, channels]."""
    # Interpolation is twice as fast in this memory order, and pixels are gathered from it.
    maps = features[0].movedim(1, -1).contiguous().movedim(-1, 1)
    for size in sizes_of(features[1:]):
        maps = upsample(maps, size)
    return maps.movedim(1, -1)

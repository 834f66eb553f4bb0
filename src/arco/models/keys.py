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

from arco.models.head import RepresentationHead, merge, mix
from arco.models.pyramid import Size, neighborhood, sizes_of, squared_norms, upsample

COARSE_SHARE = 16
"""A level is coarse if the full resolution has at least this many times its pixels."""

SMALLEST_NORM = 1e-8
"""Shorter vectors count as this long, as in torch's cosine similarity."""


class KeyField:
    """The teacher's representation of every pixel of a batch, as keys to compare queries with.

    Keys are constants: no gradient reaches the teacher. Memory is about 50 numbers per pixel for
    the 2D network instead of D.

    Args:
        head: the teacher's head.
        features: the teacher's pyramid [f0 ... f4], each [B, c_l, *S_l], of at least two levels.
        cosine: whether to compare directions; else dot products.
    """

    @torch.no_grad()
    def __init__(
        self, head: RepresentationHead, features: Sequence[Tensor], *, cosine: bool = True
    ) -> None:
        matrices, sizes = head.matrices(), sizes_of(features)
        split = _count_coarse(features)
        self._coarse, self._coarse_matrices = features[:split], matrices[:split]
        self._fine_matrix = torch.cat(matrices[split:], dim=1)
        self._sizes = sizes[split - 1 :]
        pixels = features[-1][0, 0].numel()
        self._fine = features[-1].new_empty(len(features[-1]), pixels, self._fine_matrix.shape[1])
        self._scale = self._fine.new_ones(self._fine.shape[:2])
        # Image by image, or working memory would be that of the maps this class avoids.
        for image in range(len(self._fine)):
            maps = [level[image : image + 1] for level in features]
            fine = torch.cat([_raise(maps[k], sizes[k:]) for k in range(split, len(maps))], dim=1)
            self._fine[image] = fine[0].flatten(1).T
            if cosine:
                norms = self._norms(maps[:split], fine)
                self._scale[image] = norms.clamp_min(SMALLEST_NORM).reciprocal()
        self._fine, self._scale, self._cosine = self._fine.flatten(0, 1), self._scale.flatten(), cosine

    def _norms(self, coarse: Sequence[Tensor], fine: Tensor) -> Tensor:
        """|r| of the pixels of one image, [P]: |u + A h|^2 = |u|^2 + h . (2 A'u + A'A h)."""
        partial = squared_norms(merge(coarse, self._coarse_matrices), self._sizes)
        seen_by_fine = [self._fine_matrix.T @ matrix for matrix in self._coarse_matrices]
        crossed = _raise(merge(coarse, seen_by_fine), self._sizes)
        gram = self._fine_matrix.T @ self._fine_matrix
        square = partial + (fine * (2 * crossed + mix(gram, fine))).sum(dim=1)
        return square.flatten().clamp_min(0).sqrt()

    def similarity(self, queries: Tensor, pixels: Tensor) -> Tensor:
        """Cosine similarities or dot products of each query with its own keys.

        Args:
            queries: [Q, D] representations of the student; receive a gradient.
            pixels: [Q, K] int64 into flattened [B, *S], row q the keys of query q.

        Returns:
            [Q, K].
        """
        if self._cosine:
            queries = functional.normalize(queries, dim=1, eps=SMALLEST_NORM)
        maps = merge(self._coarse, [queries @ matrix for matrix in self._coarse_matrices])
        near = neighborhood(pixels, self._sizes, maps.dtype)
        rows = torch.arange(len(queries), device=pixels.device).unsqueeze(1)
        index = (near.images * len(queries) + rows) * maps[0, 0].numel()
        read = maps.flatten().index_select(0, (index.unsqueeze(2) + near.pixels).flatten())
        coarse = (read.view_as(near.weights) * near.weights).sum(dim=2)
        gathered = self._fine.index_select(0, pixels.flatten()).unflatten(0, pixels.shape)
        fine = (gathered @ (queries @ self._fine_matrix).unsqueeze(2)).squeeze(2)
        return (coarse + fine) * self._scale[pixels]


def _count_coarse(features: Sequence[Tensor]) -> int:
    """How many levels, at least one, are coarse."""
    pixels = [maps[0, 0].numel() for maps in features]
    return max(1, sum(COARSE_SHARE * count <= pixels[-1] for count in pixels))


def _raise(maps: Tensor, sizes: Sequence[Size]) -> Tensor:
    """Interpolate maps of size `sizes[0]` through all others."""
    for size in sizes[1:]:
        maps = upsample(maps, size)
    return maps

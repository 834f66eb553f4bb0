"""The representation head of the pixel contrast, evaluated only where a loss looks at it.

The head ("FPN", appendix Sec. C) is linear: bias-free 1-wide convolutions, concatenations and
interpolations. Interpolation acts on pixels and the convolutions on channels, so they commute,
and the representation collapses to r = up(up(up(up(A0 f0) + A1 f1) + A2 f2) + A3 f3) + A4 f4 with
one matrix A_l per level, a product of the head's weights. Pixels, class means and pooled maps of
r then cost a few rows of f_l each, where the dense r takes gigabytes at width 512.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from arco.models.pyramid import (
    Size,
    along_axes,
    chain_matrices,
    image_blocks,
    kind_of,
    neighborhood,
    pooling_matrices,
    sizes_of,
    squared_norms,
    upsample,
)

LONGEST_PRODUCT = 64
"""Pixels along an axis up to which a matrix product interpolates faster than two neighbors do."""


def mix(weight: Tensor, maps: Tensor) -> Tensor:
    """A bias-free 1-wide convolution: [out, in] on maps [in, B, *S]."""
    return (weight @ maps.flatten(1)).view(-1, *maps.shape[1:])


def raised(maps: Tensor, size: Size) -> Tensor:
    """Maps [channels, B, *S] interpolated to `size`."""
    coarse = tuple(maps.shape[2:])
    if min(coarse) > LONGEST_PRODUCT:
        return upsample(maps, size)
    return along_axes(maps, chain_matrices((coarse, size), kind_of(maps)), first=2)


def raised_and_added(merged: Tensor, weight: Tensor, maps: Tensor) -> Tensor:
    """One level of `merge`."""
    up = raised(merged, tuple(maps.shape[2:]))
    return torch.addmm(up.flatten(1), weight, maps.flatten(1)).view_as(up)


def merge(features: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """The collapsed recursion: raise, then add the next level's maps times its weight.

    Args:
        features: maps [c_l, B, *S_l] in rising resolution. Channels lead, so that a weight is
            applied to all images by one matrix product.
        weights: one matrix [out, c_l] per map.

    Returns:
        [out, B, *S] at the resolution of the last map.
    """
    merged = mix(weights[0], features[0])
    for weight, maps in zip(weights[1:], features[1:], strict=True):
        merged = raised_and_added(merged, weight, maps)
    return merged


class RepresentationHead(nn.Module):
    """Dense D-dimensional representations from a feature pyramid; used in training only.

    x_0 = (W_0 + I) f_0, x_l = (W_l + I)[up(x_{l-1}); f_l], and r = W_4 [up(x_3); f_4], where
    [;] joins channels and [f0 ... f4] is the network's feature pyramid, f_l of shape
    [B, c_l, *S_l]. Works over any number of levels and in 2D and 3D.

    Args:
        feature_channels: c_0, c_1, ..., the bottleneck first.
        width: D; 512 in the appendix, 496 in the released 2D code.
    """

    def __init__(self, feature_channels: Sequence[int], width: int = 512) -> None:
        super().__init__()
        self.feature_channels = tuple(feature_channels)
        *inner, joined = itertools.accumulate(feature_channels)
        shapes = [*((channels, channels) for channels in inner), (joined, width)]
        self.weights = nn.ParameterList(nn.Linear(*shape, bias=False).weight for shape in shapes)

    def _mixing(self) -> list[Tensor]:
        """W_0 + I, ..., W_3 + I, W_4."""
        *inner, last = self.weights
        return [weight + torch.eye(len(weight)).to(weight) for weight in inner] + [last]

    def matrices(self) -> list[Tensor]:
        """The matrix A_l [D, c_l] of each level: `merge` of features with them is r."""
        weights = self._mixing()
        product = weights.pop()
        collapsed = []
        for channels, weight in zip(
            reversed(self.feature_channels[1:]), reversed(weights), strict=True
        ):
            collapsed.append(product[:, -channels:])
            product = product[:, :-channels] @ weight
        return [product, *reversed(collapsed)]

    def over(self, features: Sequence[Tensor]) -> Representations:
        """The representations of a batch with the weights as they are now."""
        return Representations(self.matrices(), features)

    def dense(self, features: Sequence[Tensor]) -> Tensor:
        """The definition above at every pixel, [B, D, *S]; for small images and tests."""
        weights = self._mixing()
        merged = mix(weights[0], features[0].transpose(0, 1))
        for maps, weight in zip(features[1:], weights[1:], strict=True):
            up = upsample(merged.transpose(0, 1), maps.shape[2:])
            merged = mix(weight, torch.cat([up, maps], dim=1).transpose(0, 1))
        return merged.transpose(0, 1)


class Representations:
    """Representations of every pixel of a batch, formed where they are asked for.

    Differentiable in matrices and features. The matrices cost a product of all weights, so that one
    of these serves a whole training step.

    Args:
        matrices: A_l [D, c_l], of `RepresentationHead.matrices`.
        features: the pyramid [f0 ... f4], f_l of shape [B, c_l, *S_l].

    Attributes:
        joined: [D, sum(c_l)], all matrices side by side: r at a pixel is this times `inputs`.
    """

    def __init__(self, matrices: Sequence[Tensor], features: Sequence[Tensor]) -> None:
        self.matrices = tuple(matrices)
        self.features = tuple(features)
        self.joined = torch.cat(self.matrices, dim=1)

    def images(self, which: slice) -> Representations:
        """Those of some images of the batch."""
        return Representations(self.matrices, [maps[which] for maps in self.features])

    def detach(self) -> Representations:
        """The same as constants."""
        return Representations(
            [matrix.detach() for matrix in self.matrices], [maps.detach() for maps in self.features]
        )

    def at(self, pixels: Tensor) -> Tensor:
        """Representations of n pixels, [n, D].

        One call for all classes is cheaper than one call for each: the backward pass fills a
        map per level and call. Working memory is about n sum(c_l) times 10 numbers in 2D, 20 in 3D.

        Args:
            pixels: [n] int64 into flattened [B, *S] of the last level; repetitions are fine.
        """
        return self.inputs(pixels) @ self.joined.T

    def inputs(self, pixels: Tensor) -> Tensor:
        """What the head reads at n pixels: all levels, interpolated and joined, [n, sum(c_l)]."""
        features, sizes = self.features, sizes_of(self.features)
        gathered = []
        for level, maps in enumerate(features):
            near = neighborhood(pixels, sizes[level:], maps.dtype)
            rows = maps.flatten(2)[near.images, :, near.pixels]
            gathered.append((near.weights.unsqueeze(2) * rows).sum(dim=0))
        return torch.cat(gathered, dim=1)

    def class_means(self, masks: Tensor) -> Tensor:
        """Mean r over the pixels of each mask, [C, D]; zero for an empty mask.

        The mean of r is A_l times weighted sums of f_l, with the weights that the adjoint of
        interpolation makes of the mask.

        Args:
            masks: [C, B, *S] bool at the resolution of the last level.
        """
        features, sizes = self.features, sizes_of(self.features)
        weights = masks.to(features[-1].dtype)
        sums: list[Tensor] = []
        for level in reversed(range(len(features))):
            maps = features[level]
            per_image = weights.flatten(2).transpose(0, 1) @ maps.flatten(2).transpose(1, 2)
            sums.insert(0, per_image.sum(dim=0))
            if level > 0:
                step = chain_matrices(sizes[level - 1 : level + 1], kind_of(maps))
                weights = along_axes(weights, [matrix.T for matrix in step], first=2)
        counts = masks.flatten(1).sum(dim=1, keepdim=True).clamp_min(1)
        return torch.cat(sums, dim=1) @ self.joined.T / counts

    def pooled(self, size: Sequence[int]) -> Tensor:
        """Adaptive average pooling of r, [B, D, *size]."""
        features, sizes = self.features, sizes_of(self.features)
        pooled = [
            along_axes(maps, pooling_matrices(sizes[level:], tuple(size), kind_of(maps)), first=2)
            for level, maps in enumerate(features)
        ]
        joined = torch.cat(pooled, dim=1).transpose(0, 1)
        return mix(self.joined, joined).transpose(0, 1)

    @torch.no_grad()
    def norms(self) -> Tensor:
        """Length of r at every pixel, [B, *S]; a constant without gradient.

        A rotation of the representation space keeps lengths. The one that makes [A4 ... A0]
        triangular leaves to f4 only the first c_4 coordinates, to f3 only c_3 more, and so on, so
        that every block of coordinates lives on a grid as coarse as its finest level: there it is
        measured and left behind, and the others are raised to the next.
        """
        features, sizes = self.features, sizes_of(self.features)
        triangle = torch.linalg.qr(torch.cat(self.matrices[::-1], dim=1), mode="r").R
        lengths = torch.empty_like(features[-1][:, 0])
        for images, part in image_blocks(features):
            squares = torch.zeros_like(lengths[images])
            ends = len(triangle.T)
            vectors = squares.new_empty(0)
            for level, maps in enumerate(part):
                starts = ends - maps.shape[1]
                weight, leading = triangle[:ends, starts:ends], maps.transpose(0, 1)
                vectors = (
                    raised_and_added(vectors, weight, leading) if level else mix(weight, leading)
                )
                if len(vectors) > starts:  # a small D leaves no coordinates to coarse levels
                    squares += squared_norms(vectors[starts:], sizes[level:])
                    vectors = vectors[:starts]
                ends = starts
            lengths[images] = squares.clamp_min(0).sqrt()
        return lengths

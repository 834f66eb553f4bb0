"""Random rotation, cropping and horizontal flipping of training batches (appendix Sec. C).

All three are one affine map per image, so that image and label cannot disagree and nothing is
resampled twice. What an image goes through is drawn by one function and applied by another. Maps
act on the last two axes; volumes keep their depth. In volumes the random patch is the crop:
`crop_padding` is 0 there.

As in SSL4MIS, a share of the images (half of them there) makes a quarter turn, the others rotate by
a small angle. Deviations:
images are interpolated linearly, not by the nearest pixel; a crop really shifts the image, where
that of ARCO's released code is the identity; and what lies outside the image has no label, where
the public loaders call it background.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from arco.contracts import IGNORE
from arco.schema.training import Augmentation

QUARTER_TURNS = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))
"""Cosine and sine of 0, 90, 180 and 270 degrees, which floating point does not quite give."""


Window = tuple[EllipsisType | slice, ...]


@dataclass(frozen=True)
class Transform:
    """Where the pixels of one image come from: output (x, y) is input `matrix @ (x, y) + offset`.

    Attributes:
        matrix: row by row; x counts columns and y rows, both from the center of the image.
        offset: in pixels.
        exact: every output pixel is one input pixel, so there is nothing to interpolate.
    """

    matrix: tuple[tuple[float, float], tuple[float, float]]
    offset: tuple[float, float]
    exact: bool


def draw_transforms(
    count: int, augmentation: Augmentation, *, square: bool, generator: torch.Generator
) -> list[Transform]:
    """Draw what happens to each of `count` images: rotate, then crop, then flip.

    How many random numbers are used depends on `count` alone, so that switching one part off
    leaves the draws of the others as they are.

    Args:
        count: B.
        augmentation: what is switched on.
        square: whether quarter turns fit; otherwise half turns are drawn.
        generator: source of all randomness.
    """
    unit = torch.rand(count, 6, generator=generator, device=generator.device)
    return [_transform(numbers, augmentation, square=square) for numbers in unit.tolist()]


def apply_transforms(
    images: Tensor,
    labels: Tensor,
    transforms: Sequence[Transform],
    frame: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Move images, linearly interpolated, and their labels, from the nearest pixel.

    Args:
        images: [B, channels, *S] float32.
        labels: [L, *S] integers, of the first L images.
        transforms: of the B images.
        frame: [B, *S] bool, where images have content; None where they have it everywhere.

    Returns:
        Images [B, channels, *S], labels [L, *S] int64 and frame [B, *S] bool. A pixel from outside
        the image is 0, its label IGNORE and its frame False.
    """
    if frame is not None:
        # It moves like one more channel.
        joined = torch.cat([images, frame.unsqueeze(1).to(images.dtype)], dim=1)
        moved, truth, outer = apply_transforms(joined, labels, transforms)
        content = outer & (moved[:, -1] > 0.5)
        return (
            moved[:, :-1] * content.unsqueeze(1),
            truth.where(content[: len(labels)], IGNORE),
            content,
        )
    *depth, height, width = images.shape[2:]
    labeled = len(labels)
    planes, classes = images.flatten(1, -3), labels.unsqueeze(1).flatten(1, -3)
    moved, truth = torch.empty_like(planes), torch.empty_like(classes, dtype=torch.int64)
    frame = torch.empty(len(images), 1, height, width, dtype=torch.bool, device=images.device)
    everywhere = planes.new_ones(1, height, width)
    positions = planes.new_empty(2, height, width)
    # One image after the other, because what lies between then stays in the processor's cache: it
    # halves the time of a batch.
    for row, transform in enumerate(transforms):
        if transform.exact:
            here, there = _overlap(transform, height, width)
            frame[row].fill_(False)[here] = True
            moved[row].fill_(0)[here] = _turned(planes[row], transform)[there]
            if row < labeled:
                truth[row].fill_(IGNORE)[here] = _turned(classes[row], transform)[there]
            continue
        _write_positions(transform, positions)
        # Labels above 0, and 0 for what comes from outside: one sampling tells label and frame.
        # Labels of padded volumes are 0 inside as well, so that there a plane of ones tells it.
        marks = everywhere
        if row < labeled:
            marks = classes[row] - float(IGNORE)
            marks = torch.cat([everywhere, marks]) if depth else marks
        marks = _sampled(marks, positions, "nearest", "zeros")
        frame[row] = inside = marks[:1].clamp(max=1)
        marks = marks[1:] if depth else marks
        # Border padding, so that the rim is not mixed with the nothing beyond it.
        # Copied end to end, the image is in the cache when its slanted rows are read: without, the
        # sampling takes up to three times as long.
        pixels = _sampled(planes[row].clone(), positions, "bilinear", "border")
        torch.mul(pixels, inside, out=moved[row])
        if row < labeled:
            truth[row] = marks + IGNORE
    frame = frame.view(-1, *[1] * len(depth), height, width).expand(-1, *depth, -1, -1)
    return moved.view_as(images), truth.view_as(labels), frame


def _transform(numbers: Sequence[float], augmentation: Augmentation, *, square: bool) -> Transform:
    """The transform that six numbers from [0, 1) stand for."""
    kind, quarter, angle, across, down, mirror = numbers
    exact, cosine, sine = True, 1.0, 0.0
    if augmentation.rotation:
        exact = kind < augmentation.quarter_turns
        if exact:
            cosine, sine = QUARTER_TURNS[int(4 * quarter) if square else 2 * int(2 * quarter)]
        else:
            radians = math.radians((2 * angle - 1) * augmentation.rotation_degrees)
            cosine, sine = math.cos(radians), math.sin(radians)
    padding = augmentation.crop_padding if augmentation.crop else 0
    x, y = (int(number * (2 * padding + 1)) - padding for number in (across, down))
    flip = -1.0 if augmentation.flip and mirror < 0.5 else 1.0
    # From the output back to the input: undo the flip, the crop, the rotation.
    return Transform(
        matrix=((cosine * flip, -sine), (sine * flip, cosine)),
        offset=(cosine * x - sine * y, sine * x + cosine * y),
        exact=exact,
    )


def _turned(planes: Tensor, transform: Transform) -> Tensor:
    """Planes [n, H, W] of any type, turned and mirrored by an exact transform, not yet shifted."""
    (xx, xy), (yx, yy) = transform.matrix
    if xy:
        planes = planes.mT
    return planes.flip([axis for axis, sign in ((-2, yy + xy), (-1, xx + yx)) if sign < 0])


def _overlap(transform: Transform, height: int, width: int) -> tuple[Window, Window]:
    """Which pixels come from within the image, by an exact transform, and where from.

    Returns:
        Indices of [n, H, W] planes: of the moved ones, and of the turned ones.
    """
    (xx, xy), (yx, yy) = transform.matrix
    x, y = transform.offset
    here: list[slice] = []
    there: list[slice] = []
    for length, shift in ((height, int(xy * x + yy * y)), (width, int(xx * x + yx * y))):
        bounded = max(-length, min(shift, length))
        first, last = max(0, -bounded), length - max(0, bounded)
        here.append(slice(first, last))
        there.append(slice(first + bounded, last + bounded))
    return (..., *here), (..., *there)


def _write_positions(transform: Transform, positions: Tensor) -> None:
    """Write where output pixels come from, x and y as two planes, into `positions` [2, H, W].

    They count as `grid_sample` does, from -1 at one edge of the image to 1 at the other.
    """
    height, width = positions.shape[1:]
    device = positions.device
    x = torch.arange(width, device=device) - (width - 1) / 2
    y = (torch.arange(height, device=device) - (height - 1) / 2).unsqueeze(1)
    for axis, length in enumerate((width, height)):
        from_x, from_y = (2 / length * factor for factor in transform.matrix[axis])
        from_y_and_offset = y * from_y + 2 / length * transform.offset[axis]
        torch.add(x * from_x, from_y_and_offset, out=positions[axis])


def _sampled(planes: Tensor, positions: Tensor, mode: str, padding: str) -> Tensor:
    """Planes [n, H, W] float32, resampled at `positions` [2, H, W]."""
    # A plane of each coordinate is written and read several times faster than pairs of them.
    grid = positions.permute(1, 2, 0).unsqueeze(0)
    return grid_sample(
        planes.unsqueeze(0), grid, mode=mode, padding_mode=padding, align_corners=False
    ).squeeze(0)

"""Random rotation, cropping and horizontal flipping of training batches (appendix Sec. C).

All three are one affine map per image, applied by one resampling, so that image and label cannot
disagree. What an image goes through is drawn by one function and applied by another. Maps act on
the last two axes; volumes keep their depth.

As in SSL4MIS, half the images make a quarter turn and half rotate by a small angle. Deviations:
images are interpolated linearly, not by the nearest pixel; a crop really shifts the image, where
that of ARCO's released code is the identity; and what lies outside the image has no label, where
the public loaders call it background.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from arco.contracts import IGNORE
from arco.schema import Augmentation


@dataclass(frozen=True)
class Transforms:
    """For each image, where an output pixel looks into the input: `matrix @ (x, y) + offset`.

    Pixels are counted from the center of the image.

    Attributes:
        matrix: [B, 2, 2] float32.
        offset: [B, 2] float32.
        exact: [B] bool, True where every output pixel is one input pixel: nothing to interpolate.
    """

    matrix: Tensor
    offset: Tensor
    exact: Tensor


def draw_transforms(
    count: int, augmentation: Augmentation, *, square: bool, generator: torch.Generator
) -> Transforms:
    """Draw what happens to each of `count` images: rotate, then crop, then flip.

    How many random numbers are used depends on `count` alone, so that switching one part off
    leaves the draws of the others as they are.

    Args:
        count: B.
        augmentation: what is switched on.
        square: whether quarter turns fit; otherwise half turns are drawn.
        generator: source of all randomness; the transforms lie on its device.
    """
    unit = torch.rand(6, count, generator=generator, device=generator.device)
    exact, cosine, sine = _draw_rotation(unit[:3], augmentation, square=square)
    rotation = torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2)
    padding = augmentation.crop_padding if augmentation.crop else 0
    shift = (unit[3:5] * (2 * padding + 1)).floor().clamp(max=2 * padding).T - padding
    mirror = torch.ones_like(shift)
    if augmentation.flip:
        mirror[:, 0] = torch.where(unit[5] < 0.5, -1.0, 1.0)
    # From the output back to the input: undo the flip, the crop, the rotation.
    return Transforms(
        rotation * mirror.unsqueeze(1), (rotation @ shift.unsqueeze(2)).squeeze(2), exact
    )


def apply_transforms(
    images: Tensor, labels: Tensor, transforms: Transforms
) -> tuple[Tensor, Tensor, Tensor]:
    """Move images, linearly interpolated, and their labels, from the nearest pixel.

    Args:
        images: [B, channels, *S] float32.
        labels: [L, *S] integers, of the first L images.
        transforms: of B images, on their device.

    Returns:
        Images [B, channels, *S], labels [L, *S] int64 and frame [B, *S] bool. A pixel from outside
        the image is 0, its label IGNORE and its frame False.
    """
    *depth, height, width = images.shape[2:]
    planes = images.flatten(1, -3)
    # Labels above 0, and 0 for what comes from outside: one sampling tells label and frame.
    marks = images.new_full((len(images), math.prod(depth), height, width), -IGNORE)
    marks[: len(labels)] += labels.view(-1, *marks.shape[1:])
    sources = _source_positions(transforms, height, width)
    found = _sampled(marks, sources, "nearest", "zeros")
    moved = torch.empty_like(planes)
    for mode, chosen in (("nearest", transforms.exact), ("bilinear", ~transforms.exact)):
        rows = chosen.nonzero().squeeze(1)
        if len(rows):
            here, there = planes.index_select(0, rows), sources.index_select(0, rows)
            # Border padding, so that the rim is not mixed with the nothing beyond it.
            moved.index_copy_(0, rows, _sampled(here, there, mode, "border"))
    moved *= found[:, :1].clamp(max=1)
    truth = (found[: len(labels)] + IGNORE).long()
    frame = found.bool().view(-1, *depth, height, width)
    return moved.view_as(images), truth.view_as(labels), frame


def _draw_rotation(
    unit: Tensor, augmentation: Augmentation, *, square: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Whether each of B images turns by quarters only, and cosine and sine of its angle."""
    count = unit.shape[1]
    if not augmentation.rotation:
        return unit.new_ones(count, dtype=torch.bool), unit.new_ones(count), unit.new_zeros(count)
    turned = unit[0] < 0.5
    quarters = (unit[1] * 4).floor().clamp(max=3) if square else (unit[1] * 2).floor() * 2
    angle = (2 * unit[2] - 1) * math.radians(augmentation.rotation_degrees)
    angle = torch.where(turned, quarters * (math.pi / 2), angle)
    waves = torch.stack([angle.cos(), angle.sin()])
    # The cosine of a right angle is not quite 0 in floating point.
    cosine, sine = torch.where(turned, waves.round(), waves)
    return turned, cosine, sine


def _source_positions(transforms: Transforms, height: int, width: int) -> Tensor:
    """Where each output pixel looks: x and y as two planes, [B, 2, H, W].

    They count as `grid_sample` does, from -1 at one edge of the image to 1 at the other.
    """
    unit = transforms.matrix.new_tensor([2 / width, 2 / height])
    matrix = (transforms.matrix * unit[:, None])[..., None, None]
    offset = (transforms.offset * unit)[..., None, None]
    x = torch.arange(width, device=unit.device) - (width - 1) / 2
    y = (torch.arange(height, device=unit.device) - (height - 1) / 2).unsqueeze(1)
    positions = unit.new_empty(len(matrix), 2, height, width)
    for axis in (0, 1):
        along = matrix[:, axis, 1] * y + offset[:, axis]
        torch.add(matrix[:, axis, 0] * x, along, out=positions[:, axis])
    return positions


def _sampled(planes: Tensor, sources: Tensor, mode: str, padding: str) -> Tensor:
    # Planes of coordinates are written and read several times faster than pairs of them.
    grid = sources.permute(0, 2, 3, 1)
    return grid_sample(planes, grid, mode=mode, padding_mode=padding, align_corners=False)

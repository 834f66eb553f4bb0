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
    planes, truth_planes = images.flatten(1, -3), labels.unsqueeze(1).flatten(1, -3)
    moved, truth = torch.empty_like(planes), torch.empty_like(truth_planes, dtype=torch.int64)
    frame = torch.empty(len(images), height, width, dtype=torch.bool, device=images.device)
    for mode, chosen in (("nearest", transforms.exact), ("bilinear", ~transforms.exact)):
        rows = chosen.nonzero().squeeze(1)
        if not len(rows):
            continue
        grid, inside = _sampling_grid(
            transforms.matrix[rows], transforms.offset[rows], height, width
        )
        frame[rows] = inside
        inside = inside.unsqueeze(1)
        moved[rows] = torch.where(inside, _sampled(planes[rows], grid, mode), 0.0)
        labeled = rows[rows < len(labels)]
        count = len(labeled)
        if count:
            nearest = _sampled(truth_planes[labeled].to(grid.dtype), grid[:count], "nearest")
            truth[labeled] = torch.where(inside[:count], nearest, float(IGNORE)).long()
    frame = frame.view(-1, *[1] * len(depth), height, width).expand(-1, *depth, -1, -1)
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
    cosine, sine = angle.cos(), angle.sin()
    # The cosine of a right angle is not quite 0 in floating point.
    cosine, sine = (torch.where(turned, value.round(), value) for value in (cosine, sine))
    return turned, cosine, sine


def _sampling_grid(
    matrix: Tensor, offset: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """The grid [n, H, W, 2] that `grid_sample` reads, and where it lies in the image [n, H, W]."""
    # `grid_sample` counts from -1 at one edge of the image to 1 at the other.
    unit = matrix.new_tensor([2 / width, 2 / height])
    matrix, offset = (matrix * unit[:, None])[..., None, None], (offset * unit)[..., None, None]
    x = torch.arange(width, device=matrix.device) - (width - 1) / 2
    y = (torch.arange(height, device=matrix.device) - (height - 1) / 2).unsqueeze(1)
    # One plane per coordinate: written and read several times faster than pairs of numbers.
    planes = torch.stack(
        [matrix[:, axis, 0] * x + (matrix[:, axis, 1] * y + offset[:, axis]) for axis in (0, 1)],
        dim=1,
    )
    return planes.permute(0, 2, 3, 1), planes.abs().amax(1) <= 1


def _sampled(planes: Tensor, grid: Tensor, mode: str) -> Tensor:
    # Border padding, so that the rim of the frame is not mixed with the nothing beyond it.
    return grid_sample(planes, grid, mode=mode, padding_mode="border", align_corners=False)

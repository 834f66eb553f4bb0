"""Random views of grayscale images for contrastive pretraining, a batch at a time on its device.

What a view is made with is drawn by one function and applied by another, so that a draw can be
looked at, repeated, or shared between images. Hue, saturation and grayscale conversion of the
published recipes do nothing to one channel and are left out. 2D and 3D; [0, 1] in, [0, 1] out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

ASPECT = 4 / 3
"""Largest ratio of a crop's sides (SimCLR)."""

SOLARIZE_FROM = 0.5
"""Intensity from which solarizing inverts a pixel (BYOL)."""

BLUR_REACH = 3
"""Standard deviations after which the blur kernel is cut off."""

_CONVOLUTION = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


class View(Protocol):
    """How one view is drawn. Fractions are probabilities unless said otherwise."""

    @property
    def crop_min(self) -> float:
        """Smallest share of the image's area that a crop keeps; the largest is all of it."""

    @property
    def flip(self) -> float:
        """Mirroring the last axis."""

    @property
    def jitter(self) -> float:
        """Changing brightness and contrast."""

    @property
    def strength(self) -> float:
        """Largest change of either factor from 1."""

    @property
    def blur(self) -> float:
        """Gaussian blur."""

    @property
    def blur_min(self) -> float:
        """Smallest standard deviation of the blur, in pixels."""

    @property
    def blur_max(self) -> float:
        """Largest standard deviation of the blur, in pixels."""

    @property
    def solarize(self) -> float:
        """Inverting bright pixels."""


@dataclass(frozen=True)
class Crop:
    """Boxes in the coordinates of `grid_sample`: the image spans -1 to 1 along each axis.

    Attributes:
        center: [B, axes], in the order of the image's axes.
        half_side: [B, axes]; negative where the axis is mirrored.
    """

    center: Tensor
    half_side: Tensor


@dataclass(frozen=True)
class Intensity:
    """What happens to each image's intensities.

    Attributes:
        brightness, contrast: [B] factors, 1 where nothing changes.
        sigma: [B] standard deviation of the blur in pixels, 0 where there is none.
        radius: pixels to either side that the widest possible kernel reaches.
        solarize: [B] bool.
    """

    brightness: Tensor
    contrast: Tensor
    sigma: Tensor
    radius: int
    solarize: Tensor


def draw_crop(
    count: int, axes: int, *, crop_min: float, flip: float, generator: torch.Generator
) -> Crop:
    """Draw boxes of random area, aspect and place, and whether the last axis is mirrored.

    The area's share is uniform in [crop_min, 1], ratios of sides are log-uniform up to `ASPECT`.
    Deviation: a side that would leave the image is cut to it, where torchvision draws again.
    """
    unit = torch.rand(count, 2 * axes + 1, generator=generator, device=generator.device)
    share = crop_min + (1 - crop_min) * unit[:, :1]
    ratios = functional.pad(unit[:, 1:axes] * 2 - 1, (0, 1)) * math.log(ASPECT)
    side = share ** (1 / axes) * (ratios - ratios.mean(1, keepdim=True)).exp()
    side = side.clamp(max=1)
    center = (2 * unit[:, axes : 2 * axes] - 1) * (1 - side)
    mirror = torch.ones_like(side)
    mirror[:, -1] -= 2 * (unit[:, -1] < flip)
    return Crop(center, side * mirror)


def draw_intensity(
    count: int,
    *,
    jitter: float,
    strength: tuple[float, float],
    blur: float,
    sigma: tuple[float, float],
    solarize: float,
    generator: torch.Generator,
) -> Intensity:
    """Draw the changes of intensity of `count` images.

    Args:
        count: images.
        jitter: probability that brightness and contrast change.
        strength: largest change of the brightness factor and of the contrast factor from 1.
        blur: probability of a blur.
        sigma: least and greatest standard deviation of the blur, in pixels.
        solarize: probability of solarizing.
        generator: source of all randomness; how much it gives depends on `count` alone.
    """
    unit = torch.rand(6, count, generator=generator, device=generator.device)
    jittered, blurred, solarized = unit[0] < jitter, unit[1] < blur, unit[2] < solarize
    brightness = 1 + strength[0] * (2 * unit[3] - 1) * jittered
    contrast = 1 + strength[1] * (2 * unit[4] - 1) * jittered
    deviation = (sigma[0] + (sigma[1] - sigma[0]) * unit[5]) * blurred
    radius = math.ceil(BLUR_REACH * sigma[1])
    return Intensity(brightness, contrast, deviation, radius, solarized)


def apply_crop(images: Tensor, crop: Crop) -> Tensor:
    """Cut each image [B, channels, *S] to its box and resize that linearly to *S."""
    # `affine_grid` counts axes from the last one.
    scale, offset = crop.half_side.flip(1), crop.center.flip(1)
    theta = torch.cat([torch.diag_embed(scale), offset.unsqueeze(2)], dim=2).to(images)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def apply_intensity(images: Tensor, intensity: Intensity) -> Tensor:
    """Jitter, blur, then solarize images [B, channels, *S] with values in [0, 1].

    Contrast is changed about the image's own mean. Where nothing was drawn for an image it comes
    back bit by bit.
    """
    shape = (-1,) + (1,) * (images.ndim - 1)
    images = (images * intensity.brightness.view(shape)).clamp(0, 1)
    mean = images.flatten(1).mean(1).view(shape)
    factor = intensity.contrast.view(shape)
    # Not mean + factor * (image - mean), whose rounding would change untouched images.
    images = (factor * images + (1 - factor) * mean).clamp(0, 1)
    images = gaussian_blur(images, intensity.sigma, intensity.radius)
    inverted = intensity.solarize.view(shape) & (images >= SOLARIZE_FROM)
    return torch.where(inverted, 1 - images, images)


def gaussian_blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Blur each image with its own Gaussian, edges mirrored.

    Args:
        images: [B, channels, *S].
        sigma: [B], standard deviations in pixels; 0 leaves an image as it is.
        radius: pixels to either side that a kernel reaches, less than any axis is long.
    """
    axes, count = images.ndim - 2, images.shape[1]
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    # So narrow a kernel as the clamp allows is exactly 1 at its center and 0 elsewhere.
    weights = (-0.5 * (offsets / sigma.unsqueeze(1).clamp(min=1e-3)) ** 2).exp()
    kernels = (weights / weights.sum(1, keepdim=True)).repeat_interleave(count, dim=0)
    blurred = images.flatten(0, 1).unsqueeze(0)
    for axis in range(axes):
        ends = [radius if other == axis else 0 for other in reversed(range(axes)) for _ in "lr"]
        size = [2 * radius + 1 if other == axis else 1 for other in range(axes)]
        blurred = functional.pad(blurred, ends, mode="reflect")
        kernel = kernels.view(-1, 1, *size)
        blurred = _CONVOLUTION[axes](blurred, kernel, groups=len(kernel))
    return blurred.view_as(images)


def random_view(images: Tensor, view: View, generator: torch.Generator) -> Tensor:
    """One random view of each image.

    Args:
        images: [B, channels, *S] float32 in [0, 1].
        view: how it is drawn.
        generator: source of all randomness, on the device of the images.

    Returns:
        [B, channels, *S] float32 in [0, 1].
    """
    count, axes = len(images), images.ndim - 2
    crop = draw_crop(count, axes, crop_min=view.crop_min, flip=view.flip, generator=generator)
    intensity = draw_intensity(
        count,
        jitter=view.jitter,
        strength=(view.strength, view.strength),
        blur=view.blur,
        sigma=(view.blur_min, view.blur_max),
        solarize=view.solarize,
        generator=generator,
    )
    return apply_intensity(apply_crop(images, crop), intensity)

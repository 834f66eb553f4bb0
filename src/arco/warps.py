"""Smooth random warps of images: small deformations, and similarities with a thin-plate spline.

A warp is a sampling grid [B, *S, axes], as `grid_sample` takes it: for every pixel of the result,
where in the image its value comes from; the image spans -1 to 1 along each axis, axes from the
last to the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from arco.contracts import IGNORE

CONTROL_POINTS = 5
"""Of the thin-plate spline, along each of its two axes (MONA's released code)."""

COARSENESS = 8
"""Pixels between the nodes whose displacements a deformation interpolates (MONA's code)."""


def identity_grid(count: int, size: Sequence[int], device: torch.device) -> Tensor:
    """The grid [B, *S, axes] that changes nothing."""
    axes = len(size)
    theta = torch.eye(axes, axes + 1, device=device).expand(count, -1, -1)
    return functional.affine_grid(theta, [count, 1, *size], align_corners=False)


def draw_deformation(
    count: int, size: Sequence[int], *, amplitude: float, generator: torch.Generator
) -> Tensor:
    """Displacements that are normal at coarse nodes and linear in between.

    Args:
        count: B.
        size: *S.
        amplitude: standard deviation at the nodes, in pixels.
        generator: source of all randomness.

    Returns:
        A grid [B, *S, axes].
    """
    axes, device = len(size), generator.device
    nodes = [max(2, length // COARSENESS) for length in size]
    normal = torch.empty(count, axes, *nodes, device=device)
    normal.normal_(0, amplitude, generator=generator)
    mode = {2: "bilinear", 3: "trilinear"}[axes]
    field = functional.interpolate(normal, list(size), mode=mode, align_corners=True)
    per_pixel = 2 / torch.tensor(list(reversed(size)), device=device, dtype=field.dtype)
    return identity_grid(count, size, device) + field.movedim(1, -1) * per_pixel


def draw_similarity_spline(
    count: int,
    size: Sequence[int],
    *,
    rotation_degrees: float,
    scale: tuple[float, float],
    shift: float,
    mirror: float,
    jitter: float,
    generator: torch.Generator,
) -> Tensor:
    """Rotation, scale, shift and mirroring of planes after a thin-plate spline (MONA).

    Args:
        count: B.
        size: (H, W).
        rotation_degrees: largest angle to either side.
        scale: least and greatest factor.
        shift: largest shift along each axis; the image spans 2.
        mirror: probability that the width axis is mirrored.
        jitter: standard deviation of the spline's control points; the image spans 2.
        generator: source of all randomness.

    Returns:
        A grid [B, H, W, 2].
    """
    height, width = size
    device = generator.device
    unit = torch.rand(5, count, generator=generator, device=device)
    angle = math.radians(rotation_degrees) * (2 * unit[0] - 1)
    factor = scale[0] + (scale[1] - scale[0]) * unit[1]
    sign = 1 - 2 * (unit[4] < mirror).float()
    cosine, sine = angle.cos() * factor, angle.sin() * factor
    # Angles are those of the plane in pixels, whose sides the grid's coordinates both call 2.
    ratio = height / width
    rows = [
        torch.stack([cosine * sign, -sine * ratio], dim=1),
        torch.stack([sine * sign / ratio, cosine], dim=1),
    ]
    offsets = (shift * (2 * unit[2:4] - 1)).T
    normal = torch.empty(count, CONTROL_POINTS**2, 2, device=device)
    splined = _spline(normal.normal_(0, jitter, generator=generator), size)
    return splined @ torch.stack(rows, dim=1).mT.unsqueeze(1) + offsets.view(-1, 1, 1, 2)


def _spline(offsets: Tensor, size: Sequence[int]) -> Tensor:
    """The grid [B, H, W, 2] of the thin-plate spline that moves a lattice by `offsets` [B, n, 2].

    The smoothest map that takes each control point to its moved place (Bookstein 1989).
    """
    count, points = offsets.shape[:2]
    line = torch.linspace(-1, 1, CONTROL_POINTS, device=offsets.device, dtype=torch.float64)
    lattice = torch.cartesian_prod(line, line)
    pixels = identity_grid(1, size, offsets.device).double().view(-1, 2)
    kernel = _radial(torch.cdist(lattice, lattice))
    ones = lattice.new_ones(points, 1)
    affine = torch.cat([ones, lattice], dim=1)
    system = torch.cat(
        [
            torch.cat([kernel, affine], dim=1),
            torch.cat([affine.T, lattice.new_zeros(3, 3)], dim=1),
        ]
    )
    basis = torch.cat(
        [_radial(torch.cdist(pixels, lattice)), pixels.new_ones(len(pixels), 1), pixels], dim=1
    )
    # Which share of each control point's displacement arrives at each pixel.
    shares = torch.linalg.solve(system, basis.T)[:points].T
    moved: Tensor = pixels + shares @ offsets.double()
    return moved.view(count, *size, 2).to(offsets.dtype)


def _radial(distances: Tensor) -> Tensor:
    """r^2 ln r^2, 0 at 0."""
    squares = distances.square()
    return torch.xlogy(squares, squares)


def warp(
    maps: Tensor,
    grid: Tensor,
    *,
    nearest: bool = False,
    outside: Literal["zeros", "border"] = "zeros",
) -> Tensor:
    """Maps [B, channels, *S] sampled at a grid, linearly or from the nearest pixel."""
    mode = "nearest" if nearest else "bilinear"
    return functional.grid_sample(
        maps, grid.to(maps.dtype), mode=mode, padding_mode=outside, align_corners=False
    )


def warp_labels(labels: Tensor, grid: Tensor) -> Tensor:
    """Labels [B, *S] int64 from the nearest pixel, IGNORE where that lies outside the image."""
    # 0 marks what lies outside, so labels move up by one more than IGNORE lies below 0.
    shifted = (labels - IGNORE + 1).unsqueeze(1).float()
    moved = warp(shifted, grid, nearest=True).squeeze(1).long()
    return (moved + IGNORE - 1).clamp_min(IGNORE)

"""Exactly invertible views: quarter turns and mirrorings, one of their own for each image.

A code is three bits, done in this order: 1 swap the last two axes, 2 mirror the last but one, 4
mirror the last. The eight codes are the eight symmetries of a square; images that are not square
have the four without the swap. No value is interpolated, so every view is undone to the last
bit. In 3D the views turn the last two axes and keep the depth.
"""

from __future__ import annotations

import torch
from torch import Tensor

SWAP, MIRROR_HEIGHT, MIRROR_WIDTH = 1, 2, 4


def draw_dihedral(
    count: int,
    generator: torch.Generator,
    *,
    square: bool,
    turned: bool = True,
    mirrored: bool = True,
) -> Tensor:
    """Draw the codes of `count` images, uniformly among the allowed ones.

    Args:
        count: B.
        generator: source of all randomness; it moves on alike whatever is allowed.
        square: whether the last two axes are equally long.
        turned: allow quarter turns, or half turns of images that are not square.
        mirrored: allow mirroring the last axis.

    Returns:
        [B] int64 on the generator's device.
    """
    codes = torch.randint(8, (count,), generator=generator, device=generator.device)
    if not square:
        codes = codes & ~SWAP
    if turned and mirrored:
        return codes
    if turned:  # a turn without a mirror image is an even number of reflections
        odd = (codes & SWAP) ^ ((codes & MIRROR_HEIGHT) >> 1)
        return (codes & ~MIRROR_WIDTH) | odd * MIRROR_WIDTH
    return codes & MIRROR_WIDTH if mirrored else torch.zeros_like(codes)


def apply_dihedral(images: Tensor, codes: Tensor) -> Tensor:
    """Turn each image by its own code.

    Args:
        images: [B, ..., H, W] of any type.
        codes: [B] int64.

    Returns:
        A new tensor of the same shape.

    Raises:
        ValueError: a code swaps axes of unequal length.
    """
    height, width = images.shape[-2:]
    swap, mirror_height, mirror_width = (
        (codes & bit).bool().view(-1, 1, 1) for bit in (SWAP, MIRROR_HEIGHT, MIRROR_WIDTH)
    )
    if height != width and swap.any():
        raise ValueError(f"images of {height} x {width} pixels cannot swap their axes")
    rows = torch.arange(height, device=images.device).view(1, -1, 1)
    columns = torch.arange(width, device=images.device).view(1, 1, -1)
    rows = torch.where(mirror_height, height - 1 - rows, rows)
    columns = torch.where(mirror_width, width - 1 - columns, columns)
    sources = torch.where(swap, columns * width + rows, rows * width + columns)
    sources = sources.view(len(images), *[1] * (images.ndim - 3), height * width)
    flat = images.flatten(-2)
    return flat.gather(-1, sources.expand_as(flat)).view_as(images)

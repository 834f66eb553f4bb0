"""Mixing images with each other: convex combinations and pasted rectangles."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def draw_beta(count: int, concentration: float, generator: torch.Generator) -> Tensor:
    """Draws from Beta(a, a), [count] float32 on the generator's device.

    Johnk's rejection method, in logarithms, as small concentrations underflow otherwise: torch's
    own distributions take no generator.
    """
    device = generator.device
    found = torch.empty(0, device=device)
    while len(found) < count:
        uniform = torch.rand(2, 2 * count, generator=generator, device=device, dtype=torch.float64)
        first, second = uniform.log() / concentration
        accepted = torch.logaddexp(first, second) <= 0
        found = torch.cat([found, torch.sigmoid(first - second)[accepted].float()])
    return found[:count]


def interpolate(first: Tensor, second: Tensor, shares: Tensor) -> Tensor:
    """(1 - share) first + share second, with one share [B] for each pair of images [B, ...]."""
    return torch.lerp(first, second, shares.view(-1, *[1] * (first.ndim - 1)))


def draw_rectangles(count: int, size: Sequence[int], generator: torch.Generator) -> Tensor:
    """Rectangles of half an image's area in the last two axes, as CutMix pastes them.

    The width is uniform between half and all of the image's, the height follows from the area, the
    place is uniform. Volumes are cut through their whole depth.

    Args:
        count: B.
        size: *S.
        generator: source of all randomness.

    Returns:
        [B, *S] bool, False inside the rectangle, where the next image is pasted.
    """
    height, width = size[-2:]
    unit = torch.rand(3, count, generator=generator, device=generator.device)
    share = (1 + unit[0]) / 2
    sides = torch.stack([(height / 2 / share).round(), (width * share).round()])
    room = torch.tensor([[height], [width]], device=generator.device) - sides
    first = (unit[1:] * (room + 1)).floor()
    inside = [
        (places >= start.unsqueeze(1)) & (places < (start + side).unsqueeze(1))
        for places, start, side in zip(
            (torch.arange(length, device=generator.device) for length in (height, width)),
            first,
            sides,
            strict=True,
        )
    ]
    rectangle = inside[0].unsqueeze(2) & inside[1].unsqueeze(1)
    shape = (count, *[1] * (len(size) - 2), height, width)
    own: Tensor = ~rectangle.view(shape).expand(count, *size)
    return own


def paste_next(maps: Tensor, own: Tensor) -> Tensor:
    """Each image where `own`, the next image of the batch elsewhere.

    Args:
        maps: [B, *S] or [B, channels, *S], of any type.
        own: [B, *S] bool; or shares in [0, 1], for maps that average over pixels.
    """
    if own.ndim < maps.ndim:
        own = own.unsqueeze(1)
    following = maps.roll(-1, dims=0)
    if own.dtype == torch.bool:
        return torch.where(own, maps, following)
    return torch.lerp(following, maps, own.to(maps.dtype))

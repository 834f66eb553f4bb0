"""Mixing images with each other: convex combinations and pasted rectangles."""

from __future__ import annotations

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

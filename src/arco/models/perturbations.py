"""Random perturbations of feature maps (Ouali et al., CVPR 2020; constants of SSL4MIS).

Pure functions with an explicit generator: a network in evaluation mode is simply not perturbed.
"""

from __future__ import annotations

import torch
from torch import Tensor


def feature_noise(maps: Tensor, amplitude: float, generator: torch.Generator) -> Tensor:
    """Multiply by 1 + n, n uniform in [-amplitude, amplitude].

    One n for each channel and position, shared by all images of the batch [B, channels, *S].
    """
    unit = torch.rand(maps.shape[1:], generator=generator, device=maps.device, dtype=maps.dtype)
    return maps * (1 + amplitude * (2 * unit - 1))


def feature_dropout(maps: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Zero each element with probability `rate` and scale the others by 1 / (1 - rate).

    SSL4MIS; the original drops whole channels.
    """
    unit = torch.rand(maps.shape, generator=generator, device=maps.device, dtype=maps.dtype)
    return maps * (unit >= rate) / (1 - rate)


def feature_drop(maps: Tensor, lowest: float, highest: float, generator: torch.Generator) -> Tensor:
    """Erase the most active positions of each image.

    These are where the mean over channels reaches a share of its largest value; the share is
    uniform in [lowest, highest], drawn for each image [B, channels, *S].
    """
    activity = maps.mean(dim=1, keepdim=True).detach()
    unit = torch.rand(len(maps), generator=generator, device=maps.device, dtype=maps.dtype)
    shares = (lowest + (highest - lowest) * unit).view(-1, *[1] * (maps.ndim - 1))
    peaks = activity.flatten(1).amax(dim=1).view_as(shares)
    return maps * (activity < shares * peaks)

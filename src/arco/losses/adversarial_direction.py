"""Virtual adversarial training: predictions shall not change along the worst direction."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SMALLEST = 1e-12


def dice_distance(first: Tensor, second: Tensor, frame: Tensor) -> Tensor:
    """Mean over classes of 1 - 2 sum(p q) / (sum(p^2) + sum(q^2)); 0 exactly where p equals q.

    Args:
        first: probabilities p [B, C, *S].
        second: probabilities q, as many.
        frame: [B, *S] bool; only the pixels inside take part in the sums.
    """
    first, second = (probs * frame.unsqueeze(1) for probs in (first, second))
    axes = [0, *range(2, first.ndim)]
    overlap = (first * second).sum(axes)
    sizes = (first.square() + second.square()).sum(axes)
    return (1 - 2 * overlap / sizes.clamp_min(SMALLEST)).mean() * frame.any()


def worst_direction(
    divergence: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    probe: float,
    radius: float,
    generator: torch.Generator,
) -> Tensor:
    """The change of images that raises a divergence most, to first order (Miyato et al. 2018).

    One iteration from a random direction; no parameter receives a gradient.

    Args:
        divergence: of changed images from the clean ones, a scalar with a graph.
        images: [B, channels, *S].
        probe: length of the first random change.
        radius: length of the result, for each image.
        generator: source of all randomness.

    Returns:
        [B, channels, *S], a constant.
    """
    unit = torch.rand(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    direction = _normalized(unit - 0.5).requires_grad_()
    (gradient,) = torch.autograd.grad(divergence(images + probe * direction), direction)
    return radius * _normalized(gradient)


def _normalized(vectors: Tensor) -> Tensor:
    lengths: Tensor = vectors.flatten(1).norm(dim=1).clamp_min(SMALLEST)
    normalized: Tensor = vectors / lengths.view(-1, *[1] * (vectors.ndim - 1))
    return normalized

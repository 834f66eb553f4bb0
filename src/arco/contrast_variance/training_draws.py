"""Queries and negatives both drawn anew, as in training: what a step of the optimizer sees.

The negatives stand inside a logarithm, so that this loss is no mean of a field over drawn pixels.
The theory bounds nothing here; the numbers are those of repeated draws alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from arco.class_contrast import ClassContrast, Compared
from arco.contrast_variance.estimates import trace


def training_traces(
    contrast: ClassContrast,
    compared: Compared,
    weights: Sequence[Tensor],
    *,
    draws: int,
    block: int,
) -> dict[str, list[Tensor]]:
    """Variances of the contrast and of its gradients over repeated draws.

    One backward pass through the network for each draw; the graph is kept and no gradient is left
    in the weights. A block of gradients is in memory at a time.

    Args:
        contrast: draws by its own sampler and generator.
        compared: of one batch, with its graph.
        weights: all that are trained; those that the contrast does not reach count nothing.
        draws: how often to draw; a multiple of `block`.
        block: draws behind one variance.

    Returns:
        By `loss`, `head gradient` (by `Representations.joined`) and `weights gradient` one variance
        per block.
    """
    quantities = ("loss", "head gradient", "weights gradient")
    traces: dict[str, list[Tensor]] = {quantity: [] for quantity in quantities}
    for _ in range(0, draws, block):
        drawn = zip(*(_draw(contrast, compared, weights) for _ in range(block)), strict=True)
        for quantity, samples in zip(quantities, drawn, strict=True):
            traces[quantity].append(trace(torch.stack(samples)))
    return traces


def _draw(
    contrast: ClassContrast, compared: Compared, weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of one draw, and its gradients as flat vectors."""
    loss = contrast(*compared).loss
    head, *others = torch.autograd.grad(
        loss, [compared.student.joined, *weights], retain_graph=True, allow_unused=True
    )
    reached = [gradient.flatten() for gradient in others if gradient is not None]
    return loss.detach(), head.flatten(), torch.cat(reached)

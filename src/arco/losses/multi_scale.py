"""Agreement of predictions that one network makes at several scales (URPC)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from arco.losses.consistency import masked_mean

SMALLEST = 1e-8
"""Keeps the division by the mean weight defined, as in the authors' code."""


def pyramid_consistency(scales: Sequence[Tensor], frame: Tensor) -> Tensor:
    """Uncertainty-rectified consistency (Luo et al., MICCAI 2021), as the authors' code has it.

    With the mean prediction p and D_s = KL(p || p_s) at a pixel, the loss is the mean over scales
    of mean((p_s - p)^2 exp(-D_s)) / mean(exp(-D_s)) + mean(D_s). The paper writes the divergence
    the other way round; the code's produced its numbers. Nothing is detached.

    Args:
        scales: logits [B, C, *S] of each scale, at full resolution.
        frame: [B, *S] bool, the pixels that count.
    """
    log_probs = [logits.log_softmax(dim=1) for logits in scales]
    stacked = torch.stack(log_probs)
    mean = stacked.exp().mean(dim=0)
    log_mean = stacked.logsumexp(dim=0) - torch.tensor(float(len(scales))).log()
    losses = []
    for log_prob in log_probs:
        divergence = (mean * (log_mean - log_prob)).sum(dim=1)
        weight = torch.exp(-divergence)
        squares = (log_prob.exp() - mean).square().mean(dim=1)
        rectified = masked_mean(squares * weight, frame)
        rectified = rectified / (masked_mean(weight, frame) + SMALLEST)
        losses.append(rectified + masked_mean(divergence, frame))
    return torch.stack(losses).mean()

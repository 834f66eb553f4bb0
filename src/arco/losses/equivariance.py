"""Anatomical equivariance: segmenting a warped image is warping its segmentation (MONA)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def equivariance_loss(warped: Tensor, logits: Tensor, mask: Tensor) -> Tensor:
    """Masked mean of KL(warped prediction || prediction of the warped image).

    Args:
        warped: [B, C, *S] probabilities of the images as they are, then warped; a constant.
        logits: [B, C, *S] of the warped images.
        mask: [B, *S] bool, the pixels that count.

    Returns:
        The mean over each image's pixels, then over images; 0 for an image without any.
    """
    target = warped.detach()
    entropy = torch.xlogy(target, target)
    divergence = (entropy - target * functional.log_softmax(logits, dim=1)).sum(dim=1)
    sums = (divergence * mask).flatten(1).sum(dim=1)
    return (sums / mask.flatten(1).sum(dim=1).clamp_min(1)).mean()

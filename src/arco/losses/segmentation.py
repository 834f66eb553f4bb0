"""Losses between logits and label maps: cross-entropies, Dice, and a mean of the two."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from arco.contracts import IGNORE

SMOOTHING = 1e-5
"""Added to both sides of the Dice fraction (SSL4MIS and most code of the field)."""


def cross_entropy(logits: Tensor, labels: Tensor, image_weights: Tensor | None = None) -> Tensor:
    """Mean of -ln p[label] over all pixels that have a label; 0 where none has.

    Args:
        logits: [B, C, *S] float.
        labels: [B, *S] int64 in [0, C), or IGNORE.
        image_weights: [B]; the pixels of image b count this much. The mean still divides by the
            number of labeled pixels, so small weights make a small loss, as ClassMix and ReCo
            weigh pseudo labels by the share of confident pixels.
    """
    losses = functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
    sums = losses.flatten(1).sum(dim=1)
    if image_weights is not None:
        sums = sums * image_weights
    return sums.sum() / (labels != IGNORE).sum().clamp_min(1)


def class_cross_entropy(logits: Tensor, labels: Tensor, sure: Tensor) -> Tensor:
    """Mean over the classes in `labels` of the mean of -ln p[label] over a class's pixels.

    Each class is weighed by the share of its pixels that are sure, so that classes count alike,
    however many pixels they have, and none lends its weight to another. 0 without any label.

    Args:
        logits: [B, C, *S] float.
        labels: [B, *S] int64 in [0, C), or IGNORE.
        sure: [B, *S] bool.
    """
    losses = functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
    kept = labels != IGNORE
    of_pixels = labels[kept]

    def sums(values: Tensor) -> Tensor:
        return values.new_zeros(logits.shape[1]).scatter_add_(0, of_pixels, values)

    counts = sums(torch.ones_like(losses[kept]))
    shares = sums(sure[kept].to(losses.dtype)) / counts.clamp_min(1)
    of_classes = shares * sums(losses[kept]) / counts.clamp_min(1)
    return of_classes.sum() / (counts > 0).sum().clamp_min(1)


def dice_loss(
    logits: Tensor, labels: Tensor, *, squared: bool = True, background: bool = True
) -> Tensor:
    """1 - Dice, the mean over classes, of the batch as one image.

    Dice of a class is (2 sum(p y) + s) / (sum(p^2) + sum(y^2) + s) with sums over images and
    pixels, squares in the denominator (Milletari et al., 3DV 2016) and s = 1e-5. A class absent
    from all labels therefore costs nearly 1 unless its probabilities vanish, as in SSL4MIS.

    Args:
        logits: [B, C, *S] float.
        labels: [B, *S] int64 in [0, C), or IGNORE; ignored pixels take part in no sum.
        squared: whether the denominator has squares, or the plain sums of MC-Net's 3D code.
        background: whether the mean includes class 0.
    """
    classes = torch.arange(logits.shape[1], device=labels.device)
    truth = labels.unsqueeze(1) == classes.view(-1, *[1] * (labels.ndim - 1))
    probs = logits.softmax(dim=1) * (labels != IGNORE).unsqueeze(1)
    axes = [0, *range(2, logits.ndim)]
    overlap = (probs * truth).sum(axes)
    sizes = (probs.square() if squared else probs).sum(axes) + truth.sum(axes)
    dice = (2 * overlap + SMOOTHING) / (sizes + SMOOTHING)
    return 1 - (dice if background else dice[1:]).mean()


def supervised_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of cross-entropy and Dice loss: the "equal combination" of appendix Sec. C.

    Args:
        logits: [B, C, *S] float.
        labels: [B, *S] int64 in [0, C), or IGNORE.
    """
    return (cross_entropy(logits, labels) + dice_loss(logits, labels)) / 2

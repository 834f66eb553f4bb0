"""How far two predictions lie apart, and how sure one is, averaged over the pixels that count."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` [B, *S] where `mask` [B, *S] is True; 0, with a graph, where it never is."""
    return (values * mask).sum() / mask.sum().clamp_min(1)


def mean_squared(first: Tensor, second: Tensor, frame: Tensor) -> Tensor:
    """Mean squared difference over channels and the pixels inside `frame`.

    Args:
        first: [B, C, *S] float, usually probabilities.
        second: as many.
        frame: [B, *S] bool; images have no content outside it.
    """
    return masked_mean((first - second).square().mean(dim=1), frame)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the softmax of logits [B, C, *S] at every pixel, [B, *S], in [0, ln C]."""
    log_probs = logits.log_softmax(dim=1)
    return -(log_probs.exp() * log_probs).sum(dim=1)


def relative_entropy(logits: Tensor) -> Tensor:
    """`entropy` as a share of its largest value ln C, [B, *S] in [0, 1] (ADVENT, Vu et al. 2019).

    The public code divides by the logarithm of a fixed number of classes.
    """
    return entropy(logits) / math.log(logits.shape[1])


def pseudo_labels(logits: Tensor, frame: Tensor, ignore: int) -> Tensor:
    """The likeliest class of each pixel, [B, *S] int64; `ignore` outside `frame` [B, *S]."""
    return torch.where(frame, logits.detach().argmax(dim=1), ignore)

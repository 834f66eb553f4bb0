"""What networks that train each other compare: sharpened and mean predictions, divergences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from arco.losses.consistency import entropy, masked_mean, mean_squared


def sharpen(logits: Tensor, temperature: float) -> Tensor:
    """p^(1/T), normalised over the classes of [B, C, *S]; a constant without gradient.

    For two classes this is MC-Net's function. For more, its code sharpens every channel by itself,
    which is no distribution and pulls uncertain pixels to zero everywhere. Computed from
    logarithms: powers of 10 underflow in half precision.
    """
    return (logits.detach().log_softmax(dim=1) / temperature).softmax(dim=1)


def mutual_consistency(decoders: Sequence[Tensor], temperature: float, frame: Tensor) -> Tensor:
    """Sum over ordered pairs of mean (p_i - sharpened p_j)^2 (Wu et al., MICCAI 2021).

    Args:
        decoders: logits [B, C, *S] of each decoder.
        temperature: of the sharpening.
        frame: [B, *S] bool, the pixels that count.
    """
    targets = [sharpen(logits, temperature) for logits in decoders]
    pairs = [
        mean_squared(logits.softmax(dim=1), target, frame)
        for i, logits in enumerate(decoders)
        for j, target in enumerate(targets)
        if i != j
    ]
    return torch.stack(pairs).sum()


def jensen_shannon(first: Tensor, second: Tensor, frame: Tensor) -> Tensor:
    """Mean Jensen-Shannon divergence of two predictions, in [0, ln 2]; gradients to both.

    H((p1 + p2) / 2) - (H(p1) + H(p2)) / 2 at each pixel (Qiao et al., ECCV 2018).

    Args:
        first: logits [B, C, *S] of p1.
        second: logits of p2, as many.
        frame: [B, *S] bool, the pixels that count.
    """
    both = torch.stack([first.log_softmax(dim=1), second.log_softmax(dim=1)])
    log_mean = both.logsumexp(dim=0) - torch.tensor(2.0).log()
    mixed = -(log_mean.exp() * log_mean).sum(dim=1)
    return masked_mean(mixed - (entropy(first) + entropy(second)) / 2, frame)


def soft_cross_entropy(logits: Tensor, targets: Tensor, frame: Tensor) -> Tensor:
    """Mean of -sum_c q_c ln p_c.

    Args:
        logits: [B, C, *S], of p.
        targets: [B, C, *S], the distribution q; a constant.
        frame: [B, *S] bool, the pixels that count.
    """
    losses = -(targets.detach() * functional.log_softmax(logits, dim=1)).sum(dim=1)
    return masked_mean(losses, frame)

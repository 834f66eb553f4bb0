"""The published formulas of the baselines, written plainly.

Nothing here comes from the package: a mistake there must not be repeated here. Pixels that do not
count are left out of lists, where the package multiplies by masks.
"""

from __future__ import annotations

import math

import torch
from scipy.spatial import KDTree
from torch import Tensor

OUTSIDE = -1
"""Label of a pixel outside the frame."""


def rows(maps: Tensor, mask: Tensor) -> Tensor:
    """The pixels of maps [B, C, *S] where `mask` [B, *S] is True, [n, C]."""
    return maps.movedim(1, -1)[mask]


def log_probs(logits: Tensor) -> Tensor:
    """Logarithms of the softmax of rows [n, C]."""
    return logits - torch.logsumexp(logits, dim=1, keepdim=True)


def probs(logits: Tensor) -> Tensor:
    """Softmax of maps [B, C, *S]."""
    powers = (logits - logits.amax(dim=1, keepdim=True).detach()).exp()
    return powers / powers.sum(dim=1, keepdim=True)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of -ln p[label] over the pixels that have a label."""
    labeled = labels != OUTSIDE
    logs, truth = log_probs(rows(logits, labeled)), labels[labeled]
    return -sum(logs[truth == c, c].sum() for c in range(logs.shape[1])) / len(logs)


def dice(logits: Tensor, labels: Tensor, *, squared: bool = True, first: int = 0) -> Tensor:
    """1 - Dice of the batch as one image, the mean over classes from `first` on."""
    labeled = labels != OUTSIDE
    own, truth = rows(probs(logits), labeled), labels[labeled]
    losses = []
    for c in range(first, logits.shape[1]):
        prob, is_class = own[:, c], truth == c
        sizes = (prob**2 if squared else prob).sum() + is_class.sum()
        losses.append(1 - (2 * prob[is_class].sum() + 1e-5) / (sizes + 1e-5))
    return torch.stack(losses).mean()


def supervised(logits: Tensor, labels: Tensor) -> Tensor:
    """Half cross-entropy, half Dice."""
    return (cross_entropy(logits, labels) + dice(logits, labels)) / 2


def squares(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference over channels and the pixels of `mask`."""
    return ((rows(first, mask) - rows(second, mask)) ** 2).mean()


def ramp(fraction: float, length: float) -> float:
    """exp(-5 (1 - t / R)^2), from R on 1."""
    return math.exp(-5 * (1 - min(fraction / length, 1.0)) ** 2)


def quarter_turns(maps: Tensor, count: int) -> Tensor:
    """Maps turned `count` times by 90 degrees in their last two axes."""
    for _ in range(count):
        maps = maps.transpose(-1, -2).flip(-2)
    return maps


def signed_distances(labels: Tensor, classes: int) -> Tensor:
    """Negative inside, positive outside, each over its largest; 0 on the inner rim (DTC)."""
    maps = torch.empty(len(labels), classes - 1, *labels.shape[1:])
    for image, own in zip(labels, maps, strict=True):
        for c in range(1, classes):
            mask = image == c
            if not mask.any():
                own[c - 1] = 1.0
                continue
            inside, outside = mask.nonzero().numpy(), (~mask).nonzero().numpy()
            to_organ = torch.from_numpy(KDTree(inside).query(outside)[0])
            to_background = torch.from_numpy(KDTree(outside).query(inside)[0])
            signed = torch.empty(mask.shape, dtype=torch.float64)
            signed[~mask] = to_organ / to_organ.max()
            depth = -to_background / to_background.max()
            signed[mask] = depth.where(to_background != 1, 0.0)
            own[c - 1] = signed.float()
    return maps


def is_noise(noisy: Tensor, maps: Tensor, amplitude: float) -> bool:
    """Whether maps [B, ...] were multiplied by 1 + n, |n| up to `amplitude`, n shared by images."""
    factors = (noisy / maps).where(maps != 0, torch.nan)
    lowest = factors.nan_to_num(torch.inf).amin(dim=0)
    highest = factors.nan_to_num(-torch.inf).amax(dim=0)
    known = torch.isfinite(lowest)
    one_factor = bool((highest - lowest)[known].max() < 1e-3)
    noise = (highest - 1)[known]
    return one_factor and 0.8 * amplitude < noise.abs().max() < 1.001 * amplitude


def is_dropout(dropped: Tensor, maps: Tensor, rate: float) -> bool:
    """Whether a share `rate` of the elements is zero, the others being 1 / (1 - rate) as large."""
    lost = (dropped == 0) & (maps != 0)
    kept = dropped.where(~lost, 0.0), (maps / (1 - rate)).where(~lost, 0.0)
    share = lost.sum().item() / int((maps != 0).sum())
    noise = math.sqrt(rate * (1 - rate) / int((maps != 0).sum()))
    return torch.allclose(*kept) and abs(share - rate) < 5 * noise


def is_drop(dropped: Tensor, maps: Tensor, lowest: float, highest: float) -> bool:
    """Whether each image lost the positions from a share of its peak on, within these bounds."""
    for own, original in zip(dropped, maps, strict=True):
        activity = original.mean(dim=0)
        erased = (own == 0).all(dim=0) & (original != 0).any(dim=0)
        if not torch.equal(own, original * ~erased) or not erased.any():
            return False
        shares = activity / activity.max()
        kept = shares[~erased].max() if (~erased).any() else torch.tensor(-torch.inf)
        if not (kept <= highest and shares[erased].min() >= lowest and kept < shares[erased].min()):
            return False
    return True

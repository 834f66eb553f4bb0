"""Contrasts whose negatives are chosen by place: other blocks of a scan, other regions of a map.

Chaitanya et al., NeurIPS 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def masked_info_nce(
    alike: Tensor, positives: Tensor, negatives: Tensor, temperature: float
) -> Tensor:
    """-ln(e^(p/t) / (e^(p/t) + sum_n e^(n/t))), averaged over all positive pairs.

    Args:
        alike: [N, M] similarity of each anchor to each key.
        positives: [N, M] bool; each True is one pair, compared with the anchor's negatives alone.
        negatives: [N, M] bool; every anchor with a pair has at least one.
        temperature: positive.
    """
    logits = alike / temperature
    others = logits.masked_fill(~negatives, -torch.inf).logsumexp(dim=1, keepdim=True)
    losses = torch.logaddexp(logits, others) - logits
    return losses[positives].mean()


def block_contrast(
    embeddings: Tensor, augmented: Tensor, blocks: Tensor, temperature: float
) -> Tensor:
    """The global loss G^D: slices of the same block of different scans are alike.

    Pairs are an image and its augmented copy, two images of a block, and their two copies, each in
    both directions; negatives of an image are all images and copies of other blocks. With two
    images a block that is the code's sum, divided as there.

    Args:
        embeddings: [B, D] of the images.
        augmented: [B, D] of their augmented copies.
        blocks: [B] int64; at least two different ones.
        temperature: positive.
    """
    directions = functional.normalize(torch.cat([embeddings, augmented]), dim=1)
    count = len(embeddings)
    same = (blocks.unsqueeze(1) == blocks).repeat(2, 2)
    kind = torch.arange(2 * count, device=blocks.device) // count
    image = torch.arange(2 * count, device=blocks.device) % count
    same_kind = kind.unsqueeze(1) == kind
    same_image = image.unsqueeze(1) == image
    positives = same & (same_kind ^ same_image)
    return masked_info_nce(directions @ directions.T, positives, ~same, temperature)


def region_contrast(first: Tensor, second: Tensor, neighbors: Tensor, temperature: float) -> Tensor:
    """The local loss L^R: a region is alike in two versions of an image, unlike its neighbors.

    Args:
        first: [B, R, D] regions of one version of the images.
        second: the same of the other version.
        neighbors: [R, n] int64, which regions of both versions are a region's negatives.
        temperature: positive.

    Returns:
        The mean over images, regions and both directions.
    """
    regions = first.shape[1]
    both = functional.normalize(torch.cat([first, second], dim=1), dim=2)
    alike = (both @ both.mT).flatten(0, 1)
    index = torch.arange(2 * regions, device=first.device)
    positives = index.unsqueeze(1) == (index + regions) % (2 * regions)
    own = torch.zeros(regions, regions, dtype=torch.bool, device=first.device)
    negatives = own.scatter(1, neighbors, value=True).repeat(2, 2)
    count = len(first)
    return masked_info_nce(
        alike, positives.repeat(count, 1), negatives.repeat(count, 1), temperature
    )

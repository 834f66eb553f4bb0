from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from arco.losses.block_contrast import block_contrast, masked_info_nce, region_contrast


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def cosine(one: Tensor, other: Tensor) -> float:
    return (one @ other / one.norm() / other.norm()).item()


def pair_loss(anchor: Tensor, positive: Tensor, negatives: list[Tensor], temperature: float):
    top = math.exp(cosine(anchor, positive) / temperature)
    return -math.log(
        top / (top + sum(math.exp(cosine(anchor, n) / temperature) for n in negatives))
    )


def test_two_pairs_of_unit_vectors_by_hand():
    """NT-Xent: all but the anchor and its positive are negatives."""
    vectors = torch.tensor([[1, 0], [0, 1], [0.8, 0.6], [0.6, 0.8]], dtype=torch.float64)
    partner = torch.tensor([2, 3, 0, 1])
    positives = torch.zeros(4, 4, dtype=torch.bool)
    positives[torch.arange(4), partner] = True
    negatives = ~positives & ~torch.eye(4, dtype=torch.bool)
    alike = vectors @ vectors.T
    single = [
        masked_info_nce(alike[[k]], positives[[k]], negatives[[k]], 0.5).item() for k in range(4)
    ]
    assert single == pytest.approx([0.6271, 0.6271, 1.1143, 1.1143], abs=5e-5)
    mean = masked_info_nce(alike, positives, negatives, 0.5).item()
    assert mean == pytest.approx(0.8707, abs=5e-5)


@pytest.mark.parametrize("scans", [1, 2, 3])
def test_slices_equal_the_published_sum_over_pairs(scans):
    blocks = torch.arange(4).repeat(scans)
    images, copies = random(4 * scans, 5), random(4 * scans, 5, seed=1)
    terms = []
    for own, other in itertools.product(range(4 * scans), repeat=2):
        if blocks[own] != blocks[other]:
            continue
        far = [n for n in range(4 * scans) if blocks[n] != blocks[own]]
        negatives = [images[n] for n in far] + [copies[n] for n in far]
        pairs = []
        if own == other:
            pairs = [(images[own], copies[own]), (copies[own], images[own])]
        else:
            pairs = [(images[own], images[other]), (copies[own], copies[other])]
        terms += [pair_loss(a, b, negatives, 0.1) for a, b in pairs]
    if scans == 2:
        assert len(terms) == 4 * len(blocks)  # their divisor
    found = block_contrast(images, copies, blocks, 0.1).item()
    assert found == pytest.approx(sum(terms) / len(terms))


def test_no_negative_is_of_the_anchor_s_block():
    """What the images of one block look like does not enter each other's denominators."""
    blocks = torch.tensor([0, 0, 1])
    images, copies = random(3, 4), random(3, 4, seed=1)
    alone = block_contrast(images[[0, 2]], copies[[0, 2]], blocks[[0, 2]], 0.1)
    images.requires_grad_()
    loss = block_contrast(images, copies, blocks, 0.1)
    assert torch.isfinite(loss) and torch.isfinite(alone)
    twins = images.detach().clone()
    twins[1] = twins[0]
    same = block_contrast(twins, twins, blocks, 1e-3)
    # Every pair is perfect and the other block is far away: nothing is left to gain.
    assert same.item() == pytest.approx(0, abs=1e-6)


def test_regions_equal_a_slow_loop():
    first, second = random(2, 4, 5), random(2, 4, 5, seed=1)
    neighbors = torch.tensor([[1, 2], [0, 3], [3, 1], [2, 0]])
    terms = []
    for image in range(2):
        both = (first[image], second[image])
        for region in range(4):
            others = [version[n] for version in both for n in neighbors[region].tolist()]
            terms += [
                pair_loss(one[region], two[region], others, 0.1) for one, two in (both, both[::-1])
            ]
    found = region_contrast(first, second, neighbors, 0.1).item()
    assert found == pytest.approx(sum(terms) / len(terms))

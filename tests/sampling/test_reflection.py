from __future__ import annotations

import pytest
import torch
from torch import Tensor

from arco.sampling import Scheme, draw, group
from arco.sampling.reflection import NO_MIRROR, mirror_ranks

MASKED_CELL = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 1]], dtype=torch.bool)[None]
"""Candidates (0,0), (0,1), (1,1), (2,0), (2,2); flat 0, 1, 4, 6, 8."""


def coordinates(indices: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.stack(torch.unravel_index(indices, shape), dim=-1)


@pytest.mark.parametrize("reflection", ["rank", "cell_mirror"])
@pytest.mark.parametrize(
    ("shape", "grid"), [((2, 8, 12), (2, 3)), ((2, 7, 11), (3, 2)), ((1, 5, 6, 9), (2, 1, 4))]
)
def test_pairs_on_full_cells_mirror_about_the_cell_center(
    shape: tuple[int, ...], grid: tuple[int, ...], reflection: str
):
    groups = group(torch.ones(shape, dtype=torch.bool), grid)
    indices = draw(
        groups,
        2000,
        "sag",
        generator=torch.Generator().manual_seed(0),
        scheme=Scheme(reflection=reflection),
    )
    first, second = coordinates(indices, shape).split(1000)
    assert torch.equal(first[:, 0], second[:, 0])  # the same image
    for axis, (length, cells) in enumerate(zip(shape[1:], grid, strict=True), start=1):
        cell = torch.arange(length) * cells // length
        for i, j in zip(first[:, axis].tolist(), second[:, axis].tolist(), strict=True):
            inside = (cell == cell[i]).nonzero()
            assert i + j == int(inside[0] + inside[-1])


def test_the_mirror_of_a_masked_cell_exists_only_among_candidates():
    groups = group(MASKED_CELL, (1, 1))
    # (0,0) and (2,2) mirror each other, (1,1) itself; (0,1) and (2,0) have no partner.
    assert mirror_ranks(groups).tolist() == [4, NO_MIRROR, 2, NO_MIRROR, 0]


@pytest.mark.parametrize("reflection", ["rank", "cell_mirror"])
def test_mirrors_on_a_mask_are_uniform_over_the_candidates(reflection: str):
    indices = draw(
        MASKED_CELL,
        40_000,
        "sag",
        (1, 1),
        torch.Generator().manual_seed(0),
        scheme=Scheme(reflection=reflection),
    )
    frequencies = indices[20_000:].bincount(minlength=9)[[0, 1, 4, 6, 8]] / 20_000
    # Redrawing anywhere would give 0.08 and 0.28; the nearest candidate 0.4 for (1,1).
    assert frequencies.tolist() == pytest.approx([0.2] * 5, abs=5 * (0.16 / 20_000) ** 0.5)


def test_unpaired_pixels_are_paired_with_unpaired_pixels_of_their_own_group():
    generator = torch.Generator().manual_seed(5)
    mask = torch.rand((2, 9, 8), generator=generator) < 0.5
    groups = group(mask, (3, 2))
    indices = draw(
        groups, 4000, "sag", generator=generator, scheme=Scheme(reflection="cell_mirror")
    )
    mirrors = mirror_ranks(groups)
    rank_of = torch.full((mask.numel(),), -1)
    rank_of[groups.candidates] = torch.arange(groups.total)
    first, second = rank_of[indices].split(2000)
    assert torch.equal(groups.group_of[first], groups.group_of[second])
    paired = mirrors[first] != NO_MIRROR
    assert paired.any() and not paired.all()
    assert torch.equal(second[paired], mirrors[first][paired])
    assert (mirrors[second[~paired]] == NO_MIRROR).all()

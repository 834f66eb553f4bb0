from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from arco.sampling import Groups, group


def irregular_mask(*shape: int, share: float = 0.4) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3)) < share


def members(groups: Groups) -> list[list[int]]:
    """The candidates of each group."""
    return [list(part) for part in groups.candidates.split(groups.sizes.tolist())]


def brute_force(mask: Tensor, grid: tuple[int, ...]) -> list[list[int]]:
    """Pixel by pixel: image, then cell, then raster order."""
    lengths = mask.shape[1:]
    cells = list(itertools.product(range(len(mask)), *map(range, grid)))
    found: dict[tuple[int, ...], list[int]] = {cell: [] for cell in cells}
    for flat, (image, *pixel) in enumerate(itertools.product(*map(range, mask.shape))):
        if mask[(image, *pixel)]:
            cell = (i * g // length for i, g, length in zip(pixel, grid, lengths, strict=True))
            found[(image, *cell)].append(flat)
    return [found[cell] for cell in cells]


@pytest.mark.parametrize(
    ("shape", "grid"),
    [((2, 10, 20, 30), (2, 3, 4)), ((3, 13, 7), (4, 3)), ((1, 5, 8), (7, 1)), ((2, 4, 6), (4, 6))],
)
def test_groups_agree_with_a_loop_over_pixels(shape: tuple[int, ...], grid: tuple[int, ...]):
    mask = irregular_mask(*shape)
    groups = group(mask, grid)
    assert [[int(index) for index in part] for part in members(groups)] == brute_force(mask, grid)
    assert groups.total == int(mask.sum())
    assert groups.group_of.bincount(minlength=len(groups.sizes)).tolist() == groups.sizes.tolist()
    assert groups.starts.tolist() == [0, *groups.sizes.cumsum(0)[:-1].tolist()]


def test_widths_of_cells_differ_by_at_most_one_pixel():
    sizes = group(torch.ones(1, 11, 1, dtype=torch.bool), (4, 1)).sizes
    assert sizes.tolist() == [3, 3, 3, 2]


def test_a_grid_larger_than_an_axis_leaves_cells_empty():
    groups = group(torch.ones(1, 2, 3, dtype=torch.bool), (4, 3))
    assert groups.sizes.tolist() == [1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0]


def test_a_mask_removes_pixels_but_does_not_move_cell_borders():
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, 0, 0] = mask[0, 1, 1] = mask[0, 3, 3] = True
    groups = group(mask, (2, 2))
    assert groups.sizes.tolist() == [2, 0, 0, 1]
    assert groups.candidates.tolist() == [0, 5, 15]


def test_permuting_images_permutes_groups_and_nothing_else():
    mask, order = irregular_mask(3, 9, 6), [2, 0, 1]
    pixels, cells = 9 * 6, 4
    straight, permuted = members(group(mask, (2, 2))), members(group(mask[order], (2, 2)))
    for place, image in enumerate(order):
        for cell in range(cells):
            expected = [int(i) - image * pixels for i in straight[image * cells + cell]]
            assert [int(i) - place * pixels for i in permuted[place * cells + cell]] == expected


def test_swapping_axes_of_mask_and_grid_swaps_coordinates():
    mask = irregular_mask(2, 10, 7)
    swapped = members(group(mask.transpose(1, 2), (3, 2)))
    expected = set()
    for part in members(group(mask, (2, 3))):
        image, row, column = torch.unravel_index(torch.tensor(part), mask.shape)
        expected.add(frozenset((image * 70 + column * 10 + row).tolist()))
    assert {frozenset(int(i) for i in part) for part in swapped} == expected


def test_a_pooled_batch_merges_equal_cells_of_all_images():
    mask = irregular_mask(3, 8, 6)
    apart, pooled = group(mask, (2, 3)), group(mask, (2, 3), pool_batch=True)
    assert pooled.sizes.tolist() == apart.sizes.reshape(3, 6).sum(0).tolist()
    parts = members(apart)
    for cell, part in enumerate(members(pooled)):
        assert part == [index for image in range(3) for index in parts[image * 6 + cell]]


def test_a_mask_need_not_be_contiguous():
    mask = irregular_mask(2, 12, 8)[:, ::2].transpose(1, 2)
    assert torch.equal(group(mask, (2, 3)).candidates, group(mask.clone(), (2, 3)).candidates)


@pytest.mark.parametrize(
    ("mask", "grid", "message"),
    [
        (torch.ones(1, 4, 4), (2, 2), "mask must be bool"),
        (torch.ones(4, 4, dtype=torch.bool), (2,), "mask must be bool"),
        (torch.ones(1, 4, 4, dtype=torch.bool), (2, 2, 2), "each of the 2 spatial axes"),
        (torch.ones((), dtype=torch.bool).expand(2**14, 2**8, 2**8), (4, 4), "too large"),
        (torch.ones(1, 4, 4, dtype=torch.bool), (2, 0), "grid must be a positive number"),
    ],
)
def test_malformed_masks_and_grids_are_refused(mask: Tensor, grid: tuple[int, ...], message: str):
    with pytest.raises(ValueError, match=message):
        group(mask, grid)

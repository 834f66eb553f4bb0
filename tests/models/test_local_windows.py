from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from arco.models.local_windows import cells_per_axis, pool_to_cells, windows_of

POOLING = {2: functional.adaptive_avg_pool2d, 3: functional.adaptive_avg_pool3d}


def pooled_one_by_one(maps: Tensor, windows: int, pooling: int) -> Tensor:
    """Cut every window out of the full map, then pool it: [W, B, C * pooling ** axes]."""
    size = maps.shape[2:]
    starts = [[i * length // (windows + 1) for i in range(windows)] for length in size]
    found = []
    for corner in itertools.product(*starts):
        window = maps
        for axis, (start, length) in enumerate(zip(corner, size, strict=True)):
            window = window.narrow(2 + axis, start, 2 * length // (windows + 1))
        found.append(POOLING[len(size)](window, pooling).flatten(1))
    return torch.stack(found)


@pytest.mark.parametrize(
    ("size", "windows", "pooling"),
    [((256, 256), 7, 8), ((64, 64), 7, 8), ((32, 64), 7, 4), ((16, 24, 40), 3, 2)],
)
def test_windows_are_blocks_of_one_pooling(
    size: tuple[int, ...], windows: int, pooling: int
) -> None:
    maps = torch.randn(2, 3, *size, dtype=torch.float64)
    cells = pool_to_cells(maps, cells_per_axis(windows, pooling))
    found = windows_of(cells, pooling)
    assert found.shape == (windows ** len(size), 2, 3 * pooling ** len(size))
    torch.testing.assert_close(found, pooled_one_by_one(maps, windows, pooling), atol=1e-12, rtol=0)


def test_gradients_of_both_ways_agree() -> None:
    maps = torch.randn(1, 2, 16, 32, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(9, 1, 8, dtype=torch.float64)
    quick = windows_of(pool_to_cells(maps, cells_per_axis(3, 2)), 2)
    slow = pooled_one_by_one(maps, 3, 2)
    (expected,) = torch.autograd.grad((slow * weights).sum(), maps)
    (found,) = torch.autograd.grad((quick * weights).sum(), maps)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_the_published_windows_need_32_cells() -> None:
    assert cells_per_axis(7, 8) == 32


def test_what_is_left_of_an_axis_stays_unused() -> None:
    maps = torch.zeros(1, 1, 9, 8)
    maps[:, :, 8] = 5
    assert pool_to_cells(maps, 4).abs().max() == 0


def test_odd_pooling_and_short_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        cells_per_axis(7, 5)
    with pytest.raises(ValueError, match="no 8 cells"):
        pool_to_cells(torch.zeros(1, 1, 16, 7), 8)

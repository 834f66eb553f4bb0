from __future__ import annotations

import itertools
from math import prod

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from arco.models.local_windows import cells_of, pool_to_cells, windows_of

POOLING = {2: functional.adaptive_avg_pool2d, 3: functional.adaptive_avg_pool3d}


def pooled_one_by_one(maps: Tensor, windows: tuple[int, ...], pooling: int) -> Tensor:
    """Cut every window out of the full map, then pool it: [W, B, C * pooling ** axes]."""
    size = maps.shape[2:]
    starts = [
        [i * length // (count + 1) for i in range(count)]
        for length, count in zip(size, windows, strict=True)
    ]
    found = []
    for corner in itertools.product(*starts):
        window = maps
        for axis, (start, length, count) in enumerate(zip(corner, size, windows, strict=True)):
            window = window.narrow(2 + axis, start, 2 * length // (count + 1))
        found.append(POOLING[len(size)](window, pooling).flatten(1))
    return torch.stack(found)


@pytest.mark.parametrize(
    ("size", "windows", "pooling"),
    [
        ((256, 256), (7, 7), 8),
        ((64, 64), (7, 7), 8),
        ((32, 64), (7, 7), 4),
        ((16, 24, 40), (3, 3, 3), 2),
        ((80, 110, 110), (7, 10, 10), 4),
    ],
)
def test_windows_are_blocks_of_one_pooling(
    size: tuple[int, ...], windows: tuple[int, ...], pooling: int
) -> None:
    maps = torch.randn(2, 3, *size, dtype=torch.float64)
    cells = pool_to_cells(maps, cells_of(windows, pooling))
    found = windows_of(cells, pooling)
    assert found.shape == (prod(windows), 2, 3 * pooling ** len(size))
    torch.testing.assert_close(found, pooled_one_by_one(maps, windows, pooling), atol=1e-12, rtol=0)


def test_gradients_of_both_ways_agree() -> None:
    maps = torch.randn(1, 2, 16, 32, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(9, 1, 8, dtype=torch.float64)
    quick = windows_of(pool_to_cells(maps, cells_of((3, 3), 2)), 2)
    slow = pooled_one_by_one(maps, (3, 3), 2)
    (expected,) = torch.autograd.grad((slow * weights).sum(), maps)
    (found,) = torch.autograd.grad((quick * weights).sum(), maps)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_the_published_windows_need_so_many_cells() -> None:
    assert cells_of((7, 7), 8) == (32, 32)
    assert cells_of((7, 10, 10), 4) == (16, 22, 22)


def test_what_is_left_of_an_axis_stays_unused() -> None:
    maps = torch.zeros(1, 1, 9, 8)
    maps[:, :, 8] = 5
    assert pool_to_cells(maps, (4, 4)).abs().max() == 0


def test_odd_pooling_and_short_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        cells_of((7, 7), 5)
    with pytest.raises(ValueError, match=r"no \(8, 8\) cells"):
        pool_to_cells(torch.zeros(1, 1, 16, 7), (8, 8))

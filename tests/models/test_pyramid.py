from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from arco.models.pyramid import (
    along_axes,
    averaging_matrix,
    chain_matrices,
    interpolation_matrix,
    kind_of,
    neighborhood,
    pooling_matrices,
    sizes_of,
    squared_norms,
    upsample,
)

CHAINS = [
    ((3, 5), (6, 10), (11, 20), (22, 41)),
    ((4, 3), (4, 3), (8, 6)),
    ((1, 2), (2, 4), (4, 8)),
    ((3, 5, 4), (6, 10, 8), (6, 10, 8), (12, 20, 15)),
    ((1, 2, 3), (2, 4, 6), (4, 8, 12), (8, 16, 24), (8, 16, 24)),  # of the V-Net
]


def raised(maps: torch.Tensor, sizes) -> torch.Tensor:
    for size in sizes[1:]:
        maps = upsample(maps, size)
    return maps


def random_maps(sizes) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, *sizes[0], generator=generator, dtype=torch.float64)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(coarse=st.integers(1, 12), fine=st.integers(1, 25))
def test_the_interpolation_matrix_is_torch_s_corner_aligned_interpolation(coarse, fine):
    line = torch.randn(1, 1, coarse, dtype=torch.float64)
    expected = functional.interpolate(line, size=fine, mode="linear", align_corners=True)
    matrix = interpolation_matrix(coarse, fine)
    torch.testing.assert_close(line @ matrix.T, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(fine).double(), rtol=0, atol=1e-12)


def test_three_pixels_become_five_with_weights_of_a_half():
    expected = [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
    assert interpolation_matrix(3, 5).tolist() == expected


@pytest.mark.parametrize(("fine", "cells"), [(8, 4), (10, 4), (7, 3), (5, 5), (3, 4)])
def test_the_averaging_matrix_is_torch_s_adaptive_pooling(fine, cells):
    line = torch.randn(1, 1, fine, dtype=torch.float64)
    expected = functional.adaptive_avg_pool1d(line, cells)
    torch.testing.assert_close(line @ averaging_matrix(fine, cells).T, expected)


@pytest.mark.parametrize("sizes", CHAINS)
def test_matrices_along_the_axes_do_what_successive_interpolations_do(sizes):
    maps = random_maps(sizes)
    matrices = chain_matrices(sizes, kind_of(maps))
    product = along_axes(maps, matrices, first=2)
    torch.testing.assert_close(product, raised(maps, sizes), rtol=0, atol=1e-12)
    cells = (2, 3, 2)[: len(sizes[0])]
    pooled = along_axes(maps, pooling_matrices(sizes, cells, kind_of(maps)), first=2)
    pool = functional.adaptive_avg_pool2d if len(cells) == 2 else functional.adaptive_avg_pool3d
    torch.testing.assert_close(pooled, pool(raised(maps, sizes), cells), rtol=0, atol=1e-12)


def test_successive_interpolations_differ_from_a_single_one():
    maps = random_maps(CHAINS[0])
    direct = upsample(maps, CHAINS[0][-1])
    assert (raised(maps, CHAINS[0]) - direct).abs().max() > 0.01


@pytest.mark.parametrize("sizes", CHAINS)
def test_neighborhoods_give_the_value_at_every_fine_pixel(sizes):
    maps = random_maps(sizes)
    expected = raised(maps, sizes).movedim(1, -1)
    pixels = torch.arange(expected[..., 0].numel()).view(expected.shape[:-1])
    near = neighborhood(pixels, sizes, maps.dtype)
    rows = maps.flatten(2)[near.images, :, near.pixels]
    torch.testing.assert_close((near.weights[..., None] * rows).sum(dim=0), expected)
    torch.testing.assert_close(near.weights.sum(dim=0), torch.ones(pixels.shape).double())


def test_doubling_twice_needs_three_neighbors_per_axis():
    pixels = torch.arange(256 * 256)
    assert len(neighborhood(pixels, ((64, 64), (128, 128), (256, 256)), torch.float32).pixels) == 9
    assert len(neighborhood(pixels, ((256, 256),), torch.float32).pixels) == 1


def test_a_last_level_of_the_same_size_adds_no_neighbors():
    pixels = torch.arange(8 * 16 * 24)
    once = neighborhood(pixels, ((4, 8, 12), (8, 16, 24)), torch.float32)
    twice = neighborhood(pixels, ((4, 8, 12), (8, 16, 24), (8, 16, 24)), torch.float32)
    assert len(once.pixels) == 2**3
    assert torch.equal(once.pixels, twice.pixels)
    assert torch.equal(once.weights, twice.weights)


@pytest.mark.parametrize("sizes", CHAINS)
def test_squared_norms_are_those_of_the_interpolated_vectors(sizes):
    maps = random_maps(sizes)
    expected = raised(maps, sizes).square().sum(dim=1)
    norms = squared_norms(maps.transpose(0, 1), sizes)
    torch.testing.assert_close(norms, expected, rtol=1e-12, atol=1e-12)


def test_sizes_are_the_spatial_axes_of_each_map():
    assert sizes_of([torch.zeros(2, 3, 4, 5), torch.zeros(2, 1, 8, 10)]) == ((4, 5), (8, 10))

from __future__ import annotations

import pytest
import torch

from arco.contracts import IGNORE
from arco.warps import (
    draw_deformation,
    draw_similarity_spline,
    identity_grid,
    warp,
    warp_labels,
)

SIZES = [(16, 24), (8, 16, 24)]
STILL = {
    "rotation_degrees": 0.0,
    "scale": (1.0, 1.0),
    "shift": 0.0,
    "mirror": 0.0,
    "jitter": 0.0,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def similarity(count: int = 3, size: tuple[int, int] = (16, 24), **changes: object) -> torch.Tensor:
    return draw_similarity_spline(count, size, generator=generator(), **{**STILL, **changes})


def images(size: tuple[int, ...], count: int = 3) -> torch.Tensor:
    return torch.rand(count, 2, *size, generator=generator(1))


@pytest.mark.parametrize("size", SIZES)
def test_grids_without_strength_are_the_identity(size):
    still = draw_deformation(3, size, amplitude=0.0, generator=generator())
    grids = [still] if len(size) == 3 else [still, similarity(size=size)]
    for grid in grids:
        torch.testing.assert_close(grid, identity_grid(3, size, grid.device), atol=1e-6, rtol=0)
        torch.testing.assert_close(warp(images(size), grid), images(size), atol=1e-5, rtol=0)
        labels = torch.randint(IGNORE, 4, (3, *size), generator=generator())
        assert torch.equal(warp_labels(labels, grid), labels)


@pytest.mark.parametrize("size", SIZES)
def test_deformations_are_smooth_and_of_the_amplitude(size):
    grid = draw_deformation(200, size, amplitude=1.5, generator=generator())
    moved = grid - identity_grid(200, size, grid.device)
    pixels = moved * torch.tensor(list(reversed(size))) / 2
    corners = pixels[(slice(None), *[0] * len(size))]
    assert corners.std().item() == pytest.approx(1.5, abs=0.15)
    assert corners.mean().item() == pytest.approx(0, abs=0.2)
    assert pixels.diff(dim=-2).abs().max() < pixels.abs().max() / 2


def test_a_constant_map_stays_constant_inside_and_is_zero_outside():
    grid = similarity(rotation_degrees=60.0, scale=(0.8, 1.2), shift=0.1, mirror=0.5, jitter=0.01)
    inside = grid.abs().amax(-1) < 1 - 2 / 16
    outside = grid.abs().amax(-1) > 1 + 2 / 16
    warped = warp(torch.full((3, 1, 16, 24), 0.7), grid)[:, 0]
    assert inside.any() and outside.any()
    torch.testing.assert_close(warped[inside], torch.full_like(warped[inside], 0.7))
    assert not warped[outside].any()
    labels = warp_labels(torch.full((3, 16, 24), 2), grid)
    assert (labels[inside] == 2).all() and (labels[outside] == IGNORE).all()


def test_mirroring_is_the_exact_mirror_image():
    warped = warp(images((16, 24)), similarity(mirror=1.0))
    torch.testing.assert_close(warped, images((16, 24)).flip(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(33, 33), (33, 65)])
def test_a_turn_keeps_distances_in_pixels(size):
    grid = similarity(2, size, rotation_degrees=60.0)[1]
    pixels = grid * torch.tensor([size[1], size[0]]) / 2
    steps = [pixels.diff(dim=axis).norm(dim=-1) for axis in (0, 1)]
    for step in steps:
        torch.testing.assert_close(step, torch.ones_like(step), atol=1e-4, rtol=0)
    assert not torch.allclose(grid, identity_grid(1, size, grid.device)[0], atol=0.05)


def test_the_spline_moves_control_points_by_their_jitter_and_bends():
    grid = similarity(200, (41, 41), jitter=0.05)
    moved = grid - identity_grid(200, (41, 41), grid.device)
    centers = moved[:, 20, 20]  # the middle one of the five by five control points
    assert centers.std().item() == pytest.approx(0.05, abs=0.006)
    second = moved.diff(n=2, dim=1)
    assert second.abs().max() > 1e-4
    assert moved.diff(dim=1).abs().max() < 0.05


def test_equal_seeds_draw_equal_warps_and_images_differ():
    strong = {"rotation_degrees": 60.0, "shift": 0.1, "jitter": 0.01}
    one, two = similarity(**strong), similarity(**strong)
    assert torch.equal(one, two)
    assert not torch.equal(one[0], one[1])

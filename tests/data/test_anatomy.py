from __future__ import annotations

import numpy as np
import pytest

from arco.data.anatomy.scanner import Scanner
from arco.data.anatomy.shapes import Ellipsoid, coverage, distort, make_grid, paint, texture, turn

SHAPE = (11, 9, 5)
SPACING_MM = (2.0, 1.0, 4.0)


def scanner(
    dtype: type[np.integer | np.floating],
    *,
    maximum: float = 100.0,
    noise: float = 0.0,
    tilt: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Scanner:
    return Scanner(dtype, maximum, 1.0, (0.0, 0.0, 0.0), noise, tilt, 0.0)


def test_positions_are_millimeters_from_the_center() -> None:
    grid = make_grid(SHAPE, SPACING_MM)
    assert grid.shape == SHAPE
    assert grid.position_mm[:, 0, 0, 0].tolist() == [-10.0, -4.0, -8.0]
    assert grid.position_mm[:, 5, 4, 2].tolist() == [0.0, 0.0, 0.0]
    assert grid.pixel_mm == 1.0


def test_an_ellipsoid_ends_at_its_half_axes_and_a_cylinder_never() -> None:
    grid = make_grid(SHAPE, SPACING_MM)
    ball = Ellipsoid("blood", (0.0, 0.0, 0.0), (6.0, 3.0, 4.0)).distance_mm(grid)
    # The surface passes through x = 6, y = 3 and z = 4 mm: 3, 3 and 1 voxels from the center.
    assert ball[[8, 5, 5], [4, 7, 4], [2, 2, 3]].tolist() == [0.0, 0.0, 0.0]
    assert ball[5, 4, 2] == -3.0
    tube = Ellipsoid("blood", (0.0, 0.0, 0.0), (6.0, 3.0, np.inf)).distance_mm(grid)
    assert np.array_equal(tube[..., 0], ball[..., 2])
    assert np.array_equal(tube[..., 0], tube[..., 4])


def test_a_quarter_turn_swaps_the_half_axes() -> None:
    grid = make_grid((9, 9, 1), (1.0, 1.0, 1.0))
    upright = Ellipsoid("blood", (0.0, 0.0, 0.0), (4.0, 2.0, 1.0)).distance_mm(grid)
    turned = Ellipsoid("blood", (0.0, 0.0, 0.0), (4.0, 2.0, 1.0), np.pi / 2).distance_mm(grid)
    np.testing.assert_allclose(turned, upright.transpose(1, 0, 2), atol=1e-5)


def test_a_voxel_on_the_surface_is_half_covered() -> None:
    distance_mm = np.array([-2.0, -0.5, 0.0, 0.25, 0.5, np.inf], dtype=np.float32)
    assert coverage(distance_mm, 1.0).tolist() == [1.0, 1.0, 0.5, 0.25, 0.0, 0.0]


def test_painting_mixes_by_share() -> None:
    image = np.full(3, 0.2, dtype=np.float32)
    paint(image, np.array([0.0, 0.5, 1.0], dtype=np.float32), 0.6)
    assert image.tolist() == pytest.approx([0.2, 0.4, 0.6])


def test_distortion_moves_only_the_axes_it_is_told_to() -> None:
    grid = make_grid(SHAPE, SPACING_MM)
    bent = distort(grid, np.random.default_rng(0), 1.5, (30, 60), axes=2)
    shift_mm = bent.position_mm - grid.position_mm
    assert not shift_mm[2].any()
    assert 0.1 < np.abs(shift_mm[:2]).max() < 8


def test_a_grid_turned_by_a_quarter_sees_its_second_axis_along_its_first() -> None:
    grid = make_grid((9, 9, 2), (1.0, 1.0, 3.0))
    turned = turn(grid, np.pi / 2)
    x, y, z = grid.position_mm
    np.testing.assert_allclose(turned.position_mm, np.stack([-y, x, z]), atol=1e-5)


def test_texture_has_mean_zero_and_deviation_one() -> None:
    found = texture(make_grid(SHAPE, SPACING_MM), np.random.default_rng(0), 2.0)
    assert found.mean() == pytest.approx(0, abs=1e-5)
    assert found.std() == pytest.approx(1, abs=1e-5)


def test_a_perfect_scanner_stores_the_signal_times_its_maximum() -> None:
    grid = make_grid(SHAPE, SPACING_MM)
    signal = np.linspace(0, 1, grid.position_mm[0].size, dtype=np.float32).reshape(SHAPE)
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(
        scanner(np.float32).image(signal, grid, rng), 100 * signal, rtol=1e-5
    )
    stored = scanner(np.int16).image(signal, grid, rng)
    assert stored.dtype == np.int16
    assert np.abs(stored - 100 * signal).max() <= 0.5001


def test_bytes_saturate_instead_of_wrapping_around() -> None:
    grid = make_grid(SHAPE, SPACING_MM)
    bright = np.full(SHAPE, 3.0, dtype=np.float32)
    stored = scanner(np.uint8).image(bright, grid, np.random.default_rng(0))
    assert (stored == 255).all()


def test_noise_in_air_is_rayleigh_distributed() -> None:
    grid = make_grid((40, 30, 20), (1.0, 1.0, 1.0))
    air = np.zeros(grid.shape, dtype=np.float32)
    noisy = scanner(np.float64, maximum=1.0, noise=0.1)
    stored = noisy.image(air, grid, np.random.default_rng(0)).astype(np.float64)
    assert stored.min() >= 0
    assert stored.mean() == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.02)


def test_the_coil_is_more_sensitive_on_one_side() -> None:
    grid = make_grid(SHAPE, SPACING_MM)
    flat = np.ones(SHAPE, dtype=np.float32)
    tilted = scanner(np.float32, maximum=1.0, tilt=(0.0, 0.5, 0.0))
    stored = tilted.image(flat, grid, np.random.default_rng(0))
    np.testing.assert_allclose(stored[:, 0], np.exp(-0.5), rtol=1e-5)
    np.testing.assert_allclose(stored[:, -1], np.exp(0.5), rtol=1e-5)

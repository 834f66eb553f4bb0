from __future__ import annotations

import numpy as np

from arco.data.anatomy.pose import Pose, posed
from arco.data.anatomy.shapes import Grid, make_grid

GRID = make_grid((21, 15, 9), (2.0, 3.0, 5.0))
CENTER_MM = (22.0, -4.0, 10.0)
STILL = Pose(turn_degrees=(0, 0, 0), size=0, shift_mm=(0, 0, 0))


def many(pose: Pose) -> list[Grid]:
    rng = np.random.default_rng(0)
    return [posed(GRID, rng, pose, CENTER_MM) for _ in range(200)]


def middle_mm(grid: Grid) -> np.ndarray:
    return grid.position_mm[:, 10, 7, 4]


def test_a_patient_without_a_pose_of_its_own_is_only_centered() -> None:
    grid = many(STILL)[0]
    moved = GRID.position_mm + np.array(CENTER_MM, np.float32).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(grid.position_mm, moved, atol=1e-5)
    assert grid.spacing_mm == GRID.spacing_mm


def test_patients_lie_about_the_center_as_far_as_the_pose_says() -> None:
    pose = Pose(turn_degrees=(0, 0, 0), size=0, shift_mm=(9, 4, 1))
    middles = np.array([middle_mm(grid) for grid in many(pose)])
    np.testing.assert_allclose(middles.mean(axis=0), CENTER_MM, atol=2)
    np.testing.assert_allclose(middles.std(axis=0), (9, 4, 1), rtol=0.15)


def test_patients_are_turned_about_the_middle_and_scaled() -> None:
    pose = Pose(turn_degrees=(3, 3, 5), size=0.1, shift_mm=(0, 0, 0))
    grids = many(pose)
    steps = np.array([grid.position_mm[:, 20, 7, 4] - middle_mm(grid) for grid in grids])
    lengths = np.linalg.norm(steps, axis=1) / 20
    assert 0.08 < np.log(lengths).std() < 0.12
    degrees = np.rad2deg(np.arctan2(steps[:, 1], steps[:, 0]))
    assert 4 < degrees.std() < 6
    for grid in grids:
        np.testing.assert_allclose(middle_mm(grid), CENTER_MM, atol=1e-4)


def test_breathing_moves_whole_slices_along_z() -> None:
    pose = Pose(turn_degrees=(0, 0, 0), size=0, shift_mm=(0, 0, 0), breath_mm=1.5)
    shifts = []
    for grid in many(pose):
        moved = grid.position_mm - GRID.position_mm
        assert np.ptp(moved[2], axis=(0, 1)).max() < 1e-4
        assert not np.ptp(moved[0])
        shifts += (moved[2, 0, 0] - CENTER_MM[2]).tolist()
    assert 1.3 < np.std(shifts) < 1.7

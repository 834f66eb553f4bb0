"""How a patient lies in the scanner: turned a little, larger or smaller, aside, breathing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from arco.data.anatomy.shapes import Grid, Point


@dataclass(frozen=True)
class Pose:
    """How much patients differ, one standard deviation each.

    Attributes:
        turn_degrees: rotation about the x, y and z axis.
        size: logarithm of the patient's size.
        shift_mm: from the middle of the field of view, along each axis.
        breath_mm: along z, from one slice to the next.
    """

    turn_degrees: Point
    size: float
    shift_mm: Point
    breath_mm: float = 0.0


def posed(grid: Grid, rng: np.random.Generator, pose: Pose, center_mm: Point) -> Grid:
    """The grid that a patient lies in.

    Args:
        grid: the scanner's.
        rng: draws the pose.
        pose: how much it varies.
        center_mm: the point of the anatomy that lies, on average, in the middle of the scan.
    """
    turn = Rotation.from_euler("xyz", rng.normal(0, pose.turn_degrees), degrees=True).as_matrix()
    matrix = turn * np.exp(rng.normal(0, pose.size))
    position_mm = np.tensordot(matrix.astype(np.float32), grid.position_mm, axes=1)
    shift_mm = np.array(center_mm) + rng.normal(0, pose.shift_mm)
    position_mm += shift_mm.astype(np.float32).reshape(3, 1, 1, 1)
    position_mm[2] += rng.normal(0, pose.breath_mm, size=grid.shape[2]).astype(np.float32)
    return Grid(position_mm, grid.spacing_mm)

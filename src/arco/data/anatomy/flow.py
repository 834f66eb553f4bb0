"""What moving blood and an uneven magnetic field do to a scan of the heart.

Both change the signal inside the chambers and the arteries. No label's edge shows in either.
"""

from __future__ import annotations

import numpy as np

from arco.data.anatomy.shapes import Grid, Point, Volume, texture
from arco.data.anatomy.tubes import Tube
from arco.data.anatomy.whole_heart import WholeHeart


def blood_flow(heart: WholeHeart, grid: Grid, rng: np.random.Generator) -> Volume:
    """[*S] float32, a gain for all blood: it mixes, and jets through the valves change its signal.

    Args:
        heart: the patient's, which tells where the jets are.
        grid: the positions of the voxels.
        rng: draws which jets there are, and how strong they are.
    """
    gain = 1 + np.float32(rng.uniform(0.02, 0.1)) * texture(grid, rng, 8)
    into_left = np.add(heart.base_mm, 35 * np.array(heart.axis)).tolist()
    for start, end in (
        (heart.base_mm, into_left),
        (heart.aorta[0].start_mm, heart.aorta[0].end_mm),
        (heart.right_atrium.center_mm, heart.right.center_mm),
        (heart.trunk.start_mm, heart.trunk.end_mm),
    ):
        gain *= _jet(start, end, grid, rng)
    return gain


def _jet(start: Point, end: Point, grid: Grid, rng: np.random.Generator) -> Volume:
    """[*S] float32, the gain of signal along a line; about half of the jets show."""
    loss = rng.uniform(-0.2, 0.6) * (rng.random() < 0.5)
    width_mm = rng.uniform(4, 8)
    return _dimmed(Tube("blood", start, end, (0, 0)).distance_mm(grid), width_mm, loss)


def banding(grid: Grid, rng: np.random.Generator) -> Volume:
    """[*S] float32 in [0, 1], a gain with dark curved bands; about half of the scans show them.

    Balanced steady-state sequences lose the signal where the field is off by half a period.
    """
    loss = rng.uniform(0.2, 0.7) * (rng.random() < 0.5)
    direction = rng.normal((0, 0, 0), (1, 1, 0.4))
    direction /= np.linalg.norm(direction)
    period_mm, width_mm = rng.uniform((80, 3), (160, 7)).tolist()
    bend_mm = np.square(grid.position_mm[:2]).sum(axis=0) / np.float32(rng.uniform(150, 500))
    along_mm = np.tensordot(direction.astype(np.float32), grid.position_mm, axes=1) + bend_mm
    turns = along_mm / np.float32(period_mm) + np.float32(rng.random())
    return _dimmed((turns % 1 - np.float32(0.5)) * np.float32(period_mm), width_mm, loss)


def _dimmed(off_mm: Volume, width_mm: float, loss: float) -> Volume:
    """[*S] float32, a gain of 1 - `loss` at distance 0 that returns to 1 within `width_mm`."""
    near = np.exp(-np.square(off_mm / np.float32(width_mm)))
    return np.asarray(1 - np.float32(loss) * near, dtype=np.float32)

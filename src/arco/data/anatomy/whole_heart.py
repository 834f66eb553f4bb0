"""A whole heart: both ventricles with the left one's muscle, both atria, and the great arteries.

Conventions: x runs to the patient's left, y to the back, z up; the heart lies about the origin.
Lengths in mm. The labels are those of MM-WHS. One plane through the valves, the base, parts atria
from ventricles. No contrast marks it, nor where the labels of the two arteries end, and all blood
is about as bright.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arco.data.anatomy.shapes import Ellipsoid, Grid, Point, Volume, coverage, paint
from arco.data.anatomy.tubes import Tube, blended

Vector = npt.NDArray[np.float64]

LABELS = {"lv": 500, "rv": 600, "la": 420, "ra": 550, "myo": 205, "aa": 820, "pa": 850}
"""Value of each structure in the label files of MM-WHS."""

RIGHT_WALL_MM, ATRIAL_WALL_MM, ARTERY_WALL_MM = 2.5, 2.0, 1.5
_RIGHT_BASE_MM = 6.0
"""How far the tricuspid valve lies behind the mitral one."""


@dataclass(frozen=True)
class Spheroid:
    """A body round about an oblique axis.

    Attributes:
        center_mm: its center.
        axis: its direction, of length 1.
        half_mm: half its length along the axis.
        radius_mm: its radius across.
    """

    center_mm: Point
    axis: Point
    half_mm: float
    radius_mm: float

    def distance_mm(self, grid: Grid) -> Volume:
        """[*S] float32, distance from the surface, negative inside (exact across the axis)."""
        along = beyond(grid, self.center_mm, self.axis)
        offset = grid.position_mm - np.array(self.center_mm, np.float32).reshape(3, 1, 1, 1)
        across = np.square(offset).sum(axis=0) - along**2
        relative = np.sqrt((along / self.half_mm) ** 2 + across.clip(0) / self.radius_mm**2)
        return np.asarray((relative - 1) * self.radius_mm, dtype=np.float32)


def beyond(grid: Grid, point_mm: Point, axis: Point) -> Volume:
    """[*S] float32, distance beyond a plane through a point, across an axis of length 1."""
    offset = grid.position_mm - np.array(point_mm, np.float32).reshape(3, 1, 1, 1)
    return np.asarray(np.tensordot(np.array(axis, np.float32), offset, axes=1), dtype=np.float32)


@dataclass(frozen=True)
class WholeHeart:
    """One patient's heart.

    Attributes:
        base_mm, axis: a point of the valves' plane, and the direction from it to the apex.
        cavity, muscle: inner and outer surface of the left ventricle, cut off at the base.
        papillaries: muscles in that cavity, which its label counts as blood.
        right: the right ventricle, which the left one dents to a crescent.
        outflow: the piece of it that leads to the pulmonary artery.
        left_atrium, roof: two bodies that blend into one.
        appendage: the left atrium's blind sac.
        vestibule: the piece of it that leads to the mitral valve.
        right_atrium: the right one.
        aorta: its root and the piece above, up to the arch.
        aorta_top_mm: the height where its label ends.
        trunk: the pulmonary artery from its valve to where it forks.
        branches: the right and the left pulmonary artery.
        sleeve_mm: how far from the trunk the label follows them.
        fat_mm: thickness of the fat around the heart.
    """

    base_mm: Point
    axis: Point
    cavity: Spheroid
    muscle: Spheroid
    papillaries: tuple[Tube, Tube]
    right: Spheroid
    outflow: Tube
    left_atrium: Ellipsoid
    roof: Ellipsoid
    appendage: Tube
    vestibule: Tube
    right_atrium: Ellipsoid
    aorta: tuple[Tube, Tube]
    aorta_top_mm: float
    trunk: Tube
    branches: tuple[Tube, Tube]
    sleeve_mm: float
    fat_mm: float


def draw_whole_heart(rng: np.random.Generator) -> WholeHeart:
    """A random heart."""
    base = np.array((9.0, 1.0, 6.0)) + rng.normal(0, 2, size=3)
    axis, to_right, up = _draw_axes(rng)
    radius, half, wall = rng.uniform(18, 24), rng.uniform(44, 52), rng.uniform(8, 12)
    center = base + 13 * axis
    outer = radius + wall
    right = base + 8 * axis + to_right * outer * rng.uniform(0.85, 1.0) - 6 * up
    valve = np.array((15, -36, 20)) + rng.normal(0, 2, size=3)
    atrium = np.array((-2, 33, 13)) + rng.normal(0, 2.5, size=3)
    size = rng.uniform((26, 16, 19), (32, 21, 24))
    shift = size * rng.uniform((-0.3, -0.1, 0.1), (0.3, 0.2, 0.4))
    ear = atrium + size * (0.75, -0.6, 0.3)
    root = base + 7 * to_right + 5 * up
    bend = np.array((-11, -8, 42)) + rng.normal(0, 2.5, size=3)
    wide = rng.uniform(12.5, 15.5)
    fork = np.array((18, -3, 47)) + rng.normal(0, 2, size=3)
    x, y, z = fork.tolist()
    origin = (x, y + 4, z)
    narrow = rng.uniform(12, 14.5)
    arch = bend + np.array((0.12, 0.06, 1)) * rng.uniform(36, 50)
    return WholeHeart(
        base_mm=_point(base),
        axis=_point(axis),
        cavity=Spheroid(_point(center), _point(axis), half, radius),
        muscle=Spheroid(_point(center), _point(axis), half + 0.8 * wall, outer),
        papillaries=(
            _draw_papillary(rng, center, axis, radius * (0.75 * up - 0.3 * to_right)),
            _draw_papillary(rng, center, axis, radius * (-0.75 * up - 0.1 * to_right)),
        ),
        right=Spheroid(_point(right), _point(axis), half * rng.uniform(0.9, 1), outer * 0.98),
        outflow=Tube("right_blood", _point(right - 10 * axis), _point(valve), (20, narrow + 1)),
        left_atrium=Ellipsoid("blood", _point(atrium), _point(size), rng.normal(0.1, 0.15)),
        roof=Ellipsoid("blood", _point(atrium + shift), _point(0.7 * size), rng.normal(0, 0.3)),
        appendage=Tube("blood", _point(ear), _point(ear + np.array((10, -10, 4))), (8, 5)),
        vestibule=Tube("blood", _point(atrium), _point(base - 5 * to_right), (15, 15)),
        right_atrium=Ellipsoid(
            "right_blood",
            _point(np.array((-41, -4, -5)) + rng.normal(0, 2.5, size=3)),
            _point(rng.uniform((21, 23, 25), (27, 29, 32))),
            rng.normal(-0.2, 0.15),
        ),
        aorta=(
            Tube("blood", _point(root), _point(bend), (wide + 1, wide)),
            Tube("blood", _point(bend), _point(arch), (wide, wide * 0.9)),
        ),
        aorta_top_mm=atrium[2] + size[2] + rng.uniform(20, 27),
        trunk=Tube("right_blood", _point(valve), _point(fork), (narrow, narrow)),
        branches=(
            Tube("right_blood", origin, (-60, 24, 42), (narrow * 0.8, 7)),
            Tube("right_blood", origin, (58, 36, 50), (narrow * 0.8, 7)),
        ),
        sleeve_mm=rng.uniform(9, 12),
        fat_mm=rng.uniform(0.5, 3),
    )


def _draw_axes(rng: np.random.Generator) -> tuple[Vector, Vector, Vector]:
    """Directions at right angles: to the apex, to the right ventricle, and up in the base."""
    axis = _unit(np.array((0.64, -0.55, -0.5)) + rng.normal(0, 0.07, size=3))
    to_right = np.array((-0.62, -0.75, -0.05)) + rng.normal(0, 0.06, size=3)
    to_right = _unit(to_right - axis * (to_right @ axis))
    up = np.cross(to_right, axis)
    return axis, to_right, up * np.sign(up[2])


def _draw_papillary(rng: np.random.Generator, center: Vector, axis: Vector, side: Vector) -> Tube:
    """A muscle that stands on the wall near the apex and ends free in the cavity."""
    foot, tip = center + rng.uniform(12, 20) * axis + side, center - 4 * axis + 0.65 * side
    return Tube("myocardium", _point(foot), _point(tip), (rng.uniform(3, 5), rng.uniform(2, 3)))


def paint_whole_heart(
    heart: WholeHeart,
    images: Sequence[Volume],
    tissues: Sequence[Mapping[str, float]],
    grid: Grid,
) -> npt.NDArray[np.int16]:
    """Paint the heart over what is around it, into several images of one anatomy.

    Args:
        heart: the patient's.
        images: [*S] float32 each, painted in place.
        tissues: signal of `blood`, `right_blood`, `myocardium`, `fat` in each image.
        grid: the positions of the voxels.

    Returns:
        [*S] int16, the values of LABELS, 0 elsewhere.
    """
    surfaces = _surfaces(heart, grid)
    around = np.min([*surfaces.values()], axis=0)
    layers = [(around - heart.fat_mm, "fat")]
    for name, wall_mm in _WALLS_MM.items():
        layers.append((surfaces[name] - wall_mm, "myocardium"))
    layers.append((surfaces["myo"], "myocardium"))
    layers += [(surfaces[name], tissue) for name, tissue in _BLOOD.items()]
    papillaries = np.minimum(*(tube.distance_mm(grid) for tube in heart.papillaries))
    layers.append((np.maximum(papillaries, surfaces["lv"]), "myocardium"))
    for distance_mm, tissue in layers:
        share = coverage(np.asarray(distance_mm, np.float32), grid.pixel_mm)
        for image, signal in zip(images, tissues, strict=True):
            paint(image, share, signal[tissue])
    label = np.zeros(grid.shape, dtype=np.int16)
    above_mm = grid.position_mm[2] - np.float32(heart.aorta_top_mm)
    beside_mm = heart.trunk.distance_mm(grid) - np.float32(heart.sleeve_mm)
    ends = {"aa": above_mm, "pa": beside_mm}
    for name in ("myo", *_BLOOD):
        inside = surfaces[name] < 0
        if name in ends:
            inside &= ends[name] < 0
        label[inside] = LABELS[name]
    return label


_BLOOD = {
    "lv": "blood",
    "rv": "right_blood",
    "ra": "right_blood",
    "la": "blood",
    "pa": "right_blood",
    "aa": "blood",
}
_WALLS_MM = {
    "rv": RIGHT_WALL_MM,
    "ra": ATRIAL_WALL_MM,
    "la": ATRIAL_WALL_MM,
    "pa": ARTERY_WALL_MM,
    "aa": ARTERY_WALL_MM,
}


def _surfaces(heart: WholeHeart, grid: Grid) -> dict[str, Volume]:
    """[*S] float32 distances to each structure, negative inside; those of the muscle enclose lv."""
    depth = beyond(grid, heart.base_mm, heart.axis)
    outer, inner = heart.muscle.distance_mm(grid), heart.cavity.distance_mm(grid)
    muscle, cavity = np.maximum(outer, -depth), np.maximum(inner, -depth)
    root, ascending = (tube.distance_mm(grid) for tube in heart.aorta)
    aorta = np.maximum(blended(root, ascending, 6), depth)
    trunk = blended(heart.trunk.distance_mm(grid), heart.branches[0].distance_mm(grid), 6)
    trunk = blended(trunk, heart.branches[1].distance_mm(grid), 6)
    heading = np.subtract(heart.trunk.end_mm, heart.trunk.start_mm)
    before_valve = -beyond(grid, heart.trunk.start_mm, _point(_unit(heading)))
    artery = _without(np.maximum(trunk, before_valve), (inner, 6), (aorta, 3), (muscle, 1))
    right = blended(heart.right.distance_mm(grid), heart.outflow.distance_mm(grid), 10)
    right = np.maximum(right, -depth - np.float32(_RIGHT_BASE_MM))
    right = _without(right, (outer, 0), (aorta, 3), (artery, 0))
    left = blended(heart.left_atrium.distance_mm(grid), heart.roof.distance_mm(grid), 10)
    for tube in (heart.appendage, heart.vestibule):
        left = blended(left, tube.distance_mm(grid), 6)
    left = np.maximum(left, depth)
    left = _without(left, (aorta, 3), (artery, 3))
    atrium = np.maximum(heart.right_atrium.distance_mm(grid), depth + np.float32(_RIGHT_BASE_MM))
    atrium = _without(atrium, (left, 4), (aorta, 3), (right, 0))
    return {
        "lv": cavity, "rv": right, "la": left, "ra": atrium, "myo": muscle, "aa": aorta,
        "pa": artery,
    }  # fmt: skip


def _without(body: Volume, *others: tuple[Volume, float]) -> Volume:
    """[*S] float32, distance to a body that keeps a gap of so many mm to others."""
    for other, gap_mm in others:
        body = np.maximum(body, np.float32(gap_mm) - other)
    return body


def _unit(vector: Vector) -> Vector:
    return np.asarray(vector / np.linalg.norm(vector))


def _point(values: Vector) -> Point:
    x, y, z = values.tolist()
    return (x, y, z)

"""A left atrium with its veins and appendage, as late gadolinium-enhanced MRI shows it.

Conventions: x runs to the patient's left, y to the back, z up; the atrium lies about the origin.
Lengths in mm. The label is the cavity as the challenge of 2018 draws it: the body, the appendage
and the first piece of each pulmonary vein, cut off at the plane of the mitral valve. No contrast
marks that plane or the end of the vein pieces, and every other blood pool is as bright.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arco.data.anatomy.shapes import Ellipsoid, Grid, Point, Volume, coverage, paint, texture
from arco.data.anatomy.tubes import Organ, Tube, blended

WALL_MM = 2.2
_VEINS = {
    "left superior": ((0.8, 0.3, 0.5), (0.85, 0.35, 0.35)),
    "left inferior": ((0.75, 0.55, -0.25), (0.8, 0.5, -0.3)),
    "right superior": ((-0.8, 0.2, 0.5), (-0.9, 0.1, 0.4)),
    "right inferior": ((-0.7, 0.65, -0.2), (-0.8, 0.55, -0.2)),
    "left trunk": ((0.85, 0.45, 0.15), (0.85, 0.45, 0.1)),
    "right middle": ((-0.85, 0.45, 0.15), (-0.9, 0.35, 0.1)),
}
"""Where each vein leaves the body, relative to its half axes, and the direction it takes."""


@dataclass(frozen=True)
class Atrium:
    """One patient's left atrium.

    Attributes:
        body: the cavity without what leaves it.
        roof: a second body that blends into the first and makes it uneven.
        appendage: the blind sac at the left front.
        veins: pulmonary veins, from inside the body far into the lungs.
        sleeve_mm: how far from the body's surface the label follows each vein.
        valve_mm: a point of the mitral valve's plane.
        valve_axis: the plane's normal, of length 1, into the ventricle.
        scar: share of the wall that is enhanced.
    """

    body: Ellipsoid
    roof: Ellipsoid
    appendage: Tube
    veins: tuple[Tube, ...]
    sleeve_mm: float
    valve_mm: Point
    valve_axis: Point
    scar: float

    def body_mm(self, grid: Grid) -> Volume:
        """[*S] float32, distance from the surface of the body alone, negative inside."""
        return blended(self.body.distance_mm(grid), self.roof.distance_mm(grid), 10)

    def cavity_mm(self, grid: Grid) -> Volume:
        """[*S] float32, distance from the surface of the labeled cavity, negative inside."""
        body = self.body_mm(grid)
        sleeve = body - np.float32(self.sleeve_mm)
        cavity = blended(body, self.appendage.distance_mm(grid), 6)
        for vein in self.veins:
            cavity = blended(cavity, np.maximum(vein.distance_mm(grid), sleeve), 4)
        return np.maximum(cavity, self.beyond_valve_mm(grid))

    def beyond_valve_mm(self, grid: Grid) -> Volume:
        """[*S] float32, distance beyond the mitral valve's plane."""
        offset = grid.position_mm - np.array(self.valve_mm, np.float32).reshape(3, 1, 1, 1)
        axis = np.array(self.valve_axis, np.float32)
        return np.asarray(np.tensordot(axis, offset, axes=1), dtype=np.float32)


def draw_atrium(rng: np.random.Generator) -> Atrium:
    """A random left atrium: normal to much enlarged, with four veins or a variant of them."""
    scale = float(np.exp(rng.normal(-0.06, 0.12)))
    half = scale * rng.uniform((23, 15, 20), (29, 20, 26))
    center = rng.normal((0, 0, 0), (6, 6, 4))
    body = Ellipsoid("blood", _point(center), _point(half), rng.normal(0.1, 0.2))
    shift = half * rng.uniform((-0.5, -0.3, 0.1), (0.5, 0.3, 0.6))
    smaller = half * rng.uniform(0.55, 0.8, size=3)
    roof = Ellipsoid("blood", _point(center + shift), _point(smaller), rng.normal(0, 0.3))
    base = center + half * rng.uniform((0.55, -0.8, -0.1), (0.8, -0.55, 0.3))
    tip = base + scale * rng.normal((17, -12, 3), 4)
    radius = scale * rng.uniform(6.5, 10)
    axis = rng.normal((0.5, -0.65, -0.55), 0.12)
    axis /= np.linalg.norm(axis)
    valve = center + axis * np.linalg.norm(half * axis) * rng.uniform(0.72, 0.88)
    return Atrium(
        body=body,
        roof=roof,
        appendage=Tube("blood", _point(base), _point(tip), (radius, radius * rng.uniform(0.5, 1))),
        veins=tuple(_draw_vein(rng, name, center, half) for name in _draw_pattern(rng)),
        sleeve_mm=rng.uniform(6, 14),
        valve_mm=_point(valve),
        valve_axis=_point(axis),
        scar=rng.uniform(0.05, 0.4),
    )


def _draw_pattern(rng: np.random.Generator) -> list[str]:
    """The veins of one patient: a common left trunk and a third right vein are frequent."""
    left = ["left trunk"] if rng.random() < 0.2 else ["left superior", "left inferior"]
    right = ["right superior", "right inferior"]
    return left + right + (["right middle"] if rng.random() < 0.2 else [])


def _draw_vein(
    rng: np.random.Generator,
    name: str,
    center: npt.NDArray[np.float64],
    half: npt.NDArray[np.float64],
) -> Tube:
    ostium, direction = (np.array(vector) for vector in _VEINS[name])
    start = center + half * 0.75 * (ostium + rng.normal(0, 0.08, size=3))
    heading = direction + rng.normal(0, 0.15, size=3)
    end = start + 70 * heading / np.linalg.norm(heading)
    radius = rng.uniform(8.5, 11) if name == "left trunk" else rng.uniform(5, 8.5)
    return Tube("blood", _point(start), _point(end), (radius, radius * rng.uniform(0.45, 0.7)))


def draw_tissues(rng: np.random.Generator) -> dict[str, float]:
    """The signal of each tissue in one patient's scan, in about [0, 1].

    Healthy muscle of the heart is nulled; how well, and how much brighter blood is, differs. In
    some scans the moment was missed and muscle is hardly darker than blood.
    """
    blood = rng.uniform(0.5, 0.75)
    muscle = blood * (rng.uniform(0.2, 0.5) if rng.random() < 0.88 else rng.uniform(0.5, 0.7))
    return {
        "air": 0.02,
        "lung": rng.uniform(0.04, 0.15),
        "blood": blood,
        "right_blood": blood * rng.uniform(0.85, 1.12),
        "vessel": blood * rng.uniform(0.9, 1.1),
        "wall": muscle,
        "myocardium": muscle * rng.uniform(0.8, 1.1),
        "scar": blood * rng.uniform(1.15, 1.5),
        "muscle": blood * rng.uniform(0.35, 0.65),
        "fat": rng.uniform(0.15, 0.6),
        "mediastinum": rng.uniform(0.15, 0.45),
        "liver": blood * rng.uniform(0.6, 1.05),
        "marrow": rng.uniform(0.25, 0.6),
        "mucosa": rng.uniform(0.45, 0.95),
    }


def draw_chest(rng: np.random.Generator, atrium: Atrium) -> list[Organ]:
    """Everything around the left atrium, back to front."""
    return [*_chest_wall(rng), *_behind(rng, atrium), *_right_heart(rng), *_left_heart(rng, atrium)]


def _chest_wall(rng: np.random.Generator) -> list[Organ]:
    """Fat, muscle and lungs as nested cylinders, the bed of the heart, spine and liver."""
    infinite = float("inf")
    x, y = rng.normal((-4, -2), 4)
    half = rng.uniform((95, 72), (115, 88))
    depth = rng.uniform(8, 20)
    shells: list[Organ] = [
        Ellipsoid(tissue, (x, y, 0), (half[0] - inside, half[1] - inside, infinite))
        for tissue, inside in (("fat", 0.0), ("muscle", depth * 0.6), ("lung", depth))
    ]
    bed = rng.uniform((52, 48), (64, 58))
    spine = (x, y + half[1] - depth - rng.uniform(8, 16), 0.0)
    dome = rng.uniform((48, 44, 30), (62, 56, 44))
    return [
        *shells,
        Ellipsoid("mediastinum", (4, -14, -8), (bed[0], bed[1], 110), rng.normal(0.2, 0.2)),
        Ellipsoid("muscle", spine, (30, 20, infinite)),
        Ellipsoid("marrow", spine, (18, 14, infinite)),
        Ellipsoid("liver", (-40, -5, -rng.uniform(58, 72)), _point(dome)),
    ]


def _behind(rng: np.random.Generator, atrium: Atrium) -> list[Organ]:
    """Descending aorta and esophagus, which touch the back of the atrium; veins in the lungs."""
    back = atrium.body.center_mm[1] + atrium.body.axes_mm[1]
    x, gap = atrium.body.center_mm[0] + rng.normal(20, 4), rng.uniform(10, 14)
    radius = rng.uniform(9, 12.5)
    gullet_x, gullet_y = x - radius - rng.uniform(4, 16), back + rng.uniform(5, 8)
    lean = rng.normal(0, 4, size=2)
    return [
        *(
            Tube(tissue, (x, back + gap, -90), (x + lean[0], back + gap, 90), (size, size))
            for tissue, size in (("wall", radius + 1.5), ("vessel", radius))
        ),
        *(
            Tube(
                tissue, (gullet_x, gullet_y, -90), (gullet_x + lean[1], gullet_y, 90), (size, size)
            )
            for tissue, size in (("muscle", rng.uniform(5, 7)), ("mucosa", rng.uniform(1.5, 3)))
        ),
        *(
            Tube(tissue, vein.start_mm, vein.end_mm, _thicker(vein.radii_mm, by))
            for tissue, by in (("wall", 1.2), ("blood", 0.0))
            for vein in atrium.veins
        ),
    ]


def _right_heart(rng: np.random.Generator) -> list[Organ]:
    """Right atrium and ventricle, the superior vena cava, and the pulmonary arteries above."""
    atrium = rng.normal((-40, -20, -12), 3)
    size = rng.uniform((18, 20, 24), (25, 27, 32))
    ventricle = rng.normal((-2, -54, -24), 3)
    width = rng.uniform((28, 15, 24), (38, 22, 32))
    fork = rng.normal((8, -24, 38), 2)
    radius = rng.uniform(9, 12)
    caval = rng.uniform(7.5, 10.5)
    organs: list[Organ] = []
    for tissue, by in (("wall", WALL_MM), ("right_blood", 0.0)):
        organs += [
            Ellipsoid(tissue, _point(ventricle), _point(width + by), 0.3),
            Ellipsoid(tissue, _point(atrium), _point(size + by), -0.2),
            Tube(
                tissue,
                _point(atrium + np.array((4, 2, 15))),
                (-34, -18, 90),
                (caval + by, caval + by),
            ),
            Tube(tissue, (20, -50, -5), _point(fork), (radius + by, radius + by)),
            Tube(tissue, _point(fork), (-60, -2, 34), (radius * 0.8 + by, 6 + by)),
            Tube(tissue, _point(fork), (52, 16, 42), (radius * 0.8 + by, 6 + by)),
        ]
    return organs


def _left_heart(rng: np.random.Generator, atrium: Atrium) -> list[Organ]:
    """The left ventricle beyond the mitral valve, and the aorta in front of the atrium."""
    length = rng.uniform(30, 38)
    wide = rng.uniform(17, 23)
    center = np.array(atrium.valve_mm) + np.array(atrium.valve_axis) * length * 0.85
    front = atrium.body.center_mm[1] - atrium.body.axes_mm[1]
    radius = rng.uniform(12, 15.5)
    root = np.array([rng.normal(-4, 3), front - radius + rng.uniform(-2, 2), -14])
    arch = (root[0] - rng.uniform(6, 14), root[1] - 4, 90)
    organs: list[Organ] = []
    muscle = rng.uniform(7, 11)
    for tissues, by in ((("myocardium", "wall"), 1.0), (("blood", "vessel"), 0.0)):
        around = muscle * by
        organs += [
            Ellipsoid(
                tissues[0], _point(center), (wide + around, length + around, wide + around), -0.6
            ),
            Tube(tissues[1], _point(root), _point(np.array(arch)), (radius + 1.5 * by,) * 2),
        ]
    return organs


def paint_atrium(
    atrium: Atrium,
    signal: Volume,
    tissues: dict[str, float],
    grid: Grid,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    """Paint wall and cavity over what is around them.

    Args:
        atrium: the patient's.
        signal: [*S] float32, painted in place.
        tissues: signal of `wall`, `scar` and `blood`.
        grid: the positions of the voxels.
        rng: draws where the wall is scarred.

    Returns:
        [*S] uint8, 1 in the labeled cavity.
    """
    cavity_mm = atrium.cavity_mm(grid)
    # The wall stops at the valve, where blood goes on, and lets the veins through.
    passages = np.min([vein.distance_mm(grid) for vein in atrium.veins], axis=0)
    shell = np.maximum(cavity_mm - np.float32(WALL_MM), -passages)
    shell = np.maximum(shell, atrium.beyond_valve_mm(grid))
    patches = texture(grid, rng, 6.0)
    scarred = patches > np.quantile(patches, 1 - atrium.scar)
    wall = np.where(scarred, tissues["scar"], tissues["wall"])
    paint(signal, coverage(shell, grid.pixel_mm), np.asarray(wall, dtype=np.float32))
    paint(signal, coverage(cavity_mm, grid.pixel_mm), tissues["blood"])
    return np.asarray(cavity_mm < 0, dtype=np.uint8)


def _point(values: npt.NDArray[np.float64]) -> Point:
    x, y, z = values.tolist()
    return (x, y, z)


def _thicker(radii_mm: tuple[float, float], by: float) -> tuple[float, float]:
    return (radii_mm[0] + by, radii_mm[1] + by)

"""The upper abdomen around a liver, much of it with the density or the signal of one.

Conventions: x runs to the patient's left, y to the back, z up. Lengths in mm. The origin is the
middle of a field of view that is moved to the patient's right, where the liver is, so that the left
flank may lie outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arco.data.anatomy.shapes import Ellipsoid, Grid, Point, Volume
from arco.data.anatomy.tubes import Organ, Tube

_INF = float("inf")


@dataclass(frozen=True)
class Ribs:
    """Pairs of ribs that run around the cavity and fall to the front.

    Attributes:
        tissue: what they are made of.
        cage: a cylinder on whose surface they lie.
        pitch_mm: from one rib to the next.
        slope: how far a rib falls for each mm to the front.
        phase_mm: height of one of them.
        radius_mm: half their thickness.
    """

    tissue: str
    cage: Ellipsoid
    pitch_mm: float
    slope: float
    phase_mm: float
    radius_mm: float

    def distance_mm(self, grid: Grid) -> Volume:
        """[*S] float32, distance from the surface, negative inside."""
        _, y, z = grid.position_mm
        height = z - np.float32(self.slope) * y - np.float32(self.phase_mm)
        height = np.abs(np.mod(height, np.float32(self.pitch_mm)) - np.float32(self.pitch_mm / 2))
        # Flat and high, as ribs are; in front there is cartilage, which shows like muscle.
        ribs = np.hypot(self.cage.distance_mm(grid), height * np.float32(0.6))
        front = np.float32(self.cage.center_mm[1] - 0.6 * self.cage.axes_mm[1]) - y
        return np.asarray(np.maximum(ribs - np.float32(self.radius_mm), front), dtype=np.float32)


@dataclass(frozen=True)
class Lungs:
    """The lower lungs: all of the cavity above a sloping floor, before organs rise into it.

    Attributes:
        tissue: what they are made of.
        cavity: the cylinder they fill.
        floor_mm: height of the floor in the middle.
        slope: how much lower it is for each mm to the back.
    """

    tissue: str
    cavity: Ellipsoid
    floor_mm: float
    slope: float

    def distance_mm(self, grid: Grid) -> Volume:
        """[*S] float32, distance from the surface, negative inside."""
        _, y, z = grid.position_mm
        below = np.float32(self.floor_mm) - np.float32(self.slope) * y - z
        return np.asarray(np.maximum(self.cavity.distance_mm(grid), below), dtype=np.float32)


@dataclass(frozen=True)
class Abdomen:
    """One patient, without the liver.

    Attributes:
        cavity: what muscles and ribs enclose, a cylinder; no organ leaves it.
        behind: organs that the liver is painted over, back to front.
        before: organs that are painted over the liver and press into it.
    """

    cavity: Ellipsoid
    behind: tuple[Organ, ...]
    before: tuple[Organ, ...]

    def place(self, point: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """[3] mm, a point given in shares of the cavity's half axes and, along z, in mm."""
        width, depth, _ = self.cavity.axes_mm
        offset = np.array((width, depth, 1.0)) * np.asarray(point)
        return np.asarray(offset + np.array(self.cavity.center_mm), dtype=np.float64)


def draw_abdomen(rng: np.random.Generator) -> Abdomen:
    """A random patient, slim to stout."""
    center = rng.normal((22, -4, 0), (4, 3, 0))
    half = rng.uniform((112, 78), (130, 92))
    skin, wall = rng.uniform((5, 11), (18, 17))
    angle = rng.normal(0, 0.05)
    outside, muscles, cage, cavity = (
        ellipsoid(tissue, center, (half[0] + more, half[1] + more, _INF), angle)
        for tissue, more in (
            ("fat", skin + wall),
            ("muscle", wall),
            ("bone", 0.45 * wall),
            ("fat", 0.0),
        )
    )
    floor_mm = rng.uniform(18, 34)
    frame = Abdomen(cavity, (), ())
    behind: list[Organ] = [
        outside,
        muscles,
        cavity,
        Ribs("bone", cage, rng.uniform(25, 31), rng.uniform(0.15, 0.4), rng.uniform(0, 30), 4.5),
        Lungs("lung", cavity, floor_mm, rng.uniform(0.05, 0.25)),
        *_spine(rng, frame),
        *_bowel(rng, frame),
        *_left_side(rng, frame),
    ]
    before = [*_right_side(rng, frame), *_great_vessels(rng, frame), *_heart(rng, frame, floor_mm)]
    return Abdomen(cavity, tuple(behind), tuple(before))


def _spine(rng: np.random.Generator, frame: Abdomen) -> list[Organ]:
    """A vertebra's body, marrow in bone, with its arch, between the muscles of the back."""
    middle = frame.place((0, 0.78, 0))
    size = rng.uniform(0.9, 1.1)
    pieces = (
        ("muscle", (-30, 18, 0), (28, 17, _INF)),
        ("muscle", (30, 18, 0), (28, 17, _INF)),
        ("muscle", (-26, -10, -70), (14, 16, 50)),  # psoas
        ("muscle", (26, -10, -70), (14, 16, 50)),
        ("bone", (0, 25, 0), (9, 14, _INF)),
        ("bone", (0, 0, 0), (22, 18, _INF)),
        ("marrow", (0, 0, 0), (19.5, 15.5, _INF)),
        ("canal", (0, 22, 0), (7, 6, _INF)),
    )
    return [
        ellipsoid(tissue, middle + size * np.array(aside), size * np.array(half))
        for tissue, aside, half in pieces
    ]


def _bowel(rng: np.random.Generator, frame: Abdomen) -> list[Organ]:
    """Loops below the liver, each a wall around one of several contents, and the pancreas."""
    loops: list[Organ] = []
    for _ in range(int(rng.integers(14, 21))):
        center = frame.place(rng.uniform((-0.7, -0.75, -90), (0.85, 0.2, -25)))
        half = rng.uniform((13, 11, 13), (26, 19, 26))
        angle = rng.uniform(0, np.pi)
        content = str(rng.choice(("bowel", "meal", "gas", "fluid"), p=(0.4, 0.3, 0.15, 0.15)))
        loops += [
            ellipsoid("bowel", center, half, angle),
            ellipsoid(content, center, half - 3, angle),
        ]
    head = frame.place((-0.2, 0.05, rng.uniform(-54, -37)))
    tail = frame.place((0.5, 0.2, rng.uniform(-26, -9)))
    return [*loops, tube("pancreas", head, tail, rng.uniform((11, 7), (15, 10)))]


def _left_side(rng: np.random.Generator, frame: Abdomen) -> list[Organ]:
    """Left kidney, spleen and stomach: a bright or dark meal, partly gas, in a ring of muscle."""
    half = rng.uniform((32, 26, 34), (44, 36, 50))
    stomach = frame.place(rng.normal((0.42, -0.3, 3), (0.05, 0.05, 7)))
    angle = rng.normal(0.3, 0.25)
    content = str(rng.choice(("meal", "fluid", "bowel")))
    gas = stomach - np.array((0, half[1] * 0.55, 0))
    spleen = frame.place(rng.normal((0.72, 0.36, 3), (0.04, 0.04, 8)))
    return [
        *_kidney(rng, frame.place((0.46, 0.6, rng.uniform(-62, -36)))),
        ellipsoid("spleen", spleen, rng.uniform((28, 36, 36), (40, 50, 54)), 0.5),
        ellipsoid("muscle", stomach, half, angle),
        ellipsoid(content, stomach, half - rng.uniform(4, 7), angle),
        ellipsoid("gas", gas, half * np.array((0.5, 0.3, 0.5)), angle),
    ]


def _kidney(rng: np.random.Generator, center: npt.NDArray[np.float64]) -> list[Organ]:
    """Cortex around a core, often with a cyst on its surface that looks like a lesion."""
    half = rng.uniform((22, 21, 42), (28, 26, 54))
    angle = rng.uniform(0, np.pi)
    kidney: list[Organ] = [
        ellipsoid("kidney", center, half, angle),
        ellipsoid("kidney_core", center, half * np.array((0.4, 0.55, 0.55)), angle),
    ]
    if rng.random() < 0.5:
        away = rng.normal(size=3)
        away *= half * 0.85 / np.linalg.norm(away)
        kidney.append(ellipsoid("cyst", center + away, np.full(3, rng.uniform(9, 17))))
    return kidney


def _right_side(rng: np.random.Generator, frame: Abdomen) -> list[Organ]:
    """Right kidney and gallbladder, both against the liver's lower face."""
    fundus = frame.place(rng.normal((-0.38, -0.55, -55), (0.05, 0.05, 5)))
    neck = frame.place(rng.normal((-0.3, -0.2, -28), (0.04, 0.04, 4)))
    radius = rng.uniform(9, 15)
    return [
        *_kidney(rng, frame.place(rng.normal((-0.46, 0.58, -60), (0.03, 0.03, 8)))),
        tube("gallbladder", fundus, neck, (radius, radius / 2)),
    ]


def _great_vessels(rng: np.random.Generator, frame: Abdomen) -> list[Organ]:
    """Aorta in front of the spine, and the inferior vena cava in a groove of the liver."""
    aorta, cava = frame.place((0.08, 0.42, -120)), frame.place((-0.2, 0.34, -120))
    lean = rng.normal((0, 0), 4)
    above = aorta + np.array((lean[0], 0, 240))
    heart = cava + np.array((lean[1], -10, 195))
    radius, width = rng.uniform((9, 9), (12, 13))
    return [
        tube("muscle", aorta, above, (radius + 4, radius + 4)),  # the diaphragm's crura
        tube("aorta", aorta, above, (radius, radius)),
        tube("cava", cava, heart, (width, width)),
    ]


def _heart(rng: np.random.Generator, frame: Abdomen, floor_mm: float) -> list[Organ]:
    """The lower face of the heart, which rests on the left lobe."""
    center = frame.place(rng.normal((0.2, -0.35, floor_mm + 49), (0.05, 0.05, 3)))
    half = rng.uniform((48, 34, 32), (60, 44, 40))
    return [
        ellipsoid("heart_wall", center, half, 0.4),
        ellipsoid("heart", center, half - 10, 0.4),
    ]


def ellipsoid(
    tissue: str, center_mm: npt.ArrayLike, axes_mm: npt.ArrayLike, angle: float = 0.0
) -> Ellipsoid:
    """An ellipsoid from arrays."""
    return Ellipsoid(tissue, _point(center_mm), _point(axes_mm), angle)


def tube(
    tissue: str, start_mm: npt.ArrayLike, end_mm: npt.ArrayLike, radii_mm: npt.ArrayLike
) -> Tube:
    """A tube from arrays."""
    first, last = np.asarray(radii_mm, dtype=np.float64).tolist()
    return Tube(tissue, _point(start_mm), _point(end_mm), (first, last))


def _point(values: npt.ArrayLike) -> Point:
    x, y, z = np.asarray(values, dtype=np.float64).tolist()
    return (x, y, z)

"""A hippocampus and the parts of the temporal lobe around it, most of them as gray as it is.

Conventions: x runs to the midline, y forward, z up; the crop is centered on the hippocampus.
Lengths in mm. Labels are those of the Decathlon's Task 04: 1 anterior, 2 posterior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arco.data.anatomy.shapes import Ellipsoid, Grid, Point, Volume, coverage, paint, paint_all

ANTERIOR, POSTERIOR = 1, 2


@dataclass(frozen=True)
class Hippocampus:
    """One case's hippocampus: a curved tube with a thick head, a body and a thin tail.

    Attributes:
        head_mm: the front end of its center line.
        length_mm: from front to back, along y.
        rise_mm: how much higher the tail ends than the head begins.
        bow_mm: how far the body bends away from the midline.
        inward_mm: how far the tail turns to the midline.
        half_mm: half width (x) and half height (z) of the body.
        head_bulge: extra thickness of the head, relative to the body.
        tilt: rotation of the cross-section, in radians.
        border: where on the length the anterior part ends.
    """

    head_mm: Point
    length_mm: float
    rise_mm: float
    bow_mm: float
    inward_mm: float
    half_mm: tuple[float, float]
    head_bulge: float
    tilt: float
    border: float

    def distance_mm(self, grid: Grid, shift: Point = (0, 0, 0), scale: float = 1.0) -> Volume:
        """[*S] float32, distance from the surface, negative inside.

        Args:
            grid: the positions of the voxels.
            shift: moves the tube, for structures that run along the hippocampus.
            scale: thickness relative to the hippocampus.
        """
        x, y, z = (
            position - np.float32(head + by)
            for position, head, by in zip(grid.position_mm, self.head_mm, shift, strict=True)
        )
        along = -y / np.float32(self.length_mm)
        inside = np.clip(along, 0, 1)
        from_x = x + self.bow_mm * np.sin(np.pi * inside) - self.inward_mm * inside**3
        from_z = z - self.rise_mm * inside
        cosine, sine = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        bulge = 1 + self.head_bulge * np.exp(-(((inside - 0.2) / 0.17) ** 2))
        half = bulge * (1 - 0.2 * inside) * np.sqrt(1 - np.abs(2 * inside - 1) ** 5)
        half_x, half_z = (np.maximum(half * side * scale, 1e-3) for side in self.half_mm)
        relative = np.hypot(
            (cosine * from_x + sine * from_z) / half_x, (cosine * from_z - sine * from_x) / half_z
        )
        distance = (relative - 1) * np.minimum(half_x, half_z)
        beyond = np.maximum(-along, along - 1) * self.length_mm
        return np.asarray(np.where(beyond > 0, np.inf, distance), dtype=np.float32)

    def label(self, grid: Grid) -> npt.NDArray[np.uint8]:
        """[*S] uint8; the two parts meet in a plane across the long axis, as raters draw it."""
        border_mm = self.head_mm[1] - self.border * self.length_mm
        part = np.where(grid.position_mm[1] > border_mm, ANTERIOR, POSTERIOR)
        return np.where(self.distance_mm(grid) < 0, part, 0).astype(np.uint8)


def draw_hippocampus(rng: np.random.Generator) -> Hippocampus:
    """A random hippocampus."""
    x, y, z = rng.normal((1, 14.5, -6), (1.2, 1.5, 1.2)).tolist()
    size = rng.normal(1, 0.07)
    return Hippocampus(
        head_mm=(x, y, z),
        length_mm=size * rng.uniform(29, 34),
        rise_mm=rng.uniform(10, 16),
        bow_mm=rng.uniform(2, 5),
        inward_mm=rng.uniform(3, 8),
        half_mm=(size * rng.uniform(6.2, 7.4), size * rng.uniform(4.3, 5.3)),
        head_bulge=rng.uniform(0.35, 0.65),
        tilt=rng.uniform(-0.1, 0.4),
        border=rng.uniform(0.38, 0.43),
    )


def draw_tissues(rng: np.random.Generator) -> dict[str, float]:
    """The signal of each tissue in one case's scan, in about [0, 1]."""
    white = rng.uniform(0.65, 0.9)
    gray = white * rng.uniform(0.5, 0.68)
    return {
        "white": white,
        "gray": gray,
        "amygdala": gray * rng.uniform(0.95, 1.1),
        "thalamus": (gray + white) / 2,
        "fluid": rng.uniform(0.05, 0.25),
        "vessel": rng.uniform(1.0, 1.6),
    }


def paint_temporal_lobe(
    hippocampus: Hippocampus,
    signal: Volume,
    tissues: dict[str, float],
    grid: Grid,
    rng: np.random.Generator,
) -> None:
    """Paint everything, the hippocampus last, over `signal` [*S], in place."""
    _paint_cortex(signal, tissues, grid, rng)
    paint_all(signal, _draw_midline(rng), tissues, grid)
    _paint_cerebellum(signal, tissues, grid, rng)
    x, y, z = hippocampus.head_mm
    half = rng.uniform((5.5, 4.5, 4.5), (7.5, 6.5, 6.5))
    amygdala = Ellipsoid("amygdala", (x - 1, y + 1, z + 8), (half[0], half[1], half[2]))
    paint_all(signal, [amygdala], tissues, grid)
    along = (
        ("gray", (rng.uniform(1, 4), 0, -rng.uniform(7, 9)), rng.uniform(0.6, 0.9)),
        ("fluid", (-rng.uniform(1.5, 3), 0, rng.uniform(1, 2.5)), rng.uniform(0.7, 1.0)),
        ("fluid", (rng.uniform(4, 7), 0, rng.uniform(0, 3)), rng.uniform(0.3, 0.7)),
        ("gray", (0, 0, 0), 1.0),
    )
    for tissue, shift, scale in along:
        share = coverage(hippocampus.distance_mm(grid, shift, scale), grid.pixel_mm)
        paint(signal, share, tissues[tissue])


def _paint_cortex(
    signal: Volume, tissues: dict[str, float], grid: Grid, rng: np.random.Generator
) -> None:
    """Folded gray bands with fluid in their sulci, at the side and below."""
    x, y, z = grid.position_mm
    depth_mm = -0.8 * x - 0.6 * z - np.float32(rng.uniform(7, 10))
    angle, period_mm = rng.uniform((0.1, 9), (1.3, 13))
    wave = np.cos(angle) * z - np.sin(angle) * x + 0.35 * y
    fold_mm = np.abs((wave / period_mm + rng.uniform()) % 1 - 0.5) * np.float32(period_mm)
    for half_mm, tissue in ((3.0, "gray"), (0.3, "fluid")):
        share = coverage(fold_mm - np.float32(half_mm), 1.5 * grid.pixel_mm)
        paint(signal, share * coverage(-depth_mm, 2 * grid.pixel_mm), tissues[tissue])


def _draw_midline(rng: np.random.Generator) -> list[Ellipsoid]:
    """Thalamus, cistern, brainstem, and an artery in the cistern."""
    infinite = float("inf")
    x, y = rng.normal((20, 3), 1.2)
    radius = rng.uniform(8.5, 11.5)
    gap = rng.uniform(2, 4)
    thalamus = Ellipsoid("thalamus", (rng.normal(10, 2), rng.normal(-6, 2), 17), (12, 12, 8))
    cistern = Ellipsoid("fluid", (x, y, -6), (radius + gap, radius + gap, 20))
    stem = Ellipsoid("white", (x, y, 0), (radius, radius, infinite))
    artery_y = y + rng.uniform(-6, 8)
    artery = Ellipsoid("vessel", (x - radius, artery_y, -4), (1.5, 1.2, 7))
    return [thalamus, cistern, stem, artery]


def _paint_cerebellum(
    signal: Volume, tissues: dict[str, float], grid: Grid, rng: np.random.Generator
) -> None:
    """Leaves of gray and white below and behind, in a gap of fluid."""
    x, y = rng.normal((13, -19), 1.5)
    half = rng.uniform((13, 11, 11), (17, 15, 14))
    body = Ellipsoid("gray", (x, y, -17), (half[0], half[1], half[2]), 0.4)
    distance_mm = body.distance_mm(grid)
    paint(signal, coverage(distance_mm - 2, grid.pixel_mm), tissues["fluid"])
    wave = (0.8 * grid.position_mm[1] + 0.5 * grid.position_mm[2]) / np.float32(rng.uniform(3, 5))
    leaves = tissues["gray"] + (tissues["white"] - tissues["gray"]) * (
        0.5 + 0.5 * np.sin(2 * np.pi * wave)
    )
    paint(signal, coverage(distance_mm, grid.pixel_mm), np.asarray(leaves, dtype=np.float32))

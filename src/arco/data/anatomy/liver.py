"""A liver with its vessels and lesions.

Axes and origin are those of `arco.data.anatomy.abdomen`. Labels are those of LiTS: 1 liver with
the vessels in it, 2 lesion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arco.data.anatomy.abdomen import Abdomen, ellipsoid, tube
from arco.data.anatomy.shapes import Ellipsoid, Grid, Point, Volume, coverage, paint
from arco.data.anatomy.tubes import Tube, blended, paint_organs

LIVER, LESION = 1, 2

LESION_FREE = 0.1
"""Share of patients without lesions; 13 of 131 in LiTS."""

Lobes = Mapping[str, tuple[Point, Point]]
"""Center of each lobe, in shares of the cavity and mm along z, and half axes in mm."""

LOBES: Lobes = {
    "right": ((-0.5, 0.08, 0.0), (60, 62, 64)),
    "left": ((0.0, -0.5, 10.0), (58, 30, 32)),
    "caudate": ((-0.22, 0.08, 4.0), (22, 20, 28)),
    "tip": ((-0.68, 0.1, -48.0), (26, 40, 38)),
}

WIDE_LOBES: Lobes = {
    **LOBES,
    "left": ((0.14, -0.48, 10.0), (76, 28, 30)),
}
"""The same with a left lobe that often reaches the left flank."""


@dataclass(frozen=True)
class Lesion:
    """A lesion of two blended ellipsoids, some with another core.

    Attributes:
        parts: their union is the lesion; the first gives the tissue.
        core: what lies in its middle, of the same label, or None.
    """

    parts: tuple[Ellipsoid, Ellipsoid]
    core: Ellipsoid | None

    def distance_mm(self, grid: Grid) -> Volume:
        """[*S] float32, distance from the surface, negative inside."""
        first, second = self.parts
        return blended(first.distance_mm(grid), second.distance_mm(grid), 6)


@dataclass(frozen=True)
class Liver:
    """One patient's liver.

    Attributes:
        lobes: they blend into one organ.
        vessels: hepatic and portal veins; they are painted as far as the liver goes.
        lesions: possibly none; they overwrite vessels.
    """

    lobes: tuple[Ellipsoid, ...]
    vessels: tuple[Tube, ...]
    lesions: tuple[Lesion, ...]

    def distance_mm(self, grid: Grid) -> Volume:
        """[*S] float32, distance from the surface of all lobes, negative inside."""
        liver, *others = (lobe.distance_mm(grid) for lobe in self.lobes)
        for other in others:
            liver = blended(liver, other, 14)
        return liver


def draw_liver(rng: np.random.Generator, abdomen: Abdomen, form: Lobes = LOBES) -> Liver:
    """A random liver: lobes of any proportion, turned and moved, mostly with lesions.

    Args:
        rng: draws it.
        abdomen: the patient's.
        form: what lobes vary around.
    """
    scale = np.exp(rng.normal(0, 0.06))
    shift = rng.normal(0, (0.03, 0.04, 7))
    pose = rng.normal(0, 0.12)
    lobes = {}
    for name in [name for name in form if name != "tip" or rng.random() < 0.5]:
        place, half = form[name]
        # The left lobe varies most: it may end at the midline or reach the spleen.
        spread = 0.16 if name == "left" else 0.08
        axes = np.array(half) * scale * np.exp(rng.normal(0, spread, size=3))
        center = abdomen.place(np.array(place) + shift + rng.normal(0, (0.03, 0.03, 3)))
        angle = pose + rng.normal(-0.25 if name == "left" else 0, 0.12)
        lobes[name] = ellipsoid("liver", center, axes, angle)
    vessels = (*_hepatic_veins(rng, abdomen, lobes), *_portal_veins(rng, abdomen, lobes))
    return Liver(tuple(lobes.values()), vessels, _draw_lesions(rng, lobes))


def _hepatic_veins(
    rng: np.random.Generator, abdomen: Abdomen, lobes: Mapping[str, Ellipsoid]
) -> list[Tube]:
    """Three veins that meet at the cava below the diaphragm."""
    start = abdomen.place((-0.2, 0.28, rng.uniform(24, 40)))
    right, left = lobes["right"], lobes["left"]
    ends = (
        _inside(right, rng.normal((-0.7, 0.2, -0.2), 0.1)),
        _inside(right, rng.normal((0.2, -0.75, -0.1), 0.1)),
        _inside(left, rng.normal((0.2, -0.1, 0), 0.15)),
    )
    return [tube("vessel", start, end, rng.uniform((5, 2.5), (8, 4))) for end in ends]


def _portal_veins(
    rng: np.random.Generator, abdomen: Abdomen, lobes: Mapping[str, Ellipsoid]
) -> list[Tube]:
    """The portal vein forks at the hilum; its right branch forks again."""
    hilum = abdomen.place(rng.normal((-0.28, -0.08, -12), (0.03, 0.03, 3)))
    right, left = lobes["right"], lobes["left"]
    fork = _inside(right, rng.normal((-0.05, -0.05, -0.1), 0.08))
    pieces = (
        (abdomen.place((0.0, 0.1, -45)), hilum, (8, 7)),
        (hilum, _inside(left, rng.normal((-0.1, 0.1, 0), 0.15)), (6, 4)),
        (hilum, fork, (6.5, 5)),
        (fork, _inside(right, rng.normal((-0.5, -0.5, 0.1), 0.1)), (4.5, 3)),
        (fork, _inside(right, rng.normal((-0.5, 0.5, -0.3), 0.1)), (4.5, 3)),
    )
    width = rng.uniform(0.85, 1.15)
    return [tube("vessel", start, end, width * np.array(radii)) for start, end, radii in pieces]


def _draw_lesions(rng: np.random.Generator, lobes: Mapping[str, Ellipsoid]) -> tuple[Lesion, ...]:
    """None, one large or several smaller lesions, most of them in the right lobe."""
    if rng.random() < LESION_FREE:
        return ()
    count = int(rng.choice((1, 2, 3, 4, 5), p=(0.25, 0.25, 0.2, 0.15, 0.15)))
    tissue = "bright_lesion" if rng.random() < 0.1 else "lesion"
    return tuple(
        _draw_lesion(rng, tissue, lobes["left" if rng.random() < 0.2 else "right"], count)
        for _ in range(count)
    )


def _draw_lesion(rng: np.random.Generator, tissue: str, lobe: Ellipsoid, count: int) -> Lesion:
    """A lesion that keeps away from the surface of its lobe, smaller where there are more."""
    direction = rng.normal(size=3)
    direction *= rng.uniform(0.1, 0.62) / np.linalg.norm(direction)
    center = _inside(lobe, direction)
    radius = min(rng.uniform(16, 40 / count**0.25), 0.8 * min(lobe.axes_mm))
    half = radius * rng.uniform(0.8, 1.2, size=3)
    aside = center + rng.normal(0, 0.45, size=3) * radius
    angle = rng.uniform(0, np.pi)
    parts = (
        ellipsoid(tissue, center, half, angle),
        ellipsoid(tissue, aside, half * rng.uniform(0.5, 0.8), angle),
    )
    has_core = radius > 15 and rng.random() < 0.4
    core = ellipsoid("core", center, half * rng.uniform(0.35, 0.6), angle)
    return Lesion(parts, core if has_core else None)


def paint_liver(
    liver: Liver,
    abdomen: Abdomen,
    images: Sequence[Volume],
    tissues: Sequence[Mapping[str, float]],
    grid: Grid,
) -> npt.NDArray[np.uint8]:
    """Paint the liver over what lies behind it, then what presses into it.

    Args:
        liver: the patient's.
        abdomen: the same patient's; `behind` is painted already.
        images: [*S] float32 each, painted in place.
        tissues: signal of each tissue in each image.
        grid: the positions of the voxels.

    Returns:
        [*S] uint8, 0 elsewhere, 1 liver, 2 lesion.
    """
    surface_mm = np.maximum(liver.distance_mm(grid), abdomen.cavity.distance_mm(grid))
    inside = coverage(surface_mm, grid.pixel_mm)
    label = np.where(surface_mm < 0, np.uint8(LIVER), np.uint8(0))
    layers = [("liver", inside)]
    layers += [
        (vessel.tissue, inside * coverage(vessel.distance_mm(grid), grid.pixel_mm))
        for vessel in liver.vessels
    ]
    for lesion in liver.lesions:
        lesion_mm = lesion.distance_mm(grid)
        label[(lesion_mm < 0) & (label == LIVER)] = LESION
        share = inside * coverage(lesion_mm, grid.pixel_mm)
        layers.append((lesion.parts[0].tissue, share))
        if lesion.core is not None:
            core_mm = np.maximum(lesion.core.distance_mm(grid), lesion_mm)
            layers.append(("core", inside * coverage(core_mm, grid.pixel_mm)))
    for tissue, share in layers:
        for image, signal in zip(images, tissues, strict=True):
            paint(image, share, signal[tissue])
    paint_organs(images, abdomen.before, tissues, grid)
    for organ in abdomen.before:
        label[organ.distance_mm(grid) < 0] = 0
    return label


def _inside(lobe: Ellipsoid, direction: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The point of a lobe at `direction` in units of its half axes, 1 being the surface."""
    x, y, z = direction * np.array(lobe.axes_mm)
    cosine, sine = np.cos(lobe.angle), np.sin(lobe.angle)
    offset = np.array((cosine * x - sine * y, sine * x + cosine * y, z))
    return np.asarray(offset + np.array(lobe.center_mm), dtype=np.float64)

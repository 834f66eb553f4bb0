"""A heart seen in short-axis slices, at end-diastole and end-systole.

Conventions: x runs to the patient's left, y to the back, z from base to apex. Lengths in mm. The
long axis runs from 0 at the base to 1 at the apex. Labels are those of ACDC: 1 right ventricle,
2 myocardium, 3 left ventricle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arco.data.anatomy.artefacts import flow
from arco.data.anatomy.shapes import Grid, Volume, coverage, paint, texture

RIGHT_VENTRICLE, MYOCARDIUM, LEFT_VENTRICLE = 1, 2, 3

GROUPS = ("DCM", "HCM", "MINF", "NOR", "RV")
"""Dilated and hypertrophic cardiomyopathy, infarction, normal, abnormal right ventricle."""

_RADIUS_MM = {"DCM": 20.0, "HCM": 15.0, "MINF": 18.5, "NOR": 17.0, "RV": 16.0}
_WALL_MM = {"DCM": 6.0, "HCM": 9.5, "MINF": 6.8, "NOR": 6.8, "RV": 6.8}
_SYSTOLE = {"DCM": 0.88, "HCM": 0.62, "MINF": 0.8, "NOR": 0.7, "RV": 0.7}
_RIGHT_WIDTH_MM = {"DCM": 23.0, "HCM": 23.0, "MINF": 23.0, "NOR": 24.0, "RV": 30.0}


@dataclass(frozen=True)
class Heart:
    """One patient's ventricles; radii and widths are those of the base at end-diastole.

    Attributes:
        center_mm: center of the left ventricle at mid height.
        drift_mm: how far that center moves from base to apex.
        base_mm: z of the base at end-diastole.
        length_mm: of the long axis.
        descent: how far the base moves to the apex at end-systole, as a share of the length.
        septum_angle: direction from the left ventricle to the right one.
        radius_mm: of the left ventricle's cavity.
        wall_mm: thickness of the myocardium.
        systole: radius at end-systole over that at end-diastole, of the left ventricle.
        right_systole: width at end-systole over that at end-diastole, of the right ventricle.
        right_width_mm: from the septum to the free wall of the right ventricle.
        right_height: of the right ventricle, relative to the outer diameter of the left one.
        right_skew: how far the crescent leans to its upper horn.
        right_end: where on the long axis the right ventricle ends.
        outline: [2, 2] amplitude and phase of the second and third harmonic of the cavity.
        thickening: [2, 2] the same for the first and second harmonic of the wall.
        thin: depth and direction of a thinned segment (a scar) of the wall.
        papillaries: directions of the two papillary muscles, from the septum's.
        trabeculae_mm: how far bundles of muscle reach into both cavities, on average.
        turbulence: standard deviation of the blood's signal, relative to its mean.
        fat_mm: thickness of the fat around the heart, on average.
        fat_angle: direction of its greatest thickness, twice the average; opposite there is none.
    """

    center_mm: tuple[float, float]
    drift_mm: tuple[float, float]
    base_mm: float
    length_mm: float
    descent: float
    septum_angle: float
    radius_mm: float
    wall_mm: float
    systole: float
    right_systole: float
    right_width_mm: float
    right_height: float
    right_skew: float
    right_end: float
    outline: npt.NDArray[np.float64]
    thickening: npt.NDArray[np.float64]
    thin: tuple[float, float]
    papillaries: tuple[float, float]
    trabeculae_mm: float
    turbulence: float
    fat_mm: float
    fat_angle: float


def draw_heart(rng: np.random.Generator, group: str, base_mm: float, length_mm: float) -> Heart:
    """A random heart of one of the GROUPS, from `base_mm` on along z."""
    scale = rng.normal(0.98, 0.08)
    x_mm, y_mm = rng.normal((6, -2), 4).tolist()
    drift_x_mm, drift_y_mm = rng.normal(3, 3, size=2).tolist()
    scar = rng.uniform(0.35, 0.55) if group == "MINF" else rng.uniform(0, 0.1)
    phases = rng.uniform(-np.pi, np.pi, size=5)
    return Heart(
        center_mm=(x_mm, y_mm),
        drift_mm=(drift_x_mm, drift_y_mm),
        base_mm=base_mm,
        length_mm=length_mm,
        descent=rng.uniform(0, 0.07),
        septum_angle=np.pi + rng.uniform(-0.3, 0.7),
        radius_mm=_RADIUS_MM[group] * scale * rng.uniform(0.92, 1.08),
        wall_mm=_WALL_MM[group] * scale * rng.uniform(0.9, 1.15),
        systole=min(_SYSTOLE[group] * rng.normal(1, 0.04), 0.95),
        right_systole=0.75 * rng.normal(1, 0.06) + 0.1 * (group == "RV"),
        right_width_mm=_RIGHT_WIDTH_MM[group] * scale * rng.uniform(0.85, 1.15),
        right_height=rng.uniform(0.7, 0.9),
        right_skew=rng.uniform(-0.1, 0.3),
        right_end=rng.uniform(0.7, 0.92),
        outline=np.stack([rng.uniform((0, 0), (0.1, 0.04)), phases[:2]]),
        thickening=np.stack([rng.uniform((0, 0), (0.2, 0.12)), phases[2:4]]),
        thin=(scar, phases[4]),
        papillaries=(rng.uniform(1.7, 2.2), -rng.uniform(1.7, 2.2)),
        trabeculae_mm=rng.uniform(0.4, 1.4),
        turbulence=rng.uniform(0.06, 0.24),
        fat_mm=rng.uniform(0, 1.6),
        fat_angle=rng.uniform(-np.pi, np.pi),
    )


def paint_heart(
    heart: Heart,
    signal: Volume,
    tissues: dict[str, float],
    grid: Grid,
    phase: str,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    """Paint the ventricles over the organs behind them.

    Args:
        heart: the patient's.
        signal: [*S] float32, painted in place.
        tissues: signal of `blood`, `right_blood`, `myocardium`, `fat`.
        grid: the positions of the voxels.
        phase: `ED` or `ES`.
        rng: draws the flow and the trabeculae.

    Returns:
        [*S] uint8, the label map. Papillary muscles and trabeculae belong to the ventricles and the
        free wall of the right one to the background, as in ACDC.
    """
    contours = _contours(heart, grid, phase)
    moving = flow(grid, rng, 4.0, heart.turbulence)
    bundles_mm = np.float32(heart.trabeculae_mm) * np.clip(1 + texture(grid, rng, 1.5), 0, None)
    layers = (
        (contours.fat_mm, tissues["fat"]),
        (contours.right_mm - 2.5, tissues["myocardium"]),
        (contours.right_mm + bundles_mm, tissues["right_blood"] * moving),
        (contours.epicardium_mm, tissues["myocardium"]),
        (contours.endocardium_mm + bundles_mm, tissues["blood"] * moving),
        (contours.papillaries_mm, tissues["myocardium"]),
    )
    for distance_mm, value in layers:
        share = coverage(np.asarray(distance_mm, dtype=np.float32), grid.pixel_mm)
        paint(signal, share, value)
    label = np.zeros(grid.shape, dtype=np.uint8)
    label[contours.right_mm < 0] = RIGHT_VENTRICLE
    label[contours.epicardium_mm < 0] = MYOCARDIUM
    label[contours.endocardium_mm < 0] = LEFT_VENTRICLE
    return label


@dataclass(frozen=True)
class _Contours:
    """[*S] float32 distances to the surfaces of the heart, negative inside."""

    endocardium_mm: Volume
    epicardium_mm: Volume
    right_mm: Volume
    papillaries_mm: Volume
    fat_mm: Volume


def _contours(heart: Heart, grid: Grid, phase: str) -> _Contours:
    """The surfaces at one phase of the heart beat."""
    systolic = phase == "ES"
    height = (grid.position_mm[2] - heart.base_mm) / heart.length_mm
    radius_mm = heart.radius_mm * (heart.systole if systolic else 1.0)
    # The muscle keeps its volume: the area between the two circles is the same at both phases.
    area_mm2 = (heart.radius_mm + heart.wall_mm) ** 2 - heart.radius_mm**2
    wall_mm = float(np.sqrt(radius_mm**2 + area_mm2)) - radius_mm
    along_mm, across_mm = _septal_axes(heart, grid, height)
    distance_mm = np.hypot(along_mm, across_mm)
    angle = np.arctan2(across_mm, along_mm)

    reach = np.clip(height / (0.98 if systolic else 1.06), 0, 1)
    taper = np.sqrt(1 - reach**1.5)
    (first, second), (phase_1, phase_2) = heart.outline.tolist()
    shape = 1 + first * np.cos(2 * angle - phase_1) + second * np.cos(3 * angle - phase_2)
    endocardium_mm = radius_mm * taper * shape
    thickness_mm = wall_mm * (0.65 + 0.35 * taper) * _thickness(heart, angle)
    epicardium_mm = endocardium_mm + np.maximum(thickness_mm, 3.0)

    mean_outer_mm = (radius_mm + wall_mm) * taper
    ellipse_mm = _right_ventricle(heart, along_mm, across_mm, height, mean_outer_mm, systolic)
    outside_mm = distance_mm - epicardium_mm
    right_mm = np.maximum(ellipse_mm, -outside_mm)
    fat_mm = np.minimum(outside_mm, right_mm) - heart.fat_mm * (1 + np.cos(angle - heart.fat_angle))
    papillaries_mm = _papillaries(heart, along_mm, across_mm, height, radius_mm * taper)
    surfaces = (distance_mm - endocardium_mm, outside_mm, right_mm, papillaries_mm, fat_mm)
    # Above the base lie the atria, below the apex nothing of the heart.
    present = (height > (heart.descent if systolic else 0.0)) & (height < 1.06)
    return _Contours(
        *(np.where(present, surface, np.inf).astype(np.float32) for surface in surfaces)
    )


def _septal_axes(heart: Heart, grid: Grid, height: Volume) -> tuple[Volume, Volume]:
    """[*S] each: positions toward the septum and across, from the left ventricle's center."""
    x_mm, y_mm = (
        grid.position_mm[axis] - heart.center_mm[axis] - heart.drift_mm[axis] * (height - 0.5)
        for axis in (0, 1)
    )
    cosine, sine = float(np.cos(heart.septum_angle)), float(np.sin(heart.septum_angle))
    return cosine * x_mm + sine * y_mm, cosine * y_mm - sine * x_mm


def _thickness(heart: Heart, angle: Volume) -> Volume:
    """[*S], wall thickness relative to its mean, by direction."""
    (first, second), (phase_1, phase_2) = heart.thickening.tolist()
    depth, direction = heart.thin
    scar = 1 - depth * np.exp((np.cos(angle - direction) - 1) / 0.25)
    uneven = 1 + first * np.cos(angle - phase_1) + second * np.cos(2 * angle - phase_2)
    return np.asarray(uneven * scar, dtype=np.float32)


def _right_ventricle(
    heart: Heart,
    along_mm: Volume,
    across_mm: Volume,
    height: Volume,
    outer_mm: Volume,
    systolic: bool,
) -> Volume:
    """[*S], distance to an ellipse that the left ventricle cuts down to a crescent."""
    end = heart.right_end * (0.93 if systolic else 1.0)
    taper = np.sqrt(1 - np.clip(height / end, 0, 1) ** 3)
    factor = heart.right_systole if systolic else 1.0
    width_mm = heart.right_width_mm * factor * taper
    center_mm = 0.6 * outer_mm
    half_width_mm = np.maximum(outer_mm + width_mm - center_mm, 1e-3)
    half_height_mm = np.maximum(heart.right_height * outer_mm * (0.5 + 0.5 * taper), 1e-3)
    along = (along_mm - center_mm) / half_width_mm
    across = (across_mm - heart.right_skew * (along_mm - center_mm)) / half_height_mm
    distance_mm = (np.hypot(along, across) - 1) * np.minimum(half_width_mm, half_height_mm)
    return np.asarray(np.where(height < end, distance_mm, np.inf), dtype=np.float32)


def _papillaries(
    heart: Heart, along_mm: Volume, across_mm: Volume, height: Volume, cavity_mm: Volume
) -> Volume:
    """[*S], distance to the two papillary muscles, which stand in the middle of the cavity."""
    found = [
        np.hypot(
            along_mm - 0.62 * cavity_mm * float(np.cos(direction)),
            across_mm - 0.62 * cavity_mm * float(np.sin(direction)),
        )
        - 0.17 * cavity_mm
        for direction in heart.papillaries
    ]
    inside = (height > 0.2) & (height < 0.7)
    return np.asarray(np.where(inside, np.minimum(*found), np.inf), dtype=np.float32)

"""What surrounds a whole heart, much of it with the signal of blood or muscle.

The axes are those of `arco.data.anatomy.whole_heart`: x to the patient's left, y to the back, z up,
in mm.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arco.data.anatomy import thorax
from arco.data.anatomy.shapes import Ellipsoid, Point
from arco.data.anatomy.tubes import Organ, Tube
from arco.data.anatomy.whole_heart import ARTERY_WALL_MM, WholeHeart

_INFINITE = float("inf")


def draw_tissues(rng: np.random.Generator) -> dict[str, float]:
    """The signal of each tissue in one patient's scan, as around a heart in short-axis slices.

    But scans of the whole heart prepare the signal to show the coronary arteries: blood without
    oxygen is darker (T2), and fat is suppressed, in some scans more than in others.
    """
    tissues = thorax.draw_tissues(rng)
    return tissues | {
        "right_blood": tissues["blood"] * rng.uniform(0.7, 0.9),
        "fat": rng.uniform(0.15, 1.0),
    }


def draw_surroundings(rng: np.random.Generator, heart: WholeHeart) -> list[Organ]:
    """The organs around a heart, back to front."""
    return [
        *_chest(rng),
        *_lung_vessels(rng),
        *_abdomen(rng),
        *_airways(rng),
        *_behind(rng, heart),
        *_veins(rng, heart),
    ]


def _chest(rng: np.random.Generator) -> list[Organ]:
    """Fat, muscle and lungs as nested cylinders, breastbone and spine, the bed of the heart."""
    x, y = rng.normal((-3, 12), 3)
    half = rng.uniform((112, 84), (130, 94))
    fat, muscle = rng.uniform((5, 5), (14, 9))
    shells: list[Organ] = [
        Ellipsoid(tissue, (x, y, 0), (half[0] - depth, half[1] - depth, _INFINITE))
        for tissue, depth in (("fat", 0.0), ("muscle", fat), ("lung", fat + muscle))
    ]
    spine = (x, y + half[1] - fat - rng.uniform(14, 22), 0.0)
    bone = (x, y - half[1] + fat + 2, 20.0)
    bed = rng.uniform((56, 52, 80), (66, 60, 100))
    return [
        *shells,
        Ellipsoid("muscle", spine, (27, 19, _INFINITE)),
        Ellipsoid("marrow", spine, (19, 13, _INFINITE)),
        Ellipsoid("muscle", bone, (20, 7, 70)),
        Ellipsoid("marrow", bone, (16, 4, 66)),
        Ellipsoid("mediastinum", (-2, 0, 10), _point(bed), rng.normal(0.4, 0.2)),
    ]


def _lung_vessels(rng: np.random.Generator) -> list[Organ]:
    """Bright branches of all directions in the lungs."""
    count = 30
    sides = rng.choice((-1.0, 1.0), size=count)
    starts = rng.uniform((44, -50, -60), (95, 65, 75), size=(count, 3))
    starts[:, 0] *= sides
    ends = starts + rng.normal(0, 16, size=(count, 3))
    radii = rng.uniform(1.0, 3.2, size=count)
    return [
        Tube("vessel", _point(start), _point(end), (radius, 0.7 * radius))
        for start, end, radius in zip(starts, ends, radii.tolist(), strict=True)
    ]


def _abdomen(rng: np.random.Generator) -> list[Organ]:
    """Liver with its veins, and the stomach, both under the diaphragm."""
    top = -rng.uniform(27, 38)
    dome = rng.uniform((70, 62, 40), (84, 74, 55))
    liver = (-42, 8, top - dome[2])
    veins = [
        Tube("vessel", (-30, 18, top - 22), _point(end), (rng.uniform(3, 5), 1.5))
        for end in rng.uniform((-75, -40, -60), (0, 20, -45), size=(5, 3))
    ]
    x, y = rng.normal((52, 12), 5)
    size = rng.uniform((22, 20, 30), (32, 30, 40))
    belly = (x, y, top - 6 - size[2])
    return [
        Ellipsoid("liver", liver, _point(dome), rng.normal(0, 0.15)),
        *veins,
        Ellipsoid("muscle", belly, _point(size + 4)),
        Ellipsoid("stomach", belly, _point(size)),
    ]


def _airways(rng: np.random.Generator) -> list[Organ]:
    """The windpipe down to where it forks, and the two bronchi."""
    fork = rng.normal((0, 42, 60), 2)
    ends = ((0, 44, 110), (-50, 46, 36), (50, 50, 40))
    return [Tube("air", _point(fork), end, (7, 7 if end[0] == 0 else 4)) for end in ends]


def _behind(rng: np.random.Generator, heart: WholeHeart) -> list[Organ]:
    """The esophagus, and the aorta's arch and descent, as bright and as round as its ascent."""
    x, y = rng.normal((26, 64), 2.5)
    lean = rng.normal(-4, 3)
    radius = rng.uniform(9.5, 12.5)
    gullet = rng.normal((4, 61), 2.5)
    start = heart.aorta[1].end_mm
    top = (0.5 * (start[0] + x), 0.5 * (start[1] + y) - 5, start[2] + rng.uniform(0, 6))
    end = (x + lean, y, start[2] - 8)
    aorta = (((x, y, -110), end, radius), (end, top, radius + 1), (top, start, radius + 2))
    return [
        Tube("muscle", (*gullet, -110), (*gullet, 110), (6, 6)),
        Tube("stomach", (*gullet, -110), (*gullet, 110), (2, 2)),
        *(
            Tube(tissue, first, last, (size + wall, size + wall))
            for tissue, wall in (("muscle", ARTERY_WALL_MM), ("blood", 0.0))
            for first, last, size in aorta
        ),
    ]


def _veins(rng: np.random.Generator, heart: WholeHeart) -> list[Organ]:
    """Both caval veins to the right atrium, and four pulmonary veins to the left one."""
    right, left = heart.right_atrium.center_mm, heart.left_atrium.center_mm
    size = np.array(heart.left_atrium.axes_mm)
    upper, lower = rng.uniform((8, 9), (10.5, 13))
    cavals = [
        (_moved(right, 6, 4, 10), _moved(right, rng.normal(10, 2), 2, 110), upper),
        (_moved(right, 8, 8, -10), _moved(right, rng.normal(14, 3), 24, -110), lower),
    ]
    pulmonary = [
        (
            _moved(left, *(size * (0.6 * side, 0.2, height)).tolist()),
            _moved(left, 75 * side, rng.normal(22, 5), 30 * height),
            rng.uniform(5, 8),
        )
        for side in (-1, 1)
        for height in (-0.4, 0.5)
    ]
    return [
        Tube(tissue, start, end, (radius + wall, radius + wall))
        for tissue_of, tubes in (("right_blood", cavals), ("blood", pulmonary))
        for tissue, wall in (("muscle", ARTERY_WALL_MM), (tissue_of, 0.0))
        for start, end, radius in tubes
    ]


def _moved(start: Point, x: float, y: float, z: float) -> Point:
    return (start[0] + x, start[1] + y, start[2] + z)


def _point(values: npt.NDArray[np.float64]) -> Point:
    x, y, z = values.tolist()
    return (x, y, z)

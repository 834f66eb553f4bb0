"""What surrounds the heart in a short-axis slice, much of it with the signal of blood or muscle.

The axes are those of `arco.data.anatomy.heart`: x to the patient's left, y to the back, z from the
heart's base to its apex, in mm.
"""

from __future__ import annotations

import numpy as np

from arco.data.anatomy.shapes import Ellipsoid

_INF = float("inf")


def draw_tissues(rng: np.random.Generator) -> dict[str, float]:
    """The signal of each tissue in one patient's scan, in about [0, 1].

    Muscle, liver and stomach wall lie close to the myocardium, great vessels and fat close to the
    blood in the ventricles; how far blood and muscle lie apart differs from patient to patient.
    """
    blood = rng.uniform(0.6, 0.95)
    myocardium = blood * rng.uniform(0.3, 0.55)
    return {
        "air": 0.02,
        "lung": rng.uniform(0.05, 0.2),
        "blood": blood,
        "right_blood": blood * rng.uniform(0.9, 1.05),
        "vessel": blood * rng.uniform(0.85, 1.1),
        "myocardium": myocardium,
        "muscle": myocardium * rng.uniform(0.75, 1.15),
        "liver": myocardium * rng.uniform(0.85, 1.25),
        "mediastinum": myocardium * rng.uniform(0.2, 0.6),
        "fat": rng.uniform(0.5, 1.05),
        "marrow": rng.uniform(0.3, 0.6),
        "stomach": rng.uniform(0.1, 0.95),
    }


def draw_thorax(rng: np.random.Generator) -> list[Ellipsoid]:
    """The organs around a heart, back to front."""
    return [*_chest_wall(rng), *_lung_vessels(rng), *_abdomen(rng), *_great_vessels(rng)]


def _chest_wall(rng: np.random.Generator) -> list[Ellipsoid]:
    """Skin fat, muscle and lungs as nested cylinders, and the spine."""
    x, y = rng.normal((2, 2), 3)
    half = rng.uniform((57, 51), (66, 58))
    angle = rng.normal(0, 0.15)
    fat, muscle = rng.uniform((4, 3), (10, 6))
    layers = (("fat", 0.0), ("muscle", fat), ("lung", fat + muscle))
    shells = [
        Ellipsoid(tissue, (x, y, 0), (half[0] - depth, half[1] - depth, _INF), angle)
        for tissue, depth in layers
    ]
    spine_x, spine_y = x + rng.normal(-8, 3), y + half[1] - fat - rng.uniform(3, 7)
    spine = Ellipsoid("muscle", (spine_x, spine_y, 0), (16, 12, _INF))
    marrow = Ellipsoid("marrow", (spine_x, spine_y, 0), (11, 8, _INF))
    return [*shells, spine, marrow]


def _lung_vessels(rng: np.random.Generator) -> list[Ellipsoid]:
    """Bright branches of all directions in the lungs, and the dim tissue that holds the heart."""
    count = 24
    centers = rng.uniform((-48, -40, -35), (48, 40, 35), size=(count, 3))
    thickness, length = rng.uniform((1.0, 1.0), (2.6, 5.0), size=(count, 2)).T
    branches = [
        Ellipsoid("vessel", (x, y, z), (a * stretch, a, 18.0), angle)
        for (x, y, z), a, stretch, angle in zip(
            centers.tolist(), thickness, length, rng.uniform(0, np.pi, size=count), strict=True
        )
    ]
    x, y = rng.normal((-4, -2), 4)
    half = rng.uniform((30, 26), (46, 38))
    bed = Ellipsoid("mediastinum", (x, y, -10), (*half, rng.uniform(45, 90)), rng.normal(0.5, 0.4))
    return [*branches, bed]


def _abdomen(rng: np.random.Generator) -> list[Ellipsoid]:
    """Liver with its veins, and the stomach: a bright or dark content in a ring of muscle.

    Both rise under the diaphragm, so that they fill more of the slices toward the apex.
    """
    x, y = rng.normal((-20, 40), 4)
    half = rng.uniform((32, 20), (44, 28))
    angle = rng.normal(0.2, 0.2)
    liver = Ellipsoid("liver", (x, y, 45), (*half, rng.uniform(70, 100)), angle)
    veins = [
        Ellipsoid("vessel", (x + dx, y + dy, dz), (a, b, 22), rng.uniform(0, np.pi))
        for (dx, dy, dz), (a, b) in zip(
            rng.normal((2, -4, 20), (13, 7, 18), size=(5, 3)).tolist(),
            rng.uniform((2, 1.5), (6, 3), size=(5, 2)).tolist(),
            strict=True,
        )
    ]
    x, y = rng.normal((32, 30), 5)
    a, b = rng.uniform((11, 9), (19, 14))
    depth, wall = rng.uniform((28, 3), (60, 6))
    stomach = Ellipsoid("muscle", (x, y, 35), (a + wall, b + wall, depth + wall), angle)
    content = Ellipsoid("stomach", (x, y, 35), (a, b, depth), angle)
    return [liver, *veins, stomach, content]


def _great_vessels(rng: np.random.Generator) -> list[Ellipsoid]:
    """The descending aorta along all slices, and an atrium and a great artery at the base."""
    x, y = rng.normal((14, 40), 4)
    radius = rng.uniform(6, 10)
    aorta = [
        Ellipsoid("muscle", (x, y, 0), (radius + 2, radius + 2, _INF)),
        Ellipsoid("vessel", (x, y, 0), (radius, radius, _INF)),
    ]
    x, y = rng.normal((-36, 16), 4)
    atrium = Ellipsoid("vessel", (x, y, -32), (*rng.uniform((9, 8), (15, 12)), 22), 0.4)
    x, y = rng.normal((-2, -34), 4)
    artery = Ellipsoid("vessel", (x, y, -34), (*rng.uniform((8, 7), (13, 10)), 24))
    return [*aorta, atrium, artery]

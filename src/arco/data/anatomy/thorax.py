"""What surrounds the heart in a short-axis slice, much of it with the signal of blood or muscle.

The axes are those of `arco.data.anatomy.heart`: x to the patient's left, y to the back, z from the
heart's base to its apex, in mm. The chest is drawn narrow for the heart, so that both fit into the
small images of a demonstration.
"""

from __future__ import annotations

import numpy as np

from arco.data.anatomy.shapes import Ellipsoid

_INF = float("inf")

Pair = tuple[float, float]


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


def draw_chest_tissues(rng: np.random.Generator) -> dict[str, float]:
    """The same for a whole chest in cine images, whose heart muscle is a little darker.

    Bone and spleen are added, and about half of the stomachs hold air.
    """
    tissues = draw_tissues(rng)
    stomach = tissues["air"] if rng.random() < 0.5 else tissues["stomach"]
    return tissues | {
        "myocardium": tissues["myocardium"] * rng.uniform(0.75, 1),
        "bone": rng.uniform(0.05, 0.2),
        "spleen": tissues["myocardium"] * rng.uniform(0.9, 1.6),
        "stomach": stomach,
    }


def draw_thorax(rng: np.random.Generator, base_mm: float) -> list[Ellipsoid]:
    """The organs around a heart whose base lies at z = `base_mm`, back to front."""
    x, y = rng.normal((-12, 13), 3).tolist()
    half = rng.uniform((66, 52), (84, 66)).tolist()
    return [
        *_arms(rng, (x, y), half),
        *_chest_wall(rng, (x, y), half),
        *_lungs(rng, (x, y), half),
        *_abdomen(rng),
        *_great_vessels(rng, base_mm),
        *_atria(rng, base_mm),
    ]


def _arms(rng: np.random.Generator, center: Pair, half: list[float]) -> list[Ellipsoid]:
    """Fat, muscle and bone of the two upper arms, beside the chest, as far as the image shows."""
    arms = []
    for side in (-1, 1):
        x = center[0] + side * (half[0] + rng.uniform(10, 20))
        y, radius = center[1] + rng.uniform(-8, 25), rng.uniform(10, 15)
        layers = (("fat", radius), ("muscle", radius - rng.uniform(2, 4)), ("bone", 4.0))
        arms += [Ellipsoid(tissue, (x, y, 0), (a, 1.3 * a, _INF)) for tissue, a in layers]
    return arms


def _chest_wall(rng: np.random.Generator, center: Pair, half: list[float]) -> list[Ellipsoid]:
    """Skin fat, muscle and lungs as nested cylinders, ribs, breastbone and spine."""
    x, y = center
    angle = rng.normal(0, 0.1)
    fat, muscle = rng.uniform((3, 4), (13, 9))
    layers = (("fat", 0.0), ("muscle", fat), ("lung", fat + muscle))
    shells = [
        Ellipsoid(tissue, (x, y, 0), (half[0] - depth, half[1] - depth, _INF), angle)
        for tissue, depth in layers
    ]
    depth = fat + 0.5 * muscle
    ribs = [
        Ellipsoid(
            "bone",
            (x + (half[0] - depth) * np.cos(a), y + (half[1] - depth) * np.sin(a), z),
            (rng.uniform(5, 9), 1.8, rng.uniform(8, 30)),
            a + np.pi / 2,
        )
        for a, z in rng.uniform((-np.pi, -40), (np.pi, 40), size=(12, 2)).tolist()
    ]
    breastbone = Ellipsoid("marrow", (x + 4, y - half[1] + fat + 5, 0), (11, 4, _INF))
    spine_x, spine_y = x + rng.normal(0, 3), y + half[1] - fat - rng.uniform(8, 12)
    back = Ellipsoid("muscle", (spine_x, spine_y + 5, 0), (26, 10, _INF))
    spine = Ellipsoid("bone", (spine_x, spine_y, 0), (14, 11, _INF))
    marrow = Ellipsoid("marrow", (spine_x, spine_y - 1, 0), (12, 9, _INF))
    cord = Ellipsoid("fat", (spine_x, spine_y + 10, 0), (4, 3, _INF))
    return [*shells, *ribs, breastbone, back, spine, marrow, cord]


def _lungs(rng: np.random.Generator, center: Pair, half: list[float]) -> list[Ellipsoid]:
    """Bright branches of all directions in the lungs, and the dim tissue that holds the heart."""
    branches = []
    for _ in range(36):
        around, reach = rng.uniform((-np.pi, 0.2), (np.pi, 0.8)).tolist()
        x = center[0] + half[0] * reach * np.cos(around)
        y = center[1] + half[1] * reach * np.sin(around)
        thickness, stretch = rng.uniform((0.8, 1.0), (2.4, 5.0)).tolist()
        axes = (thickness * stretch, thickness, 18)
        z, angle = rng.uniform((-40, 0), (40, np.pi)).tolist()
        branches.append(Ellipsoid("vessel", (x, y, z), axes, angle))
    x, y = rng.normal((-4, 2), 4)
    a, b = rng.uniform((32, 28), (46, 40)).tolist()
    bed = Ellipsoid("mediastinum", (x, y, -10), (a, b, rng.uniform(45, 90)), rng.normal(0.5, 0.4))
    x, y = rng.normal((-20, -30), 5)
    pad = Ellipsoid("fat", (x, y, 20), (*rng.uniform((10, 5), (22, 10)), 40), rng.normal(0, 0.3))
    return [*branches, bed, pad]


def _abdomen(rng: np.random.Generator) -> list[Ellipsoid]:
    """Liver with its veins, spleen, and the stomach: some content or air in a ring of muscle.

    All rise under the diaphragm, so that they fill more of the slices toward the apex.
    """
    x, y = rng.normal((-40, 34), 5)
    half = rng.uniform((34, 22), (46, 30))
    angle = rng.normal(0.2, 0.2)
    liver = Ellipsoid("liver", (x, y, 45), (*half, rng.uniform(60, 100)), angle)
    veins = [
        Ellipsoid("vessel", (x + dx, y + dy, dz), (a, b, 22), rng.uniform(0, np.pi))
        for (dx, dy, dz), (a, b) in zip(
            rng.normal((2, -4, 20), (15, 9, 18), size=(6, 3)).tolist(),
            rng.uniform((2, 1.5), (6, 3), size=(6, 2)).tolist(),
            strict=True,
        )
    ]
    x, y = rng.normal((34, 32), 5)
    a, b = rng.uniform((11, 9), (20, 15))
    depth, wall = rng.uniform((28, 3), (60, 6))
    stomach = Ellipsoid("muscle", (x, y, 35), (a + wall, b + wall, depth + wall), angle)
    content = Ellipsoid("stomach", (x, y, 35), (a, b, depth), angle)
    x, y = rng.normal((48, 36), 4)
    spleen = Ellipsoid("spleen", (x, y, 40), (*rng.uniform((9, 14), (13, 22)), 45), 0.3)
    return [liver, *veins, spleen, stomach, content]


def _great_vessels(rng: np.random.Generator, base_mm: float) -> list[Ellipsoid]:
    """The descending aorta along all slices, the inferior vena cava, a great artery at the base."""
    x, y = rng.normal((8, 42), 4)
    radius = rng.uniform(5, 9)
    aorta = [
        Ellipsoid("muscle", (x, y, 0), (radius + 2, radius + 2, _INF)),
        Ellipsoid("vessel", (x, y, 0), (radius, radius, _INF)),
    ]
    x, y = rng.normal((-34, 22), 4)
    cava = Ellipsoid("vessel", (x, y, 20), (*rng.uniform((6, 5), (10, 8)), 45), 0.4)
    x, y = rng.normal((-4, -26), 4)
    artery = Ellipsoid("vessel", (x, y, base_mm - 4), (*rng.uniform((9, 8), (14, 11)), 22))
    return [*aorta, cava, artery]


def _atria(rng: np.random.Generator, base_mm: float) -> list[Ellipsoid]:
    """Both atria above the base: a slice there shows pools of blood that are no ventricles."""
    x, y = rng.normal((4, 6), 3)
    wall, depth = rng.uniform(1.5, 3), rng.uniform(18, 26)
    a, b = rng.uniform((15, 12), (21, 16))
    left = [
        Ellipsoid("muscle", (x, y, base_mm - 6), (a + wall, b + wall, depth), 0.3),
        Ellipsoid("vessel", (x, y, base_mm - 6), (a, b, depth - wall), 0.3),
    ]
    x, y = rng.normal((-32, 6), 4)
    right = Ellipsoid("vessel", (x, y, base_mm - 4), (*rng.uniform((9, 10), (14, 16)), 22), 0.4)
    return [*left, right]

"""What a CT of the whole abdomen shows besides `arco.data.anatomy.abdomen`: its far ends and sides.

Conventions are those of that module. All of it is painted behind the liver.
"""

from __future__ import annotations

import numpy as np

from arco.data.anatomy.abdomen import Abdomen, ellipsoid, tube
from arco.data.anatomy.tubes import Organ

ARMS = 0.2
"""Share of patients whose arms lie beside the body; the others hold them above the head."""

_INF = float("inf")
_CONTENTS = ("bowel", "meal", "gas", "fluid")
_COLON = (
    ((-0.74, 0.0, -140), (-0.68, -0.1, -66)),
    ((-0.55, -0.65, -76), (0.65, -0.6, -50)),
    ((0.84, 0.25, -140), (0.84, 0.2, -30)),
)
"""Ends of the ascending, the transverse and the descending colon, as `Abdomen.place` takes them."""


def draw_torso(rng: np.random.Generator, abdomen: Abdomen) -> list[Organ]:
    """Vessels of the lungs, colon, deep loops of the bowel and sometimes arms, back to front."""
    return [
        *_lung_vessels(rng, abdomen),
        *_deep_loops(rng, abdomen),
        *_colon(rng, abdomen),
        *(_arms(rng, abdomen) if rng.random() < ARMS else []),
    ]


def _lung_vessels(rng: np.random.Generator, abdomen: Abdomen) -> list[Organ]:
    """Branches that fall to the diaphragm, as bright as blood elsewhere."""
    vessels: list[Organ] = []
    for side in (-1, -1, 1, 1):
        start = abdomen.place((0.3 * side, rng.uniform(0.0, 0.4), 115))
        end = abdomen.place((side * rng.uniform(0.4, 0.8), rng.uniform(-0.4, 0.65), 45))
        vessels.append(tube("heart", start, end, rng.uniform((5, 1.5), (8, 3))))
    return vessels


def _deep_loops(rng: np.random.Generator, abdomen: Abdomen) -> list[Organ]:
    """Loops of the small bowel below those that touch the liver."""
    loops: list[Organ] = []
    for _ in range(5):
        center = abdomen.place(rng.uniform((-0.55, -0.75, -140), (0.7, 0.2, -100)))
        half = rng.uniform((16, 12, 14), (32, 22, 30))
        angle = rng.uniform(0, np.pi)
        loops += [
            ellipsoid("bowel", center, half, angle),
            ellipsoid(str(rng.choice(_CONTENTS)), center, half - 3, angle),
        ]
    return loops


def _colon(rng: np.random.Generator, abdomen: Abdomen) -> list[Organ]:
    """Three wide pieces along the flanks and across the front, each with one content."""
    pieces: list[Organ] = []
    for start, end in _COLON:
        ends = [abdomen.place(np.array(at) + rng.normal(0, (0.04, 0.05, 6))) for at in (start, end)]
        radii = rng.uniform(15, 25, size=2)
        pieces += [
            tube("bowel", ends[0], ends[1], radii),
            tube(str(rng.choice(_CONTENTS)), ends[0], ends[1], radii - 3),
        ]
    return pieces


def _arms(rng: np.random.Generator, abdomen: Abdomen) -> list[Organ]:
    """Forearms beside the body, each with one bone; the edge of the field may cut them."""
    (x, y, _), (width, _, _) = abdomen.cavity.center_mm, abdomen.cavity.axes_mm
    arms: list[Organ] = []
    for side in (-1, 1):
        center = (x + side * (width + rng.uniform(62, 75)), y + rng.uniform(-10, 40), 0)
        radius = rng.uniform(28, 38)
        arms += [
            ellipsoid("muscle", center, (radius, radius, _INF)),
            ellipsoid("bone", center, (9, 9, _INF)),
        ]
    return arms

"""What each tissue of the abdomen measures: in CT, and in three phases of contrast-enhanced MRI.

Both tables have the same keys, the tissues of `arco.data.anatomy.abdomen` and `.liver`.
"""

from __future__ import annotations

import numpy as np


def draw_hounsfield(rng: np.random.Generator) -> dict[str, float]:
    """Hounsfield units of each tissue in one patient's CT, most in a portal venous phase.

    Between patients the liver varies more than it stands out: what has the liver's density in one
    has the spleen's, the muscle's or the blood's in another. A fatty liver is darker than all of
    them.
    """
    level = rng.uniform(60, 150)
    liver = level * (rng.uniform(0.5, 0.8) if rng.random() < 0.1 else 1.0)
    # With little contrast medium in them yet, veins are darker than the liver.
    vessel = level + (rng.uniform(28, 60) if rng.random() < 0.8 else -rng.uniform(12, 24))
    # Bowel is filled with a positive contrast agent, or with food.
    meal = rng.uniform(180, 500) if rng.random() < 0.25 else level * rng.uniform(0.75, 1.2)
    lesion = max(liver - rng.uniform(42, 80), -5.0)
    return {
        "air": -1000.0,
        "gas": rng.uniform(-900, -600),
        "lung": rng.uniform(-880, -760),
        "fat": rng.uniform(-115, -85),
        "muscle": level * rng.uniform(0.7, 1.05),
        "bone": rng.uniform(300, 700),
        "marrow": rng.uniform(130, 240),
        "canal": rng.uniform(20, 50),
        "liver": liver,
        "vessel": vessel,
        "lesion": lesion,
        "bright_lesion": liver + rng.uniform(40, 65),
        "core": lesion - rng.uniform(10, 30),
        "spleen": level * rng.uniform(0.85, 1.15),
        "kidney": level * rng.uniform(0.9, 1.35),
        "kidney_core": level * rng.uniform(0.7, 1.1),
        "pancreas": level * rng.uniform(0.8, 1.05),
        "bowel": level * rng.uniform(0.75, 1.1),
        "meal": meal,
        "fluid": rng.uniform(5, 35),
        "gallbladder": rng.uniform(0, 25),
        "cyst": rng.uniform(0, 25),
        "aorta": vessel + rng.uniform(0, 60),
        "cava": level * rng.uniform(0.8, 1.2),
        "heart": level * rng.uniform(0.9, 1.3),
        "heart_wall": level * rng.uniform(0.8, 1.1),
    }


def draw_phases(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Signal in about [0, 1] of each tissue before contrast, and in two phases after it.

    Contrast medium brightens the arteries, the kidneys and the spleen first, then veins and liver.
    """
    liver = rng.uniform(0.3, 0.42)
    still = {
        "air": 0.01,
        "gas": 0.02,
        "lung": rng.uniform(0.03, 0.08),
        "fat": rng.uniform(0.1, 0.38),  # suppressed well or hardly
        "canal": rng.uniform(0.1, 0.2),
        "meal": rng.uniform(0.15, 0.6),
        "fluid": rng.uniform(0.08, 0.2),
        "gallbladder": rng.uniform(0.1, 0.6),
        "cyst": rng.uniform(0.08, 0.18),
        "bone": rng.uniform(0.05, 0.12),
        "core": liver * rng.uniform(0.3, 0.6),
    }
    own = {name: rng.uniform(0.92, 1.08) for name in _ENHANCEMENT}
    phases = {}
    for index, phase in enumerate(("pre", "arterial", "venous")):
        enhanced = {
            name: liver * own[name] * rng.uniform(*ranges[index])
            for name, ranges in _ENHANCEMENT.items()
        }
        phases[phase] = {**still, **enhanced}
    return phases


_ENHANCEMENT = {
    "liver": ((0.95, 1.05), (1.0, 1.3), (1.4, 1.9)),
    "vessel": ((0.5, 0.7), (0.8, 1.3), (1.8, 2.3)),
    "lesion": ((0.55, 0.75), (0.6, 0.95), (0.8, 1.2)),
    "bright_lesion": ((0.6, 0.85), (1.5, 2.0), (1.1, 1.4)),
    "spleen": ((0.65, 0.95), (1.2, 2.0), (1.4, 2.0)),
    "kidney": ((0.75, 1.0), (1.6, 2.3), (1.5, 2.1)),
    "kidney_core": ((0.6, 0.9), (0.7, 1.2), (1.4, 2.0)),
    "pancreas": ((1.0, 1.2), (1.3, 1.7), (1.3, 1.7)),
    "muscle": ((0.75, 1.05), (0.85, 1.25), (1.2, 1.75)),
    "marrow": ((0.4, 1.0), (0.5, 1.0), (0.6, 1.2)),
    "bowel": ((0.7, 1.0), (1.0, 1.5), (1.3, 1.9)),
    "aorta": ((0.4, 0.7), (2.2, 2.7), (1.8, 2.2)),
    "cava": ((0.5, 0.7), (0.8, 1.4), (1.6, 2.1)),
    "heart": ((0.5, 0.8), (1.7, 2.4), (1.6, 2.0)),
    "heart_wall": ((0.8, 1.0), (1.1, 1.5), (1.3, 1.7)),
}
"""Signal over that of the liver before contrast: lowest and highest in each phase."""

"""Which terms each image, each label map and each frame of a batch has a part in.

In evaluation mode, where no batch norm ties the images of a batch together.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from by_hand import OUTSIDE
from hearing import LABELED, LATE, SETTINGS, awake, uneven_batch

from arco.contracts import Batch

CONTRAST = "contrast contrast_over_chance class_cosine"
SURE = "sure_weak sure_weak_foreground sure_strong sure_strong_foreground"
MOVED = {
    # labeled images, their labels, their frames; unlabeled images, their frames
    "supervised": ("supervised", "supervised", "", "", ""),
    "em": ("supervised", "supervised", "", "entropy", "entropy"),
    "cct": ("supervised", "supervised", "", "consistency", "consistency"),
    "dan": ("supervised", "supervised", "", "adversarial", ""),
    "urpc": ("supervised", "supervised", "", "consistency", "consistency"),
    "dtc": ("supervised consistency", "supervised", "consistency", "consistency", "consistency"),
    "dct": (
        "supervised resistance", "supervised resistance", "resistance",
        "agreement resistance", "agreement resistance",
    ),
    "dct_rot": ("supervised", "supervised", "", "consistency", "consistency"),
    "ict": ("supervised", "supervised", "", "consistency", "consistency"),
    "mt": ("supervised", "supervised", "", "consistency", "consistency"),
    "uamt": ("supervised", "supervised", "", "consistency certain", "consistency certain"),
    "sassnet": ("supervised", "supervised", "", "adversarial", ""),
    "cps": ("supervised crossed", "supervised", "crossed", "crossed", "crossed"),
    "mcnet": ("supervised consistency", "supervised", "consistency", "consistency", "consistency"),
    "ssnet": (
        "supervised smoothness separation", "supervised separation", "smoothness",
        "smoothness separation", "smoothness separation",
    ),
    "action": (
        f"supervised {CONTRAST}", f"supervised {CONTRAST}", "",
        f"{CONTRAST} unsupervised {SURE}", f"{CONTRAST} unsupervised {SURE}",
    ),
    "arco": (
        f"supervised {CONTRAST} equivariance", f"supervised {CONTRAST} equivariance", "",
        f"{CONTRAST} unsupervised {SURE} equivariance neighbor",
        f"{CONTRAST} unsupervised {SURE} equivariance",
    ),
    "arco_letter": (
        f"supervised {CONTRAST}", f"supervised {CONTRAST}", "",
        f"{CONTRAST} unsupervised {SURE} neighbor", f"{CONTRAST} unsupervised {SURE}",
    ),
}  # fmt: skip


def logs(name, batch):
    method = awake(name, 2).eval()
    return {key: value.item() for key, value in method.step(batch, LATE).logs.items()}


def changed(batch, what, index):
    """The batch with one image turned into its negative, one label map or one frame altered."""
    images, labels, frame = (copy.deepcopy(t) for t in (batch.images, batch.labels, batch.frame))
    match what:
        case "image":
            images[index] = 1 - images[index]
        case "label":
            labels[index] = ((labels[index] + 1) % 3).where(labels[index] != OUTSIDE, OUTSIDE)
        case "frame":
            frame[index, 6:14, 2:20] = False
    return replace(batch, images=images, labels=labels, frame=frame)


@pytest.mark.parametrize("name", MOVED)
def test_each_image_moves_its_terms_and_no_others(name):
    batch: Batch = uneven_batch(name, 2, unlabeled=4 if name == "ict" else 3)
    before = logs(name, batch)
    labeled, unlabeled = range(LABELED), range(LABELED, len(batch.images))
    columns = [
        ("image", labeled), ("label", labeled), ("frame", labeled),
        ("image", unlabeled), ("frame", unlabeled),
    ]  # fmt: skip
    for (what, indices), expected in zip(columns, MOVED[name], strict=True):
        for index in indices:
            after = logs(name, changed(batch, what, index))
            moved = {k for k in before if abs(after[k] - before[k]) > 1e-5 * abs(before[k])}
            assert moved == set(expected.split()), (what, index)


def test_every_method_is_listed():
    assert set(MOVED) == set(SETTINGS)

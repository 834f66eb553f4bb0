"""ACTION: CutMix, pseudo labels and the contrast of drawn pixels, by hand."""

from __future__ import annotations

import pytest
import torch
from by_hand import OUTSIDE, probs, supervised
from contrast_by_hand import (
    WEAK,
    Drawn,
    Labeled,
    check_rectangles,
    contrast,
    logged,
    pasted,
    pixels_of,
    represented,
    sure_shares,
    unsupervised,
)
from hearing import LABELED, TAUGHT, TRAINED, awake, compare, hear, uneven_batch

AXES = pytest.mark.parametrize("axes", [2, 3], ids=["slices", "volumes"])


def step(axes, **changes):
    method, batch, drawn = awake("action", axes, **changes), uneven_batch("action", axes), Drawn()
    with drawn.listening():
        return hear(method, batch), drawn


def own_parts(batch, mixed):
    """Where each mixed image is itself; it is the next unlabeled one inside one rectangle."""
    own = (mixed == batch.unlabeled).all(dim=1)
    following = (mixed == batch.unlabeled.roll(-1, 0)).all(dim=1)
    assert (own ^ following).all()
    check_rectangles(own)
    return own


@AXES
@pytest.mark.parametrize("negative_draws", ["per_query", "shared"])
@pytest.mark.parametrize(("similarity", "reduction"), [("cosine", "mean"), ("dot", "sum")])
def test_action(axes, negative_draws, similarity, reduction):
    heard, drawn = step(
        axes, negative_draws=negative_draws, similarity=similarity, reduction=reduction
    )
    batch = heard.batch
    (student,), (teacher,) = heard.passes("student"), heard.passes("teacher.module")
    assert (student.mode, teacher.mode) == (TRAINED, TAUGHT)
    assert torch.equal(teacher.images, batch.images)
    (guess,) = heard.calls["teacher.module.classifier"]
    assert torch.equal(guess.inputs[0], teacher.features[-1][LABELED:])
    assert torch.equal(student.images[:LABELED], batch.labeled)
    own = own_parts(batch, student.images[LABELED:])
    confidence, guessed = probs(teacher.logits).max(dim=1)
    guessed = guessed.where(batch.frame[LABELED:], OUTSIDE)
    shares = sure_shares(guessed, confidence)
    guessed, confidence = pasted(guessed, own), pasted(confidence, own)
    trusted = guessed.where(confidence >= WEAK, OUTSIDE)
    pixels = Labeled(
        pixels_of(represented(heard.method.contrast.head.weights, student.features)),
        torch.cat([batch.labels, trusted]).flatten(),
    )
    contrasted = contrast(
        drawn,
        pixels,
        pixels_of(probs(student.logits.detach())),
        pixels,
        heard.method.settings,
        quotas=True,
    )
    compare(
        heard,
        {
            "supervised": (1, supervised(student.logits[:LABELED], batch.labels)),
            "contrast": (0.7, contrasted.loss),
            "unsupervised": (
                1.3,
                unsupervised(student.logits[LABELED:], guessed, confidence, "images"),
            ),
            **logged({**contrasted.facts, **shares}),
        },
    )

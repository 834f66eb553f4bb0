"""ACTION: CutMix, pseudo labels and the contrast of drawn pixels, by hand."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from by_hand import OUTSIDE, probs, supervised
from hearing import LABELED, TAUGHT, TRAINED, awake, compare, hear, uneven_batch
from torch.nn import functional

from arco import class_contrast

AXES = pytest.mark.parametrize("axes", [2, 3], ids=["slices", "volumes"])
INTERPOLATION = {2: "bilinear", 3: "trilinear"}


class Drawn:
    """The random choices of the contrast, in their order."""

    def __init__(self):
        self.pixels, self.classes = [], []

    def draw(self, mask, count, *rest, **options):
        found = draw(mask, count, *rest, **options)
        self.pixels.append((mask, found))
        return found

    def multinomial(self, shares, *rest, **options):
        found = multinomial(shares, *rest, **options)
        self.classes.append((shares, found))
        return found


draw, multinomial = class_contrast.draw, torch.multinomial


def step(axes, **changes):
    method, batch, drawn = awake("action", axes, **changes), uneven_batch("action", axes), Drawn()
    with (
        mock.patch.object(class_contrast, "draw", drawn.draw),
        mock.patch.object(torch, "multinomial", drawn.multinomial),
    ):
        return hear(method, batch), drawn


def own_parts(batch, mixed):
    """Where each mixed image is itself; it is the next unlabeled one inside one rectangle."""
    own = (mixed == batch.unlabeled).all(dim=1)
    following = (mixed == batch.unlabeled.roll(-1, 0)).all(dim=1)
    assert (own ^ following).all()
    for pasted in ~own:
        places = pasted.nonzero()
        lengths = places.amax(dim=0) - places.amin(dim=0) + 1
        assert lengths.prod() == len(places)  # a box
        assert 0.4 < pasted.float().mean() < 0.6
        assert pasted.ndim == 2 or lengths[0] == len(pasted)  # through the whole depth
    assert not torch.equal(own[0], own[1])
    return own


def pasted(maps, own):
    return torch.stack([maps[i].where(own[i], maps[(i + 1) % len(maps)]) for i in range(len(maps))])


def represented(weights, features):
    """The representation head by its definition, at every pixel, [n, D]."""
    *inner, last = weights
    inner = [weight + torch.eye(len(weight)) for weight in inner]
    maps = None
    for level, weight in zip(features, [*inner, last], strict=True):
        if maps is not None:
            mode, size = INTERPOLATION[level.ndim - 2], level.shape[2:]
            raised = functional.interpolate(maps, size, mode=mode, align_corners=True)
            level = torch.cat([raised, level], dim=1)
        maps = torch.einsum("oi,bi...->bo...", weight, level)
    return maps.movedim(1, -1).flatten(0, -2)


def contrast(drawn, pixels, labels, prob, *, per_query, cosine, reduction):
    """Mean over classes of the cross-entropy of each query among its positive and its negatives.

    Args:
        drawn: what was drawn; checked to be drawn from the right pixels and classes.
        pixels: [N, D] representations.
        labels: [N], OUTSIDE where the teacher is not sure.
        prob: [N, C] of the student.
    """
    keys = pixels.detach()
    length = functional.normalize if cosine else lambda rows, dim: rows
    means = torch.stack([keys[labels == c].mean(dim=0) for c in range(3)])
    alike = functional.normalize(means, dim=1) @ functional.normalize(means, dim=1).T
    assert not (prob.gather(1, labels.clamp_min(0)[:, None]) < 0.9)[labels >= 0].all()
    queries, rest = drawn.pixels[:3], iter(drawn.pixels[3:])
    losses = []
    for c in range(3):
        mask, chosen = queries[c]
        hard = (labels == c) & (prob[:, c] < 0.9)
        assert torch.equal(mask.flatten(), hard)
        shares, classes = drawn.classes[c]
        expected = (alike[c] / 0.4).exp() * (torch.arange(3) != c)
        torch.testing.assert_close(shares, expected / expected.sum(), rtol=1e-4, atol=1e-6)
        assert len(classes) == 4 * (5 if per_query else 1)
        negatives = torch.empty_like(classes)
        for other in classes.unique():
            mask, found = next(rest)
            assert torch.equal(mask.flatten(), labels == other)
            negatives[classes == other] = found
        own = length(pixels[chosen], dim=1)
        theirs = length(keys[negatives], dim=1).view(-1, 4, keys.shape[1]).expand(5, -1, -1)
        positive = own @ length(means[c : c + 1], dim=1).T
        both = torch.cat([positive, torch.einsum("qd,qkd->qk", own, theirs)], dim=1) / 0.4
        each = both.logsumexp(dim=1) - both[:, 0]
        losses.append(each.mean() if reduction == "mean" else each.sum())
    assert next(rest, None) is None
    return sum(losses) / (3 if reduction == "mean" else 1)


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
    assert torch.equal(student.images[:LABELED], batch.labeled)
    own = own_parts(batch, student.images[LABELED:])
    confidence, guessed = probs(teacher.logits).max(dim=1)
    guessed = pasted(guessed.where(batch.frame[LABELED:], OUTSIDE), own)
    confidence = pasted(confidence, own)
    trusted = guessed.where(confidence >= 0.6, OUTSIDE)
    inside = guessed != OUTSIDE
    sure = [(inside & (confidence >= 0.9))[i].sum() / inside[i].sum() for i in range(len(own))]
    assert all(0 < share < 1 for share in sure)
    answers = student.logits[LABELED:]
    costs = functional.cross_entropy(answers, guessed, ignore_index=OUTSIDE, reduction="none")
    contrasted = contrast(
        drawn,
        represented(heard.method.contrast.head.weights, student.features),
        torch.cat([batch.labels, trusted]).flatten(),
        probs(student.logits.detach()).movedim(1, -1).flatten(0, -2),
        per_query=negative_draws == "per_query",
        cosine=similarity == "cosine",
        reduction=reduction,
    )
    compare(
        heard,
        {
            "supervised": (1, supervised(student.logits[:LABELED], batch.labels)),
            "contrast": (0.7, contrasted),
            "unsupervised": (
                1.3,
                sum(share * cost.sum() for share, cost in zip(sure, costs, strict=True))
                / inside.sum(),
            ),
        },
    )

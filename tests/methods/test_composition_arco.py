"""ARCO's terms by hand, with and without what its one code has for MONA.

The student's view of the unlabeled images is read from what it was shown, or from the rectangles
and displacements that were drawn. Labels, confidence and pooled maps are then carried there by
other code than the package's, so that one that stays behind is noticed.
"""

from __future__ import annotations

from contextlib import ExitStack
from unittest import mock

import pytest
import torch
from by_hand import OUTSIDE, log_probs, probs, ramp, rows, supervised
from contrast_by_hand import (
    WEAK,
    Drawn,
    Labeled,
    alike,
    between,
    check_rectangles,
    contrast,
    logged,
    nearest,
    pasted,
    pixels_of,
    pooled,
    represented,
    sure_shares,
    symmetries,
    unsupervised,
)
from hearing import EARLIER, LABELED, TAUGHT, TRAINED, awake, compare, hear, uneven_batch

from arco import student_views
from arco.contracts import Randomness
from arco.methods import arco

CELLS, NEIGHBORS = 4, 2
MIXED = {"jitter": 0.0, "blur_min": 0.0, "blur_max": 0.0, "deformation": 1.5, "probability": 0.0}
DEFORMED = {**MIXED, "probability": 1.0}
SPLINE = {
    "rotation_degrees": 40.0, "scale_min": 0.7, "scale_max": 1.3, "shift": 0.2, "mirror": 0.5,
    "jitter": 0.02,
}  # fmt: skip
CASES = {
    "everything": (2, {"strong": DEFORMED, "equivariance_weight": 0.9, "sampler": "sg"}),
    "mixed alone": (
        2,
        {
            "strong": MIXED, "equivariance_weight": 0.0, "sampler": "ns",
            "neighbor_predictor": False, "similarity": "dot", "reduction": "sum",
        },
    ),
    "by the letter": (
        2,
        {
            "strong": None, "equivariance_weight": 0.0, "sampler": "sag",
            "neighbor_predictor": False, "lambda2_ramp": 0.0,
        },
    ),
    "turned and warped": (
        2,
        {
            "strong": None, "equivariance_weight": 0.9, "sampler": "ns",
            "pseudo_labels": "classes", "negative_draws": "shared",
        },
    ),
    "volumes, deformed": (3, {"strong": DEFORMED, "sampler": "sag", "lambda2_ramp": 0.0}),
    "volumes, turned": (
        3,
        {
            "strong": None, "sampler": "sg", "neighbor_predictor": False,
            "negative_draws": "shared", "pseudo_labels": "classes",
        },
    ),
}  # fmt: skip
"""Axes and settings; what is not said is as in `hearing`."""


class Views:
    """The rectangles, displacements and splines that were drawn."""

    def __init__(self):
        self.own, self.deformation, self.spline = [], [], []
        self.strengths = []

    def listening(self):
        heard = ExitStack()
        for module, name, draws in (
            (student_views, "draw_rectangles", self.own),
            (student_views, "draw_deformation", self.deformation),
            (arco, "draw_similarity_spline", self.spline),
        ):
            draw = self.remembered(getattr(module, name), draws)
            heard.enter_context(mock.patch.object(module, name, draw))
        return heard

    def remembered(self, draw, draws):
        def heard(*arguments, **options):
            draws.append(draw(*arguments, **options))
            self.strengths.append({k: v for k, v in options.items() if k != "generator"})
            return draws[-1]

        return heard


def carried_by_turns(batch, shown, labels, confidence, maps):
    """Labels, confidence and maps of the teacher, in the symmetry that each image was shown in."""
    found = []
    for image, view, *answers in zip(batch.unlabeled, shown, labels, confidence, maps, strict=True):
        (code,) = [k for k, turned in enumerate(symmetries(image)) if torch.equal(turned, view)]
        found.append([symmetries(answer)[code] for answer in answers])
    labels, confidence, maps = (torch.stack(answers) for answers in zip(*found, strict=True))
    return labels, confidence, pooled(maps, CELLS)


def carried_by_pasting(batch, shown, labels, confidence, maps, views, *, deformed):
    """The same, where parts of the next image were pasted, and then everything deformed."""
    (own,), (grid,) = views.own, views.deformation
    check_rectangles(own)
    expected = pasted(batch.unlabeled, own.unsqueeze(1))
    labels, confidence = pasted(labels, own), pasted(confidence, own)
    if deformed:
        expected = between(expected, grid, border=True)
        labels = nearest(labels, grid, OUTSIDE)
        confidence = nearest(confidence, grid, 0.0)
        own = nearest(own, grid, False)
        assert (labels == OUTSIDE).any() and (confidence == 0).any()
    torch.testing.assert_close(shown, expected, rtol=1e-4, atol=1e-5)
    shares = pooled(own.unsqueeze(1).float(), CELLS)
    maps = pooled(maps, CELLS)
    mixed = [
        share * one + (1 - share) * following
        for share, one, following in zip(shares, maps, maps.roll(-1, 0), strict=True)
    ]
    return labels, confidence, torch.stack(mixed)


def predicted(head, maps):
    """Two layers at every cell of maps [U, D, *cells]; or the maps themselves."""
    if isinstance(head, torch.nn.Identity):
        return maps
    first, _, second = head
    vectors = maps.movedim(1, -1)
    hidden = (vectors @ first.weight.T + first.bias).clamp_min(0)
    return (hidden @ second.weight.T + second.bias).movedim(-1, 1)


def neighbor(student, teacher, bank):
    """Mean of 2 - 2 cos of the student to the entries that are nearest to the teacher."""
    losses, choices = [], []
    for own, theirs in zip(student.flatten(1), teacher.flatten(1), strict=True):
        order = sorted(range(len(bank)), key=lambda k: -alike(theirs, bank[k]).item())
        losses += [2 - 2 * alike(own, bank[k]) for k in order[:NEIGHBORS]]
        students = sorted(range(len(bank)), key=lambda k: -alike(own, bank[k]).item())
        choices.append(set(order[:NEIGHBORS]) == set(students[:NEIGHBORS]))
    assert not all(choices)  # the student would have chosen others
    return torch.stack(losses).mean()


def equivariance(plain, warped, grid, labels):
    """KL of the warped prediction and the prediction of what is warped, where labels are organs."""
    targets = between(probs(plain.logits), grid)
    organs = nearest(labels, grid, OUTSIDE) > 0
    losses = []
    for target, logits, mask in zip(targets, warped.logits, organs, strict=True):
        theirs = rows(target[None], mask[None])
        own = log_probs(rows(logits[None], mask[None]))
        assert len(own)
        losses.append((torch.xlogy(theirs, theirs) - theirs * own).sum(dim=1).mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("case", CASES)
def test_arco(case):
    axes, changes = CASES[case]
    method, batch = awake("arco", axes, spline=SPLINE, **changes), uneven_batch("arco", axes)
    settings, drawn, views = method.settings, Drawn(), Views()
    (bank,) = method.neighbors.bank.contents()
    with drawn.listening(), views.listening():
        heard = hear(method, batch)
    student, *further = heard.passes("student")
    (teacher,) = heard.passes("teacher.module")
    assert (student.mode, teacher.mode) == (TRAINED, TAUGHT)
    assert torch.equal(teacher.images, batch.images)
    (guess,) = heard.calls["teacher.module.classifier"]
    assert torch.equal(guess.inputs[0], teacher.features[-1][LABELED:])
    assert torch.equal(student.images[:LABELED], batch.labeled)

    keys = represented(method.contrast.teacher_head.module.weights, teacher.features)
    confidence, guessed = probs(teacher.logits).max(dim=1)
    guessed = guessed.where(batch.frame[LABELED:], OUTSIDE)
    key_labels = torch.cat([batch.labels, guessed.where(confidence >= WEAK, OUTSIDE)])
    answers = batch, student.images[LABELED:], guessed, confidence, keys[LABELED:]
    seen_labels, seen_confidence, carried = (
        carried_by_turns(*answers)
        if settings.strong is None
        else carried_by_pasting(*answers, views, deformed=changes["strong"] == DEFORMED)
    )
    assert not torch.equal(seen_labels, guessed)

    vectors = represented(method.contrast.head.weights, student.features)
    trusted = seen_labels.where(seen_confidence >= WEAK, OUTSIDE)
    contrasted = contrast(
        drawn,
        Labeled(pixels_of(vectors), torch.cat([batch.labels, trusted]).flatten()),
        pixels_of(probs(student.logits.detach())),
        Labeled(pixels_of(keys), key_labels.flatten()),
        settings,
    )
    seed = Randomness(0, torch.device("cpu")).generator("draws").initial_seed()
    assert {draw.how for draw in drawn.pixels} == {(changes["sampler"], (2,) * axes, seed)}
    own = predicted(method.neighbors.predictor, pooled(vectors[LABELED:], CELLS))
    terms = {
        "supervised": (1, supervised(student.logits[:LABELED], batch.labels)),
        "contrast": (0.7, contrasted.loss),
        "unsupervised": (
            1.3 * (ramp(0.8, settings.lambda2_ramp) if settings.lambda2_ramp else 1),
            unsupervised(
                student.logits[LABELED:], seen_labels, seen_confidence, settings.pseudo_labels
            ),
        ),
        "neighbor": (0.3, neighbor(own, carried, bank)),
    }
    if settings.equivariance_weight:
        plain, warped = further
        (grid,) = views.spline
        assert views.strengths[-1] == {
            "rotation_degrees": 40.0, "scale": (0.7, 1.3), "shift": 0.2, "mirror": 0.5,
            "jitter": 0.02,
        }  # fmt: skip
        assert (plain.mode, warped.mode) == ("train none", "train gradient")
        assert torch.equal(plain.images, batch.images)
        moved = between(batch.images, grid)
        torch.testing.assert_close(warped.images, moved, rtol=1e-4, atol=1e-5)
        terms["equivariance"] = (0.9, equivariance(plain, warped, grid, key_labels))
    else:
        assert not further and not views.spline
    facts = {**contrasted.facts, **sure_shares(guessed, confidence)}
    compare(heard, {**terms, **logged(facts)})
    check_bank(method.neighbors.bank, bank, carried)


def check_bank(bank, before, embeddings):
    """The images joined it after the loss, in the place of the oldest."""
    directions = embeddings.flatten(1) / embeddings.flatten(1).norm(dim=1, keepdim=True)
    expected = torch.cat([before, directions])[-bank.capacity :]
    kept = len(before) + len(directions) - bank.capacity
    (found,) = bank.contents()
    assert len(before) == EARLIER and kept == 1
    torch.testing.assert_close(found.roll(-kept, 0), expected, rtol=1e-4, atol=1e-5)

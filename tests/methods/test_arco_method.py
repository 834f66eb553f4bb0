from __future__ import annotations

import copy
import math

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import Progress
from arco.errors import ArcoError
from arco.views import apply_dihedral

PROGRESS = Progress(0, 50, 10)
SHARED = ("supervised", "unsupervised", "neighbor", "equivariance")
LETTER = {"strong": None, "equivariance_weight": 0.0}
"""Sec. E by the letter."""
STILL = {
    "rotation_degrees": 0.0,
    "scale_min": 1.0,
    "scale_max": 1.0,
    "shift": 0.0,
    "mirror": 0.0,
    "jitter": 0.0,
}


def after_two_steps(**changes):
    """A training whose bank holds enough neighbors, and its next loss."""
    training = start("arco", **changes)
    for _ in range(3):
        training.step()
    return training, training.method.step(make_batch(9), PROGRESS)


@pytest.mark.parametrize("view", [{}, LETTER], ids=["strong", "turned"])
def test_samplers_share_everything_but_the_contrast(view):
    """The first step, and a second one with the same weights: views and warps go on alike."""
    logs = {}
    for sampler in ("ns", "sg", "sag"):
        method = start("arco", sampler=sampler, settings=view).method
        logs[sampler] = [method.step(make_batch(step), PROGRESS).logs for step in range(2)]
    for first, second, third in zip(*logs.values(), strict=True):
        for name in set(SHARED) & set(first):
            assert torch.equal(first[name], second[name])
            assert torch.equal(first[name], third[name])
        assert len({step["contrast"].item() for step in (first, second, third)}) == 3


@pytest.mark.parametrize("negatives", ["shared", "per_query"])
def test_contrast_lies_between_its_bounds(negatives):
    # Cosine, temperature 1/2, K negatives: between ln(1 + K e^-4) and ln(1 + K e^4).
    _, output = after_two_steps(
        negative_draws=negatives, negatives=512, temperature=0.5, strong_threshold=1.0
    )
    contrast = output.logs["contrast"].item()
    assert math.log(1 + 512 * math.exp(-4)) == pytest.approx(2.3397, abs=1e-4)
    assert 2.3397 <= contrast <= 10.238


@pytest.mark.parametrize("changes", [{}, LETTER])
def test_a_step_contrasts_what_a_measurement_of_the_contrast_gets(changes):
    training = start("arco", dropout=0.3, **changes)
    training.step()
    state = copy.deepcopy(training.state())
    stepped = training.method.step(make_batch(9), PROGRESS).logs["contrast"]
    training.restore(state)
    method = training.method
    assert torch.equal(method.contrast(*method.compare(make_batch(9)).compared).loss, stepped)


def test_an_image_that_no_teacher_is_sure_of_has_no_pseudo_label_loss():
    _, output = after_two_steps(strong_threshold=1.0)
    assert output.logs["unsupervised"].item() == 0.0


def test_without_hard_pixels_the_contrast_is_zero_with_a_graph():
    _, output = after_two_steps(strong_threshold=0.0)
    assert output.logs["contrast"].item() == 0.0
    assert output.loss.requires_grad


def test_the_bank_waits_until_it_holds_enough_neighbors_and_keeps_the_newest():
    training = start("arco", neighbors=5, memory_bank=7)
    first = training.step()
    assert first.logs["neighbor"].item() == 0.0
    assert len(training.method.neighbors.bank) == 2
    assert training.step().logs["neighbor"].item() == 0.0
    assert training.step().logs["neighbor"].item() == 0.0
    assert training.step().logs["neighbor"].item() > 0.0
    assert len(training.method.neighbors.bank) == 7


def test_as_many_embeddings_as_neighbors_are_enough():
    training = start("arco", neighbors=4)
    losses = [training.step().logs["neighbor"].item() for _ in range(3)]
    assert losses[:2] == [0.0, 0.0] and losses[2] > 0


@pytest.mark.parametrize("name", ["arco", "action"])
def test_the_teacher_and_its_head_are_slow_copies_of_the_student(name):
    method = start(name, ema_decay=0.9).method
    pairs = [
        (method.student, method.teacher.module),
        (method.contrast.head, method.contrast.teacher_head.module),
    ]
    for student, teacher in pairs:
        assert all(map(torch.equal, teacher.parameters(), student.parameters()))
    with torch.no_grad():
        for weight in method.parameters():
            weight += weight.requires_grad
    method.after_update(PROGRESS)
    for student, teacher in pairs:
        for weight, theirs in zip(student.parameters(), teacher.parameters(), strict=True):
            torch.testing.assert_close(theirs, weight.detach() - 0.9, atol=1e-5, rtol=0)


def test_out_of_frame_pixels_get_no_pseudo_label():
    training = start("arco")
    batch = make_batch(0)
    targets = training.method.teach(batch)
    assert bool((targets.labels[~batch.frame] == -1).all())
    assert bool((targets.labels[batch.frame] >= 0).all())


@pytest.mark.parametrize(("augmentation", "turned"), [
    ({}, {0, 2, 4, 6}),
    ({"quarter_turns": 0.0}, {0, 4}),
    ({"rotation": False}, {0, 4}),
    ({"flip": False}, {0, 6}),
    ({"rotation": False, "flip": False}, {0}),
])  # fmt: skip
def test_unlabeled_images_are_turned_no_further_than_the_loader_turns(augmentation, turned):
    training = start("arco", augmentation=augmentation, **LETTER)
    batch = make_batch(0)
    codes = torch.arange(0, 8, 2)  # without the swap: these planes are not square
    inputs, seen = [], set()
    features = training.method.student.features
    training.method.student.features = lambda images: (inputs.append(images), features(images))[1]
    for _ in range(12):
        training.method.step(batch, PROGRESS)
        views = inputs.pop()
        assert torch.equal(views[: batch.labeled_count], batch.labeled)
        for view, image in zip(views[batch.labeled_count :], batch.unlabeled, strict=True):
            possible = apply_dihedral(image.expand(4, *image.shape), codes)
            (code,) = codes[(possible == view).flatten(1).all(dim=1)]
            seen.add(code.item())
    assert seen == turned


def test_without_a_warp_there_is_nothing_to_pay():
    for spline, free in ((STILL, True), ({**STILL, "rotation_degrees": 60.0}, False)):
        training = start("arco", spline=spline, weak_threshold=0.0)
        logs = training.method.step(make_batch(0), PROGRESS).logs
        assert (logs["equivariance"].item() < 1e-6) == free


def test_equivariance_is_left_out_at_weight_0():
    without = start("arco", equivariance_weight=0.0).method.step(make_batch(0), PROGRESS)
    assert "equivariance" not in without.logs


def test_volumes_are_not_warped():
    assert start("arco", axes=3).method.settings.equivariance_weight == 0
    with pytest.raises(ArcoError, match=r"volumes\.methods\.arco\.equivariance_weight must be 0"):
        start("arco", axes=3, equivariance_weight=1.0)


def test_strong_images_differ_from_the_weak_ones_and_labeled_ones_do_not():
    training = start("arco")
    seen = []
    training.method.student.encoder.register_forward_pre_hook(lambda _, i: seen.append(i[0]))
    batch = make_batch(0)
    training.method.step(batch, PROGRESS)
    strong, plain, warped = seen
    assert torch.equal(strong[:2], batch.labeled) and torch.equal(plain, batch.images)
    assert not torch.equal(strong[2:], batch.unlabeled) and not torch.equal(warped, plain)

from __future__ import annotations

import copy
import math

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import Progress
from arco.views import apply_dihedral

PROGRESS = Progress(0, 50, 10)
FIRST_LOSSES = ("supervised", "unsupervised", "neighbor")


def after_two_steps(**changes):
    """A training whose bank holds enough neighbors, and its next loss."""
    training = start("arco", **changes)
    for _ in range(3):
        training.step()
    return training, training.method.step(make_batch(9), PROGRESS)


def loss_gradients(name: str):
    """Which parts of the method the gradient of one loss term reaches."""
    weight = {"contrast": "lambda1", "unsupervised": "lambda2", "neighbor": "lambda3"}[name]
    threshold = 0.0 if name == "unsupervised" else 1.0
    training = start(
        "arco",
        lambda1=0.0,
        lambda2=0.0,
        lambda3=0.0,
        weak_threshold=0.0,
        strong_threshold=threshold,
    )
    for _ in range(3):
        training.step()
    state = copy.deepcopy(training.state())
    reached = {}
    for value in (0.0, 1.0):
        training.restore(copy.deepcopy(state))
        settings = training.method.settings
        training.method.settings = settings.model_copy(update={weight: value})
        training.optimizer.zero_grad(set_to_none=True)
        training.method.step(make_batch(9), PROGRESS).loss.backward()
        reached[value] = {
            key: torch.zeros(()) if p.grad is None else p.grad.clone()
            for key, p in training.method.named_parameters()
        }
    moved = {
        key for key in reached[1.0] if not torch.allclose(reached[0.0][key], reached[1.0][key])
    }
    return {
        "encoder": any(key.startswith("student.encoder") for key in moved),
        "decoder": any(key.startswith("student.decoder") for key in moved),
        "classifier": any(key.startswith("student.classifier") for key in moved),
        "head": any(key.startswith("contrast.head") for key in moved),
        "teacher": any("teacher" in key for key in moved),
    }


def test_the_contrast_reaches_encoder_decoder_and_head_but_no_classifier_and_no_teacher():
    assert loss_gradients("contrast") == {
        "encoder": True, "decoder": True, "classifier": False, "head": True, "teacher": False,
    }  # fmt: skip


def test_pseudo_labels_reach_the_whole_network_but_no_head_and_no_teacher():
    assert loss_gradients("unsupervised") == {
        "encoder": True, "decoder": True, "classifier": True, "head": False, "teacher": False,
    }  # fmt: skip


def test_the_neighbor_loss_has_a_gradient_to_the_student():
    # The released code descends the teacher's distance, so that this gradient is zero there.
    assert loss_gradients("neighbor") == {
        "encoder": True, "decoder": True, "classifier": False, "head": True, "teacher": False,
    }  # fmt: skip


def test_samplers_share_everything_of_the_first_step_but_the_contrast():
    logs = {s: start("arco", sampler=s).method.step(make_batch(0), PROGRESS).logs for s in
            ("ns", "sg", "sag")}  # fmt: skip
    for name in FIRST_LOSSES:
        assert torch.equal(logs["ns"][name], logs["sg"][name])
        assert torch.equal(logs["sag"][name], logs["sg"][name])
    assert len({logs[s]["contrast"].item() for s in logs}) == 3


def test_the_loss_is_the_weighted_sum_of_its_terms():
    _, output = after_two_steps(lambda1=0.3, lambda2=0.5, lambda3=0.7)
    logs = output.logs
    expected = (
        logs["supervised"]
        + 0.3 * logs["contrast"]
        + 0.5 * logs["unsupervised"]
        + 0.7 * logs["neighbor"]
    )
    torch.testing.assert_close(output.loss.detach(), expected)


@pytest.mark.parametrize("negatives", ["shared", "per_query"])
def test_contrast_lies_between_its_bounds(negatives):
    # Cosine, temperature 1/2, K negatives: between ln(1 + K e^-4) and ln(1 + K e^4).
    _, output = after_two_steps(
        negative_draws=negatives, negatives=512, temperature=0.5, strong_threshold=1.0
    )
    contrast = output.logs["contrast"].item()
    assert math.log(1 + 512 * math.exp(-4)) == pytest.approx(2.3397, abs=1e-4)
    assert 2.3397 <= contrast <= 10.238


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


def test_the_teacher_is_a_slow_copy_of_the_student():
    training = start("arco", ema_decay=0.9)
    method = training.method
    student = method.student.classifier.weight.detach().clone()
    teacher = method.teacher.module.classifier.weight.detach().clone()
    assert torch.equal(student, teacher)
    training.step()
    expected = 0.9 * teacher + 0.1 * method.student.classifier.weight.detach()
    torch.testing.assert_close(method.teacher.module.classifier.weight, expected)


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
    training = start("arco", augmentation=augmentation)
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

from __future__ import annotations

import copy
import math

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import IGNORE, Progress
from arco.errors import ArcoError
from arco.mixing import draw_rectangles
from arco.views import apply_dihedral

PROGRESS = Progress(0, 50, 10)
FIRST_LOSSES = ("supervised", "unsupervised", "neighbor", "equivariance")
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
UNCHANGED = {"jitter": 0.0, "blur_min": 0.0, "blur_max": 0.0, "deformation": 1.5}


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
        **LETTER,
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
    _, output = after_two_steps(lambda1=0.3, lambda2=0.5, lambda3=0.7, equivariance_weight=2.0)
    logs = output.logs
    expected = (
        logs["supervised"]
        + 0.3 * logs["contrast"]
        + 0.5 * logs["unsupervised"]
        + 0.7 * logs["neighbor"]
        + 2.0 * logs["equivariance"]
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


def strong_own(method, labels):
    """Where the next strong view keeps an image's own pixels; consumes no random number."""
    state = method.view.generator.get_state()
    own = draw_rectangles(len(labels), labels.shape[1:], method.view.generator)
    method.view.generator.set_state(state)
    return own


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


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_images_labels_and_confidence_change_alike(axes, probability):
    """Images that are their own labels: every pixel keeps its label and its confidence."""
    training = start("arco", axes=axes, strong={**UNCHANGED, "probability": probability})
    method = training.method
    batch = make_batch(0, unlabeled=3, size=training.size)
    targets = method.teach(batch)
    labels = targets.labels.clone()
    labels[2:] = torch.randint(0, 3, labels[2:].shape, generator=torch.Generator().manual_seed(0))
    batch.images[2:, 0] = labels[2:] / 2
    labels = labels[2:]
    own = strong_own(method, labels)
    strong = method.view(batch.unlabeled, labels, (labels + 1) / 4)
    inside = strong.labels != IGNORE
    torch.testing.assert_close(
        strong.confidence[inside], (strong.labels[inside] + 1) / 4, atol=1e-6, rtol=0
    )
    if probability == 0.0:  # a deformed image is interpolated, its labels are not
        torch.testing.assert_close(strong.images[:, 0], strong.labels / 2)
        assert inside.all()
        assert torch.equal(strong.labels, labels.where(own, labels.roll(-1, 0)))
    else:
        blurred = (strong.images[:, 0] - strong.labels / 2)[inside].abs().mean()
        assert 0 < blurred < 0.4


def test_strong_images_differ_from_the_weak_ones_and_labeled_ones_do_not():
    training = start("arco")
    seen = []
    training.method.student.encoder.register_forward_pre_hook(lambda _, i: seen.append(i[0]))
    batch = make_batch(0)
    training.method.step(batch, PROGRESS)
    strong, plain, warped = seen
    assert torch.equal(strong[:2], batch.labeled) and torch.equal(plain, batch.images)
    assert not torch.equal(strong[2:], batch.unlabeled) and not torch.equal(warped, plain)


def test_the_mixed_image_s_embedding_is_mixed_from_its_parts():
    training = start("arco", strong={**UNCHANGED, "probability": 0.0})
    method = training.method
    batch = make_batch(0)
    targets = method.teach(batch)
    own = strong_own(method, targets.labels[2:])
    method.step(batch, PROGRESS)
    (bank,) = method.neighbors.bank.contents()
    teacher = method.contrast.teacher_head.module.over(targets.features)
    maps = teacher.images(slice(2, None)).pooled(method.neighbors.pooled_size)
    share = method.view._pool(own.float().unsqueeze(1))
    expected = (share * maps + (1 - share) * maps.roll(-1, 0)).flatten(1)
    expected = torch.nn.functional.normalize(expected, dim=1)
    torch.testing.assert_close(bank, expected, atol=1e-5, rtol=1e-4)

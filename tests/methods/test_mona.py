from __future__ import annotations

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import IGNORE, Progress
from arco.errors import ArcoError

FIRST = Progress(0, 50, 10)
STILL = {
    "rotation_degrees": 0.0,
    "scale_min": 1.0,
    "scale_max": 1.0,
    "shift": 0.0,
    "mirror": 0.0,
    "jitter": 0.0,
}
UNCHANGED = {"jitter": 0.0, "blur_min": 0.0, "blur_max": 0.0, "deformation": 1.5}


def test_without_a_warp_there_is_nothing_to_pay():
    for spline, free in ((STILL, True), ({**STILL, "rotation_degrees": 60.0}, False)):
        training = start("mona", spline=spline, weak_threshold=0.0)
        logs = training.method.step(make_batch(0), FIRST).logs
        assert (logs["equivariance"].item() < 1e-6) == free


def test_terms_are_weighted_and_equivariance_is_left_out_at_weight_0():
    output = start("mona", lambda1=0.5, equivariance_weight=2.0).method.step(make_batch(0), FIRST)
    weights = {
        "supervised": 1,
        "contrast": 0.5,
        "unsupervised": 1,
        "neighbor": 1,
        "equivariance": 2,
    }
    assert set(output.logs) == set(weights)
    total = sum(weights[name] * value for name, value in output.logs.items())
    torch.testing.assert_close(output.loss.detach(), total)
    without = start("mona", equivariance_weight=0.0).method.step(make_batch(0), FIRST)
    assert "equivariance" not in without.logs


def test_volumes_are_not_warped():
    assert start("mona", axes=3).method.settings.equivariance_weight == 0
    with pytest.raises(ArcoError, match=r"volumes\.methods\.mona\.equivariance_weight must be 0"):
        start("mona", axes=3, equivariance_weight=1.0)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_images_labels_and_confidence_change_alike(axes, probability):
    """Images that are their own labels: every pixel keeps its label and its confidence."""
    training = start("mona", axes=axes, strong={**UNCHANGED, "probability": probability})
    method = training.method
    batch = make_batch(0, unlabeled=3, size=training.size)
    targets = method.teach(batch)
    labels = targets.labels.clone()
    labels[2:] = torch.randint(0, 3, labels[2:].shape, generator=torch.Generator().manual_seed(0))
    batch.images[2:, 0] = labels[2:] / 2
    strong = method._strengthened(
        batch, targets._replace(labels=labels, confidence=(labels + 1) / 4)
    )
    inside = strong.labels != IGNORE
    torch.testing.assert_close(
        strong.confidence[inside], (strong.labels[inside] + 1) / 4, atol=1e-6, rtol=0
    )
    if probability == 0.0:  # a deformed image is interpolated, its labels are not
        torch.testing.assert_close(strong.images[:, 0], strong.labels / 2)
        assert inside.all()
        following = labels[2:].roll(-1, 0)
        assert torch.equal(strong.labels, labels[2:].where(strong.own, following))
    else:
        blurred = (strong.images[:, 0] - strong.labels / 2)[inside].abs().mean()
        assert 0 < blurred < 0.4


def test_strong_images_differ_from_the_weak_ones_and_labeled_ones_do_not():
    training = start("mona")
    seen = []
    training.method.student.encoder.register_forward_pre_hook(lambda _, i: seen.append(i[0]))
    batch = make_batch(0)
    training.method.step(batch, FIRST)
    strong, plain, warped = seen
    assert torch.equal(strong[:2], batch.labeled) and torch.equal(plain, batch.images)
    assert not torch.equal(strong[2:], batch.unlabeled) and not torch.equal(warped, plain)


def test_the_mixed_image_s_embedding_is_mixed_from_its_parts():
    training = start("mona", strong={**UNCHANGED, "probability": 0.0})
    method = training.method
    batch = make_batch(0)
    targets = method.teach(batch)
    state = method.views.get_state()
    own = method._strengthened(batch, targets).own
    method.views.set_state(state)
    method.step(batch, FIRST)
    (bank,) = method.neighbors.bank.contents()
    teacher = method.contrast.teacher_head.module.over(targets.features)
    maps = teacher.images(slice(2, None)).pooled(method.neighbors.pooled_size)
    share = method._pool(own.float().unsqueeze(1))
    expected = (share * maps + (1 - share) * maps.roll(-1, 0)).flatten(1)
    expected = torch.nn.functional.normalize(expected, dim=1)
    torch.testing.assert_close(bank, expected, atol=1e-5, rtol=1e-4)

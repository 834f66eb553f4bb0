from __future__ import annotations

import math

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import Progress
from arco.losses.consistency import mean_squared


def test_the_threshold_rises_to_the_largest_entropy():
    method = start("uamt", threshold=0.75).method
    assert method.threshold(Progress(0, 1000, 10), 2) == pytest.approx(0.5210, abs=1e-4)
    assert method.threshold(Progress(1000, 1000, 10), 2) == pytest.approx(math.log(2))
    assert method.threshold(Progress(0, 1000, 10), 4) == pytest.approx(1.0421, abs=1e-4)


def test_pixels_of_known_uncertainty_are_kept_or_not():
    method = start("uamt", threshold=0.75).method

    def kept(prob: float, at: int) -> bool:
        probs = torch.tensor([prob, 1 - prob])
        uncertainty = -(probs * (probs + 1e-6).log()).sum()
        return bool(uncertainty < method.threshold(Progress(at, 1000, 10), 2))

    assert kept(0.9, 0)
    assert kept(0.79, 0)
    assert not kept(0.75, 0)
    assert not kept(0.75, 460)
    assert kept(0.75, 480)


def test_four_classes_have_a_threshold_of_their_own():
    probs = torch.tensor([0.7, 0.1, 0.1, 0.1])
    uncertainty = -(probs * probs.log()).sum().item()
    assert uncertainty == pytest.approx(0.9404, abs=5e-5)
    method = start("uamt", threshold=0.75).method
    first, last = (Progress(at, 1000, 10) for at in (0, 1000))
    assert uncertainty < method.threshold(first, 4)
    assert uncertainty > method.threshold(last, 2)


def test_where_every_pixel_counts_it_is_the_mean_teacher():
    losses = []
    for name, changes in (("mt", {}), ("uamt", {"threshold": 1.0})):
        method = start(name, noise=0.0, **changes).method
        with torch.no_grad():
            method.teacher.module.classifier.bias += torch.tensor([0.2, 0.0, -0.2])
        losses.append(method.step(make_batch(0), Progress(0, 50, 10)).logs["consistency"])
    assert losses[0] > 0
    torch.testing.assert_close(losses[0], losses[1])


def test_two_voxels_of_which_the_first_counts():
    student = torch.tensor([[0.8, 0.6], [0.2, 0.4]]).view(1, 2, 1, 2)
    teacher = torch.tensor([[0.9, 0.75], [0.1, 0.25]]).view(1, 2, 1, 2)
    first, both = torch.tensor([[[True, False]]]), torch.ones(1, 1, 2, dtype=torch.bool)
    assert mean_squared(student, teacher, first).item() == pytest.approx(0.01)
    assert mean_squared(student, teacher, both).item() == pytest.approx(0.0163, abs=1e-4)


def test_every_pass_of_the_teacher_has_its_own_noise_and_no_gradient():
    training = start("uamt", passes=4, noise=0.1)
    seen = []
    training.method.teacher.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    training.method.step(make_batch(0), Progress(0, 50, 10))
    assert len(seen) == 5
    assert all(not torch.equal(seen[0], other) for other in seen[1:])
    assert not any(images.requires_grad for images in seen)


def test_with_an_unreachable_threshold_nothing_is_compared():
    training = start("uamt", threshold=0.0)
    output = training.method.step(make_batch(0), Progress(0, 10**9, 10))
    assert output.logs["certain"].item() == pytest.approx(0, abs=0.01)
    assert torch.isfinite(output.logs["consistency"])

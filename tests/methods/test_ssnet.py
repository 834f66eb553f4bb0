from __future__ import annotations

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import Progress

FIRST = Progress(0, 50, 10)


def test_without_a_change_predictions_are_smooth():
    method = start("ssnet", radius=0.0).method.eval()
    batch = make_batch(0)
    clean = method.student(batch.images).softmax(dim=1).detach()
    assert method.smoothness(batch, clean).item() == pytest.approx(0, abs=1e-6)


def test_the_search_for_the_direction_leaves_no_gradient():
    method = start("ssnet").method
    method.step(make_batch(0), FIRST)
    assert all(parameter.grad is None for parameter in method.parameters())


def test_the_background_has_no_prototypes():
    training = start("ssnet")
    for _ in range(3):
        training.step()
    separation = training.method.separation
    assert separation.counts[0] == 0
    assert not separation.prototypes[0].any()


def test_statistics_are_gathered_from_images_as_they_are():
    method, plain = start("ssnet").method, start("ssnet").method
    batch = make_batch(0)
    method.step(batch, FIRST)
    plain.student(batch.images)
    for name, value in plain.student.named_buffers():
        if "running" in name:
            assert torch.equal(method.student.get_buffer(name), value)

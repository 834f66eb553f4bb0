"""What no method changes, or depends on: its teachers, a test's batch, the order of images."""

from __future__ import annotations

import copy

import pytest
import torch
from small_methods import make_batch, size_of, start

from arco import registry
from arco.contracts import Batch, Progress
from arco.models.teacher import Teacher

LATE = Progress(40, 50, 10)
METHODS = registry.names("methods")
UNPERTURBED = {
    "mt": {"noise": 0.0},
    "ssnet": {"radius": 0.0, "pixels_per_class": 100_000},
    "uamt": {"noise": 0.0},
    "urpc": {"perturbed": False},
}
"""Settings without the random numbers that belong to the place of an image in its batch."""

MIXING = ("action", "arco", "ict")
"""Methods whose mixes, views and draws always belong to that place."""

pytestmark = pytest.mark.parametrize("axes", [2, 3], ids=["slices", "volumes"])


def batch_of(name, axes, unlabeled=2):
    unlabeled = 0 if name == "supervised" else unlabeled
    return make_batch(0, labeled=3, unlabeled=unlabeled, size=size_of(name, axes))


@pytest.mark.parametrize("name", METHODS)
def test_teachers_change_in_their_average_alone(name, axes, monkeypatch):
    move = Teacher.update
    monkeypatch.setattr(Teacher, "update", lambda *_: None)
    training = start(name, axes=axes)
    teachers = [module for module in training.method.modules() if isinstance(module, Teacher)]
    before = [[weight.clone() for weight in teacher.parameters()] for teacher in teachers]
    training.step(batch_of(name, axes))
    for teacher, old in zip(teachers, before, strict=True):
        assert all(map(torch.equal, teacher.parameters(), old))
    monkeypatch.setattr(Teacher, "update", move)
    training.step(batch_of(name, axes))
    for teacher, old in zip(teachers, before, strict=True):
        assert not all(map(torch.equal, teacher.parameters(), old))


@pytest.mark.parametrize("name", METHODS)
def test_the_exported_network_alone_predicts_and_always_the_same(name, axes):
    training = start(name, axes=axes, dropout=0.3)
    for _ in range(2):
        training.step(batch_of(name, axes))
    exported = copy.deepcopy(training.method.exported())
    network = start("supervised", seed=7, axes=axes, dropout=0.3).method.student
    network.load_state_dict(exported)
    network.eval()
    images = batch_of(name, axes).images
    with torch.no_grad():
        first, second = network(images), network(images)
        assert torch.equal(first, second)
        torch.testing.assert_close(network(images[:1]), first[:1])  # no statistics of the batch
        training.method.eval()
        assert torch.equal(training.method.student(images), first)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in MIXING])
def test_the_order_of_images_within_a_half_does_not_matter_to_loss_and_gradient(
    name, axes, monkeypatch
):
    batch = batch_of(name, axes, unlabeled=3)
    order = torch.tensor([2, 0, 1])
    everywhere = torch.cat([order, order + 3])[: len(batch.images)]
    permuted = Batch(
        batch.images[everywhere],
        batch.labels[order],
        batch.frame[everywhere],
        batch.mined,
        batch.heights[everywhere],
    )
    found = []
    for own in (batch, permuted):
        method = start(name, axes=axes, **UNPERTURBED.get(name, {})).method
        if name == "cct":
            monkeypatch.setattr(method, "perturbed", lambda encoded: [encoded] * 3)
        loss = method.step(own, LATE).loss
        loss.backward()
        found.append((loss.detach(), next(method.student.parameters()).grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)

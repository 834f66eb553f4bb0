"""DAN and SASSNet: a segmentation network and a critic take turns."""

from __future__ import annotations

import copy

import pytest
import torch
from small_methods import make_batch, start
from torch.nn import functional

from arco.contracts import Progress
from arco.schedules import ramp_up

MIDDLE = Progress(25, 50, 10)
NAMES = pytest.mark.parametrize("name", ["dan", "sassnet"])


@NAMES
def test_the_critic_s_step_leaves_the_segmentation_network_alone(name):
    method = start(name, dropout=0.2).method
    method.step(make_batch(0), MIDDLE)
    before = copy.deepcopy(method.student.state_dict())
    method.after_update(MIDDLE)
    assert all(torch.equal(v, before[k]) for k, v in method.student.state_dict().items())
    assert all(parameter.grad is None for parameter in method.parameters())


@NAMES
def test_the_critic_trains_even_where_its_verdict_weighs_nothing(name):
    method = start(name, weight=0.0).method
    before = copy.deepcopy(method.adversary.state_dict())
    method.step(make_batch(0), MIDDLE)
    method.after_update(MIDDLE)
    after = method.adversary.discriminator.state_dict()
    assert any(not torch.equal(v, before[f"discriminator.{k}"]) for k, v in after.items())


@NAMES
def test_the_verdict_gives_no_gradient_to_labeled_images(name):
    method = start(name).method.eval()
    batch = make_batch(0)
    images = batch.images.clone().requires_grad_()
    output = method.tasks(images)[1] if name == "sassnet" else method.student(images)
    maps = output if name == "sassnet" else output.softmax(dim=1)
    method.adversary.fooled(maps[2:], images[2:].detach()).backward()
    assert not images.grad[:2].any()
    assert images.grad[2:].any()


def test_the_verdict_on_distances_reaches_everything_but_the_mask_head():
    method = start("sassnet").method
    batch = make_batch(0)
    _, distances = method.tasks(batch.images)
    method.adversary.fooled(distances[2:], batch.unlabeled).backward()
    assert method.tasks.distance_head.weight.grad.any()
    assert next(method.student.encoder.parameters()).grad.any()
    assert all(parameter.grad is None for parameter in method.student.classifier.parameters())


def test_the_loss_of_sassnet_at_the_end_by_hand():
    settings = start("sassnet", weight=0.01).method.settings
    verdict = torch.tensor([[0.3, -0.2]])  # unlabeled, labeled
    adversarial = functional.cross_entropy(verdict, torch.tensor([1])).item()
    assert settings.weight * ramp_up(0.5, settings.ramp) == pytest.approx(0.002865, abs=5e-7)
    weight = settings.weight * ramp_up(1.0, settings.ramp)
    loss = 0.2 + settings.distance_weight * 0.05 + weight * adversarial
    assert loss == pytest.approx(0.2247, abs=5e-5)

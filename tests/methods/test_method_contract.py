"""What every registered method must keep to."""

from __future__ import annotations

import copy

import pytest
import torch
from small_methods import make_batch, start

from arco import registry
from arco.contracts import Batch
from arco.losses.segmentation import supervised_loss
from arco.models.teacher import Teacher

METHODS = registry.names("methods")
UNSUPERVISED_WEIGHTS = {"arco": {"lambda1": 0.0, "lambda2": 0.0, "lambda3": 0.0}, "supervised": {}}

pytestmark = pytest.mark.parametrize("name", METHODS)


def gradients(training):
    return {
        name: None if parameter.grad is None else parameter.grad.clone()
        for name, parameter in training.method.named_parameters()
    }


def test_three_steps_give_finite_losses_and_move_the_student(name):
    training = start(name)
    before = copy.deepcopy(training.method.exported())
    for _ in range(3):
        output = training.step()
        assert torch.isfinite(output.loss)
        assert all(
            torch.isfinite(value) and not value.requires_grad for value in output.logs.values()
        )
    after = training.method.exported()
    assert any(not torch.equal(before[key], after[key]) for key in before)


def test_equal_seeds_give_equal_weights_and_other_seeds_others(name):
    ends = []
    for seed in (1, 1, 2):
        training = start(name, seed=seed, dropout=0.2)
        for _ in range(3):
            training.step()
        ends.append(training.method.exported())
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    assert any(not torch.equal(ends[0][key], ends[2][key]) for key in ends[0])


def test_a_restored_run_continues_bit_by_bit(name):
    undisturbed = start(name, dropout=0.2)
    for _ in range(6):
        undisturbed.step()
    killed = start(name, dropout=0.2)
    for _ in range(3):
        killed.step()
    state = killed.state()
    resumed = start(name, seed=99, dropout=0.2)
    resumed.restore(state)
    for _ in range(3):
        resumed.step()
    expected = undisturbed.method.state_dict()
    for key, value in resumed.method.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_without_unsupervised_weight_the_gradient_is_the_supervised_one(name):
    training = start(name, **UNSUPERVISED_WEIGHTS[name])
    batch = make_batch(0)
    reference = copy.deepcopy(training.method.student)
    images = batch.labeled
    if name != "supervised":
        # Batch norm mixes both halves: compare on the very images the method's student sees.
        seen = []
        handle = training.method.student.encoder.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0].detach().clone())
        )
        training.step(batch)
        handle.remove()
        images = seen[0]
    else:
        training.step(batch)
    labels = batch.labels
    supervised_loss(reference(images)[: len(labels)], labels).backward()
    found = {
        key.removeprefix("student."): value
        for key, value in gradients(training).items()
        if key.startswith("student.")
    }
    for key, parameter in reference.named_parameters():
        torch.testing.assert_close(found[key], parameter.grad, msg=key)


def test_teachers_get_no_gradient_and_only_follow_the_student(name):
    training = start(name)
    teachers = [module for module in training.method.modules() if isinstance(module, Teacher)]
    output = training.method.step(make_batch(0), None)
    before = [copy.deepcopy(teacher.state_dict()) for teacher in teachers]
    output.loss.backward()
    training.optimizer.step()
    for teacher, old in zip(teachers, before, strict=True):
        for parameter_name, parameter in teacher.named_parameters():
            assert not parameter.requires_grad
            assert parameter.grad is None
            assert torch.equal(parameter, old[parameter_name])


@pytest.mark.parametrize("logit", [50.0, -50.0])
def test_saturated_logits_give_a_finite_loss_and_gradient(name, logit):
    training = start(name)
    with torch.no_grad():
        for module in (training.method.student, getattr(training.method, "teacher", None)):
            network = getattr(module, "module", module)
            if network is not None:
                network.classifier.bias.copy_(torch.tensor([logit, -logit, 0.0]))
    output = training.step()
    assert torch.isfinite(output.loss)
    assert all(g is None or bool(torch.isfinite(g).all()) for g in gradients(training).values())


@pytest.mark.parametrize("kind", ["all background", "single class", "all outside the frame"])
def test_degenerate_labels_give_a_finite_loss_and_gradient(name, kind):
    training = start(name)
    batch = make_batch(0)
    labels, frame = batch.labels.clone(), batch.frame.clone()
    labels[labels >= 0] = {"all background": 0, "single class": 2}.get(kind, -1)
    if kind == "all outside the frame":
        frame[:] = False
    for _ in range(2):
        output = training.step(Batch(batch.images, labels, frame, batch.mined))
        assert torch.isfinite(output.loss)
    assert all(g is None or bool(torch.isfinite(g).all()) for g in gradients(training).values())


@pytest.mark.parametrize("classes", [2, 4, 8])
@pytest.mark.parametrize("sizes", [(1, 4), (3, 2)])
def test_any_number_of_classes_and_unequal_halves_work(name, classes, sizes):
    training = start(name, classes=classes)
    batch = make_batch(0, classes, *sizes)
    if name == "supervised":
        batch = Batch(batch.labeled, batch.labels, batch.frame[: sizes[0]], batch.mined)
    assert torch.isfinite(training.step(batch).loss)


def test_what_is_exported_is_the_backbone_alone(name):
    training = start(name)
    assert set(training.method.exported()) == set(training.method.student.state_dict())


def test_a_few_steps_lower_the_supervised_loss(name):
    training = start(name)
    batch = make_batch(0)
    losses = [training.step(batch).logs["supervised"].item() for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]

"""What every registered method must keep to, over slices and over volumes."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from monai.losses import DiceLoss
from small_methods import make_batch, size_of, start
from torch.nn import functional

from arco import registry
from arco.contracts import IGNORE, Batch, Progress, StepOutput
from arco.models.backbone import Backbone
from arco.models.discriminator import Adversary
from arco.models.teacher import Teacher

METHODS = registry.names("methods")
UNSUPERVISED_WEIGHTS = {
    "action": ("contrast_weight", "unsupervised_weight"),
    "arco": ("lambda1", "lambda2", "lambda3", "equivariance_weight"),
    "dct": ("weight", "adversarial_weight"),
    "supervised": (),
}
"""Settings that switch off all but supervision; `weight` where nothing else is said."""

DRAWING = (
    "action", "arco", "cct", "dct_rot", "ict", "mt", "ssnet", "uamt", "urpc",
)  # fmt: skip
"""Methods whose noise, views, mixes or draws belong to the place of an image in its batch."""

OWN_SUPERVISION = ("dtc", "mcnet", "sassnet", "urpc")
"""Methods supervised in another way."""

FIRST = Progress(0, 50, 10)
LATE = Progress(40, 50, 10)

pytestmark = [
    pytest.mark.parametrize("name", METHODS),
    pytest.mark.parametrize("axes", [2, 3], ids=["slices", "volumes"]),
]


def batch_of(name, axes, seed=0, classes=3, labeled=2, unlabeled=2):
    batch = make_batch(seed, classes, labeled, unlabeled, size=size_of(name, axes))
    return labeled_only(batch) if name == "supervised" else batch


def labeled_only(batch):
    count = batch.labeled_count
    return Batch(
        batch.labeled, batch.labels, batch.frame[:count], batch.mined, batch.heights[:count]
    )


def gradients(training):
    return {
        name: parameter.grad
        for name, parameter in training.method.named_parameters()
        if parameter.grad is not None
    }


def test_three_steps_give_finite_losses_and_move_the_student(name, axes):
    training = start(name, axes=axes)
    before = copy.deepcopy(training.method.exported())
    for _ in range(3):
        output = training.step()
        assert torch.isfinite(output.loss)
        assert all(
            torch.isfinite(value) and not value.requires_grad for value in output.logs.values()
        )
    after = training.method.exported()
    assert any(not torch.equal(before[key], after[key]) for key in before)


def test_equal_seeds_give_equal_weights_and_other_seeds_others(name, axes):
    ends = []
    for seed in (1, 1, 2):
        training = start(name, seed=seed, axes=axes, dropout=0.2)
        for _ in range(2):
            training.step()
        ends.append(training.method.exported())
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    assert any(not torch.equal(ends[0][key], ends[2][key]) for key in ends[0])


def test_a_run_restored_from_a_file_continues_bit_by_bit(name, axes):
    undisturbed = start(name, axes=axes, dropout=0.2)
    for _ in range(4):
        undisturbed.step()
    killed = start(name, axes=axes, dropout=0.2)
    for _ in range(2):
        killed.step()
    file = io.BytesIO()
    torch.save(killed.state(), file)
    file.seek(0)
    resumed = start(name, seed=99, axes=axes, dropout=0.2)
    resumed.restore(torch.load(file, weights_only=True))
    for _ in range(2):
        resumed.step()
    # Weights, statistics, teachers, critics and their optimizers, banks, generators.
    assert equal(undisturbed.state(), resumed.state())


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def test_without_unsupervised_weight_loss_and_gradients_are_the_supervised_ones(
    name, axes, monkeypatch
):
    sums, add = [], StepOutput.of

    def recorded(supervised, terms, *facts):
        sums.append(supervised)
        return add(supervised, terms, *facts)

    monkeypatch.setattr(StepOutput, "of", recorded)
    weights = UNSUPERVISED_WEIGHTS.get(name, ("weight",))
    method = start(name, axes=axes, **dict.fromkeys(weights, 0.0)).method
    loss = method.step(batch_of(name, axes), LATE).loss
    supervised = sums[0] if sums else loss
    assert torch.equal(loss, supervised)
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    found, expected = (
        torch.autograd.grad(
            total, trained, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        for total in (loss, supervised)
    )
    assert any(gradient.any() for gradient in expected)
    assert equal(found, expected)


def test_supervision_is_half_cross_entropy_half_dice_of_the_labeled_images(name, axes):
    """The logits are heard at the networks' classifiers, the loss is torch's and MONAI's."""
    if name in OWN_SUPERVISION:
        pytest.skip("its own tests recompute its supervision")
    changes = {"cct": {"supervise": "main"}}.get(name, {})
    method = start(name, axes=axes, **changes).method
    batch = batch_of(name, axes)
    heard = []
    trained = [m for m in method.modules() if isinstance(m, Backbone) and any_trained(m)]
    for network in trained:
        first = []
        heard.append(first)
        network.classifier.register_forward_hook(lambda _m, _i, out, first=first: first.append(out))
    found = method.step(batch, FIRST).logs["supervised"]
    assert len(heard) == {"cps": 2, "dct": 2}.get(name, 1)
    expected = 0.0
    for first in heard:
        logits = first[0][: batch.labeled_count].detach()
        entropy = functional.cross_entropy(logits, batch.labels, ignore_index=IGNORE)
        dice = monai_dice(logits, batch.labels)
        expected += dice if name == "ssnet" else (entropy + dice) / 2
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def any_trained(module):
    return any(parameter.requires_grad for parameter in module.parameters())


def monai_dice(logits, labels):
    inside = (labels != IGNORE).unsqueeze(1)
    target = functional.one_hot(labels.clamp_min(0), logits.shape[1]).movedim(-1, 1) * inside
    dice = DiceLoss(softmax=False, squared_pred=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5)
    return dice(logits.softmax(dim=1) * inside, target.to(logits))


def test_labels_of_the_labeled_half_matter(name, axes):
    losses = []
    for other in (False, True):
        training = start(name, axes=axes)
        batch = batch_of(name, axes)
        if other:
            batch.labels[batch.labels == 1] = 2
        losses.append(training.method.step(batch, FIRST).logs["supervised"])
    assert losses[0] != losses[1]


def test_the_order_of_images_within_a_half_does_not_matter(name, axes):
    if name in DRAWING:
        pytest.skip("draws random numbers image by image")
    batch = batch_of(name, axes, labeled=3, unlabeled=0 if name == "supervised" else 3)
    order = torch.tensor([2, 0, 1])
    all_images = torch.cat([order, order + 3])[: len(batch.images)]
    permuted = Batch(
        batch.images[all_images],
        batch.labels[order],
        batch.frame[all_images],
        batch.mined,
        batch.heights[all_images],
    )
    losses = [start(name, axes=axes).method.step(b, FIRST).loss for b in (batch, permuted)]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-5)


def test_teachers_get_no_gradient_and_only_follow_the_student(name, axes):
    training = start(name, axes=axes)
    teachers = [module for module in training.method.modules() if isinstance(module, Teacher)]
    output = training.method.step(batch_of(name, axes), FIRST)
    before = [copy.deepcopy(teacher.state_dict()) for teacher in teachers]
    torch.autograd.backward(output.loss)
    training.optimizer.step()
    for teacher, old in zip(teachers, before, strict=True):
        for parameter_name, parameter in teacher.named_parameters():
            assert not parameter.requires_grad
            assert parameter.grad is None
            assert torch.equal(parameter, old[parameter_name])


def test_adversaries_change_in_their_own_update_alone(name, axes):
    training = start(name, axes=axes)
    adversaries = [m for m in training.method.modules() if isinstance(m, Adversary)]
    output = training.method.step(batch_of(name, axes), FIRST)
    torch.autograd.backward(output.loss)
    before = [[p.clone() for p in adversary.parameters()] for adversary in adversaries]
    training.optimizer.step()
    for adversary, old in zip(adversaries, before, strict=True):
        for parameter, value in zip(adversary.parameters(), old, strict=True):
            assert parameter.grad is None
            assert torch.equal(parameter, value)
    training.method.after_update(FIRST)
    for adversary, old in zip(adversaries, before, strict=True):
        pairs = zip(adversary.parameters(), old, strict=True)
        assert any(not torch.equal(parameter, value) for parameter, value in pairs)


def with_labels(batch, kind):
    labels, frame = batch.labels.clone(), batch.frame.clone()
    only = {"all background": 0, "single class": 2, "all outside the frame": -1}
    if kind in only:
        labels[labels >= 0] = only[kind]
    if kind == "all outside the frame":
        frame[:] = False
    return Batch(batch.images, labels, frame, batch.mined, batch.heights)


@pytest.mark.parametrize("kind", ["all classes", "all background", "single class"])
@pytest.mark.parametrize("logit", [50.0, -50.0])
def test_saturated_logits_give_a_finite_loss_and_gradient(name, axes, logit, kind):
    training = start(name, axes=axes)
    for layer in training.method.modules():  # of every network, decoder, side head and teacher
        if getattr(layer, "out_channels", None) == training.classes:
            layer.bias.data.copy_(torch.tensor([logit, -logit, 0.0]))
    output = training.step(with_labels(batch_of(name, axes), kind))
    assert torch.isfinite(output.loss)
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients(training).values())


@pytest.mark.parametrize("kind", ["all background", "single class", "all outside the frame"])
def test_degenerate_labels_give_a_finite_loss_and_gradient(name, axes, kind):
    training = start(name, axes=axes)
    for _ in range(2):
        output = training.step(with_labels(batch_of(name, axes), kind))
        assert torch.isfinite(output.loss)
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients(training).values())


@pytest.mark.parametrize(("classes", "sizes"), [(2, (1, 4)), (4, (3, 2)), (8, (2, 2))])
def test_any_number_of_classes_and_unequal_halves_work(name, axes, classes, sizes):
    training = start(name, axes=axes, classes=classes)
    output = training.step(batch_of(name, axes, 0, classes, *sizes))
    assert torch.isfinite(output.loss)


def test_what_is_exported_is_the_backbone_alone(name, axes):
    training = start(name, axes=axes)
    training.step()
    assert set(training.method.exported()) == set(training.method.student.state_dict())


def test_every_module_is_back_in_train_mode_after_a_step(name, axes):
    training = start(name, axes=axes)
    training.step()
    resting = [m for m in training.method.modules() if isinstance(m, Adversary)]
    frozen = {id(inner) for module in resting for inner in module.modules()}
    assert all(m.training for m in training.method.modules() if id(m) not in frozen)


def test_a_few_steps_lower_the_supervised_loss(name, axes):
    training = start(name, axes=axes)
    batch = batch_of(name, axes)
    losses = [training.step(batch).logs["supervised"].item() for _ in range(10)]
    assert losses[-1] < 0.95 * losses[0]

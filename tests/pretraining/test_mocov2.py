from __future__ import annotations

import torch
from small_frameworks import TRAINING_ITEMS, start
from torch import nn


def test_the_first_loss_has_no_negatives_and_the_next_one_has() -> None:
    training = start("mocov2")
    losses = training.take(2)
    assert losses[0] == 0 and losses[1] > 0


def test_the_bank_never_outgrows_the_training_images() -> None:
    assert start("mocov2", memory_bank=65_536).method.bank.capacity == TRAINING_ITEMS
    assert start("mocov2", memory_bank=20).method.bank.capacity == 20


def test_the_bank_keeps_the_newest_keys_of_the_teacher() -> None:
    training = start("mocov2")
    method = training.method
    keys = []
    method.teacher.module.register_forward_hook(lambda _module, _images, out: keys.append(out[1]))
    training.take(3)
    (held,) = method.bank.contents()
    assert len(held) == 20  # of three batches of eight
    expected = torch.cat(keys)[-20:]
    assert torch.equal(held.sort(0).values, expected.sort(0).values)


def test_the_teacher_follows_the_student_after_each_step() -> None:
    training = start("mocov2", ema_decay=0.9)
    training.take(1)  # without negatives nothing is learned yet
    before = [parameter.clone() for parameter in training.method.teacher.module.parameters()]
    training.take(1)
    student, teacher = training.method.student, training.method.teacher.module
    for old, new, average in zip(before, student.parameters(), teacher.parameters(), strict=True):
        torch.testing.assert_close(average, 0.9 * old + 0.1 * new)


def test_the_head_has_two_layers_without_batch_norm() -> None:
    layers = list(start("mocov2").method.student.head.layers)
    assert [type(layer) for layer in layers] == [nn.Linear, nn.ReLU, nn.Linear]
    assert layers[0].in_features == 16 and layers[2].out_features == 8

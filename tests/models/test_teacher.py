from __future__ import annotations

import pytest
import torch
from torch import nn

from arco.models.teacher import Teacher, ema_decay


def student() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))


def set_all(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)


def test_with_warm_up_students_1_2_3_4_make_teachers_1_1_5_2_2_5():
    learner = student()
    set_all(learner, 7.0)
    teacher = Teacher(learner)
    seen = []
    for step, value in enumerate([1.0, 2.0, 3.0, 4.0]):
        set_all(learner, value)
        teacher.update(learner, ema_decay(step, 0.99, warm_up=True))
        seen.append(next(teacher.parameters()).flatten()[0].item())
    assert seen == pytest.approx([1, 1.5, 2, 2.5])


def test_the_warm_up_ends_at_step_99():
    assert ema_decay(0, 0.99, warm_up=True) == 0
    assert ema_decay(98, 0.99, warm_up=True) == pytest.approx(98 / 99)
    assert ema_decay(99, 0.99, warm_up=True) == 0.99
    assert ema_decay(10_000, 0.99, warm_up=True) == 0.99
    assert ema_decay(0, 0.99, warm_up=False) == 0.99


def test_the_first_update_with_warm_up_copies_the_student_bit_for_bit():
    learner = student()
    teacher = Teacher(learner)
    for parameter in learner.parameters():
        nn.init.normal_(parameter)
    teacher.update(learner, ema_decay(0, 0.99, warm_up=True))
    for own, theirs in zip(teacher.module.parameters(), learner.parameters(), strict=True):
        assert torch.equal(own, theirs)


def test_an_update_moves_parameters_a_hundredth_of_the_way_and_leaves_buffers():
    learner = student()
    teacher = Teacher(learner)
    set_all(learner, 3.0)
    set_all(teacher.module, 1.0)
    learner[1].running_mean.fill_(5.0)
    teacher.update(learner, 0.99)
    assert next(teacher.parameters()).flatten()[0].item() == pytest.approx(0.99 * 1 + 0.01 * 3)
    assert teacher.module[1].running_mean.eq(0).all()
    assert teacher.exported(learner)["1.running_mean"].eq(5).all()


def test_the_average_is_right_where_weights_lie_in_another_memory_order():
    learner = nn.Conv2d(2, 3, (3, 5))
    teacher = Teacher(learner)
    assert teacher.module.weight.is_contiguous(memory_format=torch.channels_last)
    before = teacher.module.weight.clone()
    nn.init.normal_(learner.weight)
    teacher.update(learner, 0.75)
    torch.testing.assert_close(teacher.module.weight, 0.75 * before + 0.25 * learner.weight)


def test_the_teacher_is_a_copy_without_gradients_in_train_mode():
    learner = student()
    teacher = Teacher(learner)
    images = torch.randn(2, 1, 5, 6)
    (learner(images).sum() + teacher(images).sum()).backward()
    assert all(parameter.grad is not None for parameter in learner.parameters())
    for own, theirs in zip(teacher.parameters(), learner.parameters(), strict=True):
        assert own.grad is None
        assert not own.requires_grad
        assert own.data_ptr() != theirs.data_ptr()
    assert teacher.module.training
    assert teacher.module[1].running_mean.ne(0).any()

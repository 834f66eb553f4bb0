from __future__ import annotations

import pytest
import torch
from framework_watch import MIRRORED, SOLARIZED, marked_batch, pass_of, watch
from slow_contrasts import assert_same_loss, mean, pair_loss
from small_frameworks import TRAINING_ITEMS, start
from torch import nn

VIEWS = {"student_view": SOLARIZED, "teacher_view": MIRRORED}


@pytest.mark.parametrize("axes", [2, 3])
def test_queries_meet_the_teacher_s_keys_of_their_image_and_earlier_keys(axes: int) -> None:
    training = start("mocov2", axes=axes, temperature=0.3)
    students = watch(training.method.student)
    teachers = watch(training.method.teacher.module)
    queue: list[torch.Tensor] = []
    for _ in range(4):
        loss = training.step().loss
        queries, keys = students[-1].gave[1], teachers[-1].gave[1].double()

        def definition(queries, keys=keys, negatives=tuple(queue)):
            pairs = zip(queries, keys, strict=True)
            return mean([pair_loss(query, key, negatives, 0.3) for query, key in pairs])

        if queue:
            assert_same_loss(loss, definition, queries)
            wrong_partners = definition(queries.double(), keys.roll(1, 0))
            assert abs(wrong_partners.item() - loss.item()) > 1e-3
        else:
            assert loss.item() == 0
        queue = [*queue, *keys][-20:]
    assert len(students) == len(teachers) == 4


@pytest.mark.parametrize("axes", [2, 3])
def test_student_and_teacher_are_shown_a_view_each_of_the_same_images(axes: int) -> None:
    training = start("mocov2", axes=axes, **VIEWS)
    students = watch(training.method.student)
    teachers = watch(training.method.teacher.module)
    training.step(marked_batch("mocov2", axes))
    pass_of(students, solarized=True)
    pass_of(teachers, solarized=False)


def test_the_bank_never_outgrows_the_training_images() -> None:
    assert start("mocov2", memory_bank=65_536).method.bank.capacity == TRAINING_ITEMS
    assert start("mocov2", memory_bank=20).method.bank.capacity == 20


def test_the_head_has_two_layers_without_batch_norm() -> None:
    layers = list(start("mocov2").method.student.head.layers)
    assert [type(layer) for layer in layers] == [nn.Linear, nn.ReLU, nn.Linear]
    assert layers[0].in_features == 16 and layers[2].out_features == 8

from __future__ import annotations

import pytest
import torch
from framework_watch import MIRRORED, SOLARIZED, marked_batch, pass_of, watch
from slow_contrasts import assert_same_loss, cosine, mean
from small_frameworks import start
from torch import nn

from arco.contracts import Progress

VIEWS = {"first_view": SOLARIZED, "second_view": MIRRORED}


def slow_direction(predictions, targets):
    pairs = zip(predictions, targets, strict=True)
    return mean([2 - 2 * cosine(prediction, target) for prediction, target in pairs])


@pytest.mark.parametrize("axes", [2, 3])
def test_each_view_predicts_the_teacher_s_projection_of_the_other_view(axes: int) -> None:
    training = start("byol", axes=axes, **VIEWS)
    training.take(2)  # else the teacher is still the student
    method = training.method
    students, teachers = watch(method.student), watch(method.teacher.module)
    predictors = watch(method.predictor)
    loss = training.step(marked_batch("byol", axes)).loss
    first, second = (pass_of(students, solarized=which) for which in (True, False))
    targets = [pass_of(teachers, solarized=which).gave[1].double() for which in (True, False)]
    predictions = [
        next(heard.gave for heard in predictors if heard.shown is view.gave[1])
        for view in (first, second)
    ]
    assert len(students) == len(teachers) == len(predictors) == 2

    def definition(one, other):
        return slow_direction(one, targets[1]) + slow_direction(other, targets[0])

    assert_same_loss(loss, definition, *predictions)
    wide = [prediction.detach().double() for prediction in predictions]
    of_the_same_view = slow_direction(wide[0], targets[0]) + slow_direction(wide[1], targets[1])
    wrong_partners = definition(wide[0].roll(1, 0), wide[1])
    for wrong in (of_the_same_view, wrong_partners):
        assert abs(wrong.item() - loss.item()) > 1e-3
    assert 0 <= loss <= 8


@pytest.mark.parametrize(
    # 1 - .1 (1 + cos(pi k / K)) / 2 of K = 50: the first step, the middle one, the last one
    ("step", "decay"),
    [(0, 0.9), (25, 0.95), (49, 0.9999013)],
)
def test_the_teacher_slows_down_along_a_cosine(step: int, decay: float) -> None:
    method = start("byol", ema_decay=0.9).method
    before = [parameter.clone() for parameter in method.teacher.module.parameters()]
    with torch.no_grad():
        for parameter in method.student.parameters():
            parameter.add_(1)
    method.after_update(Progress(step, 50, 10))
    for old, average in zip(before, method.teacher.module.parameters(), strict=True):
        torch.testing.assert_close(
            average - old, torch.full_like(old, 1 - decay), atol=1e-6, rtol=0
        )


def test_heads_are_the_published_ones() -> None:
    method = start("byol").method
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    for head, width in ((method.student.head, 16), (method.predictor, 8)):
        assert [type(layer) for layer in head.layers] == kinds
        assert head.layers[0].in_features == width
    assert not [key for key in method.teacher.state_dict() if "predictor" in key]

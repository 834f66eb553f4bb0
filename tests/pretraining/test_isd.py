from __future__ import annotations

import pytest
import torch
from framework_watch import MIRRORED, SOLARIZED, marked_batch, pass_of, watch
from slow_contrasts import assert_same_loss, mean, probabilities
from small_frameworks import TRAINING_ITEMS, start

VIEWS = {"student_view": SOLARIZED, "teacher_view": MIRRORED}


def divergence(target, predicted):
    """KL(target || predicted) of two distributions."""
    return (target * (target / predicted).log()).sum()


@pytest.mark.parametrize("axes", [2, 3])
def test_the_predicted_relation_to_earlier_images_follows_the_teacher_s(axes: int) -> None:
    training = start("isd", axes=axes, student_temperature=0.2, teacher_temperature=0.05)
    method = training.method
    students, teachers = watch(method.student), watch(method.teacher.module)
    predictors = watch(method.predictor)
    queue: list[torch.Tensor] = []
    for _ in range(4):
        loss = training.step().loss
        assert predictors[-1].shown is students[-1].gave[1]
        predictions, targets = predictors[-1].gave, teachers[-1].gave[1].double()

        def definition(predictions, targets=targets, references=tuple(queue)):
            return mean(
                [
                    divergence(
                        probabilities(target, references, 0.05),
                        probabilities(prediction, references, 0.2),
                    )
                    for prediction, target in zip(predictions, targets, strict=True)
                ]
            )

        if queue:
            assert_same_loss(loss, definition, predictions)
            wrong_partners = definition(predictions.detach().double(), targets.roll(1, 0))
            assert abs(wrong_partners.item() - loss.item()) > 1e-3
        else:
            assert loss.item() == 0
        queue = [*queue, *targets][-20:]
    assert len(students) == len(teachers) == len(predictors) == 4


@pytest.mark.parametrize("axes", [2, 3])
def test_student_and_teacher_are_shown_a_view_each_of_the_same_images(axes: int) -> None:
    training = start("isd", axes=axes, **VIEWS)
    students = watch(training.method.student)
    teachers = watch(training.method.teacher.module)
    training.step(marked_batch("isd", axes))
    pass_of(students, solarized=True)
    pass_of(teachers, solarized=False)


def test_only_the_student_has_a_predictor() -> None:
    method = start("isd").method
    assert not [key for key in method.teacher.state_dict() if "predictor" in key]


def test_the_bank_never_outgrows_the_training_images() -> None:
    assert start("isd", memory_bank=128_000).method.bank.capacity == TRAINING_ITEMS

from __future__ import annotations

import torch
from small_frameworks import TRAINING_ITEMS, make_batch, start

from arco.contracts import Progress
from arco.losses.relational import relational_loss


def test_the_teacher_s_embeddings_are_targets_first_and_references_later() -> None:
    training = start("isd")
    training.take(2)
    method = training.method
    (bank,) = method.bank.contents()
    predictions, targets = [], []
    method.predictor.register_forward_hook(lambda _m, _i, out: predictions.append(out))
    method.teacher.module.register_forward_hook(lambda _m, _i, out: targets.append(out[1]))
    output = method.step(make_batch("isd", 2), Progress(2, 50, 10))
    expected = relational_loss(
        predictions[0], targets[0], bank, student_temperature=0.1, teacher_temperature=0.01
    )
    torch.testing.assert_close(output.loss, expected)
    (after,) = method.bank.contents()
    assert len(bank) == 16 and len(after) == 20
    assert torch.equal(after[16:20], targets[0][:4])


def test_only_the_student_has_a_predictor() -> None:
    method = start("isd").method
    assert not [key for key in method.teacher.state_dict() if "predictor" in key]


def test_the_bank_never_outgrows_the_training_images() -> None:
    assert start("isd", memory_bank=128_000).method.bank.capacity == TRAINING_ITEMS

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_frameworks import CHANNELS, CLASSES, TRAINING_ITEMS, make_batch, start

from arco.contracts import Progress
from arco.errors import ArcoError

FIRST = Progress(0, 50, 10)


def test_mined_images_join_the_bank_before_the_comparison() -> None:
    training = start("relational")
    method = training.method
    for step, held in enumerate((5, 10, 12)):
        output = method.step(make_batch("relational", step), Progress(step, 50, 10))
        assert len(method.whole_bank) == len(method.window_bank) == held
        assert output.logs["global"] > 0 and output.logs["local"] > 0
    (whole, pooled), (windows,) = method.whole_bank.contents(), method.window_bank.contents()
    assert whole.shape == (12, 16) and pooled.shape == (12, CHANNELS[-1])
    assert windows.shape == (12, 9, CHANNELS[0] * 16)
    assert start("relational", memory_bank=99).method.whole_bank.capacity == TRAINING_ITEMS


def test_the_teacher_after_the_first_step() -> None:
    training = start("relational", ema_decay=0.99)
    before = [parameter.clone() for parameter in training.method.student.parameters()]
    training.take(1)
    student, teacher = training.method.student, training.method.teacher.module
    for old, new, average in zip(before, student.parameters(), teacher.parameters(), strict=True):
        torch.testing.assert_close(average, 0.99 * old + 0.01 * new)
    assert not [key for key in training.method.teacher.state_dict() if "predictor" in key]


def test_the_student_is_exported() -> None:
    training = start("relational")
    training.take(1)
    exported, network = training.method.exported(), training.method.student.network
    assert all(torch.equal(exported[key], value) for key, value in network.state_dict().items())


def test_windows_too_fine_for_the_image_are_explained() -> None:
    with pytest.raises(
        ArcoError, match="local_pooling and local_windows ask for 32 cells along 16"
    ):
        start("relational", local_windows=7, local_pooling=8)


@pytest.mark.parametrize(
    ("local_maps", "channels"), [("decoder", CHANNELS[0]), ("logits", CLASSES)]
)
def test_volumes_have_windows_of_their_own_number(local_maps: str, channels: int) -> None:
    training = start(
        "relational", axes=3, local_maps=local_maps, local_windows=[1, 3, 2], local_pooling=2
    )
    training.take(1)
    (windows,) = training.method.window_bank.contents()
    assert windows.shape == (5, 1 * 3 * 2, channels * 2**3)


def test_windows_of_another_number_of_axes_are_explained() -> None:
    with pytest.raises(ArcoError, match="local_windows has 3 numbers where images have 2 axes"):
        start("relational", local_windows=[3, 3, 3])


@pytest.mark.parametrize("axes", [2, 3])
def test_the_global_stage_moves_the_encoder_and_nothing_of_the_decoder(axes: int) -> None:
    """ACTION: no labels, no decoder; half of a run of 50 steps is 25."""
    training = start("relational", axes=axes, dropout=0.2, global_share=0.5)
    method = training.method
    before = {key: value.clone() for key, value in method.state_dict().items()}
    training.take(2)
    moved = {
        key for key, value in method.state_dict().items() if not torch.equal(value, before[key])
    }
    assert any(key.startswith("student.network.encoder") for key in moved)
    assert any(key.startswith("global_predictor") for key in moved)
    idle = ("network.decoder", "network.classifier", "local_p", "window_bank")
    assert not [key for key in moved if any(part in key for part in idle)]
    batch = make_batch("relational", 7, axes=axes)
    first, other = (
        start("relational", axes=axes, global_share=0.5).method.step(
            replace(batch, labels=labels), FIRST
        )
        for labels in (batch.labels, (batch.labels + 1) % CLASSES)
    )
    assert torch.equal(first.loss, other.loss)
    training.taken = 25
    training.take(1)
    assert len(method.window_bank) == 5 and len(method.whole_bank) == 12


@pytest.mark.parametrize("missing", ["mined", "unlabeled"])
def test_a_batch_without_mined_or_unlabeled_images_is_explained(missing: str) -> None:
    batch = make_batch("relational", 0)
    if missing == "mined":
        batch = replace(batch, mined=batch.mined[:0])
    else:
        batch = replace(batch, images=batch.labeled)
    with pytest.raises(ArcoError, match=r"relational\.training\.batch"):
        start("relational").method.step(batch, FIRST)

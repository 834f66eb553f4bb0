from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from small_frameworks import CLASSES, TRAINING_ITEMS, make_batch, start
from torch import Tensor
from torch.nn import functional

from arco.contracts import Progress, StepOutput
from arco.errors import ArcoError
from arco.losses.relational import relational_loss
from arco.losses.segmentation import supervised_loss

FIRST = Progress(0, 50, 10)
TEMPERATURES = {"student_temperature": 0.1, "teacher_temperature": 0.01}


def pooled_windows(logits: Tensor) -> Tensor:
    """Every window, half overlapping, 3 per axis, cut out and pooled to 4 x 4: [W, B, C, 4, 4]."""
    height, width = (length // 4 for length in logits.shape[2:])
    return torch.stack(
        [
            functional.adaptive_avg_pool2d(
                logits[
                    :, :, row * height : (row + 2) * height, column * width : (column + 2) * width
                ],
                4,
            )
            for row, column in itertools.product(range(3), repeat=2)
        ]
    )


def first_output(**changes: object) -> StepOutput:
    return start("relational", **changes).method.step(make_batch("relational", 0), FIRST)


def test_the_loss_is_the_sum_of_its_three_terms() -> None:
    output = first_output()
    assert set(output.logs) == {"supervised", "global", "local"}
    torch.testing.assert_close(output.loss.detach(), sum(output.logs.values(), torch.zeros(())))


def test_every_term_equals_its_slow_definition() -> None:
    """Global and local relations to the mined images of the first batch, without jitter."""
    method = start("relational", jitter={"probability": 0.0}).method
    batch = make_batch("relational", 0)
    logs = method.step(batch, FIRST).logs
    student, teacher = method.student, method.teacher.module

    def whole_and_windows(embedder: torch.nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        pyramid = embedder.network.features(images)
        windows = pooled_windows(embedder.network.classify(pyramid[-1])).movedim(2, -1)
        whole = embedder.global_projector(pyramid[0].mean((2, 3)))  # of a U-Net, the bottleneck
        return whole, embedder.local_projector(windows)

    with torch.no_grad():
        whole, windows = whole_and_windows(student, batch.images)
        whole = method.global_predictor(whole[3:])
        windows = method.local_predictor(windows[:, 3:]).flatten(2)
        whole_t, windows_t = whole_and_windows(teacher, torch.cat([batch.mined, batch.unlabeled]))
        windows_t = windows_t.flatten(2)
        expected = relational_loss(whole, whole_t[5:], whole_t[:5], **TEMPERATURES)
        torch.testing.assert_close(logs["global"], expected)
        per_window = [
            relational_loss(w, t[5:], t[:5], **TEMPERATURES)
            for w, t in zip(windows, windows_t, strict=True)
        ]
        # Windows are vectors [cells, classes] there and [classes, cells] here: the same angles.
        torch.testing.assert_close(logs["local"], torch.stack(per_window).mean(), rtol=1e-4, atol=0)
        supervised = supervised_loss(student.network(batch.images)[:3], batch.labels)
        torch.testing.assert_close(logs["supervised"], supervised)


def test_labels_touch_the_supervised_term_alone() -> None:
    batch = make_batch("relational", 0)
    other = replace(batch, labels=(batch.labels + 1) % CLASSES)
    one = start("relational").method.step(batch, FIRST).logs
    two = start("relational").method.step(other, FIRST).logs
    assert one["supervised"] != two["supervised"]
    assert one["global"] == two["global"] and one["local"] == two["local"]


def test_mined_images_join_the_bank_before_the_comparison() -> None:
    training = start("relational")
    method = training.method
    for step, held in enumerate((5, 10, 12)):
        output = method.step(make_batch("relational", step), Progress(step, 50, 10))
        assert len(method.whole_bank) == len(method.window_bank) == held
        assert output.logs["global"] > 0 and output.logs["local"] > 0
    (whole,), (windows,) = method.whole_bank.contents(), method.window_bank.contents()
    assert whole.shape == (12, 16) and windows.shape == (12, 9, CLASSES * 16)
    assert start("relational", memory_bank=99).method.whole_bank.capacity == TRAINING_ITEMS


def test_both_views_are_jittered_apart() -> None:
    still = first_output(jitter={"probability": 0.0})
    moved = first_output(jitter={"probability": 1.0})
    assert still.logs["global"] != moved.logs["global"]
    # Labeled images are segmented as they come, though batch statistics see the whole batch.
    seen: list[Tensor] = []
    method = start("relational", jitter={"probability": 1.0}).method
    method.student.register_forward_hook(lambda _m, images, _o: seen.append(images[0]))
    method.teacher.module.register_forward_hook(lambda _m, images, _o: seen.append(images[0]))
    batch = make_batch("relational", 0)
    method.step(batch, FIRST)
    of_teacher, of_student = seen
    assert torch.equal(of_student[:3], batch.labeled)
    for view in (of_student[3:], of_teacher[5:]):
        assert not torch.equal(view, batch.unlabeled)
    assert not torch.equal(of_student[3:], of_teacher[5:])


def test_the_teacher_after_the_first_step() -> None:
    training = start("relational", ema_decay=0.99)
    before = [parameter.clone() for parameter in training.method.student.parameters()]
    training.take(1)
    student, teacher = training.method.student, training.method.teacher.module
    for old, new, average in zip(before, student.parameters(), teacher.parameters(), strict=True):
        torch.testing.assert_close(average, 0.99 * old + 0.01 * new)
    assert not [key for key in training.method.teacher.state_dict() if "predictor" in key]


def test_windows_too_fine_for_the_image_are_explained() -> None:
    with pytest.raises(
        ArcoError, match="local_pooling and local_windows ask for 32 cells along 16"
    ):
        start("relational", local_windows=7, local_pooling=8)


def test_volumes_are_embedded_at_the_bottleneck_in_windows_of_their_own_number() -> None:
    training = start("relational", axes=3, local_windows=[1, 3, 2], local_pooling=2)
    method = training.method
    batch = make_batch("relational", 0, axes=3)
    encoded = method.teacher.module.network.encode(batch.mined)
    expected = method.teacher.module.global_projector(encoded[-1].mean((2, 3, 4)))
    torch.testing.assert_close(method.teacher.module.whole(encoded), expected)
    training.take(1)
    (windows,) = method.window_bank.contents()
    assert windows.shape == (5, 1 * 3 * 2, CLASSES * 2**3)


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

from __future__ import annotations

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import Progress
from arco.errors import ArcoError


def test_the_student_sees_labeled_images_and_one_mix_for_each_pair():
    training = start("ict")
    seen = []
    training.method.student.register_forward_hook(lambda *_: None)
    training.method.student.encoder.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    batch = make_batch(0, unlabeled=5)
    training.method.step(batch, Progress(0, 50, 10))
    (images,) = seen
    assert len(images) == 2 + 2
    torch.testing.assert_close(images[:2], batch.labeled)
    for mix, first, second in zip(
        images[2:], batch.unlabeled[:2], batch.unlabeled[2:4], strict=True
    ):
        share = ((mix - first).sum() / (second - first).sum()).item()
        assert 0 <= share <= 1
        torch.testing.assert_close(mix, torch.lerp(first, second, share), atol=1e-4, rtol=0)


def test_equal_images_and_networks_are_consistent():
    training = start("ict")
    training.method.eval()
    batch = make_batch(0)
    batch.images[3] = batch.images[2]
    output = training.method.step(batch, Progress(0, 50, 10))
    assert output.logs["consistency"].item() == pytest.approx(0, abs=1e-10)


def test_a_single_unlabeled_image_cannot_be_mixed():
    with pytest.raises(ArcoError, match=r"training\.batch\.unlabeled"):
        start("ict").method.step(make_batch(0, unlabeled=1), Progress(0, 50, 10))

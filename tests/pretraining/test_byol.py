from __future__ import annotations

import pytest
import torch
from small_frameworks import make_batch, start
from torch import nn

from arco.contracts import Progress


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


def test_both_directions_are_summed() -> None:
    method = start("byol").method
    projections, targets, predictions = [], [], []
    method.student.register_forward_hook(lambda _m, _i, out: projections.append(out[1]))
    method.teacher.module.register_forward_hook(lambda _m, _i, out: targets.append(out[1]))
    method.predictor.register_forward_hook(lambda _m, _i, out: predictions.append(out))
    output = method.step(make_batch("byol", 0), Progress(0, 50, 10))
    assert len(projections) == len(targets) == len(predictions) == 2
    cosine = nn.functional.cosine_similarity
    expected = 4 - 2 * cosine(predictions[0], targets[1]) - 2 * cosine(predictions[1], targets[0])
    torch.testing.assert_close(output.loss, expected.mean())
    assert 0 <= output.loss <= 8


def test_heads_are_the_published_ones() -> None:
    method = start("byol").method
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    for head, width in ((method.student.head, 16), (method.predictor, 8)):
        assert [type(layer) for layer in head.layers] == kinds
        assert head.layers[0].in_features == width
    assert not [key for key in method.teacher.state_dict() if "predictor" in key]

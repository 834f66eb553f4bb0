from __future__ import annotations

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import Progress
from arco.losses.consistency import mean_squared

PROGRESS = Progress(25, 50, 10)


def test_three_decoders_by_hand():
    frame = torch.ones(1, 1, 1, dtype=torch.bool)
    main = torch.tensor([0.8, 0.2]).view(1, 2, 1, 1)
    losses = [
        mean_squared(torch.tensor(p).view(1, 2, 1, 1), main, frame)
        for p in ((0.7, 0.3), (0.9, 0.1), (0.8, 0.2))
    ]
    assert torch.stack(losses).mean().item() == pytest.approx(0.0067, abs=5e-5)


def test_equal_decoders_agree_and_their_mean_supervision_is_that_of_one(monkeypatch):
    training = start("cct")
    method = training.method
    for decoder in method.auxiliary:
        decoder.decoder.load_state_dict(method.student.decoder.state_dict())
        decoder.classifier.load_state_dict(method.student.classifier.state_dict())
    monkeypatch.setattr(method, "perturbed", lambda encoded: [encoded] * 3)
    method.eval()
    output = method.step(make_batch(0), PROGRESS)
    assert output.logs["consistency"].item() == pytest.approx(0, abs=1e-10)
    alone = start("cct", supervise="main")
    alone.method.load_state_dict(method.state_dict())
    alone.method.eval()
    supervised = alone.method.step(make_batch(0), PROGRESS).logs["supervised"]
    torch.testing.assert_close(output.logs["supervised"], supervised)


def test_the_consistency_reaches_encoder_and_further_decoders_but_not_the_main_one():
    method = start("cct", weight=1.0, ramp=0.0, supervise="main").method
    batch = make_batch(0)
    output = method.step(batch, PROGRESS)
    without = start("cct", weight=0.0, supervise="main").method
    torch.autograd.backward(output.loss)
    torch.autograd.backward(without.step(batch, PROGRESS).loss)
    for part in ("decoder", "classifier"):
        for one, other in zip(
            getattr(method.student, part).parameters(),
            getattr(without.student, part).parameters(),
            strict=True,
        ):
            torch.testing.assert_close(one.grad, other.grad)
    encoder = next(method.student.encoder.parameters()).grad
    assert not torch.allclose(encoder, next(without.student.encoder.parameters()).grad)
    assert next(method.auxiliary.parameters()).grad.abs().sum() > 0


def test_every_map_of_the_encoder_is_perturbed():
    method = start("cct").method
    encoded = method.student.encode(make_batch(0).images)
    for maps in method.perturbed(encoded):
        assert len(maps) == 5
        assert all(not torch.equal(one, other) for one, other in zip(maps, encoded, strict=True))

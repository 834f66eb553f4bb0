from __future__ import annotations

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import Progress, StepOutput
from arco.losses.consistency import masked_mean, relative_entropy
from arco.schedules import ramp_up


def test_the_entropy_of_unlabeled_pixels_inside_the_frame_is_added_with_its_ramp():
    training = start("em", weight=0.1, ramp=1.0)
    batch = make_batch(0)
    output = training.method.step(batch, Progress(25, 50, 10))
    logits = training.method.student(batch.images)[2:]
    entropy = masked_mean(relative_entropy(logits), batch.frame[2:])
    torch.testing.assert_close(output.logs["entropy"], entropy.detach())
    # exp(-5 / 4) = 0.2865 of the final weight at half the run.
    expected = output.logs["supervised"] + 0.1 * 0.2865 * entropy
    assert output.loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_loss_at_half_the_run_by_hand():
    supervised, entropy = torch.tensor(0.0965), torch.tensor(0.7298)
    output = StepOutput.of(supervised, {"entropy": (0.1 * ramp_up(0.5, 1.0), entropy)})
    assert output.loss.item() == pytest.approx(0.1174, abs=5e-5)

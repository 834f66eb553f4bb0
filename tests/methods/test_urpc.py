from __future__ import annotations

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import Progress
from arco.losses.segmentation import supervised_loss


def test_the_coarsest_prediction_is_constant_on_blocks_of_eight():
    method = start("urpc", upsampling="nearest").method
    coarsest = method.predictions(make_batch(0).images)[0]
    blocks = coarsest.unfold(2, 8, 8).unfold(3, 8, 8)
    assert torch.equal(blocks, blocks[..., :1, :1].expand_as(blocks))


@pytest.mark.parametrize("axes", [2, 3])
def test_four_scales_at_full_resolution_are_supervised_alike(axes):
    training = start("urpc", axes=axes, perturbed=False)
    method = training.method.eval()
    batch = make_batch(0, axes=axes)
    scales = method.predictions(batch.images)
    assert [tuple(logits.shape[2:]) for logits in scales] == [tuple(batch.images.shape[2:])] * 4
    expected = torch.stack([supervised_loss(logits[:2], batch.labels) for logits in scales]).mean()
    output = method.step(batch, Progress(0, 50, 10))
    torch.testing.assert_close(output.logs["supervised"], expected.detach())
    torch.testing.assert_close(scales[-1], method.student(batch.images))

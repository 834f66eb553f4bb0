from __future__ import annotations

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import Context, Progress, Randomness
from arco.losses.segmentation import supervised_loss
from arco.methods import urpc
from arco.models.unet import UNet
from arco.models.vnet import VNet

CONSTANTS = {"weight": 0.1, "ramp": 1.0, "dropout": 0.5, "drop_lowest": 0.7, "drop_highest": 0.9}
SETTINGS = urpc.Settings(**CONSTANTS, upsampling="nearest", perturbed=True, noise=0.3)


@pytest.mark.parametrize(
    ("network", "classes", "total"), [(UNet, 4, 1_831_060 - 9_220), (VNet, 2, 9_449_320)]
)
def test_the_published_networks_have_exactly_so_many_parameters(network, classes, total):
    # Of the published 2D network 9,220 parameters belong to a head that is never used.
    axes = 2 if network is UNet else 3
    context = Context(
        build_network=lambda: network(1, classes),
        pretrained=None,
        classes=classes,
        spatial_axes=axes,
        image_size=(16,) * axes,
        channels=1,
        randomness=Randomness(0, torch.device("cpu")),
        training_items=1,
    )
    method = urpc.Method(SETTINGS, context)
    assert sum(weight.numel() for weight in method.parameters()) == total


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

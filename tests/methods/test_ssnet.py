from __future__ import annotations

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import Context, Progress, Randomness
from arco.methods import ssnet
from arco.models.unet import UNet
from arco.models.vnet import VNet

FIRST = Progress(0, 50, 10)
SETTINGS = ssnet.Settings(
    weight=0.1,
    ramp=1.0,
    probe=10.0,
    radius=6.0,
    separation_weight=0.1,
    prototypes=32,
    pixels_per_class=100,
    ranking="highest",
)


@pytest.mark.parametrize(
    ("network", "classes", "total"), [(UNet, 4, 1_826_828), (VNet, 2, 9_457_318)]
)
def test_the_published_networks_have_exactly_so_many_parameters(network, classes, total):
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
    method = ssnet.Method(SETTINGS, context)
    assert sum(weight.numel() for weight in method.parameters()) == total


def test_without_a_change_predictions_are_smooth():
    method = start("ssnet", radius=0.0).method.eval()
    batch = make_batch(0)
    clean = method.student(batch.images).softmax(dim=1).detach()
    assert method.smoothness(batch, clean).item() == pytest.approx(0, abs=1e-6)


def test_the_search_for_the_direction_leaves_no_gradient():
    method = start("ssnet").method
    method.step(make_batch(0), FIRST)
    assert all(parameter.grad is None for parameter in method.parameters())


def test_the_background_has_no_prototypes():
    training = start("ssnet")
    for _ in range(3):
        training.step()
    separation = training.method.separation
    assert separation.counts[0] == 0
    assert not separation.prototypes[0].any()


def test_statistics_are_gathered_from_images_as_they_are():
    method, plain = start("ssnet").method, start("ssnet").method
    batch = make_batch(0)
    method.step(batch, FIRST)
    plain.student(batch.images)
    for name, value in plain.student.named_buffers():
        if "running" in name:
            assert torch.equal(method.student.get_buffer(name), value)

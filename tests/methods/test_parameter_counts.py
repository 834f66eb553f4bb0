"""Methods with networks of their own have exactly as many parameters as the published ones."""

from __future__ import annotations

import pytest
import torch
from small_methods import PARAMETERS

from arco import registry
from arco.contracts import Context, Randomness
from arco.models.unet import UNet
from arco.models.vnet import VNet


@pytest.mark.parametrize(
    ("name", "in_2d", "in_3d"),
    [
        ("cct", 3_713_664, 15_664_776),
        ("urpc", 1_831_060 - 9_220, 9_449_320),  # the published 2D one has a head that is not used
        ("mcnet", 2_577_624, 12_347_716),
        ("ssnet", 1_826_828, 9_457_318),
    ],
)
@pytest.mark.parametrize("axes", [2, 3])
def test_parameters_of_four_classes_in_2d_and_two_in_3d(name, in_2d, in_3d, axes):
    classes = {2: 4, 3: 2}[axes]
    context = Context(
        build_network=lambda: UNet(1, classes) if axes == 2 else VNet(1, classes),
        pretrained=None,
        classes=classes,
        spatial_axes=axes,
        image_size=(16,) * axes,
        augmentation=PARAMETERS.learners[axes].augmentation,
        channels=1,
        randomness=Randomness(0, torch.device("cpu")),
        training_items=1,
    )
    module = registry.load("methods", name)
    settings = module.Settings(**PARAMETERS.learners[axes].methods[name].settings)
    method = module.Method(settings, context)
    assert sum(weight.numel() for weight in method.parameters()) == {2: in_2d, 3: in_3d}[axes]

from __future__ import annotations

import json

import torch

from arco.models.build import build_network

SETTINGS = {
    "dataset": {"name": "acdc", "classes": ["background", "rv", "myo"], "spatial_axes": 2},
    "network": {"channels": [2, 3, 4, 5, 6], "dropout": [0.0, 0.1, 0.2, 0.3, 0.4]},
}


def test_the_network_has_the_classes_channels_and_dropout_of_the_settings():
    network = build_network(SETTINGS, channels=2)
    assert network(torch.zeros(1, 2, 16, 32)).shape == (1, 3, 16, 32)
    assert network.feature_channels == (6, 5, 4, 3, 2)
    rates = [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)]
    assert rates == [0.1, 0.2, 0.3, 0.4]


def test_three_spatial_axes_make_a_network_over_volumes():
    settings = SETTINGS | {"dataset": SETTINGS["dataset"] | {"spatial_axes": 3}}
    network = build_network(settings, channels=1).eval()
    assert network(torch.zeros(1, 1, 16, 32, 16)).shape == (1, 3, 16, 32, 16)


def test_settings_that_went_through_a_json_file_build_the_same_network():
    shapes = [
        {name: value.shape for name, value in build_network(tree, 1).state_dict().items()}
        for tree in (SETTINGS, json.loads(json.dumps(SETTINGS)))
    ]
    assert shapes[0] == shapes[1]

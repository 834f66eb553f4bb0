from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from arco.errors import ArcoError
from arco.models.build import build_network, load_network, load_weights
from arco.models.vnet import VNet

SETTINGS = {
    "dataset": {"name": "acdc", "classes": ["background", "rv", "myo"], "spatial_axes": 2},
    "network": {"name": "unet", "channels": [2, 3, 4, 5, 6], "dropout": [0.0, 0.1, 0.2, 0.3, 0.4]},
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


def test_the_name_vnet_makes_a_v_net_with_the_settings_channels_and_dropout():
    vnet = {"name": "vnet", "channels": [2, 3, 4, 5, 6], "dropout": 0.25}
    dataset = SETTINGS["dataset"] | {"spatial_axes": 3}
    network = build_network({"dataset": dataset, "network": vnet}, channels=2)
    assert isinstance(network, VNet)
    assert network(torch.zeros(2, 2, 16, 32, 16)).shape == (2, 3, 16, 32, 16)
    assert network.feature_channels == (5, 4, 3, 2, 2)
    rates = [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout3d)]
    assert rates == [0.25, 0.25]


def test_settings_that_went_through_a_json_file_build_the_same_network():
    shapes = [
        {name: value.shape for name, value in build_network(tree, 1).state_dict().items()}
        for tree in (SETTINGS, json.loads(json.dumps(SETTINGS)))
    ]
    assert shapes[0] == shapes[1]


def test_weights_come_back_as_they_were_written(tmp_path):
    network = build_network(SETTINGS, 1)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    loaded = load_network(SETTINGS, 1, tmp_path / "weights.safetensors").state_dict()
    assert list(loaded) == list(network.state_dict())
    assert all(torch.equal(value, loaded[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_file_that_was_cut_short_is_refused(tmp_path, kept):
    path = tmp_path / "weights.safetensors"
    save_file(build_network(SETTINGS, 1).state_dict(), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ArcoError, match=r"weights\.safetensors is damaged"):
        load_weights(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ArcoError, match=r"nowhere is missing; train it first"):
        load_weights(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "misfit"),
    [
        (lambda state: state.pop("classifier.bias"), "classifier.bias"),
        (lambda state: state.update(head=torch.zeros(1)), "head"),
        (lambda state: state.update({"classifier.bias": torch.zeros(4)}), "classifier.bias"),
    ],
)
def test_weights_of_another_network_are_refused_with_the_first_misfit(tmp_path, change, misfit):
    path = tmp_path / "weights.safetensors"
    state = build_network(SETTINGS, 1).state_dict()
    change(state)
    save_file(state, path)
    with pytest.raises(ArcoError, match=f"does not fit .*first misfit: {misfit}"):
        load_network(SETTINGS, 1, path)

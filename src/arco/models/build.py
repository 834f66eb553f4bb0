"""From a run's settings and weights to its network: where training and evaluation must agree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from arco.errors import ArcoError
from arco.models.backbone import Backbone
from arco.models.unet import UNet
from arco.models.vnet import VNet


def build_network(settings: Mapping[str, Any], channels: int) -> Backbone:
    """A freshly initialised segmentation network.

    Args:
        settings: the tree of `arco.plan.Plan.finetune_settings` or `pretrain_settings`; read are
            `dataset.classes`, `dataset.spatial_axes` and all of `network`.
        channels: channels of an image.

    Returns:
        A network for images [B, channels, *S] and as many classes as the dataset names. Its
        initial weights come from torch's global generator, like those of any torch module.
    """
    dataset, network = settings["dataset"], settings["network"]
    networks: dict[str, type[UNet | VNet]] = {"unet": UNet, "vnet": VNet}
    return networks[network["name"]](
        channels,
        len(dataset["classes"]),
        network["channels"],
        network["dropout"],
        dataset["spatial_axes"],
    )


def load_weights(path: Path) -> dict[str, Tensor]:
    """The weights that a run keeps, by their names in the network, on the CPU.

    Raises:
        ArcoError: the file is missing or damaged.
    """
    if not path.is_file():
        raise ArcoError(f"{path} is missing; train it first")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ArcoError(f"{path} is damaged ({error}); delete it and train again") from error


def load_network(settings: Mapping[str, Any], channels: int, path: Path) -> Backbone:
    """The trained network of a run.

    Args:
        settings: as for `build_network`.
        channels: as for `build_network`.
        path: the weights; all of the network's, and no others.

    Raises:
        ArcoError: the file is missing or damaged, or its names or shapes are not this network's.
    """
    network = build_network(settings, channels)
    load_state(network, path)
    return network


def load_state(module: nn.Module, path: Path) -> None:
    """Give a module the weights and buffers of a file: all of its own, and no others.

    Raises:
        ArcoError: the file is missing or damaged, or its names or shapes are not the module's.
    """
    own, found = module.state_dict(), load_weights(path)
    misfits = sorted(
        name
        for name in set(own) | set(found)
        if name not in own or name not in found or own[name].shape != found[name].shape
    )
    if misfits:
        raise ArcoError(
            f"{path} does not fit the settings of its run (first misfit: {misfits[0]}); train the "
            "cell again"
        )
    module.load_state_dict(found)

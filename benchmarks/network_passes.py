"""Single passes of networks: what the time of a method's step is explained by.

A pass is measured on a plain network, in the form in which methods need it:

    trained      forward, backward to the weights          probed    forward, backward to images
    teacher      forward of an average teacher             evaluated forward in evaluation mode
    encoder, decoder    halves of `trained`                second    MC-Net's other decoder
    judged       discriminator, backward to the maps       distances signed distance maps
    judging      discriminator, backward to its weights
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from paper_steps import CLASSES, new_network
from torch import Tensor

from arco.contracts import Batch
from arco.losses.signed_distance import signed_distances
from arco.models.discriminator import Discriminator, in_evaluation
from arco.models.teacher import Teacher
from arco.params import Parameters


def passes(parameters: Parameters, axes: int, batch: Batch) -> dict[str, Callable[[], object]]:
    """What one pass of the images of `batch` is, by name."""
    network, labels = new_network(parameters, axes).train(), batch.labels
    frozen = new_network(parameters, axes).train().requires_grad_(False)
    teacher = Teacher(network)
    images, classes = batch.images, CLASSES[axes]
    known = parameters.learners[axes].methods
    width = known["dan"].settings["discriminator_width"]
    second = network.auxiliary_decoder(known["mcnet"].settings["upsampling"])
    trained_judge = Discriminator(classes, 1, width, axes)
    frozen_judge = Discriminator(classes, 1, width, axes).requires_grad_(False)
    maps = torch.rand(len(images), classes, *images.shape[2:])
    with torch.no_grad():
        encoded = network.encode(images)

    def backward(output: Tensor) -> None:
        torch.autograd.backward(output, torch.ones_like(output))

    def trained() -> None:
        network.zero_grad(set_to_none=True)
        backward(network(images))

    def probed() -> None:
        # Gradients of weights are not computed where only those of images are asked for.
        backward(frozen(images.detach().requires_grad_()))

    @torch.no_grad()
    def taught() -> None:
        teacher(images)

    def encode() -> None:
        network.zero_grad(set_to_none=True)
        made = network.encode(images)
        torch.autograd.backward(made, [torch.ones_like(level) for level in made])

    def decode() -> None:
        network.zero_grad(set_to_none=True)
        leaves = [level.detach().requires_grad_() for level in encoded]
        backward(network.classify(network.decode(leaves)[-1]))

    def decode_otherwise() -> None:
        second.zero_grad(set_to_none=True)
        backward(second([level.detach().requires_grad_() for level in encoded]))

    def judge() -> None:
        backward(frozen_judge(maps.detach().requires_grad_(), images))

    def learn_to_judge() -> None:
        trained_judge.zero_grad(set_to_none=True)
        backward(trained_judge(maps, images))

    return {
        "trained": trained,
        "probed": probed,
        "teacher": taught,
        "evaluated": lambda: in_evaluation(network, images),
        "encoder": encode,
        "decoder": decode,
        "second": decode_otherwise,
        "judged": judge,
        "judging": learn_to_judge,
        "distances": lambda: signed_distances(labels, classes),
    }

"""Hear what a framework shows its networks, and mark images so that any view of one is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from small_frameworks import SIZES, Training, make_batch, smooth_images
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from arco.contracts import Batch

DARKEST, RANGE = 0.56, 0.42
"""Marked images are so bright everywhere that solarizing inverts all of their pixels."""

PLAIN = {
    "crop_min": 0.5,
    "flip": 0.0,
    "jitter": 0.0,
    "strength": 0.4,
    "blur": 0.0,
    "blur_min": 0.1,
    "blur_max": 1.0,
    "solarize": 0.0,
}
SOLARIZED, MIRRORED = PLAIN | {"solarize": 1.0}, PLAIN | {"flip": 1.0}


@dataclass
class Pass:
    """One pass of a module: what it was shown and gave, whether it trains and is differentiated."""

    shown: Any
    gave: Any
    training: bool
    differentiated: bool


def watch(module: nn.Module) -> list[Pass]:
    """Every pass of a module from now on; what it gives keeps its gradient after `backward`."""
    passes: list[Pass] = []

    def hear(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        for tensor in [output] if isinstance(output, Tensor) else output:
            if tensor.requires_grad:
                tensor.retain_grad()
        passes.append(Pass(inputs[0], output, module.training, torch.is_grad_enabled()))

    module.register_forward_hook(hear)
    return passes


def settle(training: Training) -> None:
    """Take a step that leaves its batch's statistics to batch norm.

    In evaluation mode an untrained network's lets next to nothing of an image through.
    """
    norms = [module for module in training.method.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    training.take(1)
    for norm in norms:
        norm.momentum = 0.1


def marked_images(count: int, axes: int, size: tuple[int, ...] | None = None) -> Tensor:
    """Image i has brightnesses of its own, and is brighter at its right end, [count, 1, *S]."""
    size = SIZES[axes] if size is None else size
    texture = smooth_images(count, torch.Generator().manual_seed(9), axes)
    texture = nn.functional.interpolate(texture, size)
    rise = torch.linspace(0, 1, size[-1])
    step = RANGE / count
    base = DARKEST + step * torch.arange(count).view(-1, *[1] * (axes + 1))
    return base + step * (0.1 + 0.4 * rise + 0.4 * texture * rise.sin())


def marked_batch(name: str, axes: int) -> Batch:
    """A batch of marked images for the framework `name`."""
    batch = make_batch(name, 0, axes=axes)
    return replace(batch, images=marked_images(len(batch.images), axes))


@dataclass
class Marks:
    """What is read from views of marked images: which image, and what was done to each."""

    images: list[int]
    solarized: bool
    mirrored: bool


def read_marks(views: Tensor, count: int) -> Marks:
    """Read views of `count` marked images.

    Raises:
        AssertionError: only some of the views are solarized, or only some are mirrored.
    """
    dark = views.flatten(1).mean(1) < 0.5
    bright = torch.where(dark.view(-1, *[1] * (views.ndim - 1)), 1 - views, views)
    left, right = (half.flatten(1).mean(1) for half in bright.chunk(2, dim=-1))
    mirrored = left > right
    assert len(dark.unique()) == len(mirrored.unique()) == 1
    places = (bright.flatten(1).mean(1) - DARKEST) / (RANGE / count)
    return Marks(places.long().tolist(), bool(dark[0]), bool(mirrored[0]))


def pass_of(passes: list[Pass], *, solarized: bool, count: int = 8) -> Pass:
    """The only pass that was shown solarized images, or the only one that was not.

    Raises:
        AssertionError: there is none or there are several, or images are missing or misplaced.
    """
    marks = [read_marks(heard.shown, count) for heard in passes]
    assert all(mark.images == list(range(count)) for mark in marks)
    assert all(mark.mirrored != mark.solarized for mark in marks)
    (found,) = [
        heard for heard, mark in zip(passes, marks, strict=True) if mark.solarized == solarized
    ]
    return found

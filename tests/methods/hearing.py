"""Methods on one late step, with every call of every module overheard.

A composition test hears what networks were shown and what they answered, graph included. From that
it makes the method's terms by hand, and compares values, weighted sum, and the gradient of each at
every parameter. So it notices a target that is not detached as well as a wrong weight.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import by_hand
import torch
from small_methods import smooth_images, start
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as Norm

from arco.contracts import Batch, Progress, StepOutput, Trainable
from arco.models.backbone import Backbone
from arco.models.memory_bank import MemoryBank

LATE = Progress(40, 50, 10)
"""Four fifths of a run, where ramps are large and delays are over."""

CLASSES, LABELED, UNLABELED = 3, 2, 3
EARLIER = 5
"""Embeddings in a bank before the step."""

SIZES = {2: (16, 32), 3: (16, 16, 32)}
SQUARE_SIZES = {2: (32, 32), 3: (32, 16, 16)}

RAMP = {"weight": 0.37, "ramp": 0.9}
PIXELS = {
    "width": 6, "queries": 5, "negatives": 4, "grid": 2, "temperature": 0.4,
    "weak_threshold": 0.6, "strong_threshold": 0.9,
}  # fmt: skip
"""Of the pixel contrast; `contrast_by_hand` says them once more."""

SETTINGS: dict[str, dict[str, Any]] = {
    "supervised": {},
    "em": RAMP,
    "cct": {**RAMP, "noise": 0.2, "dropout": 0.4, "drop_lowest": 0.4, "drop_highest": 0.5},
    "dan": {**RAMP, "discriminator_width": 4},
    "urpc": {**RAMP, "noise": 0.2, "dropout": 0.4, "drop_lowest": 0.4, "drop_highest": 0.5},
    "dtc": {**RAMP, "distance_weight": 0.7, "slope": 5.0},
    "dct": {**RAMP, "adversarial_weight": 0.21, "adversarial_start": 0.5, "epsilon": 0.05},
    "dct_rot": RAMP,
    "ict": {**RAMP, "concentration": 2.0},
    "mt": {**RAMP, "delay": 0.5, "noise": 0.3},
    "uamt": {**RAMP, "passes": 3, "threshold": 0.7, "noise": 0.3},
    "sassnet": {**RAMP, "distance_weight": 0.7, "discriminator_width": 4},
    "cps": RAMP,
    "mcnet": {**RAMP, "supervised_weight": 0.7, "temperature": 0.5},
    "ssnet": {
        **RAMP, "probe": 2.0, "radius": 1.5, "separation_weight": 0.3, "prototypes": 5,
        "pixels_per_class": 100_000,
    },
    "action": {"contrast_weight": 0.7, "unsupervised_weight": 1.3, **PIXELS},
    "arco": {
        "lambda1": 0.7, "lambda2": 1.3, "lambda2_ramp": 0.9, "lambda3": 0.3, "memory_bank": 7,
        "neighbors": 2, "neighbor_pooling": 4, "neighbor_predictor": True,
        "pseudo_labels": "images", **PIXELS,
    },
}  # fmt: skip
"""Constants that no two settings share and no default has, so that none can stand for another."""

LETTER = "_letter"
SETTINGS[f"arco{LETTER}"] = {
    **SETTINGS["arco"], "lambda2_ramp": 0.0, "neighbor_predictor": False,
    "pseudo_labels": "classes", "strong": None, "equivariance_weight": 0.0,
}  # fmt: skip
"""ARCO without what its one code has for MONA."""


class Call(NamedTuple):
    """One call of a module: what went in and came out, and in which state the module was."""

    inputs: tuple[Any, ...]
    output: Any
    training: bool
    gradient: bool
    momentum: float | None


class Pass(NamedTuple):
    """One pass of a segmentation network.

    Attributes:
        images: what it was shown.
        encoded, features, logits: what its encoder, decoder and last convolution answered.
        mode: "train" or "eval", then "gradient" or "none", and "statistics" where it moved those.
    """

    images: Tensor
    encoded: list[Tensor]
    features: list[Tensor]
    logits: Tensor
    mode: str


TRAINED = "train gradient statistics"
TAUGHT = "train none statistics"


@dataclass
class Heard:
    """A method's step, and everything that happened in it."""

    method: Trainable
    batch: Batch
    calls: Mapping[str, list[Call]]
    output: StepOutput
    terms: dict[str, Tensor]

    def settings(self, name: str) -> Any:
        return getattr(self.method.settings, name)

    def weight(self, name: str = "weight") -> float:
        return self.settings(name) * by_hand.ramp(0.8, self.settings("ramp"))

    def passes(self, network: str) -> list[Pass]:
        encoder, parts = f"{network}.encoder", self.method.get_submodule(f"{network}.encoder")
        norm = next(key for key, module in parts.named_modules() if isinstance(module, Norm))
        heard = zip(
            self.calls[encoder],
            self.calls[f"{encoder}.{norm}"],
            self.calls[f"{network}.decoder"],
            self.last(f"{network}.classifier"),
            strict=True,
        )
        return [
            Pass(whole.inputs[0], whole.output, climbed.output, last.output, _mode(inner))
            for whole, inner, climbed, last in heard
        ]

    def last(self, classifier: str) -> list[Call]:
        """The calls of a last convolution, which over volumes follows a dropout."""
        return self.calls[f"{classifier}.1" if f"{classifier}.1" in self.calls else classifier]


def _mode(call: Call) -> str:
    words = "train" if call.training else "eval", "gradient" if call.gradient else "none"
    return " ".join([*words, *(["statistics"] if call.training and call.momentum else [])])


def uneven_batch(name: str, axes: int, seed: int = 0, unlabeled: int = UNLABELED) -> Batch:
    """Images whose frames all differ and are not symmetric; one labeled image lacks a class."""
    generator = torch.Generator().manual_seed(seed)
    size = (SQUARE_SIZES if name == "dct_rot" else SIZES)[axes]
    unlabeled = 0 if name == "supervised" else unlabeled
    images = smooth_images(LABELED + unlabeled, size, generator)
    labels = (images[:LABELED, 0] * CLASSES).long().clamp(max=CLASSES - 1)
    labels[1][labels[1] == 2] = 1
    frame = torch.ones(len(images), *size, dtype=torch.bool)
    for index, own in enumerate(frame):
        own[: 1 + index] = False
        own[..., size[-1] - 2 * index :] = False
    labels[~frame[:LABELED]] = by_hand.OUTSIDE
    return Batch(images, labels, frame, images[:0], torch.arange(len(images)) / len(images))


def awake(
    name: str, axes: int, *, dropout: float = 0.2, seed: int = 0, **changes: Any
) -> Trainable:
    """A method whose networks are as sure of pixels as trained ones and name every class.

    Its teacher is another network than its student, and its banks hold random embeddings.
    """
    settings = {**SETTINGS[name], **changes}
    name = name.removesuffix(LETTER)
    method = start(name, seed=seed, axes=axes, dropout=dropout, settings=settings).method
    with torch.no_grad():
        for key, weight in method.named_parameters():
            if "teacher" in key:
                weight += 0.3 * weight.abs().mean() * torch.randn_like(weight)
            if any(last in key for last in ("classifier", "side_heads", "distance_head")):
                weight *= 6
        for network in (m for m in method.modules() if isinstance(m, Backbone)):
            _settle(network, uneven_batch(name, axes).images)
    for bank in (m for m in method.modules() if isinstance(m, MemoryBank)):
        bank.push(torch.randn(EARLIER, *bank.column0.shape[1:]))
    return method


def _settle(network: Backbone, images: Tensor) -> None:
    """Give it the statistics of these images, and logits of mean 0 there."""
    norms = [module for module in network.modules() if isinstance(module, Norm)]
    for norm in norms:
        norm.momentum = 1.0
    last = list(network.classifier.modules())[-1]
    last.bias -= network(images).transpose(0, 1).flatten(1).mean(dim=1)
    for norm in norms:
        norm.momentum = 0.1


def hear(method: Trainable, batch: Batch, progress: Progress = LATE) -> Heard:
    """Take one step and listen."""
    calls: dict[str, list[Call]] = defaultdict(list)

    def listen(own: list[Call], module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        momentum = getattr(module, "momentum", None)
        own.append(Call(inputs, output, module.training, torch.is_grad_enabled(), momentum))

    for key, module in method.named_modules():
        module.register_forward_hook(partial(listen, calls[key]))
    terms, add = {}, StepOutput.of

    def told(
        supervised: Tensor,
        further: Mapping[str, tuple[float, Tensor]],
        facts: Mapping[str, Tensor] | None = None,
    ) -> StepOutput:
        terms["supervised"] = supervised
        terms.update({name: term for name, (_, term) in further.items()})
        return add(supervised, further, facts)

    with mock.patch.object(StepOutput, "of", told):
        output = method.step(batch, progress)
    # A search for a direction or an adversarial example must leave no gradient behind.
    assert all(weight.grad is None for weight in method.parameters())
    return Heard(method, batch, calls, output, terms or {"supervised": output.loss})


def compare(
    heard: Heard, expected: Mapping[str, tuple[float, Tensor]], tolerance: float = 1e-3
) -> None:
    """Check the value and every parameter's gradient of each term and of the weighted sum.

    Args:
        heard: the step.
        expected: weight and term, with the graph of what was heard; a weight of 0 for what is
            logged alone.
        tolerance: of gradients, as a share of their length.
    """
    assert set(heard.output.logs) == set(expected)
    weighted: dict[str, Tensor] = {}
    for name, (weight, term) in expected.items():
        alike(heard.output.logs[name], term.detach(), name)
        if not weight:
            continue
        wanted = gradients(heard.method, term)
        same_gradients(gradients(heard.method, heard.terms[name]), wanted, tolerance)
        for key, gradient in wanted.items():
            weighted[key] = weighted.get(key, 0.0) + weight * gradient
    loss = sum(weight * term.detach() for weight, term in expected.values())
    alike(heard.output.loss.detach(), loss, "loss")
    same_gradients(gradients(heard.method, heard.output.loss), weighted, tolerance)


def alike(found: Tensor, expected: Tensor, what: str) -> None:
    torch.testing.assert_close(
        found, expected, rtol=1e-4, atol=1e-6, msg=lambda text: f"{what}: {text}"
    )


def gradients(method: Trainable, loss: Tensor) -> dict[str, Tensor]:
    """The gradient of a loss at every parameter that requires one."""
    trained = {k: p for k, p in method.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(
        loss, list(trained.values()), retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return dict(zip(trained, found, strict=True))


def same_gradients(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], tolerance: float
) -> None:
    """Compare the lengths of differences: single numbers drown in the rounding of batch norms."""
    largest = max(gradient.norm().item() for gradient in wanted.values())
    for name, gradient in wanted.items():
        difference = (found[name] - gradient).norm().item()
        allowed = tolerance * (gradient.norm().item() + largest / 20)
        assert difference <= allowed, f"gradient of {name}: off by {difference}, not {allowed}"

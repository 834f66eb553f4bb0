"""A few numbers that each stage makes of fixed input: what `versions` in params.yaml stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import small_frameworks
import small_methods
import torch
from framework_watch import settle
from small_page import small_page

from arco import files, registry
from arco.contracts import Randomness
from arco.contrast_variance.measure import measure_batch
from arco.data.conversion import PreparationSettings
from arco.data.layouts.acdc import find_cases
from arco.data.manifest import Manifest
from arco.data.phantoms import acdc, msd
from arco.data.preparation import prepare_dataset
from arco.evaluation.evaluate import score
from arco.evaluation.inference import predict_volume
from arco.models.unet import UNet
from arco.schema.sections import Variance
from arco.tables.formats import to_csv, to_latex, to_markdown

Numbers = dict[str, float]
Training = small_frameworks.Training | small_methods.Training
CLASSES = {"background": 0, "rv": 1, "myo": 2, "lv": 3}
SETTINGS = PreparationSettings(CLASSES, (32, 48), None, 1)


def phantom(folder: Path) -> Numbers:
    """Size and mean of each array of one synthetic patient of each layout."""
    import nibabel

    numbers: Numbers = {}
    for name, layout in (("acdc", acdc), ("msd", msd)):
        root = folder / name
        layout.write_phantoms(root, 1, 7)
        for path in sorted(root.rglob("[!.]*.nii.gz")):  # but for the strays that start with a dot
            values = np.asarray(nibabel.load(path).dataobj)
            numbers[f"{name}/{path.name}"] = float(values.mean())
    return numbers


def prepared(folder: Path) -> Manifest:
    """One synthetic patient, prepared."""
    acdc.write_phantoms(folder / "raw", 1, 7)
    cases = find_cases(folder / "raw", ["training"])
    return prepare_dataset(
        cases,
        folder / "raw",
        folder / "out",
        SETTINGS,
        source="phantom",
        workers=1,
        report=lambda done, total: None,
    )


def prepare(folder: Path) -> Numbers:
    """Means of the arrays of one prepared patient."""
    manifest = prepared(folder)
    return {
        f"{kind} {index}": float(files.read_array(folder / "out" / kind / f"{case}.npy").mean())
        for index, case in enumerate(manifest.cases)
        for kind in ("images", "labels")
    }


LATE = 40
"""Of 50 steps: a term with a ramp has most of its weight by then."""

VOLUME = {"dct_rot": (32, 16, 16)}
"""Image size of a method in 3D; others have (16, 16, 32)."""

CONFIDENT = {"weak_threshold": 0.35, "strong_threshold": 0.4}
"""Of three classes an untrained network is nowhere more confident than this by much."""


@contextmanager
def in_float64() -> Iterator[None]:
    """Everything in float64: a few steps of so small networks enlarge a rounding to percents."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def late_numbers(training: Training, name: str, steps: int) -> Numbers:
    """What a method does late in a run: loss and terms of a step, and of its parts a number each.

    Of a part that learns by the loss it is the norm of its gradient; of any other one (a teacher, a
    critic, a bank, what another stage trains) it is how far it moved.
    """
    method, training.taken = training.method, LATE
    parts = dict(method.named_children())
    before = {part: contents(module) for part, module in parts.items()}
    output = [training.step() for _ in range(steps)][-1]
    numbers = {f"{name} loss": output.loss.item()}
    numbers |= {f"{name} {term}": value.item() for term, value in output.logs.items()}
    for part, module in parts.items():
        gradients = [weight.grad for weight in module.parameters() if weight.grad is not None]
        if gradients:
            norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
            numbers[f"{name} gradient of {part}"] = norm.item()
        elif len(before[part]):
            moved = (contents(module) - before[part]).norm()
            numbers[f"{name} movement of {part}"] = moved.item()
    return numbers


def contents(module: torch.nn.Module) -> torch.Tensor:
    """A copy of all weights and statistics of a module."""
    tensors = [*module.parameters(), *module.buffers()]
    floating = [tensor.detach().flatten() for tensor in tensors if tensor.is_floating_point()]
    return torch.cat(floating) if floating else torch.zeros(0)


@in_float64()
def pretrain(folder: Path) -> Numbers:
    """The third loss of every framework, and what it does late in a run."""
    numbers: Numbers = {}
    for name in registry.names("pretraining"):
        for axes in (2, 3):
            training = small_frameworks.start(name, axes=axes)
            settle(training)  # GCL's second stage reads the running statistics
            numbers[f"{name} {axes}D early loss"] = training.take(2)[-1]
            numbers |= late_numbers(training, f"{name} {axes}D", steps=2)
    return numbers


@in_float64()
def finetune(folder: Path) -> Numbers:
    """What every method does late in a run."""
    numbers: Numbers = {}
    for name in registry.names("methods"):
        known = registry.settings_class("methods", name).model_fields
        changes: dict[str, Any] = {key: CONFIDENT[key] for key in CONFIDENT.keys() & known}
        for axes, size in ((2, None), (3, VOLUME.get(name, (16, 16, 32)))):
            training = small_methods.start(name, axes=axes, size=size, **changes)
            # By the fourth step a bank of nearest neighbors has enough to be asked.
            numbers |= late_numbers(training, f"{name} {axes}D", steps=4)
    return numbers


@in_float64()
def variance(folder: Path) -> Numbers:
    """By how much the contrast of a small network and its gradients deviate, by sampler."""
    drawn = Variance(batches=1, query_draws=20, training_draws=4, block=2, seed=0)
    numbers: Numbers = {}
    for axes in (2, 3):
        training = small_methods.start("arco", axes=axes, weak_threshold=0.0, strong_threshold=1.0)
        for _ in range(2):
            training.step()
        batch = small_methods.make_batch(3, size=training.size)
        randomness = Randomness(0, torch.device("cpu"))
        found = measure_batch(training.method, batch, drawn, randomness, "here")  # type: ignore[arg-type]
        for key, measured in found.items():
            name = f"{axes}D {key.quantity}, {key.drawn}, {key.sampler}"
            numbers[name] = measured.variance.value**0.5
            if measured.predicted is not None:
                numbers[f"{name}: predicted"] = measured.predicted**0.5
    return numbers


def evaluate(folder: Path) -> Numbers:
    """Scores of an untrained network, and of a label map moved by a voxel."""
    manifest = prepared(folder)
    torch.manual_seed(0)
    network = UNet(1, 4, (2, 2, 2, 2, 2))
    with torch.no_grad():  # without its bias an untrained network names every class somewhere
        torch.nn.init.zeros_(network.classifier.bias)
    case, record = next(iter(manifest.cases.items()))
    image = files.read_array(folder / "out" / "images" / f"{case}.npy")
    predicted = predict_volume(
        network, image, record.geometry, batch_slices=4, device=torch.device("cpu")
    )
    truth = np.zeros(record.geometry.size[::-1], dtype=np.uint8)
    truth[2:5, 10:40, 20:60] = 1
    truth[2:5, 40:60, 20:60] = 2
    rows = score(np.roll(truth, 3, axis=1), truth, record, tuple(CLASSES))
    numbers = {f"class {c}": float((predicted == c).mean()) for c in range(4)}
    for row in rows[:2]:
        for column in ("dice", "jaccard", "assd_voxel", "assd_mm", "hd95_mm"):
            numbers[f"{row['class']} {column}"] = float(row[column])  # type: ignore[arg-type]
    return numbers


def report(folder: Path) -> Numbers:
    """How long the texts of a small table are, and the sum of their characters."""
    page = small_page([[0.5, 1.25], [0.75, 2.5], [0.7, 0.5], [0.9, 4.0]])
    texts = {"csv": to_csv(page), "md": to_markdown(page), "tex": to_latex(page)}
    return {
        f"{kind} {what}": float(number)
        for kind, text in texts.items()
        for what, number in (("length", len(text)), ("sum", sum(map(ord, text))))
    }


STAGES: dict[str, Callable[[Path], Numbers]] = {
    "phantom": phantom,
    "prepare": prepare,
    "pretrain": pretrain,
    "finetune": finetune,
    "evaluate": evaluate,
    "variance": variance,
    "report": report,
}

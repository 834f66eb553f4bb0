"""A few numbers that each stage makes of fixed input: what `versions` in params.yaml stands for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import small_frameworks
import small_methods
import torch
from small_page import small_page

from arco import files, registry
from arco.data.conversion import PreparationSettings
from arco.data.layouts.acdc import find_cases
from arco.data.manifest import Manifest
from arco.data.phantoms import acdc, msd
from arco.data.preparation import prepare_dataset
from arco.evaluation.evaluate import score
from arco.evaluation.inference import predict_volume
from arco.models.unet import UNet
from arco.tables.formats import to_csv, to_latex, to_markdown

Numbers = dict[str, float]
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


def pretrain(folder: Path) -> Numbers:
    """The third loss of every framework."""
    return {
        name: small_frameworks.start(name).take(3)[-1] for name in registry.names("pretraining")
    }


def finetune(folder: Path) -> Numbers:
    """The third loss of every method."""
    numbers: Numbers = {}
    for name in registry.names("methods"):
        for axes in (2, 3):
            training = small_methods.start(name, axes=axes)
            losses = [training.step().loss.item() for _ in range(3)]
            numbers[f"{name} {axes}D"] = losses[-1]
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
    "report": report,
}

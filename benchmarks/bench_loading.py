"""Training batches from prepared arrays against the customary loader of gzip-compressed slices.

The customary one (SSL4MIS) opens an HDF5 file per slice, turns or rotates image and label with
NumPy and SciPy and resizes both to 256 x 256 with `scipy.ndimage.zoom`, all at order 0. Ours reads
slices already resized and augments the batch at once; it interpolates images linearly. One thread,
one process, both take turns, CPU time (so that what else runs on the machine counts less).

    python benchmarks/bench_loading.py [--quick] [--rounds 30]
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import SimpleITK as sitk
import torch
from harness import (
    Table,
    at_least,
    command_line,
    ignore_progress,
    median_ratio,
    milliseconds,
    one_thread,
    read,
    take_turns,
)
from scipy import ndimage

from arco.contracts import Randomness
from arco.data.cases import RawCase
from arco.data.conversion import PreparationSettings
from arco.data.loading import Prepared, TrainingBatches
from arco.data.preparation import prepare_dataset
from arco.schema.training import Augmentation, BatchSizes

TARGET = at_least(8)
CLASSES = {"background": 0, "rv": 1, "myo": 2, "lv": 3}
AUGMENTATION = Augmentation(
    rotation=True, rotation_degrees=20.0, quarter_turns=0.5, crop=True, crop_padding=16, flip=True
)


@dataclass(frozen=True)
class Sizes:
    """Cases of `slices` images of native size, resized to a square; images in a batch."""

    native: tuple[int, int]
    slices: int
    cases: int
    side: int
    batch: int


FULL = Sizes((216, 256), 10, 12, 256, 8)
QUICK = Sizes((54, 64), 4, 4, 64, 4)


def make_scans(root: Path, sizes: Sizes) -> list[RawCase]:
    """Smooth anatomy with noise at the native size, as raw files and as HDF5 slices."""
    rng = np.random.default_rng(0)
    cases = []
    for number in range(sizes.cases):
        field = ndimage.gaussian_filter(rng.normal(size=(sizes.slices, *sizes.native)), (1, 12, 12))
        labels = np.digitize(field, np.quantile(field, [0.85, 0.92, 0.97])).astype(np.uint8)
        image = 200 * labels + rng.normal(300, 30, labels.shape)
        paths = [root / f"{kind}{number}.nii.gz" for kind in ("image", "label")]
        for path, array in zip(paths, (image.astype(np.int16), labels), strict=True):
            sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
        cases.append(RawCase(f"case{number:02d}", f"p{number:02d}", (paths[0],), paths[1]))
        scaled = ((image - image.min()) / np.ptp(image)).astype(np.float32)
        for z in range(sizes.slices):
            with h5py.File(root / f"slice_{number}_{z}.h5", "w") as file:
                file.create_dataset("image", data=scaled[z], compression="gzip")
                file.create_dataset("label", data=labels[z], compression="gzip")
    return cases


def customary_batch(
    paths: list[Path], sizes: Sizes, rng: np.random.Generator
) -> tuple[torch.Tensor, ...]:
    images, labels = [], []
    for index in rng.integers(len(paths), size=sizes.batch):
        with h5py.File(paths[index], "r") as file:
            image, label = file["image"][:], file["label"][:]
        if rng.random() > 0.5:
            quarters, axis = rng.integers(4), rng.integers(2)
            image, label = (np.flip(np.rot90(a, quarters), axis).copy() for a in (image, label))
        elif rng.random() > 0.5:
            angle = rng.integers(-20, 20)
            image, label = (
                ndimage.rotate(a, angle, order=0, reshape=False) for a in (image, label)
            )
        height, width = image.shape
        factors = (sizes.side / height, sizes.side / width)
        image, label = (ndimage.zoom(a, factors, order=0) for a in (image, label))
        images.append(torch.from_numpy(image.astype(np.float32)).unsqueeze(0))
        labels.append(torch.from_numpy(label.astype(np.uint8)))
    return torch.stack(images), torch.stack(labels)


def prepared_batches(root: Path, cases: list[RawCase], sizes: Sizes) -> TrainingBatches:
    """Our batches; half of the cases are labeled."""
    settings = PreparationSettings(CLASSES, (sizes.side, sizes.side), None, 1)
    out = root / "prepared"
    prepare_dataset(cases, root, out, settings, source="phantom", workers=1, report=ignore_progress)
    lists = {"train": cases, "labeled": cases[: len(cases) // 2]}
    for name, members in lists.items():
        (root / f"{name}.txt").write_text("\n".join(case.case for case in members))
    half = sizes.batch // 2
    return TrainingBatches(
        Prepared(out),
        training_list=root / "train.txt",
        labeled_list=root / "labeled.txt",
        sizes=BatchSizes(labeled=half, unlabeled=half, mined=0, blocks=0),
        augmentation=AUGMENTATION,
        randomness=Randomness(0, torch.device("cpu")),
    )


def main(argv: Sequence[str] | None = None) -> None:
    options = read(command_line(__doc__), argv, rounds=30)
    sizes = QUICK if options.quick else FULL
    one_thread()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        batches = prepared_batches(root, make_scans(root, sizes), sizes)
        paths, rng = sorted(root.glob("*.h5")), np.random.default_rng(0)
        runs = {"customary": partial(customary_batch, paths, sizes, rng), "ours": batches.next}
        times = take_turns(runs, options.rounds)
    table = Table("batches, how many times as fast as the customary loader", quick=options.quick)
    table.row(
        f"{sizes.batch} images of {sizes.side} x {sizes.side}",
        ", ".join(f"{kind} {milliseconds(seconds)}" for kind, seconds in times.items()),
        median_ratio(times["customary"], times["ours"]),
        TARGET,
    )


if __name__ == "__main__":
    main()

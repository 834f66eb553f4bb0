"""Training batches from prepared arrays against the customary loader of gzip-compressed slices.

The customary one (SSL4MIS) opens an HDF5 file per slice, turns or rotates image and label with
NumPy and SciPy and resizes both to 256 x 256 with `scipy.ndimage.zoom`, all at order 0. Ours reads
slices already resized and augments the batch at once; it interpolates images linearly. One thread,
one process, repeats interleaved, CPU time (so that what else runs on the machine counts less).

    python benchmarks/bench_loading.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage

from arco.contracts import Randomness
from arco.data.cases import RawCase
from arco.data.conversion import PreparationSettings
from arco.data.loading import Prepared, TrainingBatches
from arco.data.preparation import prepare_dataset
from arco.device import make_deterministic, reuse_memory
from arco.schema.training import Augmentation, BatchSizes

TARGET = 8.0
NATIVE, SLICES, CASES = (216, 256), 10, 12
LENGTH, BATCH, REPEATS = 256, 8, 30


def make_scans(root: Path) -> list[RawCase]:
    """Smooth anatomy with noise at the native size, as raw files and as HDF5 slices."""
    rng = np.random.default_rng(0)
    cases = []
    for number in range(CASES):
        field = ndimage.gaussian_filter(rng.normal(size=(SLICES, *NATIVE)), (1, 12, 12))
        labels = np.digitize(field, np.quantile(field, [0.85, 0.92, 0.97])).astype(np.uint8)
        image = 200 * labels + rng.normal(300, 30, labels.shape)
        paths = [root / f"{kind}{number}.nii.gz" for kind in ("image", "label")]
        for path, array in zip(paths, (image.astype(np.int16), labels), strict=True):
            sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
        cases.append(RawCase(f"case{number:02d}", f"p{number:02d}", (paths[0],), paths[1]))
        scaled = ((image - image.min()) / np.ptp(image)).astype(np.float32)
        for z in range(SLICES):
            with h5py.File(root / f"slice_{number}_{z}.h5", "w") as file:
                file.create_dataset("image", data=scaled[z], compression="gzip")
                file.create_dataset("label", data=labels[z], compression="gzip")
    return cases


def customary_batch(paths: list[Path], rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
    images, labels = [], []
    for index in rng.integers(len(paths), size=BATCH):
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
        factors = (LENGTH / height, LENGTH / width)
        image, label = (ndimage.zoom(a, factors, order=0) for a in (image, label))
        images.append(torch.from_numpy(image.astype(np.float32)).unsqueeze(0))
        labels.append(torch.from_numpy(label.astype(np.uint8)))
    return torch.stack(images), torch.stack(labels)


def ignore_progress(done: int, total: int) -> None:
    """Preparation takes seconds."""


def main() -> None:
    make_deterministic(torch.device("cpu"), threads=1)
    reuse_memory()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        cases = make_scans(root)
        classes = {"background": 0, "rv": 1, "myo": 2, "lv": 3}
        prepare_dataset(
            cases,
            root,
            root / "prepared",
            PreparationSettings(classes, (LENGTH, LENGTH), None, 1),
            source="phantom",
            workers=1,
            report=ignore_progress,
        )
        (root / "train.txt").write_text("\n".join(case.case for case in cases))
        (root / "labeled.txt").write_text("\n".join(case.case for case in cases[:6]))
        batches = TrainingBatches(
            Prepared(root / "prepared"),
            training_list=root / "train.txt",
            labeled_list=root / "labeled.txt",
            sizes=BatchSizes(labeled=BATCH // 2, unlabeled=BATCH // 2, mined=0, blocks=0),
            augmentation=Augmentation(
                rotation=True,
                rotation_degrees=20.0,
                quarter_turns=0.5,
                crop=True,
                crop_padding=16,
                flip=True,
            ),
            randomness=Randomness(0, torch.device("cpu")),
        )
        paths, rng = sorted(root.glob("*.h5")), np.random.default_rng(0)
        times: dict[str, list[float]] = {"customary": [], "ours": []}
        for _ in range(REPEATS):
            for kind, seconds in times.items():
                before = time.thread_time()
                if kind == "ours":
                    batches.next()
                else:
                    customary_batch(paths, rng)
                seconds.append(time.thread_time() - before)
    medians = {kind: statistics.median(seconds) for kind, seconds in times.items()}
    ratio = statistics.median(
        slow / fast for slow, fast in zip(times["customary"], times["ours"], strict=True)
    )
    print(f"a batch of {BATCH} images of {LENGTH} x {LENGTH}, median of {REPEATS}, one thread")
    for kind, seconds in medians.items():
        print(f"  {kind:<10} {1000 * seconds:7.1f} ms")
    print(f"  {ratio:.1f} times as fast (target: at least {TARGET:g})")


if __name__ == "__main__":
    main()

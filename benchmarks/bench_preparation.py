"""Seconds and memory that preparing one scan as large as those of LiTS takes, on one core.

    python benchmarks/bench_preparation.py [--slices 300]

A case of 512 x 512 x 300 int16 voxels with a label map, once as .nii and once as .nii.gz, becomes
slices of 256 x 256, truncated to [-200, 250] Hounsfield units; once more as .nii.gz with its axes
turned (RAS, as many public copies are) and labels of type float64, which is the worst that is read.
Each is prepared in a fresh process, whose highest memory is told. Imports and checksums count.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from arco.data.cases import RawCase
from arco.data.conversion import PreparationSettings
from arco.data.preparation import prepare_dataset

SIDE = 512
SPACING_MM = (0.77, 0.77, 1.5)
CLASSES = {"background": 0, "liver": 1, "tumor": 2}
SETTINGS = PreparationSettings(CLASSES, (256, 256), (-200.0, 250.0), 1)
TARGET_SECONDS, TARGET_GB = 20.0, 3.0
CASES = {"nii": "LPS", "nii.gz": "LPS", "turned.nii.gz": "RAS"}


def write_case(folder: Path, slices: int, ending: str, orientation: str) -> None:
    """Write a body with noise and textured organs, [slices, 512, 512], and its label map."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].astype(np.float32)
    image = np.empty((slices, SIDE, SIDE), dtype=np.int16)
    labels = np.empty((slices, SIDE, SIDE), dtype=np.uint8)
    for index in range(slices):
        height = 2 * index / slices - 1
        liver = (x + 0.3) ** 2 / 0.16 + (y + 0.05) ** 2 / 0.09 + height**2 / 0.5 < 1
        tumor = (x + 0.35) ** 2 + y**2 + (height - 0.1) ** 2 < 0.01
        body = x**2 / 0.8 + y**2 / 0.45 < 1
        labels[index] = np.where(tumor, 2, liver)
        tissue = np.where(body, 40.0, -1000.0) + 60 * labels[index] * (labels[index] < 2)
        image[index] = np.rint(tissue + rng.normal(0, 18, body.shape))
    stored = labels.astype(np.float64) if orientation != "LPS" else labels
    cosines = sitk.DICOMOrientImageFilter.GetDirectionCosinesFromOrientation(orientation)
    for name, array in (("image", image), ("label", stored)):
        scan = sitk.GetImageFromArray(array)
        scan.SetSpacing(SPACING_MM)
        scan.SetDirection(cosines)
        sitk.WriteImage(scan, str(folder / f"{name}.{ending}"))


def ignore(*_: int) -> None:
    """A report of progress that nobody reads."""


def prepare(folder: Path, ending: str, results: Connection) -> None:
    """Prepare one case and report the process's highest memory in bytes."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    case = RawCase("case", "case", (folder / f"image.{ending}",), folder / f"label.{ending}")
    out = folder / f"out-{ending}"
    prepare_dataset([case], folder, out, SETTINGS, source="raw", workers=1, report=ignore)
    results.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    options = parser.parse_args()
    context = get_context("spawn")
    print("| file | seconds | target | peak memory, GB | target |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for ending, orientation in CASES.items():
            # Written by another process, so that its memory does not count.
            writer = context.Process(
                target=write_case, args=(folder, options.slices, ending, orientation)
            )
            writer.start()
            writer.join()
            receiver, sender = context.Pipe(duplex=False)
            start = time.perf_counter()
            process = context.Process(target=prepare, args=(folder, ending, sender))
            process.start()
            peak = receiver.recv()
            process.join()
            seconds = time.perf_counter() - start
            print(
                f"| {ending} | {seconds:.1f} | {TARGET_SECONDS:g} | {peak / 1e9:.2f} | "
                f"{TARGET_GB:g} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""Seconds and memory that preparing one scan as large as those of LiTS takes, on one core.

    python benchmarks/bench_preparation.py [--quick] [--slices 300]

A case of 512 x 512 x 300 int16 voxels with a label map, once as .nii and once as .nii.gz, becomes
slices of 256 x 256, truncated to [-200, 250] Hounsfield units; once more as .nii.gz with its axes
turned (RAS, as many public copies are) and labels of type float64, which is the worst that is read.
Each is prepared in a fresh process, whose highest memory is told. Imports and checksums count.
Ratios are to 20 s and 3 GB. With several rounds each is prepared so often, and medians are told.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from harness import Table, at_most, command_line, ignore_progress, peak_megabytes, read

from arco.data.cases import RawCase
from arco.data.conversion import PreparationSettings
from arco.data.preparation import prepare_dataset

SIDE, QUICK_SIDE = 512, 48
QUICK_SLICES = 6
SPACING_MM = (0.77, 0.77, 1.5)
CLASSES = {"background": 0, "liver": 1, "tumor": 2}
SETTINGS = PreparationSettings(CLASSES, (256, 256), (-200.0, 250.0), 1)
SECONDS, GIGABYTES = 20.0, 3.0
TARGET = at_most(1)
CASES = {"nii": "LPS", "nii.gz": "LPS", "turned.nii.gz": "RAS"}


def write_case(folder: Path, side: int, slices: int, ending: str, orientation: str) -> None:
    """Write a body with noise and textured organs, [slices, side, side], and its label map."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    image = np.empty((slices, side, side), dtype=np.int16)
    labels = np.empty((slices, side, side), dtype=np.uint8)
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


def prepare(folder: Path, out: Path, ending: str, results: Connection) -> None:
    """Prepare one case and report the process's highest memory in MiB."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    case = RawCase("case", "case", (folder / f"image.{ending}",), folder / f"label.{ending}")
    prepare_dataset([case], folder, out, SETTINGS, source="raw", workers=1, report=ignore_progress)
    results.send(peak_megabytes())


def measure(folder: Path, out: Path, ending: str) -> tuple[float, float]:
    """Seconds that a fresh process takes for one case, and its highest memory in MiB."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    start = time.perf_counter()
    process = context.Process(target=prepare, args=(folder, out, ending, sender))
    process.start()
    sender.close()  # so that a process that dies ends the wait for its answer
    peak = receiver.recv()
    process.join()
    return time.perf_counter() - start, peak


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line(__doc__)
    parser.add_argument("--slices", type=int)
    options = read(parser, argv, rounds=1)
    slices = options.slices or (QUICK_SLICES if options.quick else 300)
    side, rounds = (QUICK_SIDE, 1) if options.quick else (SIDE, options.rounds)
    table = Table(f"a scan of {side} x {side} x {slices}, over the target", quick=options.quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for ending, orientation in CASES.items():
            # Written by another process, so that its memory does not count.
            arguments = (folder, side, slices, ending, orientation)
            writer = get_context("spawn").Process(target=write_case, args=arguments)
            writer.start()
            writer.join()
            found = [measure(folder, folder / f"{turn}-{ending}", ending) for turn in range(rounds)]
            seconds, peak = (statistics.median(values) for values in zip(*found, strict=True))
            table.row(f"{ending}, time", f"{seconds:.1f} s", seconds / SECONDS, TARGET)
            gigabytes = peak * 2**20 / 1e9
            table.row(f"{ending}, memory", f"{gigabytes:.2f} GB", gigabytes / GIGABYTES, TARGET)


if __name__ == "__main__":
    main()

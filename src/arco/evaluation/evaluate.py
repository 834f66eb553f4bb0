"""One trained network on the scans of a part: label maps as NIfTI, scores as CSV.

Scores are per case and foreground class, over the whole scan on its native grid. Distances are
given in voxels (spacing 1, as most tables of the paper print them) and in mm (real spacing).
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch

from arco import files
from arco.data.geometry import read_scan, to_native, write_labels
from arco.data.lists import read_part
from arco.data.manifest import CaseRecord, Manifest, read_manifest
from arco.device import choose_device, make_deterministic, reuse_memory
from arco.errors import ArcoError
from arco.evaluation.inference import predict_patches, predict_volume
from arco.evaluation.metrics import dice, jaccard, surface_scores_in
from arco.models.backbone import Backbone
from arco.models.build import load_network
from arco.progress import Report
from arco.schema.training import Window

LOG = logging.getLogger("arco")
BATCH_SLICES = 16
"""At 256 x 256 and native slices of 512 x 512 this takes less memory than training does."""

DISTANCES = ("asd", "assd", "hd95")
COLUMNS = (
    "case",
    "patient",
    "class",
    "dice",
    "jaccard",
    *(f"{distance}_voxel" for distance in DISTANCES),
    *(f"{distance}_mm" for distance in DISTANCES),
    "part",
)

Labels = npt.NDArray[np.uint8]
Row = dict[str, object]


@dataclass(frozen=True)
class Evaluation:
    """A trained network and the prepared dataset it is tested on."""

    network: Backbone
    device: torch.device
    prepared: Path
    manifest: Manifest
    image_size: tuple[int, ...]
    window: Window | None

    def predict(self, case: str) -> Labels:
        """Class indices over (z, y, x) of the case's native grid."""
        image = files.read_array(self.prepared / "images" / f"{case}.npy")
        record = self.manifest.record(case)
        geometry = record.geometry
        if self.window is None:
            return predict_volume(
                self.network,
                image,
                geometry,
                batch_slices=BATCH_SLICES,
                device=self.device,
                region=record.region,
            )
        labels = predict_patches(self.network, image, self.image_size, self.window, self.device)
        spacing_mm = self.manifest.settings["spacing_mm"]
        native = to_native(labels, geometry, None, spacing_mm, record.region)
        return np.asarray(native, dtype=np.uint8)

    def truth(self, case: str) -> Labels:
        """The true class indices, on the same grid.

        Raises:
            ArcoError: the file is missing, damaged, or not of this case.
        """
        path = self.prepared / "truth" / f"{case}.nii.gz"
        labels = sitk.GetArrayFromImage(read_scan(path, labels=True))
        if labels.shape != self.manifest.record(case).geometry.size[::-1]:
            raise ArcoError(f"{path} is not the file in the manifest; run `arco prepare` again")
        return np.asarray(labels, dtype=np.uint8)


def evaluate_run(  # noqa: PLR0913 (what a job of this stage consists of)
    run: Path,
    prepared: Path,
    part: str,
    *,
    out: Path,
    predictions: Path,
    window: Window | None = None,
    device: str,
    threads: int,
    progress: Report,
) -> None:
    """Predict and score every case of a part.

    Args:
        run: folder of a trained cell, with weights.safetensors and settings.json.
        prepared: folder of the prepared dataset.
        part: `test` or `val`; the cases are those of its split list.
        out: the CSV to write, a row per case and foreground class, columns `COLUMNS`; a score that
            is undefined because a mask is empty is NaN there.
        predictions: the folder to write, <case>.nii.gz of class indices with the case's native
            geometry; it appears when all cases are done, and replaces an older one.
        window: how windows follow each other in volumes; None for slices.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads.
        progress: called with (done, total) cases.

    Raises:
        ArcoError: a file is missing, damaged or of another configuration; or cannot be written.
    """
    chosen = choose_device(device)
    make_deterministic(chosen, threads)
    reuse_memory()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)  # type: ignore[no-untyped-call]
    evaluation = open_run(run, prepared, chosen, window)
    cases = read_part(prepared / "splits" / f"{part}.txt", evaluation.manifest.cases)
    rows: list[Row] = []
    with files.atomic(predictions) as folder:
        folder.mkdir()
        progress(0, len(cases))
        for done, case in enumerate(cases, start=1):
            prediction, record = evaluation.predict(case), evaluation.manifest.record(case)
            write_labels(folder / f"{case}.nii.gz", prediction, record.geometry)
            scores = score(prediction, evaluation.truth(case), record, evaluation.manifest.classes)
            rows += [{"case": case, **row, "part": part} for row in scores]
            progress(done, len(cases))
    files.write_csv(out, rows, COLUMNS)
    _log_summary(rows, out)


def open_run(
    run: Path, prepared: Path, device: torch.device, window: Window | None = None
) -> Evaluation:
    """The network of a run, ready to predict.

    Raises:
        ArcoError: weights or settings are missing or damaged, or do not fit each other or the
            prepared dataset.
    """
    path = run / "settings.json"
    settings = files.read_json(path)
    if not (isinstance(settings, dict) and {"dataset", "network", "channels"} <= set(settings)):
        raise ArcoError(f"{path} is not the settings of a run; train the cell again")
    manifest = read_manifest(prepared)
    trained_on = (tuple(settings["dataset"]["classes"]), settings["channels"])
    image_size = tuple(settings["dataset"]["image_size"])
    for case, record in manifest.cases.items():
        sliced = window is None and record.shape[2:] != image_size
        if (manifest.classes, record.shape[0]) != trained_on or sliced:
            raise ArcoError(
                f"{path} is from another configuration: its classes, channels or image size are "
                f"not those of {case} in {prepared}; train the cell again"
            )
    network = load_network(settings, settings["channels"], run / "weights.safetensors")
    network = network.to(device)
    if window is None:
        network = network.to(memory_format=torch.channels_last)
    return Evaluation(network, device, prepared, manifest, image_size, window)


def score(
    prediction: Labels, truth: Labels, record: CaseRecord, classes: tuple[str, ...]
) -> list[Row]:
    """The scores of one case.

    Args:
        prediction: class indices over (z, y, x) of the native grid.
        truth: the true ones.
        record: the case; read are its patient and its spacing.
        classes: names by index, background first.

    Returns:
        A row per foreground class: Dice and Jaccard as fractions, distances in voxels and mm;
        NaN where one is undefined.
    """
    spacing_mm = tuple(reversed(record.geometry.spacing_mm))
    rows: list[Row] = []
    for index, name in enumerate(classes[1:], start=1):
        found, wanted = prediction == index, truth == index
        voxel, millimetre = surface_scores_in(found, wanted, [None, spacing_mm])
        overlap = {"dice": dice(found, wanted), "jaccard": jaccard(found, wanted)}
        distances = {f"{key}_voxel": value for key, value in asdict(voxel).items()}
        distances |= {f"{key}_mm": value for key, value in asdict(millimetre).items()}
        rows.append({"patient": record.patient, "class": name, **overlap, **distances})
    return rows


def _log_summary(rows: list[Row], out: Path) -> None:
    """Mean Dice, and how many scores are undefined."""
    overlaps = _defined(rows, "dice")
    distances = _defined(rows, "assd_voxel")
    mean = f"mean Dice {sum(overlaps) / len(overlaps):.4f}" if overlaps else "no Dice is defined"
    LOG.info("%s: %s over %d scores", out, mean, len(overlaps))
    if len(distances) < len(rows):
        LOG.info(
            "%d of %d distances and %d of %d Dice are undefined (an empty mask) and stand as NaN",
            len(rows) - len(distances),
            len(rows),
            len(rows) - len(overlaps),
            len(rows),
        )


def _defined(rows: list[Row], column: str) -> list[float]:
    values = [row[column] for row in rows]
    return [value for value in values if isinstance(value, float) and not math.isnan(value)]

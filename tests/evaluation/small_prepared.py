"""Prepared datasets of a few voxels whose images give away their labels, and a network that looks.

An image holds its label map as intensities, so a network that reads them off knows the truth, and
what is lost on the way to a native prediction is lost by resizing alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from torch import Tensor, nn

from arco import files
from arco.data.geometry import geometry_of, to_prepared, write_labels
from arco.data.manifest import CaseRecord, Geometry, Manifest, write_manifest

CLASSES = ("background", "rv", "myo", "lv")
IMAGE_SIZE = (32, 48)
SPACING_MM = (1.25, 1.5, 8.0)


class Oracle(nn.Module):
    """Reads the classes off an image of `write_prepared`; certain of each."""

    def forward(self, images: Tensor) -> Tensor:
        """[B, 1, H, W] -> [B, C, H, W]."""
        classes = (images[:, 0] * (len(CLASSES) - 1)).round().long()
        return 50.0 * nn.functional.one_hot(classes, len(CLASSES)).movedim(-1, 1).float()


def heart(size: tuple[int, int, int], generator: np.random.Generator) -> np.ndarray:
    """A ring around a disc, and a neighbour, over (z, y, x); the first slice is empty."""
    x, y, z = size
    grid = np.mgrid[:z, :y, :x]
    center = np.array([y, x]) * generator.uniform(0.45, 0.55, 2)
    radius = np.hypot(grid[1] - center[0], grid[2] - center[1]) / min(x, y)
    beside = np.hypot(grid[1] - center[0], grid[2] - center[1] + 0.4 * x) / min(x, y)
    labels = np.select([radius < 0.15, radius < 0.3, beside < 0.25], [3, 2, 1], 0)
    labels[0] = 0
    return labels.astype(np.uint8)


def scan(labels: np.ndarray, orientation: str = "LPS") -> sitk.Image:
    """A label map over (z, y, x) as an image whose axes point to `orientation`."""
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(SPACING_MM)
    image.SetOrigin((11.0, -7.0, 3.0))
    cosines = sitk.DICOMOrientImageFilter.GetDirectionCosinesFromOrientation(orientation)
    image.SetDirection(cosines)
    return image


def write_case(folder: Path, case: str, image: sitk.Image) -> CaseRecord:
    """Write the prepared files of one case; its image shows its labels."""
    native = geometry_of(image)
    labels = to_prepared(image, IMAGE_SIZE, nearest=True)
    images = labels[None].astype(np.float32) / (len(CLASSES) - 1)
    files.write_array(folder / "images" / f"{case}.npy", images)
    files.write_array(folder / "labels" / f"{case}.npy", labels)
    write_labels(folder / "truth" / f"{case}.nii.gz", sitk.GetArrayFromImage(image), native)
    return simple_record(native, images.shape, patient=case.partition("_")[0])


def simple_record(native: Geometry, shape: tuple[int, ...], patient: str = "p1") -> CaseRecord:
    """A record without checksums."""
    return CaseRecord(patient, {}, {}, native, shape, {}, (1,) * shape[1], ())


def write_prepared(folder: Path, scans: Mapping[str, sitk.Image], part: str = "test") -> None:
    """Write a prepared dataset with all its cases in one part."""
    records = {case: write_case(folder, case, image) for case, image in scans.items()}
    settings = {"classes": list(CLASSES), "image_size": list(IMAGE_SIZE)}
    write_manifest(folder, Manifest("phantom", settings, records))
    files.write_text(folder / "splits" / f"{part}.txt", "\n".join(scans) + "\n")


def settings(**changes: object) -> dict[str, object]:
    """What a run on such a dataset keeps."""
    dataset = {"name": "heart", "classes": list(CLASSES), "spatial_axes": 2}
    network = {"name": "unet", "channels": [2, 3, 4, 5, 6], "dropout": [0.5] * 5}
    tree = {"dataset": {**dataset, "image_size": list(IMAGE_SIZE)}, "network": network}
    return {**tree, "channels": 1, **changes}

"""The form in which the public code for LA keeps a scan."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import SimpleITK as sitk
from small_scans import SETTINGS, intensities, organ, prepare

from arco.data.cases import RawCase
from arco.data.conversion import PreparationSettings
from arco.data.geometry import geometry_of, read_scan
from arco.errors import ArcoError

CLASSES = {"background": 0, "atrium": 255}


def write_h5(path: Path, image: np.ndarray, label: np.ndarray) -> Path:
    """Write arrays over (x, y, z), as the public code does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("image", data=image, compression="gzip")
        file.create_dataset("label", data=label, compression="gzip")
    return path


@pytest.fixture
def arrays() -> tuple[np.ndarray, np.ndarray]:
    """A normalized scan and its mask, [x, y, z]."""
    label = (organ() > 0).astype(np.uint8).T
    image = intensities(organ()).T.astype(np.float32)
    return (image - image.mean()) / image.std(), label


def test_axes_and_values_are_those_of_the_challenge(
    tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]
) -> None:
    image, label = arrays
    path = write_h5(tmp_path / "mri_norm2.h5", image, label)
    scan, mask = read_scan(path), read_scan(path, labels=True)
    assert np.array_equal(sitk.GetArrayFromImage(scan), image.T)
    assert np.array_equal(sitk.GetArrayFromImage(mask), 255 * label.T)
    geometry = geometry_of(scan)
    assert geometry == geometry_of(mask)
    assert geometry.size == image.shape
    assert geometry.spacing_mm == (0.625,) * 3
    assert geometry.orientation == "LPS"


def test_such_a_case_is_prepared_with_a_note(
    tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]
) -> None:
    path = write_h5(tmp_path / "raw" / "A" / "mri_norm2.h5", *arrays)
    settings = PreparationSettings(CLASSES, None, None, 1)
    record = prepare([RawCase("A", "A", (path,), path)], tmp_path, settings).record("A")
    (note,) = record.notes
    assert "0.625 mm is assumed" in note
    assert record.voxels["atrium"] == arrays[1].sum()
    assert list(record.inputs) == ["A/mri_norm2.h5"]
    prepared = np.load(tmp_path / "out/images/A.npy")
    assert prepared.min() == 0
    assert prepared.max() == 1


@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.float32])
def test_masks_of_other_types_read_the_same(
    tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray], dtype: type
) -> None:
    path = write_h5(tmp_path / "mri_norm2.h5", arrays[0], arrays[1].astype(dtype))
    mask = sitk.GetArrayFromImage(read_scan(path, labels=True))
    assert np.array_equal(mask, 255 * arrays[1].T)
    assert mask.dtype == np.uint8


def test_what_is_not_such_a_file_is_refused_in_one_sentence(
    tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]
) -> None:
    image, label = arrays
    (tmp_path / "text.h5").write_text("not HDF5")
    with h5py.File(tmp_path / "without.h5", "w") as file:
        file["scan"] = image
    with h5py.File(tmp_path / "group.h5", "w") as file:
        file.create_group("image")
    write_h5(tmp_path / "flat.h5", image[0], label[0])
    whole = write_h5(tmp_path / "whole.h5", image, label).read_bytes()
    (tmp_path / "short.h5").write_bytes(whole[: len(whole) // 2])
    for name, said in {
        "text": "no HDF5 file",
        "without": "no dataset 'image'",
        "group": "not a volume of numbers",
        "flat": r"shape \(10, 6\), not a volume",
        "short": "no HDF5 file, or cut short",
        "absent": "missing",
    }.items():
        with pytest.raises(ArcoError, match=said) as caught:
            read_scan(tmp_path / f"{name}.h5")
        assert f"{name}.h5" in str(caught.value)
        assert "\n" not in str(caught.value)
    write_h5(tmp_path / "values.h5", image, 2 * label)
    with pytest.raises(ArcoError, match="must be 0 and 1 but goes from 0 to 2"):
        read_scan(tmp_path / "values.h5", labels=True)


def test_nan_is_refused(tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    image, label = arrays
    image[1, 2, 3] = np.nan
    path = write_h5(tmp_path / "raw" / "a.h5", image, label)
    settings = PreparationSettings(CLASSES, SETTINGS.image_size, None, 1)
    with pytest.raises(ArcoError, match=r"a\.h5 holds 1 voxels that are NaN"):
        prepare([RawCase("a", "a", (path,), path)], tmp_path, settings)

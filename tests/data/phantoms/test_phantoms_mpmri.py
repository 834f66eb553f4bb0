from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from phantom_sets import best_window_dice, content, read, write
from scipy import ndimage

from arco.data.cases import RawCase
from arco.data.conversion import PreparationSettings
from arco.data.phantoms import mpmri
from arco.data.preparation import prepare_dataset

LAYOUT = "mpmri"
PATIENTS = 10
SEED = 11
PHASES = ("pre", "arterial", "venous")


def liver_of(case: RawCase) -> np.ndarray:
    assert case.label is not None
    return read(case.label) > 0


def test_the_layout_reader_finds_every_patient_once(root: Path, cases: list[RawCase]) -> None:
    names = [f"case_{number:03d}" for number in range(1, PATIENTS + 1)]
    assert [case.case for case in cases] == [case.patient for case in cases] == names
    for case in cases:
        assert [path.name for path in case.images] == [f"{phase}.nii.gz" for phase in PHASES]
    assert "case_001/arterial_to_pre.txt" in content(root)


def test_equal_seeds_give_equal_bytes_however_many_patients_there_are(
    root: Path, tmp_path: Path
) -> None:
    write(LAYOUT, tmp_path / "few", 2, SEED)
    few, all_ = content(tmp_path / "few"), content(root)
    volumes = [name for name in few if name.endswith(".nii.gz")]
    assert len(volumes) == 8
    assert all(few[name] == all_[name] for name in volumes)
    write(LAYOUT, tmp_path / "other", 1, SEED + 1)
    name = "case_001/venous.nii.gz"
    assert content(tmp_path / "other")[name] != all_[name]


def test_all_files_of_a_case_lie_on_one_grid(cases: list[RawCase]) -> None:
    shapes, codes = set(), set()
    for case in cases:
        label = nib.load(case.label)
        for path in case.images:
            image = nib.load(path)
            assert image.shape == label.shape
            assert np.array_equal(image.affine, label.affine)
            assert image.get_data_dtype() == np.int16
        assert label.header.get_zooms() == (4.0, 4.0, 4.0)
        assert set(np.unique(read(case.label))) == {0, 1}  # type: ignore[arg-type]
        shapes.add(label.shape)
        codes.add("".join(nib.aff2axcodes(label.affine)))
    assert len(shapes) > PATIENTS // 2
    assert len(codes) > 1
    assert all(58 <= shape[0] <= 70 and 34 <= shape[2] <= 44 for shape in shapes)


def test_the_best_intensity_windows_of_no_phase_find_the_liver(cases: list[RawCase]) -> None:
    for channel in range(len(PHASES)):
        histogram = np.zeros((2, 64))
        for case in cases:
            image, liver = read(case.images[channel]), liver_of(case)
            scaled = (image - image.min()) / (float(image.max()) - image.min())
            for value in range(2):
                histogram[value] += np.histogram(scaled[liver == value], 64, (0, 1))[0]
        assert best_window_dice(histogram).max() < 0.57


def test_phases_show_one_anatomy_with_other_contrasts(cases: list[RawCase]) -> None:
    brightest = []
    for case in cases:
        liver = ndimage.binary_erosion(liver_of(case), iterations=3)
        images = [read(path).astype(float) for path in case.images]
        relative = [np.median(image[liver]) / np.quantile(image, 0.999) for image in images]
        # The aorta outshines the liver in the arterial phase, less so later.
        brightest.append(relative[1] < relative[2])
        body = images[0] > np.quantile(images[0], 0.6)
        for image in images[1:]:
            assert np.corrcoef(images[0][body], image[body])[0, 1] < 0.95
            assert np.corrcoef(images[0].ravel(), image.ravel())[0, 1] > 0.4
    assert np.mean(brightest) > 0.8


def test_the_liver_is_one_organ_of_useful_size(cases: list[RawCase]) -> None:
    shares = []
    for case in cases:
        liver = liver_of(case)
        pieces, _ = ndimage.label(liver, np.ones((3, 3, 3)))
        assert np.bincount(pieces.ravel())[1:].max() > 0.97 * liver.sum()
        shares.append(liver.mean())
    assert min(shares) > 0.05
    assert max(shares) < 0.2
    assert max(shares) > 1.2 * min(shares)


def test_prepared_volumes_have_a_channel_per_phase(
    root: Path, cases: list[RawCase], tmp_path: Path
) -> None:
    settings = PreparationSettings({"background": 0, "liver": 1}, None, None, 1)
    manifest = prepare_dataset(
        cases[:4], root, tmp_path, settings, source="phantom", workers=1, report=lambda *_: None
    )
    for name, record in manifest.cases.items():
        images = np.load(tmp_path / "images" / f"{name}.npy")
        label = np.load(tmp_path / "labels" / f"{name}.npy")
        assert images.shape == (3, *label.shape) == record.shape
        assert [image.min() for image in images] == [0, 0, 0]
        assert [image.max() for image in images] == [1, 1, 1]
        assert ndimage.center_of_mass(label)[2] < 0.47 * label.shape[2]


def test_progress_is_told_after_each_patient(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    mpmri.write_phantoms(tmp_path / "out", 2, SEED, lambda done, all_: told.append((done, all_)))
    assert told == [(1, 2), (2, 2)]

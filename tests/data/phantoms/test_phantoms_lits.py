from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from phantom_sets import best_window_dice, content, find, write
from scipy import ndimage

from arco.data.anatomy.abdomen import draw_abdomen
from arco.data.anatomy.abdomen_tissues import draw_hounsfield, draw_phases
from arco.data.anatomy.liver import draw_liver
from arco.data.cases import RawCase
from arco.data.conversion import PreparationSettings
from arco.data.phantom_files import turned
from arco.data.phantoms import lits
from arco.data.preparation import prepare_dataset

LAYOUT = "lits"
PATIENTS = 16
SEED = 3
WINDOW = (-200.0, 250.0)
CLASSES = {"background": 0, "liver": 1, "lesion": 2}
LIVER, LESION = 1, 2


@pytest.fixture(scope="module")
def scans(cases: list[RawCase]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Image and label map of each case over axes to the left, the back and up."""
    return [(upright(case.images[0]), upright(case.label)) for case in cases if case.label]


def upright(path: Path) -> np.ndarray:
    """A file's array over axes to the left, the back and up."""
    image = nib.load(path)
    return np.asarray(turned(np.asarray(image.dataobj), image.affine, "LPS")[0])


def test_the_layout_reader_finds_every_patient_once(cases: list[RawCase]) -> None:
    names = [f"lits_{number:03d}" for number in range(PATIENTS)]
    assert [case.case for case in cases] == [case.patient for case in cases] == names


def test_patients_fill_the_first_batch_before_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lits.FIRST_BATCH == 28
    monkeypatch.setattr(lits, "FIRST_BATCH", 2)
    write(LAYOUT, tmp_path / "lits", 3, SEED)
    cases = find(LAYOUT, tmp_path / "lits")
    assert [case.images[0].parent.name[-1] for case in cases] == ["1", "1", "2"]
    assert (tmp_path / "lits/LITS-Challenge-Test-Data/test-volume-0.nii").is_file()


def test_equal_seeds_give_equal_bytes_however_many_patients_there_are(
    root: Path, tmp_path: Path
) -> None:
    write(LAYOUT, tmp_path / "few", 2, SEED)
    few, all_ = content(tmp_path / "few"), content(root)
    volumes = [name for name in few if "volume" in name or "segmentation" in name]
    assert len(volumes) == 5
    assert all(few[name] == all_[name] for name in volumes)
    write(LAYOUT, tmp_path / "other", 1, SEED + 1)
    name = "Training Batch 1/volume-0.nii"
    assert content(tmp_path / "other")[name] != all_[name]


def test_files_are_as_uneven_as_the_original(cases: list[RawCase]) -> None:
    images = [nib.load(case.images[0]) for case in cases]
    for image, case in zip(images, cases, strict=True):
        label = nib.load(case.label)
        assert image.shape == label.shape
        assert np.array_equal(image.affine, label.affine)
        assert label.get_data_dtype() == np.uint8
        assert 18 <= image.shape[2] <= 24
        assert 3 < image.header.get_zooms()[0] < 4.2 < image.header.get_zooms()[2] < 12
    dtypes = {image.get_data_dtype().name for image in images}
    assert "int16" in dtypes
    assert dtypes - {"int16"} <= {"float32", "float64"}
    assert len(dtypes) > 1
    codes = {"".join(nib.aff2axcodes(image.affine)) for image in images}
    assert codes == {"LAS", "RAS", "LPS"}
    assert len({image.shape for image in images}) > PATIENTS // 2


def test_a_scan_keeps_its_place_in_space_however_it_is_stored() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    affine = np.array([[-2.0, 0, 0, 5], [0, -1, 0, 7], [0, 0, 3, -9], [0, 0, 0, 1]])
    for codes in ("LPS", "RAS", "LAS", "PIR"):
        moved, there = turned(array, affine, codes)
        assert "".join(nib.aff2axcodes(there)) == codes
        for index in np.ndindex(moved.shape):
            voxel = np.rint(np.linalg.inv(affine) @ there @ [*index, 1]).astype(int)
            assert moved[index] == array[tuple(voxel[:3])]


def test_without_the_window_metal_would_decide_the_scale(
    scans: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    highest = [image.max() for image, _ in scans]
    lowest = [image.min() for image, _ in scans]
    assert max(highest) == 3071
    assert min(highest) < 2500
    assert set(lowest) == {-1024}
    for image, label in scans:
        liver = image[label == LIVER].mean()
        assert 30 < liver < 160
        assert image[0, 0, 0] < -900


def test_the_best_windows_of_density_find_neither_liver_nor_lesions(
    scans: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    histogram = np.zeros((3, 64))
    for image, label in scans:
        counts = [np.histogram(image[label == v].clip(*WINDOW), 64, WINDOW)[0] for v in range(3)]
        assert best_window_dice(np.array(counts)).max() < 0.75
        histogram += counts
    liver, lesion = best_window_dice(histogram)
    assert liver < 0.57
    assert lesion < 0.3


def test_the_liver_is_one_organ_at_the_right_of_the_patient(
    scans: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    volumes = []
    for _, label in scans:
        organ = label > 0
        pieces, _ = ndimage.label(organ, np.ones((3, 3, 3)))
        assert np.bincount(pieces.ravel())[1:].max() > 0.97 * organ.sum()
        assert 0.02 < organ.mean() < 0.12
        assert ndimage.center_of_mass(organ)[0] < 0.47 * organ.shape[0]
        volumes.append(organ.mean())
    assert max(volumes) > 1.3 * min(volumes)


def test_neighbors_touch_the_liver_at_its_own_density(
    scans: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    for image, label in scans:
        organ = label > 0
        around = ndimage.binary_dilation(organ, iterations=2) & ~ndimage.binary_dilation(organ)
        alike = np.abs(image[around] - np.median(image[label == LIVER])) < 40
        assert alike.mean() > 0.1


def test_lesions_lie_in_the_liver_and_some_patients_have_none(
    scans: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    contrasts = []
    for image, label in scans:
        lesions = label == LESION
        if lesions.any():
            assert 0.005 < lesions.sum() / (label > 0).sum() < 0.5
            around = ndimage.binary_dilation(lesions) & ~lesions
            assert (label[around] == LIVER).mean() > 0.5
            contrasts.append(image[lesions].mean() - np.median(image[label == LIVER]))
    assert PATIENTS // 2 < len(contrasts) < PATIENTS
    assert np.mean(np.array(contrasts) < -15) > 0.75
    assert max(contrasts) > 15


def test_one_patient_in_ten_has_no_lesion_and_one_in_ten_bright_ones() -> None:
    rng = np.random.default_rng(0)
    livers = [draw_liver(rng, draw_abdomen(rng)) for _ in range(400)]
    counts = [len(liver.lesions) for liver in livers]
    assert counts.count(0) / 400 == pytest.approx(0.1, abs=0.04)
    assert set(counts) == {0, 1, 2, 3, 4, 5}
    bright = [
        liver.lesions[0].parts[0].tissue == "bright_lesion" for liver in livers if liver.lesions
    ]
    assert np.mean(bright) == pytest.approx(0.1, abs=0.04)


def test_the_scan_goes_on_above_or_below_the_liver(
    scans: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    without = [1 - (label > 0).any(axis=(0, 1)).mean() for _, label in scans]
    assert 0.15 < np.median(without) < 0.4
    assert max(without) < 0.6


def test_the_field_of_view_holds_the_whole_body(
    scans: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    for image, _ in scans:
        middle = image[:, :, image.shape[2] // 2] > -300
        body, _ = ndimage.label(ndimage.binary_opening(middle, iterations=2))
        body = body == np.bincount(body.ravel())[1:].argmax() + 1
        width = np.ptp(np.flatnonzero(body.any(axis=1)))
        assert 0.65 * len(image) < width < len(image)


def test_livers_differ_in_density_between_patients(
    scans: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    densities = [np.median(image[label == LIVER]) for image, label in scans]
    assert max(densities) - min(densities) > 50


def test_tissues_are_the_same_in_ct_and_in_every_phase_of_mri() -> None:
    rng = np.random.default_rng(0)
    tissues = set(draw_hounsfield(rng))
    for phase in draw_phases(rng).values():
        assert set(phase) == tissues


def test_prepared_slices_lie_alike_and_span_the_window(
    root: Path, cases: list[RawCase], tmp_path: Path
) -> None:
    settings = PreparationSettings(CLASSES, (64, 64), WINDOW, 1)
    manifest = prepare_dataset(
        cases[:6], root, tmp_path, settings, source="phantom", workers=1, report=lambda *_: None
    )
    for name in manifest.cases:
        image = np.load(tmp_path / "images" / f"{name}.npy")
        label = np.load(tmp_path / "labels" / f"{name}.npy")
        assert image.shape[2:] == (64, 64)
        assert image.min() == 0
        assert image.max() == 1
        # Axes are z, y, x: the liver lies to the right, the low end of x, as in every other scan.
        assert ndimage.center_of_mass(label > 0)[2] < 30
        assert set(np.unique(label)) <= {0, 1, 2}


def test_progress_is_told_after_each_patient(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    lits.write_phantoms(tmp_path / "out", 2, SEED, lambda done, all_: told.append((done, all_)))
    assert told == [(1, 2), (2, 2)]

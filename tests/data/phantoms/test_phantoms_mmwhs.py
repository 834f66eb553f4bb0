from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from phantom_sets import arrays, best_window_dice, content, find, read, write
from scipy import ndimage

from arco.data.anatomy.whole_heart import LABELS
from arco.data.cases import RawCase
from arco.data.conversion import PreparationSettings
from arco.data.manifest import Manifest
from arco.data.phantoms.mmwhs import STRAY
from arco.data.preparation import prepare_dataset
from arco.errors import ArcoError

LAYOUT = "mmwhs"
PATIENTS = 8
SEED = 11
CLASSES = {"background": 0, **LABELS}


@pytest.fixture(scope="module")
def hearts(cases: list[RawCase]) -> list[np.ndarray]:
    """The label maps over axes to the left, the back and up, the stray value replaced."""
    return [upright(case)[1] for case in cases]


def upright(case: RawCase) -> tuple[np.ndarray, np.ndarray]:
    """Image and label map of a case over axes to the left, the back and up."""
    found = []
    for path in (case.images[0], case.label):
        image = nib.load(path)
        codes = nib.orientations.axcodes2ornt("LPS")
        turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), codes)
        found.append(np.asarray(image.as_reoriented(turn).dataobj))
    return found[0], np.where(found[1] == STRAY, LABELS["la"], found[1])


def center(heart: np.ndarray, name: str) -> np.ndarray:
    """The center of a structure in shares of the field of view."""
    return np.array(ndimage.center_of_mass(heart == LABELS[name])) / heart.shape


def test_the_layout_reader_finds_every_patient_once(cases: list[RawCase]) -> None:
    names = [f"mr_train_{1000 + number}" for number in range(1, PATIENTS + 1)]
    assert [case.case for case in cases] == [case.patient for case in cases] == names


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_patients(
    root: Path, tmp_path: Path
) -> None:
    write(LAYOUT, tmp_path / "again", PATIENTS, SEED)
    assert content(tmp_path / "again") == content(root)
    write(LAYOUT, tmp_path / "other", 1, SEED + 1)
    image = find(LAYOUT, tmp_path / "other")[0].images[0]
    assert image.read_bytes() != find(LAYOUT, root)[0].images[0].read_bytes()


def test_a_patient_does_not_depend_on_how_many_there_are(
    cases: list[RawCase], tmp_path: Path
) -> None:
    write(LAYOUT, tmp_path / "few", 2, SEED)
    for case, same in zip(find(LAYOUT, tmp_path / "few"), cases, strict=False):
        assert case.images[0].read_bytes() == same.images[0].read_bytes()


def test_files_are_as_uneven_as_the_original(cases: list[RawCase]) -> None:
    images = [nib.load(case.images[0]) for case in cases]
    for image, case in zip(images, cases, strict=True):
        label = nib.load(case.label)
        assert image.shape == label.shape
        assert np.array_equal(image.affine, label.affine)
        assert np.isfinite(image.get_fdata()).all()
    assert {image.get_data_dtype().name for image in images} == {"int16", "uint16", "float32"}
    assert len({image.shape for image in images}) == PATIENTS
    codes = {nib.aff2axcodes(image.affine) for image in images}
    assert len(codes) > 2
    assert len({tuple("RAILPS".index(letter) % 3 for letter in code) for code in codes}) > 1
    cosines = [image.affine[:3, :3] / image.header.get_zooms() for image in images]
    oblique = [np.abs(matrix).max(axis=0).min() < 0.999 for matrix in cosines]
    assert 1 < sum(oblique) < PATIENTS
    for matrix in cosines:
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-5)


def test_one_label_map_holds_a_few_stray_values(cases: list[RawCase]) -> None:
    strays = [np.count_nonzero(read(case.label) == STRAY) for case in cases if case.label]
    assert strays == [5] + [0] * (PATIENTS - 1)
    for case in cases[1:]:
        assert set(np.unique(arrays(case)[1])) == set(CLASSES.values())


def test_the_best_intensity_windows_stay_far_below_a_dice_of_060(cases: list[RawCase]) -> None:
    histogram = np.zeros((len(CLASSES), 64))
    for case in cases:
        image, label = upright(case)
        scaled = (image - image.min()) / (float(image.max()) - image.min())
        counts = [np.histogram(scaled[label == v], 64, (0, 1))[0] for v in CLASSES.values()]
        assert best_window_dice(np.array(counts)).max() < 0.6
        histogram += counts
    assert best_window_dice(histogram).max() < 0.45


def test_every_structure_has_a_useful_size(hearts: list[np.ndarray]) -> None:
    for heart in hearts:
        for name, value in LABELS.items():
            share = (heart == value).mean()
            assert 0.0025 < share < 0.06, name
        assert 60 <= heart.shape[0] <= 80
        assert 16 <= heart.shape[2] <= 34


def test_structures_lie_as_in_a_chest(hearts: list[np.ndarray]) -> None:
    for heart in hearts:
        at = {name: center(heart, name) for name in LABELS}
        left, back, up = 0, 1, 2
        assert at["ra"][left] < at["rv"][left] < at["lv"][left]
        assert at["rv"][back] < at["lv"][back] < at["la"][back]
        assert at["lv"][up] < at["la"][up] < at["aa"][up]
        assert at["aa"][left] < at["pa"][left]
        assert at["pa"][up] > at["rv"][up]


def test_structures_touch_where_blood_and_muscle_pass(hearts: list[np.ndarray]) -> None:
    for heart in hearts:
        near = {
            name: set(np.unique(heart[ndimage.binary_dilation(heart == value)]))
            for name, value in LABELS.items()
        }
        for first, second in (
            ("lv", "myo"), ("lv", "la"), ("lv", "aa"), ("rv", "myo"), ("rv", "ra"), ("rv", "pa")
        ):  # fmt: skip
            assert LABELS[second] in near[first], (first, second)
        for first, second in (("lv", "rv"), ("lv", "ra"), ("lv", "pa"), ("ra", "pa")):
            assert LABELS[second] not in near[first], (first, second)


def test_each_chamber_is_in_one_piece(hearts: list[np.ndarray]) -> None:
    corners = np.ones((3, 3, 3))
    for heart in hearts:
        for value in LABELS.values():
            pieces, count = ndimage.label(heart == value, corners)
            largest = np.bincount(pieces.ravel())[1:].max()
            assert count > 0
            assert largest > 0.97 * (heart == value).sum()


def test_venous_blood_is_darker_and_patients_differ_in_contrast(cases: list[RawCase]) -> None:
    contrasts = []
    for case in cases:
        image, label = upright(case)
        mean = {name: float(image[label == value].mean()) for name, value in LABELS.items()}
        assert mean["myo"] < mean["rv"] < mean["lv"]
        contrasts.append(mean["myo"] / mean["lv"])
    assert max(contrasts) - min(contrasts) > 0.1


def prepared(root: Path, cases: list[RawCase], out: Path) -> Manifest:
    settings = PreparationSettings(
        CLASSES, (64, 64), None, 1, axial=True, label_aliases={STRAY: LABELS["la"]}
    )
    return prepare_dataset(
        cases, root, out, settings, source="phantom", workers=1, report=lambda done, total: None
    )


def test_prepared_slices_are_axial_in_every_patient(
    root: Path, cases: list[RawCase], hearts: list[np.ndarray], tmp_path: Path
) -> None:
    manifest = prepared(root, cases, tmp_path)
    notes = [record.notes for record in manifest.cases.values()]
    assert notes == [("5 voxels of value 421 are read as 420",)] + [()] * (PATIENTS - 1)
    for heart, (case, record) in zip(hearts, manifest.cases.items(), strict=True):
        labels = np.load(tmp_path / "labels" / f"{case}.npy")
        assert record.shape == (1, heart.shape[2], 64, 64)
        for index, value in enumerate(CLASSES.values()):
            ours = (labels == index).mean(axis=(1, 2))
            np.testing.assert_allclose(ours, (heart == value).mean(axis=(0, 1)), atol=0.01)


def test_progress_is_told_and_a_download_is_not_replaced(tmp_path: Path) -> None:
    from arco.data.phantoms.mmwhs import write_phantoms

    told: list[tuple[int, int]] = []
    write_phantoms(tmp_path / "a", 2, SEED, lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    (tmp_path / "download" / "mr_train").mkdir(parents=True)
    with pytest.raises(ArcoError, match="download holds files that are no phantoms"):
        write(LAYOUT, tmp_path / "download", 1, SEED)

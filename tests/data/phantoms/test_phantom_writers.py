from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from phantom_sets import arrays, best_window_dice, content, find, read, write
from scipy import ndimage

from arco import registry
from arco.errors import ArcoError

PATIENTS = 8
SEED = 11
LAYOUTS = ("acdc", "msd")


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small synthetic dataset in each layout, written once for all tests."""
    parent = tmp_path_factory.mktemp("phantoms")
    for layout in LAYOUTS:
        write(layout, parent / layout, PATIENTS, SEED)
    return {layout: parent / layout for layout in LAYOUTS}


@pytest.mark.parametrize(("layout", "per_patient"), [("acdc", 2), ("msd", 1)])
def test_the_layout_reader_finds_every_case_once(
    roots: dict[str, Path], layout: str, per_patient: int
) -> None:
    cases = find(layout, roots[layout])
    assert len(cases) == per_patient * PATIENTS
    assert len({case.patient for case in cases}) == PATIENTS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_equal_seeds_give_equal_bytes_and_other_seeds_other_patients(
    roots: dict[str, Path], layout: str, tmp_path: Path
) -> None:
    write(layout, tmp_path / "again", PATIENTS, SEED)
    assert content(tmp_path / "again") == content(roots[layout])
    write(layout, tmp_path / "other", 1, SEED + 1)
    image = find(layout, tmp_path / "other")[0].images[0]
    assert image.read_bytes() != find(layout, roots[layout])[0].images[0].read_bytes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_patient_does_not_depend_on_how_many_there_are(
    roots: dict[str, Path], layout: str, tmp_path: Path
) -> None:
    write(layout, tmp_path / "few", 2, SEED)
    few = find(layout, tmp_path / "few")
    for case, same in zip(few, find(layout, roots[layout]), strict=False):
        assert case.case == same.case
        assert case.images[0].read_bytes() == same.images[0].read_bytes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_image_and_label_share_shape_and_affine(roots: dict[str, Path], layout: str) -> None:
    for case in find(layout, roots[layout]):
        image, label = nib.load(case.images[0]), nib.load(case.label)
        assert image.shape == label.shape
        assert np.array_equal(image.affine, label.affine)
        assert np.isfinite(image.get_fdata()).all()


@pytest.mark.parametrize(("layout", "classes"), [("acdc", 4), ("msd", 3)])
def test_the_best_intensity_windows_stay_far_below_a_dice_of_060(
    roots: dict[str, Path], layout: str, classes: int
) -> None:
    histogram = np.zeros((classes, 64))
    for case in find(layout, roots[layout]):
        image, label = arrays(case)
        scaled = (image - image.min()) / (float(image.max()) - image.min())
        for value in range(classes):
            histogram[value] += np.histogram(scaled[label == value], 64, (0, 1))[0]
    assert best_window_dice(histogram).max() < 0.45


def test_best_window_dice_is_one_where_intensity_tells_the_class() -> None:
    assert best_window_dice(np.array([[9, 0, 0, 5], [0, 4, 2, 0]])).tolist() == [1.0]
    # Window {1}: 2 * 4 / (6 + 6) = 2/3; windows {2} and {1, 2}: 4/8 and 12/16.
    assert best_window_dice(np.array([[9, 2, 2, 5], [0, 4, 2, 0]])).tolist() == [0.75]


def test_the_phantoms_bring_stray_files(roots: dict[str, Path]) -> None:
    names = set(content(roots["acdc"]))
    assert "training/patient001/patient001.Info.cfg" in names
    assert "MANDATORY_CITATION.md" in names
    assert "imagesTr/._hippocampus_001.nii.gz" in content(roots["msd"])


def test_hippocampi_have_two_touching_parts_in_one_piece(roots: dict[str, Path]) -> None:
    for case in find("msd", roots["msd"]):
        _, label = arrays(case)
        assert set(np.unique(label)) == {0, 1, 2}
        assert ndimage.label(label > 0)[1] == 1
        assert (ndimage.binary_dilation(label == 1) & (label == 2)).any()
        front, back = (np.argwhere(label == value)[:, 1].mean() for value in (1, 2))
        assert front > back
        assert 0.01 < (label == 1).mean() < 0.06
        assert 0.01 < (label == 2).mean() < 0.06


def test_hippocampus_files_are_as_uneven_as_the_original(tmp_path: Path) -> None:
    write("msd", tmp_path / "msd", 20, SEED)
    cases = find("msd", tmp_path / "msd")
    images = [nib.load(case.images[0]) for case in cases]
    assert {image.get_data_dtype().name for image in images} == {"uint8", "float32"}
    labels = {nib.load(case.label).get_data_dtype().name for case in cases}
    assert labels == {"uint8", "float32"}
    maxima = [float(read(case.images[0]).max()) for case in cases]
    assert max(maxima) > 1000 * min(maxima)
    assert len({image.shape for image in images}) > 15
    assert nib.aff2axcodes(images[0].affine) == ("R", "A", "S")
    numbers = [int(case.case.rpartition("_")[2]) for case in cases]
    assert numbers[:4] == [1, 2, 4, 5]
    description = json.loads((tmp_path / "msd" / "dataset.json").read_text())
    assert description["numTraining"] == len(description["training"]) == 20


@pytest.mark.parametrize("layout", LAYOUTS)
def test_progress_is_told_after_each_patient(layout: str, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    module = registry.load("data/phantoms", layout)
    module.write_phantoms(tmp_path / layout, 2, SEED, lambda done, all_: told.append((done, all_)))
    assert told == [(1, 2), (2, 2)]


def test_older_phantoms_are_replaced_but_a_download_is_not(tmp_path: Path) -> None:
    out = tmp_path / "acdc"
    write("acdc", out, 2, SEED)
    write("acdc", out, 1, SEED)
    assert len(find("acdc", out)) == 2
    download = tmp_path / "download"
    (download / "training").mkdir(parents=True)
    with pytest.raises(ArcoError, match="download holds files that are no phantoms"):
        write("acdc", download, 1, SEED)
    assert (download / "training").is_dir()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_interrupted_writer_leaves_nothing(layout: str, tmp_path: Path) -> None:
    def interrupt(done: int, patients: int) -> None:
        raise KeyboardInterrupt

    module = registry.load("data/phantoms", layout)
    with pytest.raises(KeyboardInterrupt):
        module.write_phantoms(tmp_path / "out", 2, SEED, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_no_patients_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArcoError, match="at least 1, not 0"):
        write("acdc", tmp_path / "out", 0, SEED)

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from small_scans import (
    CLASSES,
    SETTINGS,
    SIZE,
    contents,
    ignore_progress,
    intensities,
    organ,
    prepare,
    write,
    write_raw_case,
    write_raw_dataset,
)

from arco import files
from arco.data import preparation
from arco.data.cases import RawCase
from arco.data.conversion import PreparationSettings, class_indices, convert
from arco.data.geometry import read_scan, to_native
from arco.data.manifest import read_manifest
from arco.data.preparation import prepare_dataset
from arco.errors import ArcoError


def test_images_lie_in_0_to_1_at_the_wanted_size_and_labels_are_indices(tmp_path: Path) -> None:
    manifest = prepare(write_raw_dataset(tmp_path / "raw", patients=2), tmp_path)
    assert list(manifest.cases) == [
        "patient001_frame01", "patient001_frame02", "patient002_frame01", "patient002_frame02"
    ]  # fmt: skip
    for case, record in manifest.cases.items():
        images = np.load(tmp_path / "out" / "images" / f"{case}.npy")
        labels = np.load(tmp_path / "out" / "labels" / f"{case}.npy")
        assert images.dtype == np.float32
        assert images.shape == record.shape == (1, 6, 24, 20)
        assert images.min() >= 0
        assert images.max() <= 1
        assert labels.dtype == np.uint8
        assert labels.shape == (6, 24, 20)
        assert set(np.unique(labels)) == {0, 1, 2, 3}
        assert record.patient == case[:10]


def test_the_manifest_tells_everything_about_a_case(tmp_path: Path) -> None:
    prepare([write_raw_case(tmp_path / "raw", "a", "anna", "RAS")], tmp_path)
    manifest = read_manifest(tmp_path / "out")
    assert manifest.source == "raw"
    assert manifest.classes == ("background", "rv", "myo", "lv")
    assert manifest.settings["label_values"] == [0, 1, 2, 3]
    assert manifest.settings["image_size"] == [24, 20]
    record = manifest.record("a")
    assert record.geometry.size == SIZE
    assert record.geometry.spacing_mm == (1.5, 1.25, 8.0)
    assert record.geometry.orientation == "RAS"
    assert record.slices == 6
    counts = np.bincount(organ().ravel())
    assert record.voxels == dict(zip(CLASSES, counts.tolist(), strict=True))
    assert record.foreground[0] == record.foreground[-1] == 0
    assert min(record.foreground[1:-1]) > 0
    assert set(record.inputs) == {"images/a.nii.gz", "labels/a.nii.gz"}
    for name, digest in record.files.items():
        assert files.sha256(tmp_path / "out" / name) == digest
    assert record.notes == ()
    with pytest.raises(ArcoError, match="no prepared case b"):
        manifest.record("b")


def test_the_truth_is_kept_on_its_own_grid_and_predictions_find_back_to_it(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a", orientation="PIR")
    record = prepare([case], tmp_path).record("a")
    truth = sitk.GetArrayFromImage(read_scan(tmp_path / "out/truth/a.nii.gz", labels=True))
    assert truth.dtype == np.uint8
    assert np.array_equal(truth, organ())
    # The prepared grid is finer here, so not a single voxel is lost.
    prepared = np.load(tmp_path / "out/labels/a.npy")
    assert np.array_equal(to_native(prepared, record.geometry, (24, 20)), truth)


def test_an_unresized_scan_is_its_min_max_scaling(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    settings = dataclasses.replace(SETTINGS, image_size=None)
    prepare([case], tmp_path, settings)
    raw = intensities(organ()).astype(np.float64)
    expected = (raw - raw.min()) / (raw.max() - raw.min())
    images = np.load(tmp_path / "out/images/a.npy")
    assert images.shape == (1, 6, 10, 14)
    assert np.allclose(images[0], expected, atol=1e-6)
    assert images.min() == 0
    assert images.max() == 1


def test_an_intensity_window_is_applied_before_scaling(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    write(case.images[0], np.array([-1000, 100, 200, 300], np.int16)[organ()])
    settings = PreparationSettings(CLASSES, None, (-200.0, 250.0), 1)
    prepare([case], tmp_path, settings)
    images = np.load(tmp_path / "out/images/a.npy")
    # -1000 -> -200 -> 0; 100 -> 300/450; 200 -> 400/450; 300 -> 250 -> 1.
    expected = np.array([0, 300 / 450, 400 / 450, 1])[organ()]
    assert np.allclose(images[0], expected, atol=1e-6)


def test_a_blank_header_is_noted(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    assert case.label is not None
    for path in (*case.images, case.label):
        image = sitk.ReadImage(str(path))
        image.SetSpacing((1.0, 1.0, 1.0))
        image.SetOrigin((0.0, 0.0, 0.0))
        sitk.WriteImage(image, str(path))
    (note,) = prepare([case], tmp_path).cases["a"].notes
    assert "as if it were blank" in note
    other = write_raw_case(tmp_path / "raw", "b")
    assert prepare([other], tmp_path).cases["b"].notes == ()


def test_an_intensity_window_is_applied_before_resampling(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    stripes = np.broadcast_to(np.array([-1000, 250] * 7, np.int16), (6, 10, 14))
    write(case.images[0], np.ascontiguousarray(stripes))
    settings = PreparationSettings(CLASSES, (10, 7), (-200.0, 250.0), 1)
    prepare([case], tmp_path, settings)
    # Half way from air at -200 to bone at 250. The other way round all of it would be air.
    assert np.allclose(np.load(tmp_path / "out/images/a.npy"), 0.5, atol=1e-6)


def test_channels_are_scaled_each_by_itself(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    second = tmp_path / "raw" / "images" / "a_0001.nii.gz"
    write(second, 7 - organ())
    case = dataclasses.replace(case, images=(*case.images, second))
    prepare([case], tmp_path, dataclasses.replace(SETTINGS, image_size=None))
    images = np.load(tmp_path / "out/images/a.npy")
    assert images.shape == (2, 6, 10, 14)
    assert np.allclose(images[1], 1 - organ() / 3, atol=1e-6)
    other = write_raw_case(tmp_path / "raw", "b")
    with pytest.raises(ArcoError, match="case b has 1 channels but a has 2"):
        prepare([case, other], tmp_path)


def test_label_values_become_indices_in_the_order_of_the_classes(tmp_path: Path) -> None:
    values = np.array([[205, 0], [850, 500]], dtype=np.int16)
    classes = {"background": 0, "lv": 500, "rv": 205, "la": 850}
    indices, notes = class_indices(values, classes, tmp_path)
    assert indices.tolist() == [[2, 0], [3, 1]]
    assert indices.dtype == np.uint8
    assert notes == []


def test_float_labels_that_hold_whole_numbers_are_accepted_with_a_note(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    assert case.label is not None
    write(case.label, organ().astype(np.float32))
    assert prepare([case], tmp_path).record("a").notes == ("labels are stored as float32",)
    truth = read_scan(tmp_path / "out/truth/a.nii.gz", labels=True)
    assert np.array_equal(sitk.GetArrayFromImage(truth), organ())


def test_headers_that_differ_in_the_last_digit_are_accepted_with_a_note(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    assert case.label is not None
    write(case.label, organ(), origin=(11.001, -7.0, 3.0))
    (note,) = prepare([case], tmp_path).record("a").notes
    assert note == "a.nii.gz: header differs by 0.0008 voxels"


def test_a_class_that_resizing_loses_is_noted(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    labels = np.where(organ() == 3, 2, organ())
    labels[2, 4, 7] = 3
    assert case.label is not None
    write(case.label, labels)
    settings = dataclasses.replace(SETTINGS, image_size=(5, 7))
    assert prepare([case], tmp_path, settings).record("a").notes == (
        "class lv is lost by resizing",
    )


def count_conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    converted = []

    def counting(images, label, settings):  # type: ignore[no-untyped-def]
        converted.append(label.name[0])
        return convert(images, label, settings)

    monkeypatch.setattr(preparation, "convert", counting)
    return converted


def test_finished_cases_are_skipped_and_changed_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [write_raw_case(tmp_path / "raw", name) for name in ("a", "b", "c")]
    first = prepare(cases, tmp_path)
    before = contents(tmp_path / "out")
    converted = count_conversions(monkeypatch)
    assert prepare(cases, tmp_path) == first
    assert converted == []
    assert contents(tmp_path / "out") == before
    write_raw_case(tmp_path / "raw", "b", seed=9)
    (tmp_path / "out/labels/c.npy").write_bytes(b"damaged")
    second = prepare(cases, tmp_path)
    assert converted == ["b", "c"]
    assert second.cases["b"] != first.cases["b"]
    assert second.cases["c"] == first.cases["c"]
    prepare(cases, tmp_path, dataclasses.replace(SETTINGS, version=2))
    assert converted == ["b", "c", "a", "b", "c"]


def test_the_order_of_the_classes_counts_as_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [write_raw_case(tmp_path / "raw", "a")]
    prepare(cases, tmp_path)
    converted = count_conversions(monkeypatch)
    turned = {"background": 0, "lv": 3, "myo": 2, "rv": 1}
    manifest = prepare(cases, tmp_path, dataclasses.replace(SETTINGS, classes=turned))
    assert converted == ["a"]
    assert manifest.classes == ("background", "lv", "myo", "rv")
    assert read_manifest(tmp_path / "out").settings["label_values"] == [0, 3, 2, 1]


def test_files_of_other_cases_and_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    cases = [write_raw_case(tmp_path / "raw", name) for name in ("a", "b")]
    prepare(cases, tmp_path)
    (tmp_path / "out/images/.123.b.npy").write_bytes(b"half")
    (tmp_path / "out/splits").mkdir()
    (tmp_path / "out/splits/train.txt").write_text("a\n")
    assert list(prepare(cases[:1], tmp_path).cases) == ["a"]
    assert sorted(contents(tmp_path / "out")) == [
        "cases/a.json",
        "images/a.npy",
        "labels/a.npy",
        "manifest.json",
        "splits/train.txt",
        "truth/a.nii.gz",
    ]


def test_cases_of_a_part_that_is_away_may_be_kept_and_need_no_second_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [write_raw_case(tmp_path / "raw", name) for name in ("a", "b")]
    prepare(cases, tmp_path)
    (tmp_path / "out/images/.123.b.npy").write_bytes(b"half")
    assert list(prepare(cases[:1], tmp_path, keep_others=True).cases) == ["a"]
    assert not (tmp_path / "out/images/.123.b.npy").exists()
    converted = count_conversions(monkeypatch)
    assert list(prepare(cases, tmp_path).cases) == ["a", "b"]
    assert converted == []


def test_several_processes_write_the_same_bytes_wherever_the_data_lies(tmp_path: Path) -> None:
    cases = write_raw_dataset(tmp_path / "raw", patients=2)
    prepare(cases, tmp_path)
    shutil.copytree(tmp_path / "raw", tmp_path / "elsewhere" / "raw")
    moved = write_raw_dataset(tmp_path / "elsewhere" / "raw", patients=2)
    prepare(moved, tmp_path / "elsewhere", workers=2)
    assert contents(tmp_path / "out") == contents(tmp_path / "elsewhere" / "out")


@pytest.mark.parametrize("workers", [1, 2])
def test_one_run_tells_every_unusable_case_and_prepares_the_others(
    tmp_path: Path, workers: int
) -> None:
    cases = [write_raw_case(tmp_path / "raw", name) for name in ("a", "b", "c")]
    for case in cases[:2]:
        case.images[0].write_bytes(case.images[0].read_bytes()[:100])
    with pytest.raises(ArcoError, match="2 of the first 3 cases cannot be used:") as caught:
        prepare(cases, tmp_path, workers=workers)
    for case in cases[:2]:
        assert str(case.images[0]) in str(caught.value)
    assert [path.name for path in (tmp_path / "out/cases").iterdir()] == ["c.json"]
    assert not (tmp_path / "out/manifest.json").exists()


def test_after_five_unusable_cases_the_rest_is_not_tried(tmp_path: Path) -> None:
    cases = [write_raw_case(tmp_path / "raw", f"case{number}") for number in range(7)]
    for case in cases[:6]:
        case.images[0].unlink()
    with pytest.raises(ArcoError, match="5 of the first 5 cases cannot be used:") as caught:
        prepare(cases, tmp_path)
    assert str(caught.value).count("is missing") == 5
    assert not (tmp_path / "out/cases").exists()


def test_a_manifest_of_another_version_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArcoError, match=r"manifest\.json is missing; run `arco prepare`"):
        read_manifest(tmp_path)
    for content in ({}, [], {"source": "raw", "settings": {}, "cases": {"a": {"patient": "b"}}}):
        (tmp_path / "manifest.json").write_text(json.dumps(content))
        with pytest.raises(ArcoError, match="not a manifest of this version"):
            read_manifest(tmp_path)


@pytest.mark.slow
def test_real_hippocampus_cases_prepare(tmp_path: Path, hippocampus: Path) -> None:
    # 003 stores its labels as float32.
    cases = []
    for name in ("hippocampus_001", "hippocampus_003", "hippocampus_004"):
        image, label = (hippocampus / f / f"{name}.nii.gz" for f in ("imagesTr", "labelsTr"))
        cases.append(RawCase(name, name, (image,), label))
    settings = PreparationSettings(
        {"background": 0, "anterior": 1, "posterior": 2}, (64, 64), None, 1
    )
    manifest = prepare_dataset(
        cases, hippocampus, tmp_path, settings, source="raw", workers=1, report=ignore_progress
    )
    assert manifest.record("hippocampus_003").notes == ("labels are stored as float32",)
    for case, record in manifest.cases.items():
        truth = sitk.GetArrayFromImage(read_scan(tmp_path / f"truth/{case}.nii.gz", labels=True))
        raw = nibabel.load(hippocampus / "labelsTr" / f"{case}.nii.gz").get_fdata()
        assert np.array_equal(truth, raw.T)
        back = to_native(np.load(tmp_path / f"labels/{case}.npy"), record.geometry, (64, 64))
        assert np.array_equal(back, truth)

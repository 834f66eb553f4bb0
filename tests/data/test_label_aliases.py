"""Label values that stand for others, and slices along the body instead of the file's last axis."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from small_scans import CLASSES, SETTINGS, ignore_progress, organ, prepare, write, write_raw_case

from arco import jobs, params, registry
from arco.data import stages
from arco.data.conversion import class_indices
from arco.data.geometry import to_native
from arco.data.manifest import read_manifest
from arco.errors import ArcoError
from arco.plan import Plan, canonical

HEART = {"background": 0, "la": 420, "lv": 500}


def test_an_alias_counts_as_the_class_it_stands_for_and_is_noted(tmp_path: Path) -> None:
    values = np.array([[420, 421, 421], [0, 500, 500]], dtype=np.int16)
    indices, notes = class_indices(values, HEART, tmp_path, {421: 420, 900: 0})
    assert indices.tolist() == [[1, 1, 1], [0, 2, 2]]
    assert indices.dtype == np.uint8
    assert notes == ["2 voxels of value 421 are read as 420"]
    indices, notes = class_indices(values.astype(np.float32), HEART, tmp_path, {421: 420})
    assert indices.tolist() == [[1, 1, 1], [0, 2, 2]]
    assert notes[0] == "labels are stored as float32"
    assert len(notes) == 2


def test_an_alias_above_all_classes_may_stand_for_background(tmp_path: Path) -> None:
    values = np.array([900, 500], dtype=np.uint16)
    assert class_indices(values, HEART, tmp_path, {900: 0})[0].tolist() == [0, 2]
    with pytest.raises(ArcoError, match="is empty: every voxel is background"):
        class_indices(values[:1], HEART, tmp_path, {900: 0})


def test_a_value_that_is_neither_class_nor_alias_is_refused(tmp_path: Path) -> None:
    values = np.array([420, 421, 422])
    with pytest.raises(ArcoError, match=r"no class \(422\).*label_aliases in params\.yaml"):
        class_indices(values, HEART, tmp_path, {421: 420})
    with pytest.raises(ArcoError, match=r"no class \(421, 422\)"):
        class_indices(values, HEART, tmp_path)


def test_aliases_reach_the_arrays_the_manifest_and_the_kept_label_map(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    assert case.label is not None
    labels = organ()
    where = tuple(index[0] for index in np.nonzero(labels == 3))
    labels[where] = 7
    write(case.label, labels)
    with pytest.raises(ArcoError, match=r"no class \(7\)"):
        prepare([case], tmp_path)
    manifest = prepare([case], tmp_path, dataclasses.replace(SETTINGS, label_aliases={7: 3}))
    assert manifest.record("a").notes == ("1 voxels of value 7 are read as 3",)
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out/truth/a.nii.gz")))
    assert np.array_equal(truth, organ())
    assert read_manifest(tmp_path / "out").record("a") == manifest.record("a")


@pytest.mark.parametrize("orientation", ["LPS", "RAI", "PIR", "LIP", "ASL"])
def test_axial_slices_are_the_same_however_the_file_lies(tmp_path: Path, orientation: str) -> None:
    """A scan of the same anatomy in another file: same arrays, and a way back to each file."""
    case = write_raw_case(tmp_path / "raw", "a", orientation="LPS")
    for path in (case.images[0], case.label):
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), orientation)
        sitk.WriteImage(image, str(path))
    axial = dataclasses.replace(SETTINGS, axial=True)
    record = prepare([case], tmp_path, axial).record("a")
    labels = np.load(tmp_path / "out/labels/a.npy")
    assert record.shape == (1, 6, 24, 20)
    assert record.region is not None
    assert record.region.orientation == "LPS"
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out/truth/a.nii.gz")))
    back = to_native(labels, record.geometry, (24, 20), region=record.region)
    assert np.array_equal(back, truth)
    upright = write_raw_case(tmp_path / "upright/raw", "a", orientation="LPS")
    prepare([upright], tmp_path / "upright", SETTINGS)
    for kind in ("images", "labels"):
        ours, theirs = (
            np.load(folder / "out" / kind / "a.npy") for folder in (tmp_path, tmp_path / "upright")
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.fixture
def make_plan(repository: Path):  # type: ignore[no-untyped-def]
    def make(**dataset: object) -> Plan:
        return Plan(params.load(repository / "params.yaml", {"datasets": {"acdc": dataset}}))

    return make


def test_the_keys_are_in_a_job_only_where_they_are_set(make_plan) -> None:  # type: ignore[no-untyped-def]
    plain = make_plan().prepare_settings("acdc")
    assert not {"slices", "label_aliases"} & set(plain)
    assert canonical(make_plan(slices="file", label_aliases={}).prepare_settings("acdc")) == (
        canonical(plain)
    )
    changed = make_plan(slices="axial", label_aliases={9: 3, 7: 1}).prepare_settings("acdc")
    assert changed == plain | {"slices": "axial", "label_aliases": [[7, 1], [9, 3]]}


def test_a_job_hands_both_to_the_preparation(make_plan, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path / "raw"
    registry.load("data/phantoms", "acdc").write_phantoms(root, 1, 0)
    job = jobs.prepare(make_plan(slices="axial", label_aliases={7: 1}), "acdc")
    job["out"] = str(tmp_path / "out")
    stages.prepare(job, root, workers=1, report=ignore_progress)
    manifest = read_manifest(tmp_path / "out")
    assert manifest.settings["axial"] is True
    assert manifest.settings["label_aliases"] == {"7": 1}
    assert manifest.classes == tuple(CLASSES)
    assert all(record.region is not None for record in manifest.cases.values())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"label_aliases": {7: 4}},
            "label_aliases: 7 stands for 4, which no class has.*0, 1, 2, 3",
        ),
        ({"label_aliases": {2: 1}}, "label_aliases: 2 is the value of a class; remove it"),
        ({"label_aliases": {-1: 1}}, "label_aliases.*greater than or equal to 0"),
        ({"slices": "sagittal"}, "slices: .*'file' or 'axial'"),
        (
            {"slices": "axial", "spatial_axes": 3, "image_size": [16, 32, 32]},
            "slices is for two spatial axes",
        ),
    ],
)
def test_what_makes_no_sense_is_told_by_its_key(make_plan, changes, complaint) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ArcoError, match=rf"params\.yaml: datasets\.acdc.*{complaint}"):
        make_plan(**changes)

"""Files as they come: formats, types of voxels, affines."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from small_scans import SETTINGS, SIZE, SPACING_MM, image_of, organ, prepare, write_raw_case

from arco.data.cases import RawCase
from arco.data.geometry import geometry_of, read_scan
from arco.errors import ArcoError

ENDINGS = (".nii", ".nii.gz", ".nrrd", ".mha")
ANGLE = np.deg2rad(20)
TILT = np.array(
    [
        [np.cos(ANGLE), -np.sin(ANGLE), 0],
        [np.sin(ANGLE), np.cos(ANGLE), 0],
        [0, 0, 1],
    ]
)
AFFINES = {
    "RAS": np.eye(3),
    "LPS": np.diag([-1, -1, 1]),
    "left-handed": np.diag([-1, 1, 1]),
    "oblique": TILT,
    "oblique left-handed": TILT @ np.diag([1, 1, -1]),
    "sagittal": np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
}


def affine_of(axes: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = axes @ np.diag(SPACING_MM)
    affine[:3, 3] = (11.3, -70.2, 5.1)
    return affine


def save(path: Path, array: np.ndarray, affine: np.ndarray, forms: str = "both") -> None:
    """Write an array over (z, y, x); `forms` says where the header keeps the affine."""
    image = nibabel.Nifti1Image(array.T, affine)
    if forms != "both":
        image.set_sform(affine if forms == "sform" else None, code=int(forms == "sform"))
        image.set_qform(affine if forms == "qform" else None, code=int(forms == "qform"))
    nibabel.save(image, path)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("ending", ENDINGS)
def test_format_and_type_of_voxels_change_nothing(
    tmp_path: Path, ending: str, dtype: type[np.generic]
) -> None:
    values = (30 * organ()[:, ::-1] + np.arange(14)).astype(np.int16)
    root = tmp_path / "raw"
    root.mkdir()
    for name, ends, kind in (("plain", ".nii.gz", np.int16), ("other", ending, dtype)):
        sitk.WriteImage(image_of(values.astype(kind)), str(root / f"{name}{ends}"))
        sitk.WriteImage(image_of(organ().astype(kind)), str(root / f"{name}_gt{ends}"))
    cases = [
        RawCase(name, name, (root / f"{name}{ends}",), root / f"{name}_gt{ends}")
        for name, ends in (("plain", ".nii.gz"), ("other", ending))
    ]
    records = prepare(cases, tmp_path).cases
    for kind in ("images", "labels"):
        plain, other = (np.load(tmp_path / f"out/{kind}/{name}.npy") for name in records)
        assert np.array_equal(plain, other)
    assert records["other"].geometry == records["plain"].geometry
    floats = np.issubdtype(dtype, np.floating)
    assert len(records["other"].notes) == int(floats)


@pytest.mark.parametrize("forms", ["both", "sform", "qform"])
@pytest.mark.parametrize("axes", AFFINES.values(), ids=AFFINES)
def test_voxels_lie_where_the_affine_says(tmp_path: Path, axes: np.ndarray, forms: str) -> None:
    affine = affine_of(axes)
    save(tmp_path / "a.nii.gz", organ(), affine, forms)
    image = read_scan(tmp_path / "a.nii.gz")
    assert image.GetSize() == SIZE
    for index in ((0, 0, 0), (13, 0, 2), (3, 9, 5)):
        x, y, z = (affine @ [*index, 1])[:3]
        found = image.TransformIndexToPhysicalPoint(index)
        assert np.allclose(found, (-x, -y, z), atol=1e-4)  # NIfTI counts to the right and front


@pytest.mark.parametrize("axes", AFFINES.values(), ids=AFFINES)
def test_one_affine_in_two_spellings_is_accepted(tmp_path: Path, axes: np.ndarray) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    image, label = root / "a.nii.gz", root / "a_gt.nii.gz"
    save(image, (organ() * 50).astype(np.int16), affine_of(axes), "sform")
    save(label, organ(), affine_of(axes), "qform")
    record = prepare([RawCase("a", "a", (image,), label)], tmp_path).record("a")
    for note in record.notes:
        assert note.startswith("a_gt.nii.gz: header differs by ")
        assert float(note.split()[4]) < 1e-3


@pytest.mark.parametrize("angle", [1e-6, 2e-2])
def test_a_turned_header_is_accepted_in_its_last_digits_only(tmp_path: Path, angle: float) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    image, label = root / "a.nii.gz", root / "a_gt.nii.gz"
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    save(image, (organ() * 50).astype(np.int16), affine_of(TILT))
    save(label, organ(), affine_of(turn @ TILT))
    case = RawCase("a", "a", (image,), label)
    if angle < 1e-3:
        (note,) = prepare([case], tmp_path).record("a").notes
        assert "header differs" in note
    else:
        with pytest.raises(ArcoError, match=r"a_gt\.nii\.gz lies elsewhere in space than .*a\.nii"):
            prepare([case], tmp_path)


def test_the_slope_and_intercept_of_a_header_are_applied(tmp_path: Path) -> None:
    stored = nibabel.Nifti1Image((organ().T * 50).astype(np.int16), affine_of(np.eye(3)))
    stored.header.set_slope_inter(0.5, -1000)
    nibabel.save(stored, tmp_path / "a.nii.gz")
    assert np.array_equal(
        sitk.GetArrayFromImage(read_scan(tmp_path / "a.nii.gz")),
        nibabel.load(tmp_path / "a.nii.gz").get_fdata().T,
    )


def test_a_fourth_axis_of_one_volume_is_none(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(organ().T[..., np.newaxis], affine_of(np.eye(3)))
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(tmp_path / "a.nii.gz")), organ())


def test_an_uncompressed_file_under_a_compressed_name_is_one_sentence(tmp_path: Path) -> None:
    save(tmp_path / "a.nii", organ(), affine_of(np.eye(3)))
    (tmp_path / "a.nii").rename(tmp_path / "b.nii.gz")
    with pytest.raises(ArcoError, match=r"b\.nii\.gz"):
        read_scan(tmp_path / "b.nii.gz")


def test_slices_without_an_organ_are_kept_and_empty(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    record = prepare([case], tmp_path).record("a")
    labels = np.load(tmp_path / "out/labels/a.npy")
    assert [bool(part.any()) for part in labels] == [False, True, True, True, True, False]
    assert record.slices == 6
    assert np.load(tmp_path / "out/images/a.npy")[0, 0].any()


def test_files_that_belong_to_no_case_do_not_matter(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    before = prepare([case], tmp_path)
    (tmp_path / "raw/images/notes.txt").write_text("x")
    (tmp_path / "raw/images/._a.nii.gz").write_bytes(b"\0\5\x16\7")
    assert prepare([case], tmp_path) == before


def test_geometry_does_not_depend_on_the_order_of_the_channels(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    second = tmp_path / "raw/images/a_0001.nii"
    sitk.WriteImage(read_scan(case.images[0]), str(second))
    both = dataclasses.replace(case, images=(case.images[0], second))
    record = prepare([both], tmp_path, SETTINGS).record("a")
    assert record.geometry == geometry_of(read_scan(second))

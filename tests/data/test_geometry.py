from __future__ import annotations

import gzip
import math
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_erosion
from small_scans import SIZE, SPACING_MM, image_of, organ

from arco.data.geometry import (
    canonical_orientation,
    displacement,
    geometry_of,
    placed,
    read_scan,
    to_native,
    to_prepared,
    write_labels,
)
from arco.errors import ArcoError


def ramp(shape: tuple[int, int, int]) -> np.ndarray:
    """A float array in which every voxel differs."""
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


def test_reading_gives_the_values_and_the_grid_of_the_file(tmp_path: Path) -> None:
    array = ramp(SIZE[::-1])
    sitk.WriteImage(image_of(array), str(tmp_path / "a.nii.gz"))
    image = read_scan(tmp_path / "a.nii.gz")
    assert np.array_equal(sitk.GetArrayFromImage(image), array)
    geometry = geometry_of(image)
    assert geometry.size == SIZE
    assert geometry.spacing_mm == SPACING_MM
    assert geometry.orientation == "LPS"


def test_images_become_float32_and_labels_keep_their_type(tmp_path: Path) -> None:
    sitk.WriteImage(image_of(organ()), str(tmp_path / "a.nii.gz"))
    assert read_scan(tmp_path / "a.nii.gz").GetPixelID() == sitk.sitkFloat32
    assert read_scan(tmp_path / "a.nii.gz", labels=True).GetPixelID() == sitk.sitkUInt8


@pytest.mark.parametrize("kept", [0.0, 0.05, 0.5, 0.99])
def test_a_truncated_gz_file_is_refused_with_its_name(tmp_path: Path, kept: float) -> None:
    # ITK itself fills what is missing with whatever is in memory, and says nothing.
    path = tmp_path / "scan.nii.gz"
    rng = np.random.default_rng(0)
    sitk.WriteImage(image_of(rng.random((6, 40, 50), dtype=np.float32)), str(path))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ArcoError, match=r"scan\.nii\.gz"):
        read_scan(path)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("kept", [0.0, 0.05, 0.5, 0.99])
def test_a_truncated_nrrd_file_is_refused_with_its_name(
    tmp_path: Path, kept: float, compressed: bool
) -> None:
    path = tmp_path / "lgemri.nrrd"
    rng = np.random.default_rng(0)
    scan = image_of(rng.random((6, 40, 50), dtype=np.float32))
    sitk.WriteImage(scan, str(path), useCompression=compressed)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ArcoError, match=r"lgemri\.nrrd cannot be read as an image"):
        read_scan(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_an_image_with_too_few_voxels_is_refused(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / "whole.nii"
    sitk.WriteImage(image_of(ramp(SIZE[::-1])), str(whole))
    half = whole.read_bytes()[:-100]
    path = tmp_path / f"half{suffix}"
    path.write_bytes(gzip.compress(half) if suffix.endswith("gz") else half)
    with pytest.raises(ArcoError, match="cut short"):
        read_scan(path)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    rng = np.random.default_rng(0)
    sitk.WriteImage(image_of(rng.random((6, 40, 50), dtype=np.float32)), str(path))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ArcoError, match="damaged"):
        read_scan(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_nan_voxels_are_refused_though_itk_reads_them_as_0(
    tmp_path: Path, suffix: str, byte_order: str
) -> None:
    path = tmp_path / f"scan{suffix}"
    array = np.zeros((4, 5, 6), dtype=f"{byte_order}f4")
    header = nibabel.Nifti1Header(endianness=byte_order)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4), header), path)
    read_scan(path)
    array[1, 2, 3:5] = [np.nan, -np.inf]
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4), header), path)
    with pytest.raises(ArcoError, match=r"scan\.nii.* holds 2 voxels that are NaN or infinite"):
        read_scan(path)


def test_what_is_no_3d_scan_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.nii.gz").write_text("not an image")
    (tmp_path / "text.nrrd").write_text("not an image")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 3)), np.eye(4)), tmp_path / "4d.nii.gz")
    sheared = np.eye(4)
    sheared[0, 1] = 0.1
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6)), sheared), tmp_path / "sheared.nii.gz")
    for name, said in {
        "text.nii.gz": "not a NIfTI image",
        "text.nrrd": "cannot be read",
        "4d.nii.gz": "4 x 5 x 6 x 3",
        "sheared.nii.gz": "right angles",
        "absent.nii.gz": "missing",
    }.items():
        with pytest.raises(ArcoError, match=said) as caught:
            read_scan(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_reading_leaves_the_warnings_of_itk_as_they_were(tmp_path: Path) -> None:
    sitk.WriteImage(image_of(organ()), str(tmp_path / "a.nii.gz"))
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    read_scan(tmp_path / "a.nii.gz")
    assert sitk.ProcessObject.GetGlobalWarningDisplay() == before


def test_axial_scans_become_lps_and_others_keep_their_slice_axis() -> None:
    expected = {"LPS": "LPS", "RAS": "LPS", "ARI": "LPS", "PIR": "PSL", "LSA": "LSP", "SAL": "PSL"}
    for orientation, target in expected.items():
        assert canonical_orientation(orientation, sliced=True) == target
        assert canonical_orientation(orientation, sliced=False) == "LPS"


@pytest.mark.parametrize("orientation", ["RAS", "LPI", "ARS"])
def test_the_same_anatomy_gives_the_same_array_in_every_orientation(orientation: str) -> None:
    array = ramp(SIZE[::-1])
    turned = sitk.DICOMOrient(image_of(array), orientation)
    assert np.array_equal(to_prepared(turned, None), array)
    assert np.array_equal(to_prepared(turned, (10, 14)), array)


def test_slices_stay_those_along_the_last_axis_of_the_file() -> None:
    array = ramp(SIZE[::-1])
    sagittal = image_of(array, "PIR")
    # P right to left stays, I becomes S (mirrored), slices from R to L (mirrored).
    assert np.array_equal(to_prepared(sagittal, (10, 14)), array[::-1, ::-1, :])


def test_halving_the_size_averages_pairs_and_doubling_keeps_the_edges() -> None:
    # Pixel edges are aligned: two pixels become the one that covers both.
    array = np.array([[[0, 2, 10, 20], [4, 6, 30, 40]]], dtype=np.float32)
    assert to_prepared(image_of(array), (1, 2)).tolist() == [[[3.0, 25.0]]]
    doubled = to_prepared(image_of(array[:, :1, :2]), (1, 4))
    assert doubled.tolist() == [[[0.0, 0.5, 1.5, 2.0]]]


def test_labels_are_never_mixed() -> None:
    labels = organ()
    resized = to_prepared(image_of(labels), (23, 31), nearest=True)
    assert resized.shape == (6, 23, 31)
    assert set(np.unique(resized)) == {0, 1, 2, 3}


def test_a_linear_resize_agrees_with_torch() -> None:
    import torch

    array = np.random.default_rng(0).random(SIZE[::-1], dtype=np.float32)
    ours = to_prepared(image_of(array), (27, 19))
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(array)[:, None], size=(27, 19), mode="bilinear", align_corners=False
    )[:, 0]
    assert np.allclose(ours, theirs.numpy(), atol=1e-5)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(
    st.tuples(st.integers(8, 20), st.integers(8, 20), st.integers(1, 4)),
    st.tuples(st.integers(8, 40), st.integers(8, 40)),
    st.sampled_from(["LPS", "RAS", "PIR", "LSA", "ARI"]),
)
def test_the_way_there_and_back_moves_no_boundary_by_more_than_a_pixel(
    size: tuple[int, int, int], image_size: tuple[int, int], orientation: str
) -> None:
    x, y, z = size
    labels = np.zeros((z, y, x), dtype=np.uint8)
    labels[:, 2:-1, 3:-2] = 1
    image = image_of(labels, orientation)
    back = to_native(to_prepared(image, image_size, nearest=True), geometry_of(image), image_size)
    assert back.shape == labels.shape
    # At most a pixel down to half the size, as of 512 pixels to 256; then half a prepared pixel.
    reach = max(1, math.ceil(max(x, y) / min(image_size) / 2))
    within = np.ones((1, 3, 3), dtype=bool)
    outer = binary_dilation(labels, within, iterations=reach)
    inner = binary_erosion(labels, within, iterations=reach)
    assert not (back.astype(bool) & ~outer).any()
    assert not (inner & ~back.astype(bool)).any()


def test_a_finer_prepared_grid_loses_nothing() -> None:
    image = image_of(organ(), "RAS")
    prepared = to_prepared(image, (20, 28), nearest=True)
    back = to_native(prepared, geometry_of(image), (20, 28))
    assert np.array_equal(back, organ())


def test_an_oblique_scan_comes_back_to_its_own_grid() -> None:
    image = image_of(organ())
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    image.SetDirection(turn.ravel().tolist())
    prepared = to_prepared(image, (20, 28), nearest=True)
    assert np.array_equal(to_native(prepared, geometry_of(image), (20, 28)), organ())


def test_labels_of_another_shape_do_not_go_back() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        to_native(organ()[:, :5], geometry_of(image_of(organ())), (10, 14))


def test_written_labels_carry_the_geometry(tmp_path: Path) -> None:
    geometry = geometry_of(image_of(organ(), "PIR"))
    write_labels(tmp_path / "a.nii.gz", organ(), geometry)
    again = read_scan(tmp_path / "a.nii.gz", labels=True)
    assert np.array_equal(sitk.GetArrayFromImage(again), organ())
    assert displacement(geometry, geometry_of(again)) < 1e-5
    assert geometry_of(again).orientation == "PIR"
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_labels_that_cannot_be_written_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(image: sitk.Image, name: str, useCompression: bool) -> None:
        Path(name).write_bytes(b"half")
        raise RuntimeError("sitk::ERROR: disk full")

    monkeypatch.setattr(sitk, "WriteImage", fail)
    with pytest.raises(ArcoError, match="cannot write"):
        write_labels(tmp_path / "a.nii.gz", organ(), geometry_of(image_of(organ())))
    assert not list(tmp_path.iterdir())


def test_displacement_is_the_longest_way_of_a_corner_in_the_finest_voxels() -> None:
    here = geometry_of(image_of(organ()))
    there = geometry_of(image_of(organ(), origin=(11.0, -7.0, 5.5)))
    assert displacement(here, there) == pytest.approx(2.5 / 1.25)
    mirrored = geometry_of(image_of(organ(), "RPS"))
    assert displacement(here, mirrored) == pytest.approx(2 * 13 * 1.5 / 1.25)
    with pytest.raises(ValueError, match="compared"):
        displacement(here, geometry_of(placed(organ()[1:], here)))

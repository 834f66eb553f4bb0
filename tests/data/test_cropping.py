"""Preparing a part of each volume, and the way back to the whole scan."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_erosion
from small_scans import SETTINGS, image_of, intensities, organ, prepare, write, write_raw_case

from arco.data.cropping import Crop, crop_region, cut_out, grown
from arco.data.geometry import geometry_of, to_native, to_prepared
from arco.data.manifest import read_manifest

TIGHT = Crop("label", (0.1, 0.1, 0.1), (0.0, 0.0, 0.0))
MIDDLE = Crop("center", (None, 6.3, 9.0), (0.0, 0.0, 0.0))
"""5 rows and 6 columns of the 10 x 14 of `small_scans`."""
OBLIQUE = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
TURN = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
DIRECTIONS = {
    "straight": np.eye(3),
    "flipped": np.diag([-1, -1, 1]),
    "mirrored": np.diag([1, -1, 1]),
    "oblique": OBLIQUE,
    "oblique, flipped": OBLIQUE @ np.diag([-1, 1, -1]),
    "oblique, axes swapped": OBLIQUE @ TURN,
}


def placed_organ(direction: np.ndarray, size: tuple[int, int, int] = (28, 22, 16)) -> sitk.Image:
    image = image_of((organ(size) > 0).astype(np.uint8))
    image.SetSpacing((0.9, 0.7, 1.6))
    image.SetDirection(direction.ravel().tolist())
    return image


@given(
    length=st.integers(1, 60),
    ends=st.tuples(st.floats(0, 0.999), st.floats(0, 1)),
    size=st.integers(1, 80),
    margin=st.integers(0, 20),
)
@settings(deadline=None, derandomize=True)
def test_a_grown_interval_holds_what_it_should(
    length: int, ends: tuple[float, float], size: int, margin: int
) -> None:
    first = int(ends[0] * length)
    after = first + 1 + int(ends[1] * (length - first - 1))
    low, high = grown((first, after), length, size, margin)
    assert 0 <= low <= first < after <= high <= length
    assert high - low >= min(size, length)
    assert low <= max(first - margin, 0)
    assert high >= min(after + margin, length)
    assert high - low <= max(size, after - first) + 2 * margin
    assert grown((first, after), length, None, margin) == (0, length)


def test_intervals_by_hand() -> None:
    assert grown((5, 5), 10, 4, 0) == (3, 7)
    assert grown((5, 6), 11, 5, 0) == (3, 8)
    assert grown((2, 8), 20, 3, 2) == (0, 10)
    assert grown((0, 2), 20, 8, 0) == (0, 8)  # the other side makes up for the end of the axis
    assert grown((18, 20), 20, 8, 1) == (11, 20)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_box_around_the_label_holds_it_and_no_more(direction: np.ndarray) -> None:
    labels = placed_organ(direction)
    part = sitk.GetArrayFromImage(cut_out(labels, crop_region(labels, TIGHT)))
    assert part.sum() == sitk.GetArrayFromImage(labels).sum()
    for axis in range(3):
        assert np.take(part, 0, axis=axis).any()
        assert np.take(part, -1, axis=axis).any()


def test_a_box_in_the_middle_looks_at_no_label() -> None:
    labels = image_of(organ())
    elsewhere = image_of(np.roll(organ(), 3, axis=1))
    region = crop_region(labels, MIDDLE)
    assert region == crop_region(elsewhere, MIDDLE)
    assert region.size == (6, 5, 6)
    part = sitk.GetArrayFromImage(cut_out(labels, region))
    assert np.array_equal(part, organ()[:, 3:8, 4:10])


def test_size_and_margin_are_in_millimetres_of_the_canonical_axes() -> None:
    labels = image_of(organ(), "PIR")  # voxels of 1.5 mm front to back, 1.25 mm up and down
    region = crop_region(labels, Crop("label", (None, 0.1, 0.1), (0.0, 3.0, 8.0)))
    assert region.orientation == "LPS"
    assert region.spacing_mm == (8.0, 1.5, 1.25)
    assert region.size[0] == min(4 + 2 * 1, 6)
    assert region.size[2] == 10


@pytest.mark.parametrize("spacing_mm", [None, (1.0, 1.1, 0.8), (2.0, 2.0, 2.0)])
@pytest.mark.parametrize("region", ["label", "center"])
@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_from_a_part_and_back_a_boundary_moves_by_at_most_a_voxel(
    direction: np.ndarray, region: str, spacing_mm: tuple[float, ...] | None
) -> None:
    image = placed_organ(direction)
    crop = Crop(region, (12.0, 12.0, 12.0), (1.0, 2.0, 1.5))
    box = crop_region(image, crop)
    prepared = to_prepared(cut_out(image, box), None, spacing_mm, nearest=True)
    back = to_native(prepared, geometry_of(image), None, spacing_mm, box)
    truth = sitk.GetArrayFromImage(image)
    everywhere = sitk.Image(image.GetSize(), sitk.sitkUInt8) + 1
    everywhere.CopyInformation(image)
    ones = np.ones(box.size[::-1], dtype=np.uint8)
    inside = to_native(ones, geometry_of(image), None, None, box).astype(bool)
    assert inside.sum() == ones.size
    expected = truth.astype(bool) & inside
    assert back.shape == truth.shape
    if spacing_mm is None:
        assert np.array_equal(back.astype(bool), expected)
        return
    # Half a prepared voxel there, half a native one back: below 2 while the ratio is below 3.
    cube = np.ones((3, 3, 3), dtype=bool)
    assert not (back.astype(bool) & ~binary_dilation(expected, cube)).any()
    assert not (binary_erosion(expected, cube) & ~back.astype(bool)).any()


@pytest.mark.parametrize("image_size", [(20, 24), (26, 34), (48, 48)])
@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_slices_of_oblique_and_flipped_scans_find_back(
    direction: np.ndarray, image_size: tuple[int, int]
) -> None:
    image = placed_organ(direction)
    prepared = to_prepared(image, image_size, nearest=True)
    back = to_native(prepared, geometry_of(image), image_size).astype(bool)
    truth = sitk.GetArrayFromImage(image).astype(bool)
    cube = np.ones((3, 3, 3), dtype=bool)
    assert not (back & ~binary_dilation(truth, cube)).any()
    assert not (binary_erosion(truth, cube) & ~back).any()


@pytest.mark.parametrize("region", ["label", "center"])
def test_a_cropped_case_is_scaled_by_the_part_and_remembers_it(tmp_path: Path, region: str) -> None:
    case = write_raw_case(tmp_path / "raw", "a", orientation="RAS")
    image = intensities(organ())
    image[:, 0, 0] = 30000  # outside either box
    write(case.images[0], image, orientation="RAS")
    crop = dataclasses.replace(TIGHT if region == "label" else MIDDLE)
    prepare([case], tmp_path, dataclasses.replace(SETTINGS, image_size=None, crop=crop))
    record = read_manifest(tmp_path / "out").record("a")
    assert record.region is not None
    assert record.region.orientation == "LPS"
    assert record.geometry.orientation == "RAS"
    prepared = np.load(tmp_path / "out/images/a.npy")
    labels = np.load(tmp_path / "out/labels/a.npy")
    assert prepared.shape == record.shape == (1, *record.region.size[::-1])
    assert prepared.max() == 1
    assert np.median(prepared) > 0.05  # the bright corner no longer squeezes all else
    native = to_native(labels, record.geometry, None, None, record.region)
    if region == "label":
        assert np.array_equal(native, organ())
        assert record.notes == ()
    else:
        assert native.any()
        kept = [100 * (1 - (native == i).sum() / (organ() == i).sum()) for i in (1, 2)]
        assert record.notes[:2] == tuple(
            f"{share:.3g} % of class {name} lies outside the crop"
            for share, name in zip(kept, ("rv", "myo"), strict=True)
        )
    assert record.voxels["myo"] == (organ() == 2).sum()  # of the whole scan


def test_channels_are_cut_alike_though_headers_differ_by_rounding(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    second = tmp_path / "raw" / "images" / "a_0001.nii.gz"
    write(second, intensities(organ()), origin=(11.02, -7.0, 3.0))
    case = dataclasses.replace(case, images=(*case.images, second))
    prepare([case], tmp_path, dataclasses.replace(SETTINGS, image_size=None, crop=MIDDLE))
    images = np.load(tmp_path / "out/images/a.npy")
    assert np.array_equal(images[0], images[1])


def test_a_class_outside_the_crop_is_said_to_be_outside_not_lost(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    labels = np.where(organ() == 1, 0, organ())
    labels[:, 0, 0] = 1
    assert case.label is not None
    write(case.label, labels)
    crop = Crop("center", (None, 10.0, 15.0), (0.0, 0.0, 0.0))
    record = prepare(
        [case], tmp_path, dataclasses.replace(SETTINGS, image_size=None, crop=crop)
    ).record("a")
    assert "100 % of class rv lies outside the crop" in record.notes
    assert not any("resizing" in note for note in record.notes)

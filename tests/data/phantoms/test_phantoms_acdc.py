from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from phantom_sets import arrays
from scipy import ndimage

from arco.data.anatomy.heart import LEFT_VENTRICLE, MYOCARDIUM, RIGHT_VENTRICLE
from arco.data.cases import RawCase

LAYOUT = "acdc"
PATIENTS = 24
SEED = 11


def test_hearts_lie_in_lps_with_an_origin_and_the_spacings_of_the_original(
    cases: list[RawCase],
) -> None:
    shapes = set()
    for case in cases:
        image = nib.load(case.images[0])
        assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
        assert np.abs(image.affine[:2, 3]).min() > 1
        across, down, between = image.header.get_zooms()
        assert across == down
        assert 0.7 <= across <= 1.92
        assert 5 <= between <= 10
        assert 6 <= image.shape[2] <= 18
        assert all(125 < side * across < 190 for side in image.shape[:2])
        assert nib.load(case.label).get_data_dtype() == np.uint8
        shapes.add(image.shape)
    assert len(shapes) > PATIENTS // 2


def test_data_types_and_systolic_frames_differ_between_patients(cases: list[RawCase]) -> None:
    dtypes = {nib.load(case.images[0]).get_data_dtype().name for case in cases}
    assert dtypes == {"int16", "float32", "uint8"}
    assert len({case.case.rpartition("_")[2] for case in cases[1::2]}) > 2


def test_every_info_cfg_has_the_keys_of_the_original(root: Path) -> None:
    for info in (root / "training").glob("*/Info.cfg"):
        lines = [line.split(": ") for line in info.read_text().splitlines()]
        entries: dict[str, Any] = dict(lines)
        assert list(entries) == ["ED", "ES", "Group", "Height", "NbFrame", "Weight"]
        assert 1 <= int(entries["ED"]) < int(entries["ES"]) < int(entries["NbFrame"])


def test_the_myocardium_encloses_the_left_ventricle_and_touches_the_right(
    cases: list[RawCase],
) -> None:
    cross = ndimage.generate_binary_structure(2, 1)[..., None]
    for case in cases:
        _, label = arrays(case)
        around_left = ndimage.binary_dilation(label == LEFT_VENTRICLE, cross)
        assert set(np.unique(label[around_left])) == {MYOCARDIUM, LEFT_VENTRICLE}
        around_right = ndimage.binary_dilation(label == RIGHT_VENTRICLE, cross)
        touching = (around_right & (label == MYOCARDIUM)).any(axis=(0, 1))
        has_right = (label == RIGHT_VENTRICLE).any(axis=(0, 1))
        assert np.array_equal(touching, has_right)
        assert has_right[with_heart(label)[0]]


def with_heart(label: np.ndarray) -> np.ndarray:
    """Indices of the slices that show some of the heart, from base to apex."""
    return np.flatnonzero((label > 0).any(axis=(0, 1)))


def test_the_heart_tapers_to_an_apex_without_right_ventricle(cases: list[RawCase]) -> None:
    slices_without = 0
    for case in cases:
        _, label = arrays(case)
        shown = with_heart(label)
        assert np.array_equal(shown, np.arange(shown[0], shown[-1] + 1))
        assert (label == MYOCARDIUM).any(axis=(0, 1))[shown].all()
        left = (label == LEFT_VENTRICLE).sum(axis=(0, 1))
        assert left[shown[-1]] < 0.6 * left[shown[0]]
        slices_without += int((~(label == RIGHT_VENTRICLE).any(axis=(0, 1))[shown]).sum())
    assert slices_without >= PATIENTS


def test_systole_has_smaller_ventricles_and_a_thicker_wall_in_the_same_place(
    cases: list[RawCase],
) -> None:
    for diastole, systole in zip(cases[::2], cases[1::2], strict=True):
        assert diastole.patient == systole.patient
        (_, before), (_, after) = arrays(diastole), arrays(systole)
        middle = before.shape[2] // 2
        for ventricle in (LEFT_VENTRICLE, RIGHT_VENTRICLE):
            assert (after == ventricle).sum() < 0.95 * (before == ventricle).sum()
        assert wall_thickness(after[..., middle]) > wall_thickness(before[..., middle])
        centers = [
            ndimage.center_of_mass(label[..., middle] == LEFT_VENTRICLE)
            for label in (before, after)
        ]
        assert np.abs(np.subtract(*centers)).max() < 2.5


def wall_thickness(label: np.ndarray) -> float:
    """Mean thickness in pixels of the ring between two circles of the labels' areas."""
    inner = (label == LEFT_VENTRICLE).sum()
    outer = inner + (label == MYOCARDIUM).sum()
    return float(np.sqrt(outer / np.pi) - np.sqrt(inner / np.pi))


def test_hearts_have_a_useful_size_after_resampling_to_80_pixels(cases: list[RawCase]) -> None:
    radii = []
    for case in cases[::2]:
        _, label = arrays(case)
        share = (label == LEFT_VENTRICLE).mean(axis=(0, 1)).max()
        radii.append(np.sqrt(share * 80**2 / np.pi))
    assert min(radii) > 5
    assert max(radii) < 14
    assert max(radii) > 1.2 * min(radii)


def test_patients_differ_in_contrast(cases: list[RawCase]) -> None:
    contrasts = []
    for case in cases[::2]:
        image, label = arrays(case)
        contrasts.append(image[label == MYOCARDIUM].mean() / image[label == LEFT_VENTRICLE].mean())
    assert max(contrasts) - min(contrasts) > 0.15


def test_all_patients_are_tilted_and_some_lie_a_quarter_turn_from_the_others(
    cases: list[RawCase],
) -> None:
    degrees = []
    for case in cases[::2]:
        _, label = arrays(case)
        middle = label[..., with_heart(label)[1]]
        left, right = (
            np.array(ndimage.center_of_mass(middle == ventricle))
            for ventricle in (LEFT_VENTRICLE, RIGHT_VENTRICLE)
        )
        across, down = right - left
        degrees.append(np.rad2deg(np.arctan2(-down, -across)))  # 0: to the patient's right
    off = np.abs(np.array(degrees) - np.median(degrees))
    assert np.std(np.array(degrees)[off < 45]) > 8
    assert 0.1 < (off > 60).mean() < 0.45


def test_slices_above_the_base_show_pools_of_blood_that_are_no_ventricles(
    cases: list[RawCase],
) -> None:
    pools = []
    for case in cases:
        image, label = arrays(case)
        first = with_heart(label)[0]
        if first > 0:
            blood, muscle = (image[label == k].mean() for k in (LEFT_VENTRICLE, MYOCARDIUM))
            below = label[..., first] > 0
            pools.append((image[..., first - 1][below] > (blood + muscle) / 2).mean())
    assert np.mean(pools) > 0.25

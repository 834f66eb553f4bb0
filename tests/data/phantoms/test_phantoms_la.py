"""Synthetic left atria."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from phantom_sets import best_window_dice, content, write
from scipy import ndimage

from arco.data.cases import RawCase
from arco.data.geometry import geometry_of, read_scan
from arco.data.phantoms.la import SPACING_MM

LAYOUT = "la"
PATIENTS = 6
SEED = 11


def arrays(case: RawCase) -> tuple[np.ndarray, np.ndarray]:
    """Scan and cavity over (z, y, x)."""
    assert case.label is not None
    image, label = read_scan(case.images[0]), read_scan(case.label, labels=True)
    return sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(label) > 0


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_patients(
    root: Path, tmp_path: Path
) -> None:
    write(LAYOUT, tmp_path / "few", 2, SEED)
    few, all_ = content(tmp_path / "few"), content(root)
    del few["PHANTOM.txt"]
    assert few.items() <= all_.items()
    write(LAYOUT, tmp_path / "other", 1, SEED + 1)
    assert not set(content(tmp_path / "other")) & set(all_) - {"PHANTOM.txt"}


def test_they_are_written_as_the_original_is(root: Path, cases: list[RawCase]) -> None:
    assert len(cases) == PATIENTS
    shapes = set()
    for case in cases:
        folder = case.images[0].parent
        assert len(case.case) == 20
        assert {path.suffix for path in folder.iterdir()} <= {".nrrd", ".ini"}
        image = sitk.ReadImage(str(case.images[0]))
        mask = sitk.ReadImage(str(case.label))
        assert image.GetPixelID() == mask.GetPixelID() == sitk.sitkUInt8
        assert geometry_of(image) == geometry_of(mask)
        assert geometry_of(image).orientation == "LPS"
        assert geometry_of(image).spacing_mm == (SPACING_MM,) * 3
        assert set(np.unique(sitk.GetArrayViewFromImage(mask))) == {0, 255}
        shapes.add(image.GetSize())
    assert len(shapes) == 2
    assert any(path.name == "desktop.ini" for path in root.rglob("*"))


def test_the_best_intensity_window_stays_far_below_a_dice_of_060(cases: list[RawCase]) -> None:
    histogram = np.zeros((2, 64))
    for case in cases:
        image, label = arrays(case)
        scaled = (image - image.min()) / (image.max() - image.min())
        for value in (0, 1):
            histogram[value] += np.histogram(scaled[label == value], 64, (0, 1))[0]
    assert best_window_dice(histogram)[0] < 0.45


def test_the_atrium_is_one_body_of_a_human_size_inside_the_scan(cases: list[RawCase]) -> None:
    volumes_ml = []
    for case in cases:
        _, label = arrays(case)
        pieces, count = ndimage.label(label)
        sizes = np.sort(np.bincount(pieces.ravel())[1:])[::-1]
        assert sizes[0] > 0.98 * sizes.sum(), count
        volumes_ml.append(label.sum() * SPACING_MM**3 / 1000)
        assert 0.005 < label.mean() < 0.08
        for axis in range(3):
            rim = np.take(label, [0, -1], axis=axis)
            assert not rim.any()
    assert min(volumes_ml) > 20
    assert max(volumes_ml) < 200
    assert max(volumes_ml) > 1.5 * min(volumes_ml)


def test_the_cavity_is_bright_and_what_touches_it_is_as_bright_in_part(
    cases: list[RawCase],
) -> None:
    # At valve and vein ends no edge shows; elsewhere a dark or a scarred wall does.
    as_bright = []
    for case in cases:
        image, label = arrays(case)
        smooth = ndimage.gaussian_filter(image.astype(np.float32), 1)
        inside = ndimage.binary_erosion(label, iterations=2)
        around = ndimage.binary_dilation(label, iterations=2) & ~label
        level = np.median(smooth[inside])
        assert level > 1.5 * np.median(smooth)
        assert (smooth[around] < 0.75 * level).mean() > 0.2
        as_bright.append((smooth[around] > 0.9 * level).mean())
    assert min(as_bright) > 0.003
    assert np.median(as_bright) > 0.05


def test_the_wall_lies_around_the_cavity_and_not_in_it(cases: list[RawCase]) -> None:
    for case in cases:
        _, label = arrays(case)
        path = case.images[0].with_name("lawall.nrrd")
        wall = sitk.GetArrayFromImage(read_scan(path, labels=True)) > 0
        assert not (wall & label).any()
        assert (ndimage.binary_dilation(label) & ~label & ~wall).sum() == 0

"""Datasets of three spatial axes: preparation, patches, batches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from small_scans import SETTINGS, ignore_progress, write_raw_dataset

from arco.contracts import IGNORE, Randomness
from arco.data import geometry
from arco.data.loading import Prepared, TrainingBatches
from arco.data.preparation import prepare_dataset
from arco.schema.training import Augmentation, BatchSizes

ON = Augmentation(
    rotation=True, rotation_degrees=20.0, quarter_turns=0.5, crop=True, crop_padding=0, flip=True
)
OFF = ON.model_copy(update={"rotation": False, "crop": False, "flip": False})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients with two whole volumes each; one volume of patient 1 is labeled."""
    root = tmp_path_factory.mktemp("volumes")
    cases = write_raw_dataset(root / "raw")
    settings = dataclasses.replace(SETTINGS, image_size=None)
    prepare_dataset(
        cases, root / "raw", root / "out", settings, source="raw", workers=1, report=ignore_progress
    )
    splits = root / "out" / "splits"
    splits.mkdir()
    names = [case.case for case in cases]
    (splits / "train.txt").write_text("\n".join(names))
    (splits / "labeled_one.txt").write_text(names[0])
    (splits / "labeled_slices.txt").write_text(f"{names[0]}@2\n{names[0]}@3\n")
    return root / "out"


def batches(folder, patch, labeled="labeled_one.txt", augmentation=OFF, randomness=None):
    return TrainingBatches(
        Prepared(folder),
        training_list=folder / "splits" / "train.txt",
        labeled_list=folder / "splits" / labeled,
        sizes=BatchSizes(labeled=2, unlabeled=3, mined=1, blocks=0),
        augmentation=augmentation,
        randomness=randomness or Randomness(0, torch.device("cpu")),
        patch=patch,
    )


def positions(volume: np.ndarray, patch: np.ndarray) -> list[tuple[int, ...]]:
    """Where a patch occurs in a volume."""
    windows = np.lib.stride_tricks.sliding_window_view(volume, patch.shape)
    return [tuple(where) for where in np.argwhere((windows == patch).all(axis=(-3, -2, -1)))]


def test_patches_are_parts_of_volumes_and_labels_lie_at_the_same_place(folder):
    prepared = Prepared(folder)
    shape = prepared.images("patient001_frame01").shape[1:]
    patch = (4, 8, 10)
    assert all(extent < length for extent, length in zip(patch, shape, strict=True))
    stream = batches(folder, patch)
    assert stream.training_items == 6
    seen = set()
    for _ in range(5):
        batch = stream.next()
        assert batch.images.shape == (5, 1, *patch)
        assert batch.mined.shape == (1, 1, *patch)
        for image, labels, height in zip(batch.labeled, batch.labels, batch.heights, strict=False):
            (first,) = positions(prepared.images("patient001_frame01")[0], image[0].numpy())
            z, y, x = first
            seen.add(first)
            expected = prepared.labels("patient001_frame01")[z : z + 4, y : y + 8, x : x + 10]
            np.testing.assert_array_equal(labels.numpy(), expected)
            assert height.item() == pytest.approx((z + 2) / shape[0])
        assert batch.frame.all()
    assert len(seen) > 5


def test_volumes_smaller_than_the_patch_are_padded_and_the_padding_counts_for_nothing(folder):
    shape = Prepared(folder).images("patient001_frame01").shape[1:]
    patch = tuple(length + extra for length, extra in zip(shape, (5, 2, 4), strict=True))
    for augmentation in (OFF, ON):
        batch = batches(folder, patch, augmentation=augmentation).next()
        frame = batch.frame[:2]
        assert (batch.labels[~frame] == IGNORE).all()
        # On the rim of a rotated volume linear and nearest sampling may disagree by a pixel.
        assert (batch.labels[frame] == IGNORE).float().mean() < 0.05
        assert not batch.images[~batch.frame.unsqueeze(1)].any()
        depth = batch.frame.flatten(2).any(dim=2).sum(dim=1)
        assert (depth == shape[0]).all()


def test_slices_without_a_label_are_ignored(folder):
    batch = batches(folder, (6, 8, 10), "labeled_slices.txt").next()
    assert (batch.labels[:, [0, 1, 4, 5]] == IGNORE).all()
    assert (batch.labels[:, [2, 3]] != IGNORE).all()
    assert batch.frame.all()


def test_a_restored_stream_continues_with_the_same_patches(folder):
    randomness = Randomness(0, torch.device("cpu"))
    stream = batches(folder, (4, 8, 10), augmentation=ON, randomness=randomness)
    stream.next()
    state = stream.state_dict()
    generators = {name: g.get_state() for name, g in randomness.generators.items()}
    expected = stream.next()
    other = Randomness(9, torch.device("cpu"))
    resumed = batches(folder, (4, 8, 10), augmentation=ON, randomness=other)
    resumed.load_state_dict(state)
    for name, value in generators.items():
        other.generator(name).set_state(value)
    found = resumed.next()
    for name in ("images", "labels", "frame", "mined", "heights"):
        assert torch.equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "ASR"])
def test_resampling_there_and_back_moves_a_boundary_by_less_than_a_voxel(orientation):
    z, y, x = np.mgrid[:18, :26, :22]
    ball = ((z - 9) ** 2 / 36 + (y - 12) ** 2 / 64 + (x - 11) ** 2 / 49 < 1).astype(np.uint8)
    image = sitk.GetImageFromArray(ball)
    image.SetSpacing((1.4, 1.1, 2.0))
    image = sitk.DICOMOrient(image, orientation)
    native = geometry.geometry_of(image)
    prepared = geometry.to_prepared(image, None, (1.0, 1.0, 1.0), nearest=True)
    back = geometry.to_native(prepared, native, None, (1.0, 1.0, 1.0))
    truth = sitk.GetArrayFromImage(image)
    assert back.shape == truth.shape
    inner = sitk.GetArrayFromImage(sitk.BinaryErode(image, (1, 1, 1)))
    outer = sitk.GetArrayFromImage(sitk.BinaryDilate(image, (1, 1, 1)))
    assert back[inner == 1].all()
    assert not back[outer == 0].any()


def test_resampling_keeps_the_extent_and_comes_as_near_as_it_allows():
    image = sitk.Image((20, 30, 7), sitk.sitkFloat32)
    image.SetSpacing((0.7, 0.5, 3.0))
    assert geometry.to_prepared(image, None, (1.0, 1.0, 1.0)).shape == (21, 15, 14)
    assert geometry.to_prepared(image, None, None).shape == (7, 30, 20)

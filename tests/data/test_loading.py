from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small_scans import SETTINGS, ignore_progress, write_raw_dataset

from arco.contracts import Batch, Randomness
from arco.data.loading import IndexStream, Prepared, TrainingBatches
from arco.data.preparation import prepare_dataset
from arco.errors import ArcoError
from arco.schema.training import Augmentation, BatchSizes

ON = Augmentation(
    rotation=True, rotation_degrees=20.0, quarter_turns=0.5, crop=True, crop_padding=4, flip=True
)
OFF = Augmentation(
    rotation=False, rotation_degrees=20.0, quarter_turns=0.5, crop=False, crop_padding=4, flip=False
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients with two cases of six slices each; one patient is labeled."""
    root = tmp_path_factory.mktemp("dataset")
    cases = write_raw_dataset(root / "raw")
    prepare_dataset(
        cases, root / "raw", root / "out", SETTINGS, source="raw", workers=1, report=ignore_progress
    )
    splits = root / "out" / "splits"
    splits.mkdir()
    names = [case.case for case in cases]
    (splits / "train.txt").write_text("\n".join(names))
    (splits / "labeled_1pct.txt").write_text("\n".join(names[:2]))
    (splits / "labeled_one.txt").write_text(f"{names[0]}@3\n")
    return root / "out"


def batches(
    folder: Path,
    labeled_list: str | None = "labeled_1pct.txt",
    sizes: tuple[int, int, int] = (3, 4, 2),
    augmentation: Augmentation = ON,
    randomness: Randomness | None = None,
    blocks: int = 0,
    patch: tuple[int, ...] | None = None,
) -> TrainingBatches:
    labeled, unlabeled, mined = sizes
    return TrainingBatches(
        Prepared(folder),
        training_list=folder / "splits" / "train.txt",
        labeled_list=None if labeled_list is None else folder / "splits" / labeled_list,
        sizes=BatchSizes(labeled=labeled, unlabeled=unlabeled, mined=mined, blocks=blocks),
        augmentation=augmentation,
        randomness=randomness or Randomness(0, torch.device("cpu")),
        patch=patch,
    )


def same(one: Batch, other: Batch) -> bool:
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("images", "labels", "frame", "mined")
    )


def test_arrays_are_memory_mapped_and_read_only(folder: Path) -> None:
    prepared = Prepared(folder)
    images, labels = prepared.images("patient001_frame01"), prepared.labels("patient001_frame01")
    assert images.shape == (1, 6, 24, 20)
    assert labels.shape == (6, 24, 20)
    assert isinstance(images.base, np.memmap)
    assert not images.flags.writeable
    assert prepared.images("patient001_frame01") is images
    assert prepared.channels == 1
    with pytest.raises(ArcoError, match="no prepared case nobody"):
        prepared.images("nobody")


def test_a_damaged_array_is_refused_with_its_name(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = copy / "images" / "patient001_frame01.npy"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ArcoError, match=r"patient001_frame01\.npy is damaged"):
        Prepared(copy).images("patient001_frame01")
    np.save(path, np.zeros((1, 6, 20, 24), dtype=np.float32))
    with pytest.raises(ArcoError, match=r"shape \(1, 6, 20, 24\) but the manifest says"):
        Prepared(copy).images("patient001_frame01")
    path.unlink()
    with pytest.raises(ArcoError, match=r"missing; run `arco prepare`"):
        Prepared(copy).images("patient001_frame01")


def test_a_batch_has_the_wanted_images_and_types(folder: Path) -> None:
    batch = batches(folder).next()
    assert batch.images.shape == (7, 1, 24, 20)
    assert batch.images.dtype == torch.float32
    assert batch.labels.shape == (3, 24, 20)
    assert batch.labels.dtype == torch.int64
    assert set(batch.labels.unique().tolist()) <= {-1, 0, 1, 2, 3}
    assert batch.frame.shape == (7, 24, 20)
    assert batch.frame.dtype == torch.bool
    assert batch.mined.shape == (2, 1, 24, 20)
    assert torch.equal(batch.labels == -1, ~batch.frame[:3])


def test_images_labels_and_pools_are_those_of_the_lists(folder: Path) -> None:
    # Without augmentation an image is its slice, and every slice is unlike the others.
    prepared = Prepared(folder)
    where = {
        prepared.images(case)[:, z].tobytes(): (case, z)
        for case in prepared.manifest.cases
        for z in range(6)
    }
    stream = batches(folder, augmentation=OFF)
    assert stream.training_items == 36
    seen: dict[str, list[tuple[str, int]]] = {"labeled": [], "unlabeled": [], "mined": []}
    for _ in range(4):
        batch = stream.next()
        for name, items in seen.items():
            items += [where[image.numpy().tobytes()] for image in getattr(batch, name)]
        for (case, z), labels in zip(seen["labeled"][-3:], batch.labels, strict=True):
            assert np.array_equal(labels.numpy(), prepared.labels(case)[z])
        assert batch.frame.all()
    # 4 x 3 of 12 labeled slices and 4 x 6 of 24 unlabeled ones: each exactly once.
    assert sorted(seen["labeled"]) == [
        (f"patient001_frame0{frame}", z) for frame in (1, 2) for z in range(6)
    ]
    others = seen["unlabeled"] + seen["mined"]
    assert len(set(others)) == 24
    assert not {case for case, _ in others} & {case for case, _ in seen["labeled"]}


def test_one_labeled_slice_fills_a_batch_and_its_neighbors_are_unlabeled(
    folder: Path,
) -> None:
    stream = batches(folder, "labeled_one.txt", augmentation=OFF)
    batch = stream.next()
    slice_ = Prepared(folder).images("patient001_frame01")[:, 3]
    assert all(np.array_equal(image.numpy(), slice_) for image in batch.labeled)
    assert ("patient001_frame01", 3) not in stream.unlabeled
    assert len(stream.unlabeled) == 35


def test_where_everything_is_labeled_the_same_images_serve_unlabeled(folder: Path) -> None:
    stream = batches(folder, "train.txt")
    assert len(stream.labeled) == len(stream.unlabeled) == 36
    assert len(batches(folder, "train.txt", sizes=(8, 0, 0)).next().unlabeled) == 0


def test_a_run_without_labels_sees_every_image_and_no_label(folder: Path) -> None:
    stream = batches(folder, None, sizes=(0, 5, 0))
    batch = stream.next()
    assert len(stream.unlabeled) == 36
    assert batch.images.shape == (5, 1, 24, 20)
    assert batch.labels.shape == (0, 24, 20)
    assert batch.mined.shape == (0, 1, 24, 20)
    with pytest.raises(ArcoError, match=r"training\.batch\.labeled is 3 .*set it to 0"):
        batches(folder, None)


def test_a_batch_takes_a_slice_of_every_block_from_different_scans(folder: Path) -> None:
    stream = batches(folder, None, sizes=(0, 6, 0), augmentation=OFF, blocks=3)
    prepared = Prepared(folder)
    where = {
        prepared.images(case)[:, z].tobytes(): (case, z)
        for case in prepared.manifest.cases
        for z in range(6)
    }
    seen = set()
    for _ in range(30):
        batch = stream.next()
        items = [where[image.numpy().tobytes()] for image in batch.images]
        seen.update(items)
        by_case: dict[str, list[int]] = {}
        for (case, z), height in zip(items, batch.heights.tolist(), strict=True):
            by_case.setdefault(case, []).append(int(height * 3))
            assert int(height * 3) == z // 2
        assert sorted(map(sorted, by_case.values())) == [[0, 1, 2], [0, 1, 2]]
    assert len(seen) == 36


def test_blocks_that_cannot_be_are_explained(folder: Path) -> None:
    with pytest.raises(ArcoError, match=r"unlabeled is 5 but must be a multiple of .*blocks, 2"):
        batches(folder, None, sizes=(0, 5, 0), blocks=2)
    with pytest.raises(ArcoError, match=r"slices of 7 scans but only 6 have 2 blocks"):
        batches(folder, None, sizes=(0, 14, 0), blocks=2)
    with pytest.raises(ArcoError, match=r"slices of 1 scans but only 0 have 7 blocks"):
        batches(folder, None, sizes=(0, 7, 0), blocks=7)
    with pytest.raises(ArcoError, match=r"training\.batch\.blocks .*set it to 0 in `volumes`"):
        batches(folder, None, sizes=(0, 4, 0), blocks=2, patch=(4, 16, 16))


def test_the_seed_decides_the_batches(folder: Path) -> None:
    first, again, other = (
        batches(folder, randomness=Randomness(seed, torch.device("cpu"))) for seed in (0, 0, 1)
    )
    ours = [first.next() for _ in range(3)]
    assert all(same(batch, again.next()) for batch in ours)
    assert not same(ours[0], other.next())


def test_the_global_generator_is_neither_read_nor_moved(folder: Path) -> None:
    before = torch.get_rng_state()
    batches(folder).next()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("steps", "blocks"), [(0, 0), (1, 0), (5, 0), (1, 2)])
def test_a_restored_run_sees_the_batches_it_would_have_seen(
    folder: Path, steps: int, blocks: int
) -> None:
    randomness, other = (Randomness(0, torch.device("cpu")) for _ in range(2))
    undisturbed = batches(folder, randomness=randomness, blocks=blocks)
    for _ in range(steps):
        undisturbed.next()
    state = {name: tensor.clone() for name, tensor in undisturbed.state_dict().items()}
    generators = {name: generator.get_state() for name, generator in randomness.generators.items()}
    expected = [undisturbed.next() for _ in range(7)]
    restored = batches(folder, randomness=other, blocks=blocks)
    restored.next()  # whatever happened before does not matter
    restored.load_state_dict(state)
    for name, generator_state in generators.items():
        other.generator(name).set_state(generator_state)
    assert all(same(batch, restored.next()) for batch in expected)


def test_batch_sizes_do_not_shift_the_other_streams(folder: Path) -> None:
    few, many = (
        batches(folder, augmentation=OFF),
        batches(folder, sizes=(3, 6, 0), augmentation=OFF),
    )
    for _ in range(5):
        one, other = few.next(), many.next()
        assert torch.equal(one.labeled, other.labeled)
        assert torch.equal(torch.cat([one.unlabeled, one.mined]), other.unlabeled)


def test_an_index_stream_is_one_permutation_after_the_other() -> None:
    stream = IndexStream(5, torch.Generator().manual_seed(0))
    taken = torch.cat([stream.take(count) for count in (3, 4, 0, 13)])
    assert len(taken) == 20
    for permutation in taken.split(5):
        assert sorted(permutation.tolist()) == [0, 1, 2, 3, 4]
    assert len({tuple(permutation.tolist()) for permutation in taken.split(5)}) > 1


def test_an_unknown_case_in_a_list_stops_the_run(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("patient001_frame01\nnobody\n")
    with pytest.raises(ArcoError, match=r"train\.txt line 2: there is no case nobody"):
        TrainingBatches(
            Prepared(folder),
            training_list=tmp_path / "train.txt",
            labeled_list=None,
            sizes=BatchSizes(labeled=0, unlabeled=4, mined=0, blocks=0),
            augmentation=ON,
            randomness=Randomness(0, torch.device("cpu")),
        )


@pytest.mark.parametrize(
    ("labeled_list", "kept", "patch"),
    [
        ("labeled_1pct.txt", 2, None),
        ("labeled_one.txt", 0, None),
        ("labeled_1pct.txt", 2, (4, 16, 16)),
    ],
)
def test_labels_of_unlabeled_images_reach_no_batch(
    folder: Path, tmp_path: Path, labeled_list: str, kept: int, patch: tuple[int, ...] | None
) -> None:
    other = tmp_path / "garbage"
    shutil.copytree(folder, other)
    paths = sorted((other / "labels").glob("*.npy"))
    for path in paths[kept:]:
        labels = np.load(path)
        garbage = np.random.default_rng(0).integers(0, 4, labels.shape, dtype=labels.dtype)
        if path == paths[0]:
            garbage[3] = labels[3]  # the one slice that is labeled
        np.save(path, garbage)
    first, second = (
        batches(where, labeled_list, augmentation=OFF if patch else ON, patch=patch)
        for where in (folder, other)
    )
    for _ in range(4):
        assert same(first.next(), second.next())

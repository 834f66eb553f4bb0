"""Prepared data in memory maps, and training batches drawn from them.

Nothing is decompressed or decoded while training: a slice or patch is a part of a file that the
operating system keeps in memory. Batches depend on the run's generators and a short list of
indices only, so a restored run continues with the very batches it would have seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from arco import files
from arco.contracts import IGNORE, Batch, Randomness
from arco.data.augmentation import apply_transforms, draw_transforms
from arco.data.lists import Entry, read_labeled, read_part, slices_of
from arco.data.manifest import prepared_file, read_manifest
from arco.data.patches import cut, first_voxels
from arco.errors import ArcoError
from arco.schema.training import Augmentation, BatchSizes

Item = tuple[str, int]
"""A case and one of its slices; or a volume, whose second entry says nothing."""


Gathered = tuple[Tensor, Tensor, Tensor | None, Tensor]
"""Images [B, channels, *S], labels [L, *S], frame [B, *S] (None: all inside), heights [B]."""


class Prepared:
    """A prepared dataset, opened for reading.

    Attributes:
        folder: where it lies.
        manifest: what it holds.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self._arrays: dict[tuple[str, str], np.ndarray] = {}

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return next(iter(self.manifest.cases.values())).shape[0]

    def images(self, case: str) -> np.ndarray:
        """[channels, Z, H, W] float32 in [0, 1], memory-mapped.

        Raises:
            ArcoError: no such case, or its file is missing or damaged.
        """
        return self._array("images", case, self.manifest.record(case).shape)

    def labels(self, case: str) -> np.ndarray:
        """[Z, H, W] uint8 class indices, memory-mapped.

        Raises:
            ArcoError: no such case, or its file is missing or damaged.
        """
        return self._array("labels", case, self.manifest.record(case).shape[1:])

    def _array(self, kind: str, case: str, shape: tuple[int, ...]) -> np.ndarray:
        if (kind, case) not in self._arrays:
            path = prepared_file(self.folder, kind, case)
            array = files.read_array(path)
            if array.shape != shape:
                raise ArcoError(
                    f"{path} has shape {array.shape} but the manifest says {shape}; run `arco "
                    "prepare` for its dataset"
                )
            # A plain view of the map: indexing `np.memmap` itself costs more than the copy.
            self._arrays[kind, case] = array.view(np.ndarray)
        return self._arrays[kind, case]


class IndexStream:
    """Endless random indices: one permutation of them all after the other.

    A draw may be larger than the number of indices (one labeled slice fills a whole batch).
    """

    def __init__(self, length: int, generator: torch.Generator) -> None:
        self.length = length
        self.generator = generator
        self.remaining = torch.empty(0, dtype=torch.int64)

    def take(self, count: int) -> Tensor:
        """The next `count` indices, [count] int64 on the CPU."""
        while len(self.remaining) < count:
            order = torch.randperm(
                self.length, generator=self.generator, device=self.generator.device
            )
            self.remaining = torch.cat([self.remaining, order.cpu()])
        taken, self.remaining = self.remaining[:count], self.remaining[count:].clone()
        return taken


class TrainingBatches:
    """Augmented batches of labeled, unlabeled and mined slices, or of patches of volumes.

    Unlabeled are the slices (volumes) of the training list without a label; where all have one,
    their images serve without it. Mined ones are the next unlabeled ones, so they differ from those
    beside them. Of a volume of which only some slices are labeled, the others count as IGNORE.

    Attributes:
        training_items: slices or volumes of the training list.
    """

    def __init__(
        self,
        prepared: Prepared,
        *,
        training_list: Path,
        labeled_list: Path | None,
        sizes: BatchSizes,
        augmentation: Augmentation,
        randomness: Randomness,
        patch: Sequence[int] | None = None,
    ) -> None:
        """Read the lists.

        Args:
            prepared: the dataset.
            training_list: the cases of the training part.
            labeled_list: the labeled ones among them; None where no labels are read.
            sizes: images of each kind in a batch.
            augmentation: what happens to them.
            randomness: the run's generators; batches lie on its device.
            patch: [Z, H, W] of the patches to cut out of volumes; None for slices.

        Raises:
            ArcoError: a list is missing or wrong; labeled images are asked for without a list;
                blocks do not divide the batch, or too few scans have slices in all of them.
        """
        if labeled_list is None and sizes.labeled:
            raise ArcoError(
                f"params.yaml: training.batch.labeled is {sizes.labeled} where no labels are read; "
                "set it to 0"
            )
        self.prepared = prepared
        self.sizes = sizes
        self.augmentation = augmentation
        self.device = randomness.device
        self.patch = patch
        records = prepared.manifest.cases
        training = [Entry(case, None, 0) for case in read_part(training_list, records)]
        labeled: list[Item] = []
        if labeled_list is not None:
            labeled = slices_of(read_labeled(labeled_list, records, training_list), records)
        items = slices_of(training, records)
        if patch is not None:
            self._labeled_slices = _slices_by_case(labeled)
            labeled = [(case, 0) for case in self._labeled_slices]
            items = [(entry.case, 0) for entry in training]
        known = set(labeled)
        self.training_items = len(items)
        self.labeled = labeled
        self.unlabeled = [item for item in items if item not in known] or items
        self._labeled_order = IndexStream(len(labeled), randomness.generator("labeled order"))
        self._unlabeled_order = IndexStream(
            len(self.unlabeled), randomness.generator("unlabeled order")
        )
        self._block_generator = randomness.generator("blocks")
        self._scans = self._slices_by_block() if sizes.blocks else []
        self._augmentation_generator = randomness.generator("augmentation")
        self._patch_generator = randomness.generator("patches")

    def next(self) -> Batch:
        """The next batch, on the run's device."""
        first = self._labeled_order.take(self.sizes.labeled).tolist()
        labeled = [self.labeled[index] for index in first]
        items = labeled + self._take_unlabeled()
        gather = self._slices if self.patch is None else self._patches
        images, labels, frame, heights = gather(items, len(labeled))
        transforms = draw_transforms(
            len(images),
            self.augmentation,
            square=images.shape[-1] == images.shape[-2],
            generator=self._augmentation_generator,
        )
        images, labels, frame = apply_transforms(
            images.to(self.device),
            labels.to(self.device),
            transforms,
            None if frame is None else frame.to(self.device),
        )
        trained = self.sizes.labeled + self.sizes.unlabeled
        return Batch(
            images[:trained],
            labels,
            frame[:trained],
            mined=images[trained:],
            heights=heights[:trained].to(self.device),
        )

    def _take_unlabeled(self) -> list[Item]:
        """The unlabeled and the mined items of a batch."""
        in_blocks: list[Item] = []
        count = self.sizes.unlabeled + self.sizes.mined
        if self.sizes.blocks:
            generator, blocks = self._block_generator, self.sizes.blocks
            wanted = self.sizes.unlabeled // blocks
            order = torch.randperm(len(self._scans), generator=generator, device=generator.device)
            unit = torch.rand(wanted, blocks, generator=generator, device=generator.device)
            for scan, numbers in zip(order[:wanted].tolist(), unit.tolist(), strict=True):
                for slices, number in zip(self._scans[scan], numbers, strict=True):
                    in_blocks.append(slices[int(number * len(slices))])
            count -= len(in_blocks)
        return in_blocks + [
            self.unlabeled[index] for index in self._unlabeled_order.take(count).tolist()
        ]

    def _slices_by_block(self) -> list[list[list[Item]]]:
        """The unlabeled slices of each block of each scan that has some in every block."""
        blocks, wanted = self.sizes.blocks, self.sizes.unlabeled
        if self.patch is not None:
            raise ArcoError(
                "params.yaml: training.batch.blocks divides scans into slices; set it to 0 in "
                "`volumes`"
            )
        if not wanted or wanted % blocks:
            raise ArcoError(
                f"params.yaml: training.batch.unlabeled is {wanted} but must be a multiple of "
                f"training.batch.blocks, {blocks}; change either"
            )
        records = self.prepared.manifest
        scans: dict[str, list[list[Item]]] = {}
        for case, index in self.unlabeled:
            height = (index + 0.5) / records.record(case).slices
            found = scans.setdefault(case, [[] for _ in range(blocks)])
            found[int(height * blocks)].append((case, index))
        complete = [slices for slices in scans.values() if all(slices)]
        if len(complete) < wanted // blocks:
            raise ArcoError(
                f"params.yaml: training.batch asks for slices of {wanted // blocks} scans but only "
                f"{len(complete)} have {blocks} blocks of slices; lower unlabeled or blocks"
            )
        return complete

    def state_dict(self) -> dict[str, Tensor]:
        """What the coming batches depend on, beside the run's generators."""
        return {
            "labeled": self._labeled_order.remaining,
            "unlabeled": self._unlabeled_order.remaining,
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue where `state` was taken."""
        self._labeled_order.remaining = state["labeled"].cpu()
        self._unlabeled_order.remaining = state["unlabeled"].cpu()

    def _slices(self, items: Sequence[Item], labeled: int) -> Gathered:
        """The slices as they are; all of each lies inside the image."""
        records = self.prepared.manifest
        channels, _, *size = records.record(items[0][0]).shape
        images = np.empty((len(items), channels, *size), dtype=np.float32)
        labels = np.empty((labeled, *size), dtype=np.uint8)
        for row, (case, index) in enumerate(items):
            images[row] = self.prepared.images(case)[:, index]
            if row < labeled:
                labels[row] = self.prepared.labels(case)[index]
        heights = [(index + 0.5) / records.record(case).slices for case, index in items]
        return torch.from_numpy(images), torch.from_numpy(labels), None, torch.tensor(heights)

    def _patches(self, items: Sequence[Item], labeled: int) -> Gathered:
        """A random patch of each volume, with the voxels that lie inside the volume."""
        size = tuple(self.patch or ())
        generator = self._patch_generator
        unit = torch.rand(len(items), 3, generator=generator, device=generator.device).tolist()
        images, labels, frames, heights = [], [], [], []
        for row, ((case, _), numbers) in enumerate(zip(items, unit, strict=True)):
            volume = self.prepared.images(case)
            first = first_voxels(volume.shape[1:], size, numbers)
            images.append(cut(volume, first, size, 0))
            inside = np.broadcast_to(np.True_, volume.shape[1:])
            frames.append(cut(inside, first, size, fill=False))
            heights.append(min((first[0] + size[0] / 2) / volume.shape[1], 1 - 1e-6))
            if row < labeled:
                labels.append(self._patch_labels(case, first, size))
        truth = np.stack(labels) if labels else np.empty((0, *size), dtype=np.int16)
        return (
            torch.from_numpy(np.stack(images)),
            torch.from_numpy(truth),
            torch.from_numpy(np.stack(frames)),
            torch.tensor(heights),
        )

    def _patch_labels(self, case: str, first: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
        """[Z, H, W] int16, IGNORE outside the volume and in slices that are not labeled."""
        volume = self.prepared.labels(case)
        patch = cut(volume, first, size, 0).astype(np.int16)
        patch[~cut(np.broadcast_to(np.True_, volume.shape), first, size, fill=False)] = IGNORE
        known = self._labeled_slices[case]
        if len(known) < len(volume):
            unknown = [z for z in range(size[0]) if z + first[0] not in known]
            patch[unknown] = IGNORE
        return patch


def _slices_by_case(items: Sequence[Item]) -> dict[str, set[int]]:
    slices: dict[str, set[int]] = {}
    for case, index in items:
        slices.setdefault(case, set()).add(index)
    return slices

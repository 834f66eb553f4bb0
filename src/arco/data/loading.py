"""Prepared data in memory maps, and training batches drawn from them.

Nothing is decompressed or decoded while training: a slice is a stretch of a file that the
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
from arco.contracts import Batch, Randomness
from arco.data.augmentation import apply_transforms, draw_transforms
from arco.data.lists import Entry, read_labeled, read_part, slices_of
from arco.data.manifest import prepared_file, read_manifest
from arco.errors import ArcoError
from arco.schema import Augmentation, BatchSizes

Item = tuple[str, int]
"""A case and one of its slices."""


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
    """Augmented batches of labeled, unlabeled and mined slices.

    Unlabeled are the slices of the training list without a label; where all have one, their images
    serve without it. Mined slices are the next unlabeled ones, so they differ from those beside
    them.

    Attributes:
        training_items: slices of the training list.
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
    ) -> None:
        """Read the lists.

        Args:
            prepared: the dataset.
            training_list: the cases of the training part.
            labeled_list: the labeled ones among them; None where no labels are read.
            sizes: images of each kind in a batch.
            augmentation: what happens to them.
            randomness: the run's generators; batches lie on its device.

        Raises:
            ArcoError: a list is missing or wrong; labeled images are asked for without a list.
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
        records = prepared.manifest.cases
        training = [Entry(case, None, 0) for case in read_part(training_list, records)]
        items = slices_of(training, records)
        labeled: list[Item] = []
        if labeled_list is not None:
            labeled = slices_of(read_labeled(labeled_list, records, training_list), records)
        known = set(labeled)
        self.training_items = len(items)
        self.labeled = labeled
        self.unlabeled = [item for item in items if item not in known] or items
        self._labeled_order = IndexStream(len(labeled), randomness.generator("labeled order"))
        self._unlabeled_order = IndexStream(
            len(self.unlabeled), randomness.generator("unlabeled order")
        )
        self._augmentation_generator = randomness.generator("augmentation")

    def next(self) -> Batch:
        """The next batch, on the run's device."""
        first = self._labeled_order.take(self.sizes.labeled).tolist()
        second = self._unlabeled_order.take(self.sizes.unlabeled + self.sizes.mined).tolist()
        labeled = [self.labeled[index] for index in first]
        items = labeled + [self.unlabeled[index] for index in second]
        images = self._images(items)
        labels = self._labels(labeled, images.shape[2:])
        transforms = draw_transforms(
            len(images),
            self.augmentation,
            square=images.shape[-1] == images.shape[-2],
            generator=self._augmentation_generator,
        )
        images, labels, frame = apply_transforms(
            images.to(self.device), labels.to(self.device), transforms
        )
        trained = self.sizes.labeled + self.sizes.unlabeled
        return Batch(
            images[:trained],
            labels,
            frame[:trained],
            mined=images[trained:],
            heights=self._heights(items[:trained]).to(self.device),
        )

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

    def _images(self, items: Sequence[Item]) -> Tensor:
        """[B, channels, H, W] float32."""
        channels, _, *size = self.prepared.manifest.record(items[0][0]).shape
        gathered = np.empty((len(items), channels, *size), dtype=np.float32)
        for row, (case, index) in enumerate(items):
            gathered[row] = self.prepared.images(case)[:, index]
        return torch.from_numpy(gathered)

    def _heights(self, items: Sequence[Item]) -> Tensor:
        """[B] float32 in [0, 1): the relative position of each slice in its scan."""
        slices = [self.prepared.manifest.record(case).slices for case, _ in items]
        middles = [index + 0.5 for _, index in items]
        return torch.tensor(middles, dtype=torch.float32) / torch.tensor(slices)

    def _labels(self, items: Sequence[Item], size: Sequence[int]) -> Tensor:
        """[L, H, W] uint8."""
        gathered = np.empty((len(items), *size), dtype=np.uint8)
        for row, (case, index) in enumerate(items):
            gathered[row] = self.prepared.labels(case)[index]
        return torch.from_numpy(gathered)

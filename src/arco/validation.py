"""The validation curve: what the network that would be tested now scores on the validation part.

A number to look at and to choose settings by, not the one in the tables: it is taken on the
prepared grid, where nothing has to be resized back and no surface has to be found.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from arco.data.lists import read_part
from arco.data.loading import Prepared
from arco.evaluation.inference import predict_patches, predict_slices
from arco.evaluation.metrics import dice
from arco.models.build import build_network
from arco.schema.training import Window

BATCH_SLICES = 16


class ValidationCurve:
    """Scores weights on the validation part, with a network of its own.

    The network in training is not touched: neither its mode, nor its batch-norm statistics, nor
    any generator. Only building this network takes numbers from torch's global generator, so that
    it must happen before that one is seeded for the run.
    """

    def __init__(
        self,
        prepared: Prepared,
        validation_list: Path,
        settings: Mapping[str, Any],
        device: torch.device,
    ) -> None:
        """Read the list and build the network.

        Args:
            prepared: the dataset.
            validation_list: the cases of the validation part.
            settings: of the run; read are dataset, network and, over volumes, window.
            device: where to predict.

        Raises:
            ArcoError: the list is missing or wrong.
        """
        self.prepared = prepared
        self.cases = read_part(validation_list, prepared.manifest.cases)
        self.classes = len(settings["dataset"]["classes"])
        self.size = settings["dataset"]["image_size"]
        self.device = device
        window = settings.get("window")
        self.window = None if window is None else Window.model_validate(window)
        network = build_network(settings, prepared.channels).to(device)
        planes = self.window is None
        self.network = network.to(memory_format=torch.channels_last) if planes else network

    def mean_dice(self, weights: Mapping[str, Tensor]) -> float:
        """The Dice of a network with these weights.

        A class scores the mean over the cases where it is defined, and the mean of the classes
        without background is returned: NaN where some class is neither true nor predicted in any
        case, as in tables.

        Args:
            weights: those that a run exports, by their names in the network.
        """
        self.network.load_state_dict(weights)
        scores = np.array([self._scores(case) for case in self.cases])
        defined = np.isfinite(scores).sum(axis=0)
        of_classes = np.nansum(scores, axis=0) / np.where(defined, defined, np.nan)
        return float(of_classes.mean())

    def _scores(self, case: str) -> list[float]:
        """Dice of each foreground class over the whole volume of a case."""
        predicted, truth = self._predict(case), self.prepared.labels(case)
        return [dice(predicted == index, truth == index) for index in range(1, self.classes)]

    def _predict(self, case: str) -> npt.NDArray[np.uint8]:
        """[Z, H, W] class indices on the prepared grid."""
        image = self.prepared.images(case)
        if self.window is not None:
            return predict_patches(self.network, image, self.size, self.window, self.device)
        height, width = image.shape[2:]
        return predict_slices(
            self.network,
            image,
            (height, width),
            batch_slices=BATCH_SLICES,
            device=self.device,
        )

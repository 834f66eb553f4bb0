"""From a prepared part of a volume to a prediction on the whole scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

from arco.data.cases import RawCase
from arco.data.conversion import PreparationSettings
from arco.data.cropping import Crop
from arco.data.preparation import prepare_dataset
from arco.evaluation.evaluate import Evaluation
from arco.schema.training import Window

SIZE = (40, 36, 20)


class Threshold(nn.Module):
    """Foreground where the image is brighter than one half."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[B, 1, *S] -> [B, 2, *S]."""
        inside = (images[:, 0] > 0.5).long()
        return 20.0 * nn.functional.one_hot(inside, 2).movedim(-1, 1).float()


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "ASR"])
@pytest.mark.parametrize("region", ["label", "center"])
@pytest.mark.parametrize("patch", [(8, 16, 16), (32, 48, 48)])
def test_a_prediction_lies_on_the_whole_scan_and_is_background_outside_the_part(
    tmp_path: Path, region: str, orientation: str, patch: tuple[int, int, int]
) -> None:
    x, y, z = SIZE
    truth = np.zeros((z, y, x), dtype=np.uint8)
    truth[5:14, 10:25, 12:30] = 255
    image = truth.copy()
    image[:, :4, :5] = 255  # as bright as the organ, outside either part
    (tmp_path / "raw").mkdir()
    for name, array in (("image", image), ("label", truth)):
        scan = sitk.GetImageFromArray(array)
        scan.SetSpacing((1.5, 1.5, 1.5))
        scan.SetOrigin((-20.0, 10.0, 3.0))
        scan = sitk.DICOMOrient(scan, orientation)
        sitk.WriteImage(scan, str(tmp_path / "raw" / f"{name}.nrrd"))
    case = RawCase("a", "a", (tmp_path / "raw/image.nrrd",), tmp_path / "raw/label.nrrd")
    crop = Crop(region, (None, 40.0, 45.0), (0.0, 0.0, 0.0))
    settings = PreparationSettings({"background": 0, "atrium": 255}, None, None, 1, crop=crop)
    manifest = prepare_dataset(
        [case], tmp_path / "raw", tmp_path / "out", settings,
        source="raw", workers=1, report=lambda *_: None,
    )  # fmt: skip
    evaluation = Evaluation(
        network=Threshold(),  # type: ignore[arg-type]
        device=torch.device("cpu"),
        prepared=tmp_path / "out",
        manifest=manifest,
        image_size=patch,
        window=Window(overlap=0.5, stride=None),
    )
    prediction, wanted = evaluation.predict("a"), evaluation.truth("a")
    assert manifest.record("a").shape[1:] == (20, 27, 30)
    assert prediction.shape == wanted.shape
    assert wanted.sum() == 9 * 15 * 18
    assert np.array_equal(prediction, wanted)

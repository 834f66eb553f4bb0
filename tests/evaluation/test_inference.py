from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from small_prepared import CLASSES, Oracle, heart, scan
from torch import nn

from arco.data.geometry import geometry_of, to_prepared, turned
from arco.data.manifest import Geometry
from arco.evaluation.inference import plane_size, predict_volume
from arco.evaluation.metrics import dice
from arco.models.unet import UNet

CPU = torch.device("cpu")
ORIENTATIONS = ["LPS", "RAS", "PLS", "ASR", "SPL", "PIR", "LSA", "IRP"]


class Constant(nn.Module):
    """Answers with given probabilities, whatever the images."""

    def __init__(self, probs):
        super().__init__()
        self.logits = torch.tensor(probs).log()

    def forward(self, images):
        return self.logits.expand(len(images), *self.logits.shape)


def predict(network, image, geometry, batch_slices=4):
    return predict_volume(network, image, geometry, batch_slices=batch_slices, device=CPU)


def prepared_labels_as_image(image, image_size):
    labels = to_prepared(image, image_size, nearest=True)
    return labels[None].astype(np.float32) / (len(CLASSES) - 1)


def simple_geometry(size, orientation="LPS"):
    return geometry_of(scan(np.zeros(size[::-1], dtype=np.uint8), orientation))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("factor", [1, 2])
def test_an_oracle_gives_back_the_truth_in_every_orientation(orientation, factor):
    truth = heart((20, 17, 5), np.random.default_rng(0))
    image = scan(truth, orientation)
    height, width = plane_size(geometry_of(image))
    seen = prepared_labels_as_image(image, (factor * height, factor * width))
    predicted = predict(Oracle(), seen, geometry_of(image))
    assert predicted.dtype == np.uint8
    np.testing.assert_array_equal(predicted, truth)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_oracle_on_axial_slices_gives_back_the_truth_of_every_file(orientation):
    image = sitk.DICOMOrient(scan(heart((20, 17, 5), np.random.default_rng(0))), orientation)
    upright = turned(image)
    region, (width, height, depth) = geometry_of(upright), upright.GetSize()
    assert (depth, height, width) == (5, 17, 20)
    seen = prepared_labels_as_image(upright, (2 * height, 2 * width))
    predicted = predict_volume(
        Oracle(), seen, geometry_of(image), batch_slices=2, device=CPU, region=region
    )
    np.testing.assert_array_equal(predicted, sitk.GetArrayFromImage(image))


@pytest.mark.parametrize("image_size", [(64, 80), (40, 40)])
def test_an_oracle_on_a_grid_that_does_not_fit_loses_little(image_size):
    truth = heart((90, 101, 4), np.random.default_rng(1))
    image = scan(truth, "RPS")
    predicted = predict(Oracle(), prepared_labels_as_image(image, image_size), geometry_of(image))
    for index in range(1, len(CLASSES)):
        assert dice(predicted == index, truth == index) > 0.93


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        ("LPS", (7, 5)),  # x is left-right and becomes W, y becomes H
        ("RAI", (7, 5)),
        ("PLS", (5, 7)),  # x is front-back and becomes H
        ("PSL", (7, 5)),  # sagittal slices: front-back stays W
        ("SPL", (5, 7)),
        ("LSP", (7, 5)),  # coronal slices: left-right stays W
        ("IRA", (5, 7)),
    ],
)
def test_the_plane_size_is_the_native_size_of_prepared_slices(orientation, expected):
    geometry = simple_geometry((5, 7, 3), orientation)
    assert plane_size(geometry) == expected
    image = scan(np.zeros((3, 7, 5), dtype=np.uint8), orientation)
    assert to_prepared(image, expected).shape == (3, *expected)
    canonical = sitk.DICOMOrient(image, "LPS" if orientation[-1] in "SI" else orientation)
    if orientation[-1] in "SI":
        assert canonical.GetSize() == (expected[1], expected[0], 3)


def test_probabilities_are_resized_and_not_labels():
    # Two pixels become four. Bilinear values between 0.4 and 0.9, at -0.25, 0.25, 0.75 and 1.25
    # pixels: 0.4, 0.525, 0.775, 0.9. Resized labels would be 0, 0, 1, 1.
    network = Constant([[[0.6, 0.1]], [[0.4, 0.9]]])
    image = np.zeros((1, 1, 1, 2), dtype=np.float32)
    predicted = predict(network, image, simple_geometry((4, 1, 1)))
    np.testing.assert_array_equal(predicted, [[[0, 1, 1, 1]]])


def test_resizing_keeps_the_edges_of_the_image_where_they_were():
    # At 0.25 pixels the probability is 0.48. If the corner pixels' centers were aligned, the
    # second of four pixels would lie at 0.33 pixels, where it is 0.52.
    network = Constant([[[0.64, 0.16]], [[0.36, 0.84]]])
    image = np.zeros((1, 1, 1, 2), dtype=np.float32)
    predicted = predict(network, image, simple_geometry((4, 1, 1)))
    np.testing.assert_array_equal(predicted, [[[0, 0, 1, 1]]])


def test_probabilities_are_averaged_and_not_logits():
    # Probabilities of class 1: 0.999 and 0.25. Halfway 0.6245 wins; at 3/4 it is 0.437. Averaged
    # logits (6.9 and -1.1) would still be positive at 3/4.
    network = Constant([[[0.001, 0.75]], [[0.999, 0.25]]])
    image = np.zeros((1, 1, 1, 2), dtype=np.float32)
    predicted = predict(network, image, simple_geometry((4, 1, 1)))
    np.testing.assert_array_equal(predicted, [[[1, 1, 0, 0]]])


def tiny_network():
    torch.manual_seed(0)
    network = UNet(1, 3, [2, 3, 4, 5, 6], [0.5] * 5)
    with torch.no_grad():
        network.classifier.bias.zero_()  # untrained, it would decide for one class everywhere
    return network


def test_the_number_of_slices_at_a_time_changes_no_prediction():
    image = np.random.default_rng(0).random((1, 7, 32, 48), dtype=np.float32)
    geometry = simple_geometry((40, 30, 7), "RAS")
    at_once, one_by_one = (predict(tiny_network(), image, geometry, size) for size in (16, 1))
    assert len(np.unique(at_once)) > 1
    np.testing.assert_array_equal(at_once, one_by_one)


def test_prediction_is_deterministic_and_changes_nothing_in_the_network():
    network = tiny_network().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    image = np.random.default_rng(0).random((1, 3, 32, 48), dtype=np.float32)
    geometry = simple_geometry((40, 30, 3))
    first, second = (predict(network, image, geometry) for _ in range(2))
    assert len(np.unique(first)) > 1
    np.testing.assert_array_equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_every_channel_of_a_memory_mapped_image_reaches_the_network(tmp_path):
    class SecondChannel(nn.Module):
        def forward(self, images):
            assert images.shape[1:] == (2, 4, 6)
            return torch.stack([1 - images[:, 1], images[:, 1]], dim=1)

    image = np.random.default_rng(0).random((2, 5, 4, 6), dtype=np.float32)
    np.save(tmp_path / "image.npy", image)
    mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
    predicted = predict(SecondChannel(), mapped, simple_geometry((6, 4, 5)), batch_slices=2)
    np.testing.assert_array_equal(predicted, image[1] > 0.5)


def test_an_oblique_scan_comes_back_on_its_own_grid():
    truth = heart((24, 18, 3), np.random.default_rng(2))
    image = scan(truth)
    turn = np.deg2rad(20)
    rotated = [np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, 1]
    image.SetDirection(rotated)
    geometry = geometry_of(image)
    assert isinstance(geometry, Geometry)
    seen = prepared_labels_as_image(image, plane_size(geometry))
    np.testing.assert_array_equal(predict(Oracle(), seen, geometry), truth)

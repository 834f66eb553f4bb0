"""Sliding-window inference over volumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers.utils import sliding_window_inference
from torch import nn

from arco.errors import ArcoError
from arco.evaluation.inference import predict_patches
from arco.schema.training import Window

HALF = Window(overlap=0.5, stride=None)


class Reader(nn.Module):
    """Logits that say the class an image holds as its intensity; remembers what it saw."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += list(images)
        return 10 * nn.functional.one_hot(images[:, 0].long(), self.classes).movedim(-1, 1).float()


@pytest.mark.parametrize(
    ("window", "count"),
    [(HALF, 12), (Window(overlap=0.0, stride=[4, 18, 18]), 45)],
)
def test_a_heart_takes_so_many_windows(window, count):
    # Files count x, y, z: 176 x 144 x 88 voxels, windows of 112 x 112 x 80.
    network = Reader(2)
    predict_patches(
        network,
        np.zeros((1, 88, 144, 176), dtype=np.float32),
        (80, 112, 112),
        window,
        torch.device("cpu"),
    )
    assert len(network.seen) == count
    assert network.seen[0].shape == (1, 80, 112, 112)


@pytest.mark.parametrize("window", [HALF, Window(overlap=0.0, stride=[3, 5, 7])])
@pytest.mark.parametrize("shape", [(20, 30, 26), (9, 17, 8)])
def test_every_voxel_gets_its_own_class(shape, window):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, shape)
    found = predict_patches(
        Reader(3), labels[np.newaxis].astype(np.float32), (8, 16, 16), window, torch.device("cpu")
    )
    np.testing.assert_array_equal(found, labels)
    assert found.dtype == np.uint8


class Blur(nn.Module):
    """Logits that depend on the window around a voxel, and on where in the window it lies."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(2, 3, 5, padding=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 5 * self.convolution(images)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    extent=st.tuples(*[st.integers(3, 24)] * 3),
    size=st.tuples(*[st.integers(4, 12)] * 3),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.9]),
)
def test_windows_and_mean_are_those_of_monai(extent, size, overlap):
    torch.manual_seed(0)
    network = Blur()
    image = torch.rand(2, *extent)
    found = predict_patches(
        network, image.numpy(), size, Window(overlap=overlap, stride=None), torch.device("cpu")
    )
    with torch.no_grad():
        probs = sliding_window_inference(
            image[None],
            roi_size=size,
            sw_batch_size=3,
            predictor=lambda patches: network(patches).softmax(dim=1),
            overlap=overlap,
        )
    best, second = probs[0].topk(2, dim=0).values
    clear = (best - second > 1e-5).numpy()
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found[clear], probs[0].argmax(dim=0).numpy()[clear])


def test_a_volume_smaller_than_the_window_is_padded():
    labels = np.ones((1, 5, 9, 11), dtype=np.float32)
    network = Reader(3)
    found = predict_patches(network, labels, (16, 16, 16), HALF, torch.device("cpu"))
    assert found.shape == (5, 9, 11)
    assert len(network.seen) == 1
    assert network.seen[0].sum() == 5 * 9 * 11


def test_a_stride_longer_than_the_window_is_refused():
    with pytest.raises(ArcoError, match=r"window\.stride \[20, 4, 4\] leaves gaps"):
        predict_patches(
            Reader(2),
            np.zeros((1, 32, 32, 32), dtype=np.float32),
            (16, 16, 16),
            Window(overlap=0.0, stride=[20, 4, 4]),
            torch.device("cpu"),
        )

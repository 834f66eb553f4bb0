"""The collapsed head against its definition, in float64 and with unequal sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from arco.models import head as head_module
from arco.models import pyramid
from arco.models.head import RepresentationHead, merge
from arco.models.vnet import VNet

CHANNELS = (7, 6, 5, 4, 3)
PLANE = ((2, 3), (4, 6), (9, 12), (18, 25), (36, 50))
VOLUME = ((3, 5, 4), (6, 10, 8), (12, 20, 15), (12, 20, 15))
VNET = ((1, 2, 3), (2, 4, 6), (4, 8, 12), (8, 16, 24), (8, 16, 24))
SHAPES = [PLANE, VOLUME, VNET]
WIDTH = 9


def make(sizes, width: int = WIDTH) -> tuple[RepresentationHead, list[Tensor]]:
    torch.manual_seed(0)
    channels = CHANNELS[: len(sizes)]
    head = RepresentationHead(channels, width).double()
    features = [
        torch.randn(2, count, *size, dtype=torch.float64, requires_grad=True)
        for count, size in zip(channels, sizes, strict=True)
    ]
    return head, features


def defined(head: RepresentationHead, features: list[Tensor]) -> Tensor:
    """The definition, written out with torch's own convolutions: [B, D, *S]."""
    convolve = functional.conv2d if features[0].ndim == 4 else functional.conv3d
    mode = "bilinear" if features[0].ndim == 4 else "trilinear"
    axes = (None,) * (features[0].ndim - 2)
    *inner, last = [weight[(..., *axes)] for weight in head.weights]
    x = features[0] + convolve(features[0], inner[0])
    for level, maps in enumerate(features[1:], start=1):
        x = functional.interpolate(x, size=maps.shape[2:], mode=mode, align_corners=True)
        x = torch.cat([x, maps], dim=1)
        x = convolve(x, last) if level == len(features) - 1 else x + convolve(x, inner[level])
    return x


def assert_same_value_and_gradient(
    sizes, fast: Callable[..., Tensor], slow: Callable[..., Tensor]
) -> None:
    head, features = make(sizes)
    leaves = [*features, *head.parameters()]
    values, gradients = [], []
    for function in (fast, slow):
        value = function(head, features)
        weights = torch.linspace(-1, 2, value.numel(), dtype=torch.float64).view_as(value)
        values.append(value)
        gradients.append(torch.autograd.grad((value * weights).sum(), leaves))
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=1e-10)
    for one, other in zip(*gradients, strict=True):
        assert other.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def rows(dense: Tensor) -> Tensor:
    return dense.movedim(1, -1).flatten(0, -2)


def test_the_published_head_has_898048_weights():
    head = RepresentationHead((256, 128, 64, 32, 16))
    assert [tuple(weight.shape) for weight in head.parameters()] == [
        (256, 256), (384, 384), (448, 448), (480, 480), (512, 496)
    ]  # fmt: skip
    assert sum(weight.numel() for weight in head.parameters()) == 898_048


def test_the_published_head_over_volumes_has_292096_weights():
    head = RepresentationHead(VNet(1, 2).feature_channels)
    assert [tuple(weight.shape) for weight in head.parameters()] == [
        (128, 128), (192, 192), (224, 224), (240, 240), (512, 256)
    ]  # fmt: skip
    assert sum(weight.numel() for weight in head.parameters()) == 292_096


def test_the_head_reads_the_pyramid_of_a_v_net():
    torch.manual_seed(0)
    network = VNet(1, 2, (3, 4, 5, 6, 7)).double()
    features = network.features(torch.randn(2, 1, 16, 32, 48, dtype=torch.float64))
    head = RepresentationHead(network.feature_channels, WIDTH).double()
    dense, representations = head.dense(features), head.over(features)
    assert dense.shape == (2, WIDTH, 16, 32, 48)
    pixels = torch.arange(7, 2 * 16 * 32 * 48, 1001)
    at_pixels = representations.at(pixels)
    torch.testing.assert_close(at_pixels, rows(dense)[pixels], rtol=0, atol=1e-10)
    norms = dense.norm(dim=1).detach()
    torch.testing.assert_close(representations.norms(), norms, rtol=0, atol=1e-10)
    at_pixels.sum().backward()
    trained = [*network.encoder.parameters(), *network.decoder.parameters(), *head.parameters()]
    assert all(parameter.grad is not None for parameter in trained)


@pytest.mark.parametrize("sizes", SHAPES)
def test_the_plain_recursion_is_the_definition(sizes):
    assert_same_value_and_gradient(sizes, RepresentationHead.dense, defined)


@pytest.mark.parametrize("longest", [64, 4])
@pytest.mark.parametrize("sizes", SHAPES)
def test_merging_with_the_collapsed_matrices_is_the_definition(sizes, longest, monkeypatch):
    monkeypatch.setattr(head_module, "LONGEST_PRODUCT", longest)

    def merged(head, features):
        return merge([maps.transpose(0, 1) for maps in features], head.matrices()).transpose(0, 1)

    assert_same_value_and_gradient(sizes, merged, defined)


@pytest.mark.parametrize("sizes", SHAPES)
def test_single_pixels_are_those_of_the_dense_map(sizes):
    count = 2 * torch.Size(sizes[-1]).numel()
    pixels = torch.randint(count, (60,), generator=torch.Generator().manual_seed(0))
    pixels[:4] = torch.tensor([0, count - 1, 5, 5])
    assert_same_value_and_gradient(
        sizes,
        lambda head, features: head.over(features).at(pixels),
        lambda head, features: rows(defined(head, features))[pixels],
    )


@pytest.mark.parametrize("sizes", SHAPES)
def test_class_means_are_means_of_the_dense_map_and_zero_for_an_empty_mask(sizes):
    masks = torch.rand(4, 2, *sizes[-1], generator=torch.Generator().manual_seed(0)) > 0.6
    masks[1] = False
    masks[3, 0] = False

    def slow(head, features):
        dense = rows(defined(head, features))
        zero = dense.new_zeros(WIDTH)
        return torch.stack([dense[m.flatten()].mean(dim=0) if m.any() else zero for m in masks])

    assert_same_value_and_gradient(
        sizes, lambda head, features: head.over(features).class_means(masks), slow
    )


def test_some_images_are_a_part_and_constants_have_no_gradient():
    head, features = make(PLANE)
    whole = head.over(features)
    pooled = whole.pooled((4, 4))
    assert pooled.requires_grad
    torch.testing.assert_close(whole.images(slice(1, None)).pooled((4, 4)), pooled[1:])
    constant = whole.detach().pooled((4, 4))
    assert not constant.requires_grad
    assert torch.equal(constant, pooled)


@pytest.mark.parametrize(
    ("sizes", "cells"),
    [(PLANE, (8, 5)), (PLANE, (1, 1)), (VOLUME, (4, 3, 2)), (VNET, (4, 4, 4))],
)
def test_pooled_is_adaptive_average_pooling_of_the_dense_map(sizes, cells):
    pool = functional.adaptive_avg_pool2d if len(cells) == 2 else functional.adaptive_avg_pool3d
    assert_same_value_and_gradient(
        sizes,
        lambda head, features: head.over(features).pooled(cells),
        lambda head, features: pool(defined(head, features), cells),
    )


@pytest.mark.parametrize("width", [WIDTH, 2, 40])
@pytest.mark.parametrize("sizes", SHAPES)
def test_norms_are_lengths_in_the_dense_map(sizes, width, monkeypatch):
    monkeypatch.setattr(pyramid, "PIXEL_BLOCK", 1)
    head, features = make(sizes, width)
    norms = head.over(features).norms()
    expected = defined(head, features).norm(dim=1)
    assert not norms.requires_grad
    torch.testing.assert_close(norms, expected.detach(), rtol=0, atol=1e-10)


def test_only_features_near_a_drawn_pixel_receive_a_gradient():
    head, features = make(PLANE)
    head.over(features).at(torch.tensor([0])).sum().backward()
    touched = [maps.grad.abs().sum(dim=1).nonzero().tolist() for maps in features]
    assert touched[-1] == [[0, 0, 0]]
    assert all(image == 0 for pixels in touched for image, *_ in pixels)
    assert all(row <= 2 and column <= 2 for pixels in touched for _, row, column in pixels)


def test_memory_format_does_not_matter():
    head, features = make(PLANE)
    last = [maps.to(memory_format=torch.channels_last) for maps in features]
    pixels = torch.tensor([3, 1000, 2999])
    masks = torch.rand(2, 2, *PLANE[-1]) > 0.5
    for one, other in [
        (head.over(features).at(pixels), head.over(last).at(pixels)),
        (head.over(features).class_means(masks), head.over(last).class_means(masks)),
        (head.over(features).pooled((4, 4)), head.over(last).pooled((4, 4))),
        (head.dense(features), head.dense(last)),
    ]:
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)

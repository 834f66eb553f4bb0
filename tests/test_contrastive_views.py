from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from scipy import ndimage
from torch import Tensor

from arco.contrastive_views import (
    Crop,
    Intensity,
    apply_crop,
    apply_intensity,
    draw_crop,
    draw_intensity,
    gaussian_blur,
    random_view,
)

STRONG = SimpleNamespace(
    crop_min=0.2,
    flip=0.5,
    jitter=0.8,
    strength=0.4,
    blur=0.5,
    blur_min=0.1,
    blur_max=1.5,
    solarize=0.2,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator(99))


def unchanged(count: int, **changes: Tensor) -> Intensity:
    one, zero = torch.ones(count), torch.zeros(count)
    parts = {"brightness": one, "contrast": one, "sigma": zero, "solarize": zero.bool()}
    return Intensity(radius=4, **(parts | changes))


@pytest.mark.parametrize("shape", [(5, 1, 16, 24), (3, 2, 12, 16, 20)])
def test_views_keep_shape_and_range_and_repeat_with_the_seed(shape: tuple[int, ...]) -> None:
    batch = images(*shape)
    global_state = torch.get_rng_state()
    one, same, other = (random_view(batch, STRONG, generator(seed)) for seed in (1, 1, 2))
    assert one.shape == batch.shape and one.dtype == torch.float32
    assert one.min() >= 0 and one.max() <= 1
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), global_state)


def test_each_image_of_a_batch_gets_a_view_of_its_own() -> None:
    view = random_view(images(1, 1, 32, 40).expand(6, 1, 32, 40), STRONG, generator())
    assert len(torch.unique(view.flatten(1), dim=0)) == 6


def test_probabilities_of_zero_draw_the_same_numbers_as_others() -> None:
    """So that switching a part of a view off leaves all other draws as they were."""
    sources = generator(), generator()
    draws = [
        draw_intensity(
            4,
            jitter=0.8,
            strength=(0.4, 0.4),
            blur=probability,
            sigma=(0.1, 2.0),
            solarize=probability,
            generator=source,
        )
        for probability, source in zip((0.0, 1.0), sources, strict=True)
    ]
    assert torch.equal(draws[0].brightness, draws[1].brightness)
    assert torch.equal(sources[0].get_state(), sources[1].get_state())
    assert draws[0].sigma.max() == 0 and draws[1].sigma.min() >= 0.1
    assert not draws[0].solarize.any() and draws[1].solarize.all()


def test_drawn_factors_cover_their_ranges_with_their_probability() -> None:
    drawn = draw_intensity(
        20_000,
        jitter=0.8,
        strength=(0.4, 0.2),
        blur=0.1,
        sigma=(0.1, 2.0),
        solarize=0.2,
        generator=generator(),
    )
    assert drawn.brightness.min() == pytest.approx(0.6, abs=1e-3)
    assert drawn.brightness.max() == pytest.approx(1.4, abs=1e-3)
    assert drawn.contrast.max() == pytest.approx(1.2, abs=1e-3)
    assert (drawn.brightness != 1).double().mean().item() == pytest.approx(0.8, abs=0.02)
    assert (drawn.sigma > 0).double().mean().item() == pytest.approx(0.1, abs=0.02)
    assert drawn.solarize.double().mean().item() == pytest.approx(0.2, abs=0.02)
    assert drawn.radius == 6


@pytest.mark.parametrize("axes", [2, 3])
def test_crops_lie_inside_the_image_and_respect_area_and_aspect(axes: int) -> None:
    crop = draw_crop(20_000, axes, crop_min=0.2, flip=0.5, generator=generator())
    side = crop.half_side.abs()
    assert (crop.center.abs() + side <= 1 + 1e-6).all()
    area = side.prod(1)
    # Uniform on [.2, 1]; up to .4 no side can reach the image's, so nothing is cut there.
    assert area.min() > 0.2 - 1e-6 and area.max() <= 1
    assert (area < 0.3).double().mean().item() == pytest.approx(0.125, abs=0.01)
    assert (area < 0.4).double().mean().item() == pytest.approx(0.25, abs=0.01)
    inside = (side < 1).all(1)
    ratios = side[inside].amax(1) / side[inside].amin(1)
    assert 1.3 < ratios.max() <= (4 / 3) ** (axes - 1) + 1e-5
    assert (crop.half_side[:, -1] < 0).double().mean().item() == pytest.approx(0.5, abs=0.02)
    assert (crop.half_side[:, :-1] > 0).all()


def test_the_whole_image_is_a_crop_that_changes_nothing() -> None:
    batch = images(2, 1, 6, 10)
    whole = Crop(torch.zeros(2, 2), torch.ones(2, 2))
    torch.testing.assert_close(apply_crop(batch, whole), batch, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(6, 10), (4, 6, 10)])
def test_a_mirrored_whole_image_is_the_flipped_one(size: tuple[int, ...]) -> None:
    batch = images(2, 1, *size)
    half_side = torch.ones(2, len(size))
    half_side[:, -1] = -1
    crop = Crop(torch.zeros(2, len(size)), half_side)
    torch.testing.assert_close(apply_crop(batch, crop), batch.flip(-1), atol=1e-6, rtol=0)


def test_a_quarter_crop_is_that_quarter_enlarged() -> None:
    batch = images(1, 1, 8, 12)
    # Upper half of the rows, right half of the columns.
    crop = Crop(torch.tensor([[-0.5, 0.5]]), torch.tensor([[0.5, 0.5]]))
    found = apply_crop(batch, crop)
    # Away from the cut, where neighbors outside the quarter take part, it is plain resizing.
    quarter = torch.nn.functional.interpolate(batch[:, :, :4, 6:], (8, 12), mode="bilinear")
    inner = (slice(None), slice(None), slice(1, 7), slice(1, 11))
    torch.testing.assert_close(found[inner], quarter[inner], atol=1e-6, rtol=0)


def test_nothing_drawn_changes_no_bit() -> None:
    batch = images(3, 2, 10, 14)
    assert torch.equal(apply_intensity(batch, unchanged(3)), batch)


def test_brightness_and_contrast_act_on_their_image_alone() -> None:
    batch = images(2, 1, 9, 11) * 0.5
    darker = apply_intensity(batch, unchanged(2, brightness=torch.tensor([0.5, 1.0])))
    torch.testing.assert_close(darker[0], batch[0] * 0.5)
    assert torch.equal(darker[1], batch[1])
    flat = apply_intensity(batch, unchanged(2, contrast=torch.tensor([1.0, 0.0])))
    assert torch.equal(flat[0], batch[0])
    torch.testing.assert_close(flat[1], batch[1].mean().expand_as(batch[1]))


def test_solarizing_inverts_the_bright_half() -> None:
    batch = torch.tensor([0.2, 0.5, 0.9] * 4).view(1, 1, 3, 4).repeat(2, 1, 3, 2)
    found = apply_intensity(batch, unchanged(2, solarize=torch.tensor([True, False])))
    expected = torch.where(batch[0] >= 0.5, 1 - batch[0], batch[0])
    torch.testing.assert_close(found[0], expected)
    assert torch.equal(found[1], batch[1])


@pytest.mark.parametrize("size", [(20, 31), (14, 20, 17)])
def test_the_blur_is_scipy_s_gaussian_filter_with_a_width_per_image(size: tuple[int, ...]) -> None:
    batch = images(3, 2, *size).double()
    widths = [0.0, 0.7, 2.0]
    blurred = gaussian_blur(batch, torch.tensor(widths, dtype=torch.float64), radius=6)
    assert torch.equal(blurred[0], batch[0])
    for image, found, sigma in zip(batch[1:], blurred[1:], widths[1:], strict=True):
        for channel, result in zip(image, found, strict=True):
            expected = ndimage.gaussian_filter(channel.numpy(), sigma, mode="mirror", radius=6)
            torch.testing.assert_close(result, torch.from_numpy(expected))

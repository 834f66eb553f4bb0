from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from torch import Tensor

from arco.contracts import IGNORE
from arco.data.augmentation import Transform, apply_transforms, draw_transforms
from arco.schema.training import Augmentation


def settings(**switched: bool) -> Augmentation:
    """Everything off but what is switched on."""
    switches = {"rotation": False, "crop": False, "flip": False} | switched
    return Augmentation(rotation_degrees=20.0, quarter_turns=0.5, crop_padding=3, **switches)


EVERYTHING = settings(rotation=True, crop=True, flip=True)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=generator(99))


def one(
    matrix: tuple[tuple[float, float], tuple[float, float]],
    offset: tuple[float, float] = (0.0, 0.0),
    exact: bool = True,
) -> list[Transform]:
    """The transform of a single image, written out."""
    return [Transform(matrix, offset, exact)]


def draw(count: int, augmentation: Augmentation, square: bool = True) -> list[Transform]:
    return draw_transforms(count, augmentation, square=square, generator=generator())


def matrices(transforms: list[Transform]) -> Tensor:
    return torch.tensor([transform.matrix for transform in transforms])


def offsets(transforms: list[Transform]) -> Tensor:
    return torch.tensor([transform.offset for transform in transforms])


def exactness(transforms: list[Transform]) -> Tensor:
    return torch.tensor([transform.exact for transform in transforms])


def moved(images: Tensor, transforms: list[Transform]) -> Tensor:
    return apply_transforms(images, images.new_empty(0, *images.shape[2:]), transforms)[0]


@pytest.mark.parametrize("size", [(48, 48), (7, 7), (5, 8)])
def test_without_augmentation_every_bit_stays(size: tuple[int, int]) -> None:
    images, labels = noise(6, 2, *size), (noise(4, *size) * 4).byte()
    transforms = draw(6, settings(), square=size[0] == size[1])
    again, truth, frame = apply_transforms(images, labels, transforms)
    assert torch.equal(again, images)
    assert truth.dtype == torch.int64
    assert torch.equal(truth, labels.long())
    assert frame.all()
    assert frame.shape == (6, *size)


# 48 and 50 are no powers of two: coordinates of `grid_sample` are not exact there.
@pytest.mark.parametrize("length", [7, 48, 50, 64])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_quarter_turns_are_exact(length: int, quarters: int) -> None:
    cosine, sine = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)][quarters]
    images = noise(1, 1, length, length)
    transforms = one(((cosine, -sine), (sine, cosine)))
    assert torch.equal(moved(images, transforms), images.rot90(quarters, (-2, -1)))


@pytest.mark.parametrize("size", [(48, 50), (9, 6)])
def test_flips_and_whole_shifts_are_exact(size: tuple[int, int]) -> None:
    height, width = size
    images = noise(1, 1, *size)
    assert torch.equal(moved(images, one(((-1, 0), (0, 1)))), images.flip(-1))
    # An output pixel looks 2 to the right and 1 up: the image moves left and down.
    shifted = moved(images, one(((1, 0), (0, 1)), (2, -1)))
    assert torch.equal(shifted[..., 1:, : width - 2], images[..., : height - 1, 2:])
    assert not shifted[..., 0, :].any()
    assert not shifted[..., width - 2 :].any()


@pytest.mark.parametrize("square", [True, False])
def test_drawn_turns_flips_and_crops_only_move_pixels(square: bool) -> None:
    height, width = (12, 12) if square else (10, 12)
    augmentation = settings(crop=True, flip=True)
    images = noise(32, 1, height, width)
    transforms = draw(32, augmentation, square)
    assert exactness(transforms).all()
    padded = torch.nn.functional.pad(images, (3, 3, 3, 3))
    result = moved(images, transforms)
    for before, after, transform in zip(padded[:, 0], result[:, 0], transforms, strict=True):
        dx, dy = (int(shift) for shift in transform.offset)
        cropped = before[3 + dy : 3 + dy + height, 3 + dx : 3 + dx + width]
        assert torch.equal(after, cropped.flip(-1) if transform.matrix[0][0] < 0 else cropped)


def test_a_small_rotation_agrees_with_scipy() -> None:
    angle = math.radians(17)
    cosine, sine = math.cos(angle), math.sin(angle)
    image = noise(15, 12)
    ours = moved(image[None, None], one(((cosine, -sine), (sine, cosine)), exact=False))
    # SciPy counts rows first, from the corner; away from the rim nothing depends on the padding.
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    center = np.array([7.0, 5.5])
    theirs = affine_transform(image.numpy(), matrix, center - matrix @ center, order=1)
    inner = affine_transform(np.ones((15, 12)), matrix, center - matrix @ center, order=1) > 0.999
    assert inner.sum() > 100
    assert np.allclose(ours[0, 0].numpy()[inner], theirs[inner], atol=1e-5)


def test_labels_go_exactly_where_their_image_goes() -> None:
    # The image holds the label in blocks so large that its interpolation knows the label inside.
    blocks = torch.arange(16).view(1, 4, 4).repeat_interleave(12, 1).repeat_interleave(12, 2)
    labels = blocks.expand(24, -1, -1)
    transforms = draw_transforms(24, EVERYTHING, square=True, generator=generator(3))
    images, truth, frame = apply_transforms(labels.unsqueeze(1).float(), labels, transforms)
    assert torch.equal(truth == IGNORE, ~frame)
    assert not images.squeeze(1)[~frame].any()
    exact = exactness(transforms)
    assert 0 < exact.sum() < 24
    assert torch.equal(images.squeeze(1)[exact][frame[exact]].long(), truth[exact][frame[exact]])
    agree = (images.squeeze(1) - truth).abs()[frame] < 1e-3
    assert agree.float().mean() > 0.8


def test_the_rim_of_the_frame_is_not_darkened() -> None:
    images = torch.ones(64, 1, 21, 21)
    transforms = draw(64, EVERYTHING)
    result, _, frame = apply_transforms(images, torch.empty(0, 21, 21), transforms)
    assert torch.equal(result.squeeze(1) > 0, frame)
    assert torch.allclose(result.squeeze(1)[frame], torch.tensor(1.0))
    assert not frame.all()


def test_half_the_images_make_a_quarter_turn_and_half_rotate_by_up_to_20_degrees() -> None:
    transforms = draw(4000, settings(rotation=True))
    angles = torch.rad2deg(
        torch.atan2(matrices(transforms)[:, 1, 0], matrices(transforms)[:, 0, 0])
    )
    turned = exactness(transforms)
    assert turned.float().mean() == pytest.approx(0.5, abs=0.03)
    assert set(angles[turned].round().abs().tolist()) == {0.0, 90.0, 180.0}
    quarters = angles[turned].round().remainder(360).div(90).long().bincount(minlength=4)
    assert quarters.min() > 420
    assert angles[~turned].abs().max() < 20
    assert angles[~turned].min() < -19
    assert angles[~turned].max() > 19
    assert not offsets(transforms).any()
    whole = matrices(transforms)[turned]
    assert torch.equal(whole, whole.round())


def test_images_that_are_not_square_make_half_turns_only() -> None:
    transforms = draw(400, settings(rotation=True), square=False)
    exact = exactness(transforms)
    cosines = matrices(transforms)[exact][:, 0, 0]
    assert set(cosines.tolist()) == {-1.0, 1.0}
    images = noise(400, 1, 4, 6)
    before, after = images[exact], moved(images, transforms)[exact]
    turned = torch.where((cosines < 0).view(-1, 1, 1, 1), before.flip(-1, -2), before)
    assert torch.equal(after, turned)


def test_crops_shift_uniformly_within_the_padding() -> None:
    transforms = draw(7000, settings(crop=True))
    for axis in (0, 1):
        counts = (offsets(transforms)[:, axis] + 3).long().bincount(minlength=7)
        # 1000 expected each, standard deviation 29.
        assert len(counts) == 7
        assert counts.min() > 850
        assert counts.max() < 1150


def test_half_the_images_are_mirrored_left_to_right() -> None:
    transforms = draw(2000, settings(flip=True))
    assert (matrices(transforms)[:, 0, 0] < 0).float().mean() == pytest.approx(0.5, abs=0.04)
    assert (matrices(transforms)[:, 1, 1] == 1).all()


def test_switching_one_part_off_leaves_the_draws_of_the_others() -> None:
    every = draw(50, EVERYTHING)
    no_crop = draw(50, settings(rotation=True, flip=True))
    no_turn = draw(50, settings(crop=True, flip=True))
    assert torch.equal(matrices(every), matrices(no_crop))
    # Turned back by its rotation, the offset is the drawn shift.
    mirror = torch.diag_embed(torch.stack([matrices(no_turn)[:, 0, 0], torch.ones(50)], dim=1))
    shift = (matrices(every) @ mirror).mT @ offsets(every).unsqueeze(2)
    assert torch.allclose(shift.squeeze(2), offsets(no_turn), atol=1e-5)


def test_draws_come_from_the_given_generator_alone() -> None:
    before = torch.get_rng_state()
    assert draw(9, EVERYTHING) == draw(9, EVERYTHING)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("shift", [(-9, 0), (9, 0), (0, 7), (3, -12), (25, 25)])
def test_what_is_shifted_out_of_sight_is_gone(shift: tuple[int, int]) -> None:
    images, labels = torch.ones(1, 1, 7, 9), torch.ones(1, 7, 9).byte()
    image, truth, frame = apply_transforms(images, labels, one(((1, 0), (0, 1)), shift))
    assert not image.any()
    assert (truth == IGNORE).all()
    assert not frame.any()


@pytest.mark.parametrize("index", range(16))
def test_copying_pixels_and_resampling_them_agree(index: int) -> None:
    # A power of two, where the coordinates of `grid_sample` are exact.
    quarters, mirror, offset = index % 4, index // 4 % 2, [(0.0, 0.0), (3.0, -5.0)][index // 8]
    cosine, sine = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)][quarters]
    flip = 1.0 - 2 * mirror
    matrix = ((cosine * flip, -sine), (sine * flip, cosine))
    images, labels = noise(1, 2, 16, 16), (noise(1, 16, 16) * 4).byte()
    copied, resampled = (
        apply_transforms(images, labels, one(matrix, offset, exact)) for exact in (True, False)
    )
    assert all(torch.equal(*pair) for pair in zip(copied, resampled, strict=True))


def test_volumes_move_as_their_slices_do() -> None:
    volumes, labels = noise(6, 2, 3, 9, 9), (noise(4, 3, 9, 9) * 3).byte()
    transforms = draw(6, EVERYTHING)
    images, truth, frame = apply_transforms(volumes, labels, transforms)
    assert images.shape == volumes.shape
    assert frame.shape == (6, 3, 9, 9)
    for z in range(3):
        flat = apply_transforms(volumes[:, :, z], labels[:, z], transforms)
        for whole, part in zip((images[:, :, z], truth[:, z], frame[:, z]), flat, strict=True):
            assert torch.equal(whole, part)

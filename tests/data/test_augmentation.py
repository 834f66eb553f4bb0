from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from torch import Tensor

from arco.contracts import IGNORE
from arco.data.augmentation import Transforms, apply_transforms, draw_transforms
from arco.schema import Augmentation


def settings(**switched: bool) -> Augmentation:
    """Everything off but what is switched on."""
    switches = {"rotation": False, "crop": False, "flip": False} | switched
    return Augmentation(rotation_degrees=20.0, crop_padding=3, **switches)


EVERYTHING = settings(rotation=True, crop=True, flip=True)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=generator(99))


def one(matrix: list[list[float]], offset: list[float], exact: bool = True) -> Transforms:
    """One transform, written out."""
    return Transforms(torch.tensor([matrix]).float(), torch.tensor([offset]), torch.tensor([exact]))


def moved(images: Tensor, transforms: Transforms) -> Tensor:
    return apply_transforms(images, images.new_empty(0, *images.shape[2:]), transforms)[0]


@pytest.mark.parametrize("size", [(48, 48), (7, 7), (5, 8)])
def test_without_augmentation_every_bit_stays(size: tuple[int, int]) -> None:
    images, labels = noise(6, 2, *size), (noise(4, *size) * 4).byte()
    transforms = draw_transforms(6, settings(), square=size[0] == size[1], generator=generator())
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
    transforms = one([[cosine, -sine], [sine, cosine]], [0.0, 0.0])
    assert torch.equal(moved(images, transforms), images.rot90(quarters, (-2, -1)))


@pytest.mark.parametrize("size", [(48, 50), (9, 6)])
def test_flips_and_whole_shifts_are_exact(size: tuple[int, int]) -> None:
    height, width = size
    images = noise(1, 1, *size)
    assert torch.equal(moved(images, one([[-1, 0], [0, 1]], [0, 0])), images.flip(-1))
    # An output pixel looks 2 to the right and 1 up: the image moves left and down.
    shifted = moved(images, one([[1, 0], [0, 1]], [2, -1]))
    assert torch.equal(shifted[..., 1:, : width - 2], images[..., : height - 1, 2:])
    assert not shifted[..., 0, :].any()
    assert not shifted[..., width - 2 :].any()


@pytest.mark.parametrize("square", [True, False])
def test_drawn_turns_flips_and_crops_only_move_pixels(square: bool) -> None:
    height, width = (12, 12) if square else (10, 12)
    augmentation = settings(crop=True, flip=True)
    images = noise(32, 1, height, width)
    transforms = draw_transforms(32, augmentation, square=square, generator=generator())
    assert transforms.exact.all()
    padded = torch.nn.functional.pad(images, (3, 3, 3, 3))
    result = moved(images, transforms)
    for before, after, offset, matrix in zip(
        padded[:, 0], result[:, 0], transforms.offset, transforms.matrix, strict=True
    ):
        dx, dy = (int(shift) for shift in offset)
        cropped = before[3 + dy : 3 + dy + height, 3 + dx : 3 + dx + width]
        assert torch.equal(after, cropped.flip(-1) if matrix[0, 0] < 0 else cropped)


def test_a_small_rotation_agrees_with_scipy() -> None:
    angle = math.radians(17)
    cosine, sine = math.cos(angle), math.sin(angle)
    image = noise(15, 12)
    ours = moved(image[None, None], one([[cosine, -sine], [sine, cosine]], [0, 0], exact=False))
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
    exact = transforms.exact
    assert 0 < exact.sum() < 24
    assert torch.equal(images.squeeze(1)[exact][frame[exact]].long(), truth[exact][frame[exact]])
    agree = (images.squeeze(1) - truth).abs()[frame] < 1e-3
    assert agree.float().mean() > 0.8


def test_the_rim_of_the_frame_is_not_darkened() -> None:
    images = torch.ones(64, 1, 21, 21)
    transforms = draw_transforms(64, EVERYTHING, square=True, generator=generator())
    result, _, frame = apply_transforms(images, torch.empty(0, 21, 21), transforms)
    assert torch.equal(result.squeeze(1) > 0, frame)
    assert torch.allclose(result.squeeze(1)[frame], torch.tensor(1.0))
    assert not frame.all()


def test_half_the_images_make_a_quarter_turn_and_half_rotate_by_up_to_20_degrees() -> None:
    transforms = draw_transforms(4000, settings(rotation=True), square=True, generator=generator())
    angles = torch.rad2deg(torch.atan2(transforms.matrix[:, 1, 0], transforms.matrix[:, 0, 0]))
    turned = transforms.exact
    assert turned.float().mean() == pytest.approx(0.5, abs=0.03)
    assert set(angles[turned].round().abs().tolist()) == {0.0, 90.0, 180.0}
    quarters = angles[turned].round().remainder(360).div(90).long().bincount(minlength=4)
    assert quarters.min() > 420
    assert angles[~turned].abs().max() < 20
    assert angles[~turned].min() < -19
    assert angles[~turned].max() > 19
    assert not transforms.offset.any()
    whole = transforms.matrix[turned]
    assert torch.equal(whole, whole.round())


def test_images_that_are_not_square_make_half_turns_only() -> None:
    transforms = draw_transforms(400, settings(rotation=True), square=False, generator=generator())
    cosines = transforms.matrix[transforms.exact][:, 0, 0]
    assert set(cosines.tolist()) == {-1.0, 1.0}
    images = noise(400, 1, 4, 6)
    result = moved(images, transforms)[transforms.exact]
    turned = torch.where(
        (cosines < 0).view(-1, 1, 1, 1), images[transforms.exact].flip(-1, -2),
        images[transforms.exact],
    )  # fmt: skip
    assert torch.equal(result, turned)


def test_crops_shift_uniformly_within_the_padding() -> None:
    transforms = draw_transforms(7000, settings(crop=True), square=True, generator=generator())
    for axis in (0, 1):
        counts = (transforms.offset[:, axis] + 3).long().bincount(minlength=7)
        # 1000 expected each, standard deviation 29.
        assert len(counts) == 7
        assert counts.min() > 850
        assert counts.max() < 1150


def test_half_the_images_are_mirrored_left_to_right() -> None:
    transforms = draw_transforms(2000, settings(flip=True), square=True, generator=generator())
    assert (transforms.matrix[:, 0, 0] < 0).float().mean() == pytest.approx(0.5, abs=0.04)
    assert (transforms.matrix[:, 1, 1] == 1).all()


def test_switching_one_part_off_leaves_the_draws_of_the_others() -> None:
    def draw(augmentation: Augmentation) -> Transforms:
        return draw_transforms(50, augmentation, square=True, generator=generator())

    every = draw(EVERYTHING)
    no_crop = draw(settings(rotation=True, flip=True))
    no_turn = draw_transforms(
        50, settings(crop=True, flip=True), square=True, generator=generator()
    )
    assert torch.equal(every.matrix, no_crop.matrix)
    # Turned back by its rotation, the offset is the drawn shift.
    mirror = torch.diag_embed(torch.stack([no_turn.matrix[:, 0, 0], torch.ones(50)], dim=1))
    shift = (every.matrix @ mirror).mT @ every.offset.unsqueeze(2)
    assert torch.allclose(shift.squeeze(2), no_turn.offset, atol=1e-5)


def test_draws_come_from_the_given_generator_alone() -> None:
    before = torch.get_rng_state()
    first, again = (
        draw_transforms(9, EVERYTHING, square=True, generator=generator(5)) for _ in range(2)
    )
    assert torch.equal(first.matrix, again.matrix)
    assert torch.equal(first.offset, again.offset)
    assert torch.equal(torch.get_rng_state(), before)


def test_volumes_move_as_their_slices_do() -> None:
    volumes, labels = noise(6, 2, 3, 9, 9), (noise(4, 3, 9, 9) * 3).byte()
    transforms = draw_transforms(6, EVERYTHING, square=True, generator=generator())
    images, truth, frame = apply_transforms(volumes, labels, transforms)
    assert images.shape == volumes.shape
    assert frame.shape == (6, 3, 9, 9)
    for z in range(3):
        flat = apply_transforms(volumes[:, :, z], labels[:, z], transforms)
        for whole, part in zip((images[:, :, z], truth[:, z], frame[:, z]), flat, strict=True):
            assert torch.equal(whole, part)

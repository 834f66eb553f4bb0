from __future__ import annotations

import pytest
import torch
from torch import Tensor

from arco.views import MIRROR_HEIGHT, MIRROR_WIDTH, SWAP, apply_dihedral, draw_dihedral

ALL = torch.arange(8)
INVERSES = torch.tensor([0, 1, 2, 5, 4, 3, 6, 7])  # two quarter turns undo each other


def numbered(*shape: int) -> Tensor:
    """Every pixel differs."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).view(shape)


def naive(image: Tensor, code: int) -> Tensor:
    """One image, in the words of the docstring."""
    if code & SWAP:
        image = image.transpose(-1, -2)
    if code & MIRROR_HEIGHT:
        image = image.flip(-2)
    if code & MIRROR_WIDTH:
        image = image.flip(-1)
    return image


@pytest.mark.parametrize("shape", [(8, 5, 5), (8, 3, 5, 5), (8, 2, 3, 4, 4)])
def test_each_image_is_turned_by_its_own_code(shape: tuple[int, ...]) -> None:
    images = numbered(*shape)
    expected = torch.stack([naive(images[code], code) for code in range(8)])
    assert torch.equal(apply_dihedral(images, ALL), expected)


def test_the_eight_codes_are_eight_symmetries_with_all_quarter_turns() -> None:
    square = numbered(1, 3, 3).expand(8, -1, -1)
    views = apply_dihedral(square, ALL)
    assert len({tuple(view.flatten().tolist()) for view in views}) == 8
    for turns in range(4):
        turned = square[0].rot90(turns)
        assert (views == turned).flatten(1).all(1).sum() == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_every_view_is_undone_to_the_last_bit_by_another(dtype: torch.dtype) -> None:
    images = (numbered(8, 2, 6, 6) % 7).to(dtype)
    there = apply_dihedral(images, ALL)
    assert there.dtype == dtype
    assert torch.equal(apply_dihedral(there, INVERSES), images)
    assert torch.equal(apply_dihedral(apply_dihedral(images, INVERSES), ALL), images)


@pytest.mark.parametrize("square", [True, False])
@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_views_that_are_not_allowed_are_not_drawn(turned, mirrored, square) -> None:
    generators = [torch.Generator().manual_seed(2) for _ in range(2)]
    codes = draw_dihedral(800, generators[0], square=square, turned=turned, mirrored=mirrored)
    turns = [numbered(3, 3).rot90(quarters) for quarters in range(0, 4, 1 if square else 2)]
    allowed = turns if turned else turns[:1]
    if mirrored:
        allowed = allowed + [turn.flip(-1) for turn in allowed]
    views = apply_dihedral(numbered(1, 3, 3).expand(800, -1, -1), codes)
    seen = {tuple(view.flatten().tolist()) for view in views}
    assert seen == {tuple(view.flatten().tolist()) for view in allowed}
    assert codes.bincount().max() < 1.4 * 800 / len(allowed)
    draw_dihedral(800, generators[1], square=True)
    assert torch.equal(generators[0].get_state(), generators[1].get_state())


def test_images_that_are_not_square_keep_their_shape() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = draw_dihedral(64, generator, square=False)
    assert set(codes.tolist()) == {0, 2, 4, 6}
    images = numbered(64, 1, 3, 5)
    views = apply_dihedral(images, codes)
    expected = torch.stack(
        [naive(image, int(code)) for image, code in zip(images, codes, strict=True)]
    )
    assert torch.equal(views, expected)
    with pytest.raises(ValueError, match="3 x 5 pixels cannot swap"):
        apply_dihedral(images[:8], ALL)


def test_codes_are_uniform_and_from_the_given_generator_alone() -> None:
    before = torch.get_rng_state()
    codes = draw_dihedral(8000, torch.Generator().manual_seed(1), square=True)
    counts = codes.bincount(minlength=8)
    # 1000 expected each, standard deviation 30.
    assert counts.min() > 850
    assert counts.max() < 1150
    assert torch.equal(codes, draw_dihedral(8000, torch.Generator().manual_seed(1), square=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_gradients_come_back_through_a_view() -> None:
    images = numbered(8, 1, 4, 4).requires_grad_()
    weights = numbered(8, 1, 4, 4) + 1
    (apply_dihedral(images, ALL) * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert torch.equal(images.grad, apply_dihedral(weights, INVERSES))

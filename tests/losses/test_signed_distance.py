from __future__ import annotations

import pytest
import torch

from arco.contracts import IGNORE
from arco.losses.signed_distance import signed_distances, soft_mask


def square(side: int, inner: int) -> torch.Tensor:
    labels = torch.zeros(1, side, side, dtype=torch.int64)
    margin = (side - inner) // 2
    labels[:, margin : side - margin, margin : side - margin] = 1
    return labels


def test_a_square_of_three_in_five():
    (found,) = signed_distances(square(5, 3), 2)[0]
    edge, corner = 2**-0.5, 1.0
    expected = torch.tensor(
        [
            [corner, edge, edge, edge, corner],
            [edge, 0, 0, 0, edge],
            [edge, 0, -1, 0, edge],
            [edge, 0, 0, 0, edge],
            [corner, edge, edge, edge, corner],
        ]
    )
    torch.testing.assert_close(found, expected)


def test_a_square_of_five_in_seven_is_deepest_in_its_center():
    (found,) = signed_distances(square(7, 5), 2)[0]
    assert found[3, 3] == -1
    assert found[2, 2].item() == pytest.approx(-0.6667, abs=1e-4)


def test_a_line_has_no_inside():
    labels = torch.zeros(1, 5, 7, dtype=torch.int64)
    labels[:, 2] = 1
    found = signed_distances(labels, 2)
    assert found.min() == 0
    assert found.max() == 1


def test_absent_organs_are_far_away_and_full_images_have_no_outside():
    labels = torch.ones(1, 4, 6, dtype=torch.int64)
    found = signed_distances(labels, 3)
    assert (found[0, 0] == -1).all()
    assert (found[0, 1] == 1).all()


def test_every_class_and_image_has_its_own_map_over_volumes():
    labels = torch.zeros(2, 6, 7, 8, dtype=torch.int64)
    labels[0, 1:4, 1:4, 1:4] = 1
    labels[1, 2:5, 2:6, 3:7] = 2
    found = signed_distances(labels, 3)
    assert found.shape == (2, 2, 6, 7, 8)
    assert (found[0, 1] == 1).all()
    assert (found[1, 0] == 1).all()
    assert found[0, 0, 2, 2, 2] == -1
    assert found[1, 1, 3, 4, 5] < 0


def test_what_lies_outside_the_frame_belongs_to_no_organ():
    labels = square(5, 3)
    labels[:, 0] = IGNORE
    torch.testing.assert_close(signed_distances(labels, 2), signed_distances(square(5, 3), 2))


def test_the_inside_without_its_rim_is_negative():
    labels = square(9, 5)
    (found,) = signed_distances(labels, 2)[0]
    inner = torch.zeros(9, 9, dtype=torch.bool)
    inner[3:6, 3:6] = True
    assert torch.equal(found < 0, inner)
    rim = (labels[0] == 1) & ~inner
    assert torch.equal(soft_mask(found, 1500.0) == 0.5, rim)


def test_soft_masks_of_known_distances():
    masks = soft_mask(torch.tensor([0.001, -0.002]), 1500.0)
    torch.testing.assert_close(masks, torch.tensor([0.1824, 0.9526]), atol=1e-4, rtol=0)
    assert (masks - torch.tensor([0.2, 0.9])).square().mean().item() == pytest.approx(
        0.0015, abs=5e-5
    )

from __future__ import annotations

import pytest
import torch
from scipy import stats

from arco.mixing import draw_beta, draw_rectangles, interpolate, paste_next


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("concentration", [0.2, 1.0, 2.0])
def test_shares_follow_the_beta_distribution(concentration):
    shares = draw_beta(20_000, concentration, generator()).double()
    distribution = stats.beta(concentration, concentration)
    for low, high in ((0, 0.05), (0.25, 0.75), (0.95, 1)):
        expected = distribution.cdf(high) - distribution.cdf(low)
        found = ((shares >= low) & (shares <= high)).double().mean().item()
        assert found == pytest.approx(expected, abs=0.015)


def test_small_concentrations_give_nearly_pure_images():
    shares = draw_beta(20_000, 0.2, generator())
    outer = ((shares < 0.05) | (shares > 0.95)).float().mean().item()
    middle = ((shares >= 0.25) & (shares <= 0.75)).float().mean().item()
    assert outer == pytest.approx(0.58, abs=0.015)
    assert middle == pytest.approx(0.17, abs=0.015)


def test_mixed_predictions_by_hand():
    first, second = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.2, 0.8]])
    mixed = interpolate(first, second, torch.tensor([0.3]))
    torch.testing.assert_close(mixed, torch.tensor([[0.69, 0.31]]))
    assert (mixed - 0.5).square().mean().item() == pytest.approx(0.0361, abs=1e-4)
    logits = interpolate(first.log(), second.log(), torch.tensor([0.3])).softmax(dim=1)
    torch.testing.assert_close(logits, torch.tensor([[0.7544, 0.2456]]), atol=1e-4, rtol=0)


def test_shares_of_nothing_and_everything_give_the_images_themselves():
    first, second = torch.rand(2, 1, 4, 5, 6), torch.rand(2, 1, 4, 5, 6)
    mixed = interpolate(first, second, torch.tensor([0.0, 1.0]))
    assert torch.equal(mixed[0], first[0])
    assert torch.equal(mixed[1], second[1])


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (8, 40, 64)])
def test_rectangles_cover_half_and_reach_every_place(size):
    own = draw_rectangles(2000, size, generator())
    assert own.shape == (2000, *size) and own.dtype == torch.bool
    pasted = (~own).double()
    assert pasted.flatten(1).mean(1).tolist() == pytest.approx([0.5] * 2000, abs=0.02)
    if len(size) == 3:
        assert torch.equal(own, own[:, :1].expand_as(own))
    plane = pasted if len(size) == 2 else pasted[:, 0]
    widths = plane.amax(1).sum(1) / size[-1]
    heights = plane.amax(2).sum(1) / size[-2]
    # A full rectangle: its area is width times height.
    torch.testing.assert_close(widths * heights, plane.flatten(1).mean(1))
    assert (
        widths.min() >= 0.49
        and widths.max() <= 1
        and widths.mean() == pytest.approx(0.75, abs=0.01)
    )
    assert plane.mean(0).min() > 0


def test_pasting_nothing_is_the_identity_and_pasting_all_gives_the_next_image():
    images = torch.rand(3, 2, 4, 6, generator=generator())
    everything = torch.ones(3, 4, 6, dtype=torch.bool)
    assert torch.equal(paste_next(images, everything), images)
    assert torch.equal(paste_next(images, ~everything), images[[1, 2, 0]])
    assert torch.equal(paste_next(images, everything.float()), images)


def test_image_label_and_confidence_stay_together():
    labels = torch.randint(-1, 4, (3, 8, 12), generator=generator())
    images, confidence = labels.unsqueeze(1) * 10.0, labels / 4
    own = draw_rectangles(3, (8, 12), generator())
    mixed = paste_next(labels, own)
    assert torch.equal(paste_next(images, own)[:, 0], mixed * 10.0)
    assert torch.equal(paste_next(confidence, own), mixed / 4)
    assert not torch.equal(mixed, labels)


def test_shares_mix_averages():
    images = torch.rand(2, 1, 4, 4, generator=generator())
    own = draw_rectangles(2, (4, 4), generator())
    flat = images.mean((2, 3), keepdim=True).expand_as(images)
    mixed = paste_next(flat, own).mean((2, 3))
    share = own.float().mean((1, 2)).view(2, 1, 1)
    torch.testing.assert_close(paste_next(flat[:, :, 0, 0], share[:, :, 0]), mixed)

from __future__ import annotations

import io

import pytest
import torch

from arco.models.discriminator import Adversary, Discriminator, in_evaluation


@pytest.mark.parametrize(
    ("maps", "axes", "total"),
    [(4, 2, 2_759_682), (2, 3, 11_024_386), (3, 2, 2_758_658), (1, 3, 11_020_290)],
)
def test_the_published_discriminators_have_exactly_so_many_parameters(maps, axes, total):
    network = Discriminator(maps, 1, 64, axes)
    assert sum(weight.numel() for weight in network.parameters()) == total


@pytest.mark.parametrize("size", [(256, 256), (16, 32), (112, 112, 80), (16, 16, 32)])
def test_any_size_of_sixteen_pixels_or_more_is_judged(size):
    network = Discriminator(3, 2, 2, len(size))
    assert network(torch.rand(2, 3, *size), torch.rand(2, 2, *size)).shape == (2, 2)


def separable(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps of which the first half has its first class raised, and images."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(8, 3, 16, 16, generator=generator)
    logits[:4, 0] += 2
    return logits.softmax(dim=1), torch.rand(8, 1, 16, 16, generator=generator)


def test_it_learns_to_tell_maps_apart():
    torch.manual_seed(0)
    adversary = Adversary(Discriminator(3, 1, 8, 2))
    for seed in range(200):
        adversary.update(*separable(seed), labeled=4)
    correct = [
        (adversary.discriminator(*separable(seed)).argmax(dim=1) == torch.tensor([1] * 4 + [0] * 4))
        for seed in range(1000, 1010)
    ]
    assert torch.cat(correct).float().mean() > 0.9


def test_losses_of_known_verdicts(monkeypatch):
    adversary = Adversary(Discriminator(3, 1, 2, 2))
    verdict = torch.tensor([[0.3, -0.2]])
    monkeypatch.setattr(adversary.discriminator, "forward", lambda maps, images: verdict)
    maps, images = separable(0)
    assert adversary.fooled(maps[:1], images[:1]).item() == pytest.approx(0.9741, abs=1e-4)
    learned = torch.nn.Parameter(verdict.clone())
    monkeypatch.setattr(adversary.discriminator, "forward", lambda maps, images: learned)
    assert adversary.update(maps[:1], images[:1], labeled=0).item() == pytest.approx(
        0.4741, abs=1e-4
    )
    same = torch.zeros(1, 2)
    monkeypatch.setattr(adversary.discriminator, "forward", lambda maps, images: same)
    assert adversary.fooled(maps[:1], images[:1]).item() == pytest.approx(0.6931, abs=1e-4)


def test_fooling_moves_the_maps_and_not_the_discriminator():
    adversary = Adversary(Discriminator(3, 1, 2, 2))
    maps, images = separable(0)
    adversary.fooled(maps.requires_grad_(), images).backward()
    assert maps.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in adversary.parameters())
    assert not any(parameter.requires_grad for parameter in adversary.parameters())


def test_an_adversary_restored_from_a_file_continues_bit_by_bit():
    torch.manual_seed(0)
    adversary = Adversary(Discriminator(3, 1, 2, 2))
    adversary.update(*separable(0), labeled=4)
    file = io.BytesIO()
    torch.save(adversary.state_dict(), file)
    file.seek(0)
    other = Adversary(Discriminator(3, 1, 2, 2))
    other.load_state_dict(torch.load(file, weights_only=True))
    for learner in (adversary, other):
        torch.manual_seed(1)
        learner.update(*separable(1), labeled=4)
    pairs = zip(adversary.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)


def test_it_rests_in_evaluation_mode():
    adversary = Adversary(Discriminator(3, 1, 2, 2))
    adversary.train()
    adversary.update(*separable(0), labeled=4)
    assert not any(module.training for module in adversary.modules())


def test_looking_in_evaluation_mode_changes_nothing():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2)).train()
    before = network[1].running_mean.clone()
    output = in_evaluation(network, torch.rand(2, 1, 4, 4))
    assert torch.equal(network[1].running_mean, before)
    assert network.training
    assert not output.requires_grad

from __future__ import annotations

import pytest
import torch

from arco.class_separation import ClassSeparation, _mean_one, separation


def module(ranking: str = "highest", pixels_per_class: int = 100) -> ClassSeparation:
    torch.manual_seed(0)
    return ClassSeparation(
        4,
        3,
        prototypes=5,
        pixels_per_class=pixels_per_class,
        ranking=ranking,
        generator=torch.Generator().manual_seed(0),
    )


def maps_and_labels() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (2, 8, 12), generator=generator)
    return torch.randn(2, 4, 8, 12, generator=generator), labels


def test_one_pixel_and_two_prototypes_by_hand():
    query, prototypes = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    loss = separation(query, prototypes, torch.zeros(1), torch.zeros(2))
    assert loss.item() == pytest.approx(0.3)


def test_weights_by_hand():
    torch.testing.assert_close(
        _mean_one(torch.tensor([0.0, 2.0])), torch.tensor([0.7242, 1.2758]), atol=1e-4, rtol=0
    )


def test_aligned_features_cost_nothing():
    query = torch.tensor([[1.0, 2.0], [2.0, 4.0]])
    loss = separation(query, query[:1].expand(3, 2), torch.randn(2), torch.randn(3))
    assert loss.abs() < 1e-6


def test_only_correctly_predicted_labeled_pixels_become_prototypes():
    separator = module()
    maps, labels = maps_and_labels()
    wrong = (labels + 1) % 3
    separator(maps, labels, wrong, 1)
    assert not separator.counts.any()
    separator(maps, labels, labels, 1)
    assert separator.counts.tolist() == [0, 5, 5]


def test_prototypes_of_an_absent_class_are_kept():
    separator = module()
    maps, labels = maps_and_labels()
    separator(maps, labels, labels, 1)
    kept = separator.prototypes[2].clone()
    labels[labels == 2] = 0
    separator(maps, labels, labels, 1)
    assert torch.equal(separator.prototypes[2], kept)


def test_the_ranking_decides_which_pixels_are_kept():
    maps, labels = maps_and_labels()
    scores = {}
    for ranking in ("highest", "lowest"):
        separator = module(ranking).eval()
        separator(maps, labels, labels, 1)
        scores[ranking] = separator.selectors[1](separator.prototypes[1]).mean().item()
    assert scores["highest"] > scores["lowest"]


def test_no_more_pixels_are_drawn_than_allowed_and_all_are_possible():
    separator = module(pixels_per_class=3)
    labels = torch.tensor([1] * 10 + [0] * 5 + [2] * 2)
    seen = set()
    for _ in range(60):
        drawn = separator._draw(labels)
        assert (labels[drawn] == 1).sum() == 3
        assert (labels[drawn] == 2).sum() == 2
        seen |= set(drawn.tolist())
    assert seen == set(range(10)) | {15, 16}


def test_selectors_of_queries_and_of_prototypes_both_learn():
    separator = module()
    maps, labels = maps_and_labels()
    separator(maps, labels, labels, 1).backward()
    for selectors in (separator.selectors, separator.prototype_selectors):
        assert next(selectors[1].parameters()).grad.any()
    assert not maps.requires_grad

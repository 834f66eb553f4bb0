from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from arco.losses.pixel_contrast import class_contrast, class_shares, similarities
from arco.models.head import RepresentationHead
from arco.models.keys import KeyField

SIZES = ((2, 2), (3, 3), (6, 6))
WIDTH, TEMPERATURE = 5, 0.5


def tensor(rows: list[tuple[float, float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize(
    ("cosine", "expected"), [(True, (0.1738, 0.6303)), (False, (0.2064, 0.7231))]
)
def test_two_queries_by_hand(cosine, expected):
    queries = tensor([(1, 0), (0.6, 0.8)])
    positives = similarities(queries, queries.mean(dim=0, keepdim=True), cosine=cosine)[:, 0]
    negatives = similarities(queries, tensor([(0, 1), (-1, 0)]), cosine=cosine)
    single = [class_contrast(positives[[k]], negatives[[k]], 0.5).item() for k in (0, 1)]
    assert single == pytest.approx(expected, abs=5e-5)
    mean = class_contrast(positives, negatives, 0.5).item()
    assert mean == pytest.approx(sum(expected) / 2, abs=5e-5)
    total = class_contrast(positives, negatives, 0.5, reduction="sum").item()
    assert total == pytest.approx(sum(expected), abs=1e-4)


def test_negatives_equal_to_the_positive_cost_ln_513():
    loss = class_contrast(torch.full((3,), 0.3), torch.full((3, 512), 0.3), 0.5)
    assert loss.item() == pytest.approx(math.log(513), rel=1e-6)
    assert loss.item() == pytest.approx(6.2403, abs=5e-5)


@pytest.mark.parametrize(
    ("positive", "negative", "expected"), [(1, -1, 2.3397), (1, 0, 4.2527), (-1, 1, 10.238)]
)
def test_bounds_of_the_cosine_loss_with_512_negatives(positive, negative, expected):
    loss = class_contrast(
        torch.tensor([float(positive)]), torch.full((1, 512), float(negative)), 0.5
    )
    assert loss.item() == pytest.approx(expected, abs=5e-4)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100))
def test_the_cosine_loss_stays_in_its_bounds_and_ignores_lengths(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    queries, keys = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (4, 512))
    mean = torch.randn(1, 3, generator=generator, dtype=torch.float64)

    def loss(factor: float) -> Tensor:
        positives = similarities(queries * factor, mean / factor)[:, 0]
        return class_contrast(positives, similarities(queries, keys * factor), TEMPERATURE)

    assert 2.3397 <= loss(1).item() <= 10.2381
    torch.testing.assert_close(loss(scale), loss(1))


def test_far_apart_dot_products_stay_finite():
    positives = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = class_contrast(positives, torch.tensor([[1e4, 0.0], [-1e4, 0.0]]), 0.5)
    loss.backward()
    assert loss.item() == pytest.approx((2e4 / 0.5 + 0) / 2)
    assert positives.grad.isfinite().all()


class Scene:
    """A 6 x 6 image with 3 classes, student and teacher pyramids, and fixed draws per class."""

    def __init__(self, *, per_query: bool) -> None:
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        self.student = RepresentationHead((4, 3, 2), WIDTH).double()
        self.teacher = RepresentationHead((4, 3, 2), WIDTH).double()
        self.features, self.keys = (
            [
                torch.randn(1, c, *size, generator=generator, dtype=torch.float64).requires_grad_()
                for c, size in zip((4, 3, 2), SIZES, strict=True)
            ]
            for _ in range(2)
        )
        self.labels = torch.randint(0, 3, (36,), generator=generator)
        self.queries, self.negatives = {}, {}
        for c in range(3):
            own, others = (mask.nonzero()[:, 0] for mask in (self.labels == c, self.labels != c))
            self.queries[c] = own[torch.randint(len(own), (4,), generator=generator)]
            shape = (4, 7) if per_query else (7,)
            self.negatives[c] = others[torch.randint(len(others), shape, generator=generator)]

    def loss(self, *, cosine: bool, reduction: str) -> Tensor:
        """As a method computes it, without any dense representation."""
        masks = torch.stack([(self.labels == c).view(1, 6, 6) for c in range(3)])
        student, teacher = self.student.over(self.features), self.teacher.over(self.keys).detach()
        means = teacher.class_means(masks)
        field = KeyField(teacher, cosine=cosine)
        losses = []
        for c in range(3):
            queries = student.at(self.queries[c])
            if self.negatives[c].ndim == 2:
                negatives = field.similarity(queries, self.negatives[c])
            else:
                shared = teacher.at(self.negatives[c])
                negatives = similarities(queries, shared, cosine=cosine)
            positives = similarities(queries, means[[c]], cosine=cosine)[:, 0]
            losses.append(class_contrast(positives, negatives, TEMPERATURE, reduction))
        return torch.stack(losses).mean()

    def slow_loss(self, *, cosine: bool, reduction: str) -> Tensor:
        """As the formula reads: one query and one negative at a time, on dense maps."""
        r = self.student.dense(self.features)[0].flatten(1).T
        k = self.teacher.dense(self.keys)[0].flatten(1).T.detach()

        def e(query: Tensor, key: Tensor) -> Tensor:
            scale = query.norm() * key.norm() if cosine else 1
            return (query @ key / scale / TEMPERATURE).exp()

        of_classes = []
        for c in range(3):
            mean = sum(k[p] for p in range(36) if self.labels[p] == c) / (self.labels == c).sum()
            of_queries = []
            for row, p in enumerate(self.queries[c]):
                drawn = self.negatives[c][row] if self.negatives[c].ndim == 2 else self.negatives[c]
                others = sum(e(r[p], k[n]) for n in drawn)
                of_queries.append(-(e(r[p], mean) / (e(r[p], mean) + others)).log())
            total = sum(of_queries)
            of_classes.append(total / len(of_queries) if reduction == "mean" else total)
        return sum(of_classes) / 3


@pytest.mark.parametrize("per_query", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("cosine", [True, False])
def test_the_loss_equals_a_double_loop_over_pixels(per_query, reduction, cosine):
    scene = Scene(per_query=per_query)
    leaves = [*scene.features, *scene.student.parameters()]
    fast = scene.loss(cosine=cosine, reduction=reduction)
    slow = scene.slow_loss(cosine=cosine, reduction=reduction)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-10)
    for one, other in zip(
        torch.autograd.grad(fast, leaves), torch.autograd.grad(slow, leaves), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("per_query", [True, False])
def test_gradients_reach_drawn_pixels_of_the_student_and_nothing_else(per_query):
    scene = Scene(per_query=per_query)
    scene.loss(cosine=True, reduction="mean").backward()
    drawn = torch.zeros(36, dtype=torch.bool)
    drawn[torch.cat(list(scene.queries.values()))] = True
    finest = scene.features[-1].grad[0].abs().sum(dim=0).flatten()
    assert (finest > 0).tolist() == drawn.tolist()
    assert not drawn.all()
    assert all(weight.grad is not None for weight in scene.student.parameters())
    assert all(leaf.grad is None for leaf in [*scene.keys, *scene.teacher.parameters()])


def test_shares_of_negatives_by_hand():
    means = tensor([(1, 0), (0.8, 0.6), (-1, 0)])
    shares = class_shares(means, 0, torch.ones(3, dtype=torch.bool), 0.5)
    assert shares.tolist() == pytest.approx([0, 0.9734, 0.0266], abs=5e-5)


def test_equal_means_share_evenly_and_absent_classes_get_nothing():
    means = torch.ones(4, 3, dtype=torch.float64)
    everyone = torch.ones(4, dtype=torch.bool)
    assert class_shares(means, 2, everyone, 0.5).tolist() == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])
    present = torch.tensor([True, False, True, True])
    assert class_shares(means, 2, present, 0.5).tolist() == pytest.approx([0.5, 0, 0, 0.5])

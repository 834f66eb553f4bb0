"""The contrast against a slow double loop over pixels (Eqs. E.2, E.3)."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from arco.class_contrast import ClassContrast, Contrast, mean_cosine
from arco.contracts import IGNORE
from arco.sampling import draw

CLASSES, WIDTH, QUERIES, NEGATIVES = 3, 5, 4, 6
CHANNELS = (6, 4, 3)
SIZES = ((2, 3), (4, 6), (6, 9))


def settings(**changes):
    values = {
        "sampler": "sg",
        "temperature": 0.5,
        "width": WIDTH,
        "queries": QUERIES,
        "negatives": NEGATIVES,
        "negative_draws": "per_query",
        "similarity": "cosine",
        "reduction": "mean",
        "strong_threshold": 0.97,
    }
    return SimpleNamespace(**{**values, **changes})


def make(*, class_quotas=False, **changes):
    torch.manual_seed(0)
    contrast = ClassContrast(
        CHANNELS,
        settings(**changes),
        classes=CLASSES,
        grid=(2, 2),
        generator=torch.Generator().manual_seed(3),
        class_quotas=class_quotas,
    ).double()
    generator = torch.Generator().manual_seed(1)
    student, teacher = (
        [
            torch.randn(2, c, *size, generator=generator, dtype=torch.float64)
            for c, size in zip(CHANNELS, SIZES, strict=True)
        ]
        for _ in range(2)
    )
    logits = torch.randn(2, CLASSES, *SIZES[-1], generator=generator, dtype=torch.float64)
    labels = torch.randint(0, CLASSES, (2, *SIZES[-1]), generator=generator)
    labels[:, 0] = IGNORE
    return contrast, student, logits, labels, teacher


def contrast_of(contrast, student, logits, labels, teacher, key_labels=None):
    """Of two pyramids in one view."""
    queries, keys = contrast.head.over(student), contrast.teacher_head.module.over(teacher)
    return contrast(queries, logits, labels, keys, labels if key_labels is None else key_labels)


def loss_of(*arguments):
    """The loss alone, of the same."""
    return contrast_of(*arguments).loss


def slow_loss(contrast, student, logits, labels, teacher):
    """Every pixel's representation by the definition, every logit by itself."""
    options = contrast.settings
    dense = contrast.head.dense(student).movedim(1, -1).flatten(0, -2)
    keys = contrast.teacher_head.module.dense(teacher).movedim(1, -1).flatten(0, -2).detach()
    probs = logits.softmax(1).movedim(1, -1).flatten(0, -2)
    flat = labels.flatten()
    generator = torch.Generator().manual_seed(3)

    def similarity(a, b):
        product = sum(x * y for x, y in zip(a, b, strict=True))
        return product if options.similarity == "dot" else product / (a.norm() * b.norm())

    hard = [
        ((flat == c) & (probs[:, c] < options.strong_threshold)).view(labels.shape)
        for c in range(CLASSES)
    ]
    queries = [draw(hard[c], QUERIES, options.sampler, (2, 2), generator) for c in range(CLASSES)]
    losses = []
    for c in range(CLASSES):
        positive = keys[flat == c].mean(0)
        others = ((flat != IGNORE) & (flat != c)).view(labels.shape)
        rows = QUERIES if options.negative_draws == "per_query" else 1
        drawn = draw(others, NEGATIVES, options.sampler, (2, 2), generator, rows=rows)
        terms = []
        for q in range(QUERIES):
            own = drawn[q if rows > 1 else 0]
            pixel = dense[queries[c][q]]
            top = similarity(pixel, positive) / options.temperature
            bottom = [similarity(pixel, keys[k]) / options.temperature for k in own]
            terms.append(-(top - torch.logsumexp(torch.stack([top, *bottom]), 0)))
        total = torch.stack(terms)
        losses.append(total.sum() if options.reduction == "sum" else total.mean())
    stacked = torch.stack(losses)
    return stacked.sum() if options.reduction == "sum" else stacked.mean()


@pytest.mark.parametrize("sampler", ["ns", "sg", "sag"])
@pytest.mark.parametrize("negative_draws", ["per_query", "shared"])
@pytest.mark.parametrize(("similarity", "reduction"), [("cosine", "mean"), ("dot", "sum")])
def test_value_and_gradient_equal_the_slow_loop(sampler, negative_draws, similarity, reduction):
    changes = {
        "sampler": sampler,
        "negative_draws": negative_draws,
        "similarity": similarity,
        "reduction": reduction,
    }
    results = []
    for slow in (False, True):
        contrast, student, logits, labels, teacher = make(**changes)
        student = [maps.requires_grad_() for maps in student]
        if slow:
            loss = slow_loss(contrast, student, logits, labels, teacher)
        else:
            loss = loss_of(contrast, student, logits, labels, teacher)
        weights = list(contrast.head.parameters())
        results.append((loss.detach(), *torch.autograd.grad(loss, [*student, *weights])))
    for fast, expected in zip(*results, strict=True):
        torch.testing.assert_close(fast, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("negative_draws", ["per_query", "shared"])
def test_the_student_s_own_representations_are_constant_keys(negative_draws):
    contrast, student, logits, labels, _ = make(negative_draws=negative_draws)
    contrast.teacher_head.module.load_state_dict(contrast.head.state_dict())
    student = [maps.requires_grad_() for maps in student]
    weights = list(contrast.head.parameters())
    queries = contrast.head.over(student)
    results = []
    for keys in (queries, contrast.teacher_head.module.over([maps.detach() for maps in student])):
        contrast.generator.manual_seed(3)
        found = contrast(queries, logits, labels, keys, labels)
        assert not found.class_cosine.requires_grad
        loss = found.loss
        gradients = torch.autograd.grad(loss, [*student, *weights], retain_graph=True)
        results.append((loss.detach(), *gradients))
    for own, given in zip(*results, strict=True):
        torch.testing.assert_close(own, given, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("rows", [1, 300])
def test_quotas_draw_pixels_of_other_classes_by_likeness(rows):
    contrast, _, _, labels, _ = make(class_quotas=True, negatives=40)
    of_class = torch.stack([labels == c for c in range(CLASSES)])
    means = torch.tensor([[1.0, 0.0], [0.8, 0.6], [-1.0, 0.0]], dtype=torch.float64)
    drawn = contrast._draw_by_class(of_class, means, 0, rows)
    assert drawn.shape == (rows, 40)
    classes = labels.flatten()[drawn]
    assert set(classes.flatten().tolist()) <= {1, 2}
    share = (classes == 1).double().mean().item()
    expected = 1 / (1 + math.exp(-1.8 / 0.5))
    deviation = math.sqrt(expected * (1 - expected) / drawn.numel())
    assert share == pytest.approx(expected, abs=4 * deviation)


@pytest.mark.parametrize("negative_draws", ["per_query", "shared"])
def test_with_quotas_and_equal_negatives_the_loss_is_what_it_must_be(negative_draws):
    contrast, student, logits, labels, teacher = make(
        class_quotas=True, negative_draws=negative_draws
    )
    loss = loss_of(contrast, student, logits, labels, [torch.ones_like(maps) for maps in teacher])
    assert loss.item() == pytest.approx(math.log(1 + NEGATIVES))


def test_with_every_key_alike_each_query_costs_the_logarithm_of_their_number():
    contrast, student, logits, labels, teacher = make()
    equal = [torch.ones_like(maps) for maps in teacher]
    loss = loss_of(contrast, student, logits, labels, equal)
    assert loss.item() == pytest.approx(math.log(1 + NEGATIVES))


def test_a_single_present_class_costs_nothing_but_keeps_a_graph():
    contrast, student, logits, labels, teacher = make()
    student = [maps.requires_grad_() for maps in student]
    loss = loss_of(contrast, student, logits, torch.zeros_like(labels), teacher)
    assert loss.item() == 0.0
    loss.backward()


def test_a_class_without_hard_pixels_is_left_out_of_the_mean():
    contrast, student, logits, labels, teacher = make()
    sure = logits.clone()
    sure[:, 2] = torch.where(labels == 2, 60.0, sure[:, 2])
    with_two = loss_of(contrast, student, sure, labels, teacher)
    relabeled = torch.where(labels == 2, IGNORE, labels)
    contrast.generator.manual_seed(3)
    again = loss_of(contrast, student, sure, relabeled, teacher, labels)
    torch.testing.assert_close(with_two, again)
    equal = [torch.ones_like(maps) for maps in teacher]
    even = loss_of(contrast, student, sure, labels, equal)
    assert even.item() == pytest.approx(math.log(1 + NEGATIVES))


@pytest.mark.parametrize(("reduction", "queries"), [("mean", 1), ("sum", CLASSES * QUERIES)])
def test_the_loss_is_compared_with_that_of_keys_that_are_all_alike(reduction, queries):
    contrast, *case = make(reduction=reduction)
    found = contrast_of(contrast, *case)
    assert found.chance == pytest.approx(queries * math.log(1 + NEGATIVES))
    ratio = found.facts()["contrast_over_chance"]
    assert ratio.item() == pytest.approx(found.loss.item() / found.chance)
    assert not ratio.requires_grad


def test_the_chance_of_a_sum_counts_the_queries_that_there_are():
    contrast, student, logits, labels, teacher = make(reduction="sum")
    labels = torch.where(labels == 2, IGNORE, labels)
    equal = [torch.ones_like(maps) for maps in teacher]
    found = contrast_of(contrast, student, logits, labels, equal)
    assert found.facts()["contrast_over_chance"].item() == pytest.approx(1.0)


def test_the_class_cosine_is_that_of_the_means_of_the_keys():
    contrast, student, logits, labels, teacher = make()
    keys = contrast.teacher_head.module.dense(teacher).movedim(1, -1)
    means = [keys[labels == c].mean(dim=0) for c in range(CLASSES)]
    pairs = [(0, 1), (0, 2), (1, 2)]
    cosines = [torch.cosine_similarity(means[a], means[b], dim=0).item() for a, b in pairs]
    found = contrast_of(contrast, student, logits, labels, teacher)
    assert found.facts()["class_cosine"].item() == pytest.approx(sum(cosines) / 3)
    assert not found.class_cosine.requires_grad
    without = contrast_of(
        contrast, student, logits, torch.where(labels == 0, IGNORE, labels), teacher
    )
    assert without.class_cosine.item() == pytest.approx(cosines[2])


def test_the_cosine_of_rows_by_hand():
    rows = torch.tensor([[3.0, 0.0], [0.0, 0.5], [-2.0, 0.0]])
    assert mean_cosine(rows).item() == pytest.approx((0 - 1 + 0) / 3)
    assert mean_cosine(rows[:1].expand(4, 2)).item() == pytest.approx(1.0)
    assert mean_cosine(rows[:1]) is None and mean_cosine(rows[:0]) is None


def test_a_batch_tells_no_more_than_it_can():
    contrast, student, logits, labels, teacher = make()
    single = contrast_of(contrast, student, logits, torch.zeros_like(labels), teacher)
    assert single.facts() == {}
    sure = functional.one_hot(labels.clamp_min(0), CLASSES).movedim(-1, 1) * 60.0
    nothing_hard = contrast_of(contrast, student, sure, labels, teacher)
    assert nothing_hard.loss.item() == 0.0
    assert set(nothing_hard.facts()) == {"class_cosine"}
    assert Contrast(torch.tensor(3.0), 2.0, None).facts() == {
        "contrast_over_chance": torch.tensor(1.5)
    }


def test_a_class_without_keys_or_without_rivals_draws_no_query():
    contrast, student, logits, labels, teacher = make()
    assert (labels == 1).any()
    without = torch.where(labels == 1, IGNORE, labels)
    found = contrast_of(contrast, student, logits, labels, teacher, without)
    contrast.generator.manual_seed(3)
    expected = contrast_of(contrast, student, logits, without, teacher, without)
    torch.testing.assert_close(found.loss, expected.loss)
    alone = torch.where(labels == 0, labels, IGNORE)
    assert contrast_of(contrast, student, logits, labels, teacher, alone).loss.item() == 0.0


def test_the_global_generator_is_left_alone():
    contrast, student, logits, labels, teacher = make()
    before = torch.get_rng_state()
    loss_of(contrast, student, logits, labels, teacher)
    assert torch.equal(torch.get_rng_state(), before)

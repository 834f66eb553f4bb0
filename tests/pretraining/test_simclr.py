from __future__ import annotations

import pytest
import torch
from framework_watch import MIRRORED, SOLARIZED, marked_batch, read_marks, watch
from slow_contrasts import assert_same_loss, mean, pair_loss
from small_frameworks import start
from torch import nn


def slow_nt_xent(views):
    """Each of 2B views against its partner and all others, itself excluded."""
    count = len(views)
    terms = []
    for anchor in range(count):
        partner = (anchor + count // 2) % count
        others = [views[view] for view in range(count) if view not in (anchor, partner)]
        terms.append(pair_loss(views[anchor], views[partner], others, 0.4))
    return mean(terms)


@pytest.mark.parametrize("axes", [2, 3])
def test_each_view_meets_the_other_view_of_its_image_among_all_views(axes: int) -> None:
    training = start("simclr", axes=axes, temperature=0.4)
    students = watch(training.method.student)
    for _ in range(2):
        loss = training.step().loss
        embeddings = students[-1].gave[1]
        assert_same_loss(loss, slow_nt_xent, embeddings)
        first, second = embeddings.detach().double().chunk(2)
        wrong_partners = slow_nt_xent(torch.cat([first, second.roll(1, 0)]))
        assert abs(wrong_partners.item() - loss.item()) > 1e-3
    assert len(students) == 2  # both views pass the network in one batch


@pytest.mark.parametrize("axes", [2, 3])
def test_halves_of_the_batch_are_views_of_the_same_images(axes: int) -> None:
    training = start("simclr", axes=axes, first_view=SOLARIZED, second_view=MIRRORED)
    students = watch(training.method.student)
    training.step(marked_batch("simclr", axes))
    first, second = (read_marks(half, 8) for half in students[0].shown.chunk(2))
    assert first.images == second.images == list(range(8))
    assert first.solarized and not first.mirrored
    assert second.mirrored and not second.solarized


def test_the_head_has_batch_norm_after_both_layers() -> None:
    layers = list(start("simclr").method.student.head.layers)
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d]
    assert [type(layer) for layer in layers] == kinds
